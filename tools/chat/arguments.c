/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options are in one table that says which commands take them; each command's operands and
 * obligations are in another.
 */
#include "tools/chat/arguments.h"

#include "net/decimal.h"
#include "net/wire.h"
#include "tools/chat/exit_code.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define FOR(verb) (1u << (verb))
#define FOR_ALL (~0u)
#define FOR_ONLINE                                                                                 \
    (FOR(VERB_CHAT) | FOR(VERB_REGISTER) | FOR(VERB_VERIFY) | FOR(VERB_SEND) | FOR(VERB_RECEIVE) | \
     FOR(VERB_STATUS) | FOR(VERB_ECHO))

enum option_key {
    OPTION_CA = 1,
    OPTION_CLUSTER_KEY,
    OPTION_CODE,
    OPTION_HELP,
    OPTION_HOME,
    OPTION_JSON,
    OPTION_LIMIT,
    OPTION_NAME,
    OPTION_OFFLINE,
    OPTION_PHONE,
    OPTION_QUEUE,
    OPTION_SERVER,
    OPTION_TIMEOUT,
    OPTION_TO,
    OPTION_UNREAD,
    OPTION_VERSION,
    OPTION_WAIT,
    OPTION_WITH,
    OPTION_COUNT,
};

static const struct option options[] = {
    {"ca", required_argument, NULL, OPTION_CA},
    {"cluster-key", required_argument, NULL, OPTION_CLUSTER_KEY},
    {"code", required_argument, NULL, OPTION_CODE},
    {"help", no_argument, NULL, OPTION_HELP},
    {"home", required_argument, NULL, OPTION_HOME},
    {"json", no_argument, NULL, OPTION_JSON},
    {"limit", required_argument, NULL, OPTION_LIMIT},
    {"name", required_argument, NULL, OPTION_NAME},
    {"offline", no_argument, NULL, OPTION_OFFLINE},
    {"phone", required_argument, NULL, OPTION_PHONE},
    {"queue", no_argument, NULL, OPTION_QUEUE},
    {"server", required_argument, NULL, OPTION_SERVER},
    {"timeout", required_argument, NULL, OPTION_TIMEOUT},
    {"to", required_argument, NULL, OPTION_TO},
    {"unread", no_argument, NULL, OPTION_UNREAD},
    {"version", no_argument, NULL, OPTION_VERSION},
    {"wait", required_argument, NULL, OPTION_WAIT},
    {"with", required_argument, NULL, OPTION_WITH},
    {0},
};

static const unsigned taken_by[OPTION_COUNT] = {
    [OPTION_CA] = FOR_ONLINE,
    [OPTION_CLUSTER_KEY] = FOR_ONLINE,
    [OPTION_CODE] = FOR(VERB_VERIFY),
    [OPTION_HELP] = FOR_ALL,
    [OPTION_HOME] = FOR_ALL,
    [OPTION_JSON] = FOR(VERB_SEND) | FOR(VERB_RECEIVE) | FOR(VERB_STATUS) | FOR(VERB_HISTORY) |
                    FOR(VERB_CONTACTS),
    [OPTION_LIMIT] = FOR(VERB_HISTORY),
    [OPTION_NAME] = FOR(VERB_CHAT) | FOR(VERB_REGISTER),
    [OPTION_OFFLINE] = FOR(VERB_STATUS),
    [OPTION_PHONE] = FOR(VERB_CHAT) | FOR(VERB_REGISTER),
    [OPTION_QUEUE] = FOR(VERB_SEND),
    [OPTION_SERVER] = FOR_ONLINE,
    [OPTION_TIMEOUT] = FOR_ONLINE & ~FOR(VERB_CHAT) & ~FOR(VERB_ECHO),
    [OPTION_TO] = FOR(VERB_CHAT) | FOR(VERB_SEND),
    [OPTION_UNREAD] = FOR(VERB_RECEIVE),
    [OPTION_VERSION] = FOR_ALL,
    [OPTION_WAIT] = FOR(VERB_SEND) | FOR(VERB_RECEIVE),
    [OPTION_WITH] = FOR(VERB_HISTORY),
};

static const struct verb {
    const char *name;
    const char *operand; /* what must follow it; NULL: nothing may */
} verbs[] = {
    [VERB_CHAT] = {NULL, NULL},
    [VERB_REGISTER] = {"register", NULL},
    [VERB_VERIFY] = {"verify", NULL},
    [VERB_SEND] = {"send", "the text (in quotes; - reads it from standard input)"},
    [VERB_RECEIVE] = {"receive", NULL},
    [VERB_STATUS] = {"status", "the id that `send` printed"},
    [VERB_HISTORY] = {"history", NULL},
    [VERB_CONTACTS] = {"contacts", NULL},
    [VERB_ECHO] = {"echo", NULL},
    [VERB_HELP] = {"help", NULL},
    [VERB_VERSION] = {"version", NULL},
};
#define VERB_COUNT (sizeof verbs / sizeof verbs[0])

__attribute__((format(printf, 1, 2))) static int refuse(const char *format, ...) {
    va_list list;
    va_start(list, format);
    fputs("tern-chat: ", stderr);
    vfprintf(stderr, format, list);
    fputs("; `tern-chat --help` tells more\n", stderr);
    va_end(list);
    return CHAT_USAGE;
}

/* ---------------------------------------------------------------- values */

/* Seconds, with a fraction if wanted. */
static int parse_seconds(const char *name, const char *text, uint32_t *ms) {
    char *end;
    double seconds = strtod(text, &end);
    if (end == text || *end != 0 || !(seconds >= 0 && seconds <= ARGUMENTS_SECONDS_MAX))
        return refuse("--%s takes seconds, 0 to %d, not \"%s\"", name, ARGUMENTS_SECONDS_MAX, text);
    *ms = (uint32_t)(seconds * 1000);
    return 0;
}

static int parse_limit(const char *text, uint32_t *limit) {
    uint64_t number;
    if (!decimal_read(text, 0, INT32_MAX, &number))
        return refuse("--limit takes a number of messages, not \"%s\"", text);
    *limit = (uint32_t)number;
    return 0;
}

static int parse_goal(struct arguments *arguments, const char *text) {
    static const unsigned goals[] = {WIRE_STATE_SENT, WIRE_STATE_DELIVERED, WIRE_STATE_READ};
    arguments->goal_given = true;
    for (size_t i = 0; i < sizeof goals / sizeof goals[0]; i++)
        if (strcmp(text, wire_state_name(goals[i])) == 0) {
            arguments->goal = goals[i];
            return 0;
        }
    return refuse("send --wait takes sent, delivered or read, not \"%s\"", text);
}

static int set_home(struct arguments *arguments, const char *path) {
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof arguments->home)
        return refuse("--home takes a directory");
    memcpy(arguments->home, path, length + 1);
    return 0;
}

static int take_option(struct arguments *arguments, int key, const char *value) {
    switch (key) {
    case OPTION_CA:
        arguments->ca = value;
        return 0;
    case OPTION_CLUSTER_KEY:
        arguments->cluster_key = value;
        return 0;
    case OPTION_CODE:
        arguments->code = value;
        return 0;
    case OPTION_HOME:
        return set_home(arguments, value);
    case OPTION_JSON:
        arguments->json = true;
        return 0;
    case OPTION_LIMIT:
        return parse_limit(value, &arguments->limit);
    case OPTION_NAME:
        arguments->name = value;
        return 0;
    case OPTION_OFFLINE:
        arguments->offline = true;
        return 0;
    case OPTION_PHONE:
        arguments->phone = value;
        return 0;
    case OPTION_QUEUE:
        arguments->queue = true;
        return 0;
    case OPTION_SERVER:
        arguments->server = value;
        return 0;
    case OPTION_TIMEOUT:
        return parse_seconds("timeout", value, &arguments->timeout_ms);
    case OPTION_TO:
        arguments->to = value;
        return 0;
    case OPTION_UNREAD:
        arguments->unread = true;
        return 0;
    case OPTION_WAIT:
        return arguments->verb == VERB_RECEIVE ? parse_seconds("wait", value, &arguments->wait_ms)
                                               : parse_goal(arguments, value);
    case OPTION_WITH:
        arguments->with = value;
        return 0;
    default:
        return 0;
    }
}

/* ---------------------------------------------------------------- the whole */

/* The first word that is no option and no option's value. Options may stand on either side. */
static int find_verb(struct arguments *arguments, int argc, char **argv, const char **operand,
                     int *count) {
    int key;
    opterr = 0;
    optind = 0;
    arguments->verb = VERB_CHAT;
    while ((key = getopt_long(argc, argv, "hV", options, NULL)) != -1) {
        if (key == '?' || key == ':')
            return refuse("\"%s\" is no option, or lacks its value", argv[optind - 1]);
        if (key == 'h' || key == OPTION_HELP)
            arguments->verb = VERB_HELP;
        else if (key == 'V' || key == OPTION_VERSION)
            arguments->verb = VERB_VERSION;
    }
    *count = 0;
    if (arguments->verb != VERB_CHAT || optind >= argc)
        return 0;
    *operand = argv[optind + 1];
    *count = argc - optind - 1;
    for (unsigned i = VERB_CHAT + 1; i < VERB_COUNT; i++)
        if (strcmp(argv[optind], verbs[i].name) == 0) {
            arguments->verb = (enum arguments_verb)i;
            return 0;
        }
    return refuse("\"%s\" is no command", argv[optind]);
}

static int take_options(struct arguments *arguments, int argc, char **argv) {
    int key, place;
    optind = 0;
    while ((key = getopt_long(argc, argv, "hV", options, &place)) != -1) {
        if (key >= OPTION_COUNT)
            continue; /* -h, -V */
        if ((taken_by[key] & FOR(arguments->verb)) == 0)
            return refuse("%s takes no --%s",
                          arguments->verb == VERB_CHAT ? "tern-chat without a command"
                                                       : verbs[arguments->verb].name,
                          options[place].name);
        int error = take_option(arguments, key, optarg);
        if (error != 0)
            return error;
    }
    return 0;
}

static int check_obligations(const struct arguments *arguments) {
    switch (arguments->verb) {
    case VERB_REGISTER:
        if (arguments->server == NULL || arguments->phone == NULL || arguments->name == NULL)
            return refuse("register needs --server, --phone and --name");
        return 0;
    case VERB_VERIFY:
        return arguments->code == NULL ? refuse("verify needs --code") : 0;
    case VERB_SEND:
        return arguments->to == NULL ? refuse("send needs --to") : 0;
    default:
        return 0;
    }
}

int arguments_parse(struct arguments *arguments, int argc, char **argv) {
    const char *word = NULL;
    int words = 0;
    *arguments = (struct arguments){
        .goal = WIRE_STATE_SENT,
        .timeout_ms = ARGUMENTS_TIMEOUT_DEFAULT * 1000,
    };
    int error = find_verb(arguments, argc, argv, &word, &words);
    if (error != 0 || arguments->verb == VERB_HELP || arguments->verb == VERB_VERSION)
        return error;
    error = take_options(arguments, argc, argv);
    if (error != 0)
        return error;
    const char *operand = verbs[arguments->verb].operand;
    if (operand != NULL && words == 0)
        return refuse("%s needs %s", verbs[arguments->verb].name, operand);
    if (words > (operand != NULL))
        return refuse("\"%s\" is one word too many", operand == NULL ? word : "the text's second");
    arguments->operand = word;
    if (arguments->home[0] == 0 && home_default(arguments->home) != 0)
        return refuse("there is no HOME; say --home DIR");
    return check_obligations(arguments);
}

void arguments_print_help(FILE *out) {
    fputs(
        "tern-chat: chat by lines, or one command for a script.\n"
        "\n"
        "  tern-chat                                      asks for what it needs, then chats\n"
        "  tern-chat register --server ws://HOST:PORT --phone +15550001000 --name NAME\n"
        "  tern-chat verify --code CODE                   the code that was sent to the phone\n"
        "  tern-chat send --to WHOM TEXT                  prints the message's id and state\n"
        "      --wait sent|delivered|read                 how far it must come (default: sent)\n"
        "      --queue                                    without a connection: keep it, send it "
        "later\n"
        "  tern-chat receive [--wait SECONDS]             prints what has not been shown yet\n"
        "      --unread                                   and doesn't tell the senders it was "
        "read\n"
        "  tern-chat status ID [--offline]                how far a message has come\n"
        "  tern-chat history [--with WHOM] [--limit N]    what was said, in order\n"
        "  tern-chat contacts                             whom this home knows\n"
        "  tern-chat echo                                 answers every message, until it is "
        "ended\n"
        "\n"
        "WHOM is a phone number (+15550002000) or the name of a contact. TEXT may be - for "
        "standard\n"
        "input; behind -- it may begin with a hyphen.\n"
        "\n"
        "  --home DIR            what this client keeps (default: ~/.local/share/tern/chat)\n"
        "  --json                send, receive, status, history, contacts: one JSON object a line\n"
        "  --timeout SECONDS     for a whole command that connects (default: 30)\n"
        "  --server ws://...     another address of the same service; wss://... through TLS\n"
        "  --ca FILE             of wss://: the authorities to trust, PEM, instead of the "
        "system's;\n"
        "                        kept for later, until --ca system\n"
        "  --cluster-key tern1.. the service's key; else the first one that is met is kept\n"
        "  --help, --version\n"
        "\n"
        "Exit status\n"
        "   0  done (with --queue also: kept, to be sent later)\n"
        "   1  refused: by the node or the recipient's device; nobody has the number; no such id\n"
        "  64  what was typed makes no sense\n"
        "  65  the text is longer than 61,435 bytes, or no UTF-8\n"
        "  69  no connection to the node, or no end within the time\n"
        "  73  the home is in use by another process, or cannot be used\n"
        "  74  the home's store or the output failed\n"
        "  75  the message went out, no answer came: it is kept and sent again, with the same id\n"
        "  76  the node's cluster key is not the pinned one\n"
        "  77  this home is not registered, or its account was taken over by another device\n"
        "\n"
        "The content of messages is not yet end-to-end encrypted: whoever runs the node can read "
        "it.\n",
        out);
}
