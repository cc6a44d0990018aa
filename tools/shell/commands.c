/* SPDX-License-Identifier: Apache-2.0 */
/* The table of commands, in the order of `help`. */
#include "tools/shell/command.h"

/* What several commands are about. */
#define PLACE_ACTOR \
    { "ACTOR", "actor", WORD_TEXT, .help = "0x..., class:key, class:+phone or a name" }
#define PLACE_ENTRY \
    { "ENTRY", "entry", WORD_TEXT, .help = "as `quarantine` lists it" }

const struct command commands[] = {
    {"help", VIEW_TEXT, "[COMMAND]", "what can be asked here, and how",
     "Without a word it lists all commands; with one it explains that command.", NULL,
     .places = {{"COMMAND", "command", WORD_TEXT, .optional = true, .help = "a command's name"}},
     .local = true},
    {"node", VIEW_CARD, "", "what this node is and how it does",
     "Version, uptime, shards, memory by purpose, descriptors, rings. `starts` counts the "
     "processes\n"
     "of this heart (more than one: it crashed), `boot` those on this data. `slow_total` are "
     "handlers\n"
     "that ran over their budget.",
     .empty = NULL},
    {"shards", VIEW_TABLE, "[--window TIME]", "the scheduler's threads, and how busy they are",
     "One line per shard: its actors, messages handled, turns, and the time in which it had work;\n"
     "since the node's start, or within a window, and then also in percent.\n"
     "    shards --window 1s",
     .options = {{"--window", "window_ms", WORD_DURATION,
                  .help = "what happens in this time, at most 1m"}}},
    {"classes", VIEW_TABLE, "", "the classes of actors",
     "One line per class: how many live, how many messages wait and were handled, the time in\n"
     "handlers (estimated), and how actors of it ended. `top` and `actors CLASS` look further in.",
     .empty = NULL},
    {"events", VIEW_TABLE, "", "what was counted by name",
     "What the node refused, dropped, cut or finished, by name; actors/COUNTERS.md explains each.",
     .empty = "nothing was counted yet"},
    {"tree", VIEW_TREE, "", "the supervision tree, live",
     "Who supervises whom. A pool (a class of actors that come and go) is one line however many "
     "are\n"
     "in it. `ends` counts those that ended by themselves, `last reason` why the last one did.",
     .empty = NULL},
    {"top", VIEW_TABLE, "[--by ORDER] [--window TIME] [--rows N] [--class CLASS]",
     "the actors that have or do the most",
     "At a terminal it is a live screen: m a n t b choose the order, arrows move, Enter looks into "
     "an\n"
     "actor, q leaves; --once shows it once. Without a terminal it is shown once. Orders: mailbox "
     "(messages\n"
     "that wait), age (of the oldest of them), messages (handled), time (in handlers, estimated),\n"
     "bytes. With --window counts are those of that time, else since each actor began.\n"
     "    top --by messages --window 5s",
     .empty = "no actor matches",
     .options = {{"--by", "by", WORD_CHOICE, "mailbox age messages time bytes",
                  .help = "the order"},
                 {"--window", "window_ms", WORD_DURATION,
                  .help = "count what happens in this time"},
                 {"--rows", "rows", WORD_NUMBER, .help = "how many, at most 1000; 20"},
                 {"--class", "class", WORD_TEXT, .help = "only this class"},
                 {"--once", "once", WORD_FLAG, .help = "no live screen"}}},
    {"actors", VIEW_TABLE, "CLASS [where CONDITION [and CONDITION]] [--by ORDER] [--rows N]",
     "the actors of a class",
     "Conditions compare mailbox (messages that wait), age (of the oldest) and bytes:\n"
     "    actors mailbox where mailbox > 10 and age > 5s\n"
     "    actors connection where bytes > 64KiB",
     .empty = "no actor matches",
     .places = {{"CLASS", "class", WORD_TEXT, .help = "a class; \"classes\" lists them"}},
     .options =
         {{"where", "where", WORD_CONDITIONS, .help = "mailbox > N, age > TIME, bytes > SIZE"},
          {"--by", "by", WORD_CHOICE, "mailbox age messages time bytes", .help = "the order"},
          {"--window", "window_ms", WORD_DURATION, .help = "count what happens in this time"},
          {"--rows", "rows", WORD_NUMBER, .help = "how many, at most 1000; 100"}}},
    {"info", VIEW_CARD, "ACTOR", "one actor, closely",
     "ACTOR is an id (0x...), a class and a key (mailbox:42), a class and a phone number\n"
     "(mailbox:+15550001111, number:+15550001111), a user's connection (connection:42,\n"
     "connection:+15550001111; where several devices are connected connection:42/2 says which), "
     "or\n"
     "a name (listener/0, committer). Of a mailbox each device follows: what waits for it, what "
     "of\n"
     "that is only held in memory, and its connection; of a connection, whose it is.\n"
     "    info connection:+15550001111",
     .places = {PLACE_ACTOR}},
    {"mailbox", VIEW_TABLE, "ACTOR", "what waits in an actor's mailbox",
     "Kinds, sizes and ages of what waits, the next one first, at most 512; never contents.",
     .empty = "nothing waits", .places = {PLACE_ACTOR}},
    {"links", VIEW_TABLE, "ACTOR", "with whom an actor ends together", "Links go both ways.",
     .empty = "it has no links", .places = {PLACE_ACTOR}},
    {"monitors", VIEW_TABLE, "ACTOR", "whom an actor watches, and who watches it",
     "Whoever monitors an actor is told when it ends.", .empty = "it watches nobody and nobody it",
     .places = {PLACE_ACTOR}},
    {"trace", VIEW_TABLE, "ACTOR|CLASS [for TIME] [limit RATE]",
     "the messages of an actor or a class, as they come",
     "Kinds, times and sizes, never contents: `waited` in the mailbox, `took` in the handler. It "
     "ends by\n"
     "itself, or with Ctrl-C; what is beyond the limit is counted, not shown.\n"
     "    trace mailbox:+15550001111 for 30s\n"
     "    trace connection for 5s limit 20/s",
     .empty = "nothing happened", .streams = true,
     .places = {{"ACTOR", "actor", WORD_TEXT, .help = "an actor as in `info`, or a class"}},
     .options = {{"for", "duration_ms", WORD_DURATION, .help = "how long, at most 10m; 10s"},
                 {"limit", "per_second", WORD_RATE, .help = "events a second; 100/s"}}},
    {"slow", VIEW_TABLE, "", "handlers that ran over their budget",
     "The last 32 reports of the watchdog, the newest first: what ran, for how long when it was "
     "seen, and\n"
     "where it was (the innermost function first). `more` were not reported, being the same.",
     .empty = "no handler was slow"},
    {"crashes", VIEW_TABLE, "[RECORD]", "what crashes left behind",
     "Records of crashes, the newest first; `blame` is what was being worked on. With a record's "
     "name all\n"
     "of it: the backtrace, and what the shard did last.",
     .empty = "it never crashed",
     .places = {{"RECORD", "record", WORD_TEXT, .optional = true, .help = "CRASH-..., as listed"}}},
    {"recorder", VIEW_TABLE, "[SHARD]", "what a shard did last",
     "The flight recorder: messages handled, actors begun and ended, sockets; the oldest first.",
     .empty = "nothing yet",
     .places = {{"SHARD", "shard", WORD_NUMBER, .optional = true, .help = "its number; 0"}}},
    {"kill", VIEW_CHANGE, "ACTOR [--yes]", "ends an actor at once",
     "What it had not handled is lost as in any failure: senders are told, mail stays stored.\n"
     "Its supervisor starts a fixed one again; one with a key comes back with the next message.",
     .places = {PLACE_ACTOR}},
    {"restart", VIEW_CHANGE, "ACTOR [--yes]", "stops an actor in order, and starts it again",
     "For those in the tree by name (committer, metrics, a supervisor by its id from `tree`): a\n"
     "supervisor's children go and come with it.",
     .places = {PLACE_ACTOR}},
    {"drain", VIEW_CHANGE, "[--yes]", "ends the node in order",
     "As SIGTERM does: nothing new is accepted, devices are told, mail is written, then the "
     "process ends\n"
     "and is not started again.",
     .empty = NULL},
    {"limit", VIEW_CHANGE, "NAME VALUE [--yes]", "changes a setting while the node runs",
     "Until the node ends; `config` lists the settings and says which can be changed. Values are "
     "written\n"
     "as in the cluster file:\n"
     "    limit queue_messages 20000\n"
     "    limit hold_max 200ms",
     .places = {{"NAME", "name", WORD_TEXT, .help = "a setting; \"config\" lists them"},
                {"VALUE", "value", WORD_TEXT, .help = "as in the cluster file"}}},
    {"log", VIEW_CHANGE, "[LEVEL [CLASS]] [--yes]", "how much the log says, in all or of one class",
     "Without a word it shows the levels; with a class only that class's actors change.\n"
     "    log debug mailbox",
     .places = {{"LEVEL", "level", WORD_CHOICE, "debug info warning error", .optional = true,
                 .help = "what is less is not written"},
                {"CLASS", "class", WORD_TEXT, .optional = true, .help = "a class of actors"}}},
    {"config", VIEW_TABLE, "", "the settings in force, and what `reload` would change",
     "`in file` stands where the cluster file says something else now.", .empty = NULL},
    {"reload", VIEW_CHANGE, "[--yes]", "takes over what the cluster file says now",
     "Of the settings that can be changed while the node runs; it says which it changed, and how "
     "many\n"
     "need a restart.",
     .empty = NULL},
    {"store", VIEW_CARD, "", "what is on disk, and how fast it is",
     "Keys (estimated) and bytes by family: `account` holds accounts and mailboxes' state, `mail` "
     "what\n"
     "waits for devices. Durable writes (fsync) to a factor of two; what compaction is behind "
     "with.",
     .empty = NULL},
    {"mail", VIEW_TABLE, "USER", "how much mail waits for a user's devices, and since when",
     "What is stored: mail that is held in memory for a moment is seen by `info mailbox:USER`. "
     "USER is a\n"
     "phone number or a user's number.\n"
     "    mail +15550001111",
     .empty = "the account has no device",
     .places = {{"USER", "user", WORD_TEXT, .help = "+15550001111, or a user's number"}}},
    {"histogram", VIEW_TABLE, "[NAME]", "how long things take",
     "Without a name it lists them all: what devices wait for, durable writes, and handlers by "
     "class and\n"
     "message (sampled). A bar is the share of all.\n"
     "    histogram response/send",
     .empty = "nothing was measured yet",
     .places = {{"NAME", "name", WORD_TEXT, .optional = true,
                 .help = "as `histogram` lists them"}}},
    {"quarantine", VIEW_TABLE, "[ENTRY] [--limit N]",
     "what was set aside: mail that brought the node down twice",
     "One line per entry: mail that two crash records blame, that its device never answered, or "
     "that\n"
     "is damaged. `from` is the user and device that sent it; what it says is not shown. With an "
     "entry,\n"
     "more of that one. `release` delivers an entry after all, `drop` forgets it.\n"
     "    quarantine 17/1/4097",
     .empty = "nothing is set aside",
     .places = {{"ENTRY", "entry", WORD_TEXT, .optional = true, .help = "as it is listed"}},
     .options = {{"--limit", "limit", WORD_NUMBER, .help = "at most so many; 1000 if not said"}}},
    {"release", VIEW_CHANGE, "ENTRY [--yes]", "delivers what was set aside after all",
     "It goes behind all that waits for its device, which shows it at its place in the chat. If "
     "it\n"
     "brings the node down twice again it is set aside again. Example: release 17/1/4097",
     .places = {PLACE_ENTRY}},
    {"drop", VIEW_CHANGE, "ENTRY [--yes]", "forgets what was set aside, for good",
     "Its sender and its device were told when it was set aside. Example: drop 17/1/4097",
     .places = {PLACE_ENTRY}},
    {"watch", VIEW_TEXT, "[--every TIME] [--times N] COMMAND", "asks the same again and again",
     "Until Ctrl-C; at a terminal each answer takes the place of the one before.\n"
     "    watch shards --window 1s\n"
     "    watch --every 10s --times 6 histogram response/send",
     .places = {{"COMMAND", "line", WORD_REST, .help = "one that looks, with all its words"}},
     .options = {{"--every", "every_ms", WORD_DURATION, .help = "the pause between; 2s"},
                 {"--times", "times", WORD_NUMBER, .help = "how often; until Ctrl-C"}},
     .local = true},
    {"quit", VIEW_TEXT, "", "leaves the shell", "So do Ctrl-D and \"exit\".", .local = true},
};
const unsigned command_count = sizeof(commands) / sizeof(commands[0]);
