/* SPDX-License-Identifier: Apache-2.0 */
/* The table of commands, in the order of `help`. */
#include "tools/shell/command.h"

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
    {"shards", VIEW_TABLE, "", "the scheduler's threads",
     "One line per shard: its actors, messages handled, turns, and the time in which it had work.",
     .empty = NULL},
    {"classes", VIEW_TABLE, "", "the classes of actors",
     "One line per class: how many live, how many messages wait and were handled, the time in\n"
     "handlers (estimated), and how actors of it ended. `top` and `actors CLASS` look further in.",
     .empty = NULL},
    {"events", VIEW_TABLE, "", "what was counted by name",
     "What the node refused, dropped, cut or finished, by name; actors/COUNTERS.md explains each.",
     .empty = "nothing was counted yet"},
    {"quarantine", VIEW_TABLE, "[--limit N]",
     "what was set aside: mail that brought the node down twice",
     "One line per entry: mail that two crash records blame, that its device never answered, or "
     "that\n"
     "is damaged. `from` is the user and device that sent it; what it says is not shown. "
     "`release`\n"
     "delivers an entry after all, `drop` forgets it.",
     .empty = "nothing is set aside",
     .options = {{"--limit", "limit", WORD_NUMBER, .help = "at most so many; 1000 if not said"}}},
    {"release", VIEW_CHANGE, "ENTRY [--yes]", "delivers what was set aside after all",
     "It goes behind all that waits for its device, which shows it at its place in the chat. If "
     "it\n"
     "brings the node down twice again it is set aside again. Example: release 17/1/4097",
     .places = {{"ENTRY", "entry", WORD_TEXT, .help = "as `quarantine` lists it"}}},
    {"drop", VIEW_CHANGE, "ENTRY [--yes]", "forgets what was set aside, for good",
     "Its sender and its device were told when it was set aside. Example: drop 17/1/4097",
     .places = {{"ENTRY", "entry", WORD_TEXT, .help = "as `quarantine` lists it"}}},
    {"quit", VIEW_TEXT, "", "leaves the shell", "So do Ctrl-D and \"exit\".", .local = true},
};
const unsigned command_count = sizeof(commands) / sizeof(commands[0]);
