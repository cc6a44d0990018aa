/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/chat/chat.h"

#include "net/key_text.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOCK_WAIT_MS 5000
#define FIRST_CONNECTION_MS 10000 /* then a command gives up, unless its time is over before */
#define SETTLE_MS 3000
#define SENTENCE_CHARS_MAX 600
#define RECONNECT_MS_MAX 2000 /* of commands, which have little time */
#define STAYING_RECONNECT_MS_MAX 30000

static struct {
    void (*before)(void *context);
    void (*after)(void *context);
    void *context;
} say_between;

void chat_say_between(void (*before)(void *context), void (*after)(void *context), void *context) {
    say_between.before = before;
    say_between.after = after;
    say_between.context = context;
}

void chat_say(const char *format, ...) {
    bool between = say_between.before != NULL;
    FILE *out = between ? stdout : stderr;
    va_list list;
    va_start(list, format);
    if (between)
        say_between.before(say_between.context);
    fputs(between ? "-- " : "tern-chat: ", out);
    vfprintf(out, format, list);
    fputc('\n', out);
    if (between)
        say_between.after(say_between.context);
    va_end(list);
}

/* ---------------------------------------------------------------- home and store */

int chat_open(struct chat *chat, const struct arguments *arguments, bool make) {
    char why[HOME_WHY_CHARS_MAX], store_why_text[STORE_WHY_CHARS_MAX];
    *chat = (struct chat){.arguments = arguments, .loop = ev_default_loop(0), .lock = -1};
    if (chat->loop == NULL) {
        chat_say("the event loop cannot be made");
        return CHAT_IO;
    }
    if (!make && access(arguments->home, F_OK) != 0) {
        chat_say("nothing is registered in %s; begin with `tern-chat register`", arguments->home);
        return CHAT_UNREGISTERED;
    }
    chat->lock = home_lock(arguments->home, make, LOCK_WAIT_MS, why);
    if (chat->lock < 0) {
        chat_say("%s", why);
        return CHAT_HOME;
    }
    if (store_open(arguments->home, &chat->store, store_why_text) != 0) {
        chat_say("the store in %s cannot be opened: %s", arguments->home, store_why_text);
        return CHAT_HOME;
    }
    store_text(chat->store, SETTING_PHONE, chat->own_phone, sizeof chat->own_phone);
    return CHAT_OK;
}

int chat_require_registered(const struct chat *chat) {
    if (store_number(chat->store, "user") != 0)
        return CHAT_OK;
    chat_say("nothing is registered in %s; begin with `tern-chat register`", chat->arguments->home);
    return CHAT_UNREGISTERED;
}

void chat_close(struct chat *chat) {
    if (chat->session != NULL)
        session_finish(chat->session);
    sync_destroy(chat->sync);
    session_destroy(chat->session);
    store_close(chat->store);
    if (chat->lock >= 0)
        close(chat->lock);
}

int chat_commit(struct chat *chat) {
    if (store_commit(chat->store) == 0)
        return CHAT_OK;
    chat_say("the store in %s failed: %s", chat->arguments->home, store_why(chat->store));
    return CHAT_IO;
}

/* ---------------------------------------------------------------- what the session tells */

bool chat_fail(struct chat *chat, int exit_code) {
    chat->exit_code = exit_code;
    return true;
}

static void stop(struct chat *chat) {
    chat->done = true;
}

/* The account is another device's now: nothing that this home holds is of use there. */
static int explain_unregistered(struct chat *chat) {
    chat_say("this home is not registered any more: another device took the number over. "
             "`tern-chat register` takes it back");
    return CHAT_UNREGISTERED;
}

static void on_turn(void *context, unsigned news) {
    struct chat *chat = context;
    chat->ever_online = chat->ever_online || session_is_online(chat->session);
    ev_timer_stop(chat->loop, &chat->patience);
    if (chat->sync != NULL && (news & SESSION_WELCOME) != 0 &&
        !session_is_registered(chat->session)) {
        chat->exit_code = explain_unregistered(chat);
        stop(chat);
        return;
    }
    if (chat->sync != NULL && sync_pump(chat->sync) != 0) {
        chat_say("the store in %s failed: %s", chat->arguments->home, store_why(chat->store));
        chat->exit_code = CHAT_IO;
        stop(chat);
        return;
    }
    if (chat->progress(chat, news))
        stop(chat);
}

static int final_exit_code(struct chat *chat, const struct session_end *end) {
    switch (end->end) {
    case DEVICE_END_PIN:
        return CHAT_PIN; /* said in on_pin */
    case DEVICE_END_UNLINKED:
        return explain_unregistered(chat);
    case DEVICE_END_REPLACED:
        chat_say("another connection of this device took over: is this home in use twice?");
        return CHAT_UNREACHABLE;
    default:
        chat_say("the node speaks another version of the protocol; update tern-chat");
        return CHAT_UNREACHABLE;
    }
}

static void on_lost(void *context, const struct session_end *end) {
    struct chat *chat = context;
    char text[SENTENCE_CHARS_MAX];
    chat->last_end = *end;
    if (end->is_final) {
        chat->exit_code = final_exit_code(chat, end);
        stop(chat);
    } else if (end->end == DEVICE_END_STORAGE && !chat->stays) {
        chat_describe_end(chat, end, text, sizeof text);
        chat_say("%s", text);
        chat->exit_code = CHAT_IO;
        stop(chat);
    } else if ((chat->only_now || (end->untrusted && !chat->stays)) && !chat->ever_online) {
        chat->exit_code = CHAT_UNREACHABLE;
        stop(chat);
    } else if (chat->progress(chat, 0)) {
        stop(chat);
    } else if (chat->stays) {
        chat_describe_end(chat, end, text, sizeof text);
        chat_say("%s; trying again in %.1f s", text, (double)end->retry_in_ms / 1000);
    }
}

static void on_pin(void *context, enum device_pin what, const char *cluster_key) {
    struct chat *chat = context;
    const char *server = session_server(chat->session);
    uint8_t pinned[KEY_TEXT_BYTES];
    char pinned_text[KEY_TEXT_CHARS + 1] = "another one";
    if (what == DEVICE_PIN_FIRST) {
        chat_say("first contact with %s: its cluster key is %s. It is kept; compare it with what "
                 "the operator says",
                 server, cluster_key);
        return;
    }
    if (chat->arguments->cluster_key != NULL)
        snprintf(pinned_text, sizeof pinned_text, "%s", chat->arguments->cluster_key);
    else if ((chat->sync == NULL &&
              store_bytes(chat->store, SETTING_CANDIDATE_PIN, pinned, sizeof pinned)) ||
             store_bytes(chat->store, SETTING_PIN, pinned, sizeof pinned))
        key_text_format(pinned_text, pinned);
    chat_say("refused: %s has the cluster key %s, not %s. Somebody may be in between. If the "
             "operator says that the new key is right, give it with --cluster-key",
             server, cluster_key, pinned_text);
}

static const struct session_events session_events = {
    .turn = on_turn, .lost = on_lost, .pin = on_pin};

/* ---------------------------------------------------------------- running */

/* The file of --ca, which is kept, or what was kept; NULL: the system's. False after a sentence. */
static bool choose_ca(struct chat *chat, char path[PATH_MAX], const char **ca) {
    const char *given = chat->arguments->ca;
    *ca = NULL;
    if (given != NULL && strcmp(given, "system") == 0) {
        store_forget(chat->store, SETTING_CA);
    } else if (given != NULL) {
        if (realpath(given, path) == NULL) {
            chat_say("--ca %s: %s", given, strerror(errno));
            return false;
        }
        *ca = path;
        store_set_text(chat->store, SETTING_CA, path);
    } else if (store_text(chat->store, SETTING_CA, path, PATH_MAX)) {
        *ca = path;
    }
    return true;
}

int chat_connect(struct chat *chat, bool is_candidate) {
    uint8_t cluster_key[KEY_TEXT_BYTES];
    char ca_path[PATH_MAX];
    const char *ca;
    const char *why, *key = chat->arguments->cluster_key;
    if (key != NULL && key_text_parse(key, cluster_key) != 0) {
        chat_say("--cluster-key is mistyped: it is \"tern1\" and 58 characters");
        return CHAT_USAGE;
    }
    if (!choose_ca(chat, ca_path, &ca))
        return CHAT_USAGE;
    struct session_options options = {
        .server = is_candidate ? NULL : chat->arguments->server,
        .ca = ca,
        .cluster_key = key != NULL ? cluster_key : NULL,
        .is_candidate = is_candidate,
        .reconnect_ms_max = chat->stays ? STAYING_RECONNECT_MS_MAX : RECONNECT_MS_MAX,
    };
    chat->session = session_create(chat->loop, chat->store, &options, &session_events, chat, &why);
    if (chat->session == NULL) {
        chat_say("%s", why);
        return CHAT_USAGE;
    }
    if (is_candidate)
        return CHAT_OK;
    chat->sync = sync_create(chat->loop, chat->store, chat->session);
    if (chat->sync != NULL)
        return CHAT_OK;
    chat_say("out of memory");
    return CHAT_IO;
}

static void on_time_over(struct ev_loop *loop, ev_timer *timer, int events) {
    struct chat *chat = timer->data;
    chat->exit_code = CHAT_UNREACHABLE;
    stop(chat);
}

static void start_timer(struct chat *chat, ev_timer *timer, uint32_t ms) {
    ev_timer_init(timer, on_time_over, (double)ms / 1000, 0.);
    timer->data = chat;
    ev_timer_start(chat->loop, timer);
}

int chat_run(struct chat *chat, chat_progress_fn progress, uint32_t timeout_ms) {
    bool begun = chat->progress != NULL;
    chat->progress = progress;
    chat->exit_code = CHAT_OK;
    ev_now_update(chat->loop);
    if (!chat->stays) {
        start_timer(chat, &chat->timer, timeout_ms);
        if (!chat->ever_online && !chat->patient)
            start_timer(chat, &chat->patience, FIRST_CONNECTION_MS);
    }
    chat->done = false;
    if (!begun)
        session_start(chat->session);
    else if (progress(chat, 0))
        stop(chat);
    while (!chat->done)
        ev_run(chat->loop, EVRUN_ONCE);
    ev_timer_stop(chat->loop, &chat->timer);
    ev_timer_stop(chat->loop, &chat->patience);
    return chat->exit_code;
}

static bool settle_progress(struct chat *chat, unsigned news) {
    return !session_is_registered(chat->session) || sync_is_even(chat->sync);
}

void chat_settle(struct chat *chat) {
    if (session_is_registered(chat->session))
        chat_run(chat, settle_progress, SETTLE_MS);
}

/* ---------------------------------------------------------------- sentences */

void chat_describe_end(const struct chat *chat, const struct session_end *end, char *out,
                       size_t capacity) {
    const char *server = session_server(chat->session);
    switch (end->end) {
    case DEVICE_END_LOST:
        if (end->was_online)
            snprintf(out, capacity, "the connection to %s is lost", server);
        else if (end->why != NULL && end->why[0] != 0)
            snprintf(out, capacity, "%s cannot be reached: %s%s", server, end->why,
                     end->untrusted ? "; --ca FILE names authorities of one's own" : "");
        else if (end->detail < 0)
            snprintf(out, capacity, "%s cannot be reached: %s", server, strerror(-end->detail));
        else
            snprintf(out, capacity, "%s ended the connection", server);
        break;
    case DEVICE_END_REFUSED:
        snprintf(out, capacity, "at %s is no Tern node (HTTP status %d)", server, end->detail);
        break;
    case DEVICE_END_DRAINING:
        snprintf(out, capacity, "the node at %s goes away", server);
        break;
    case DEVICE_END_STORAGE:
        snprintf(out, capacity, "this home's store failed: %s", store_why(chat->store));
        break;
    default:
        snprintf(out, capacity, "the connection to %s ended (%s)", server,
                 device_end_name(end->end));
        break;
    }
}

void chat_say_unreachable(const struct chat *chat) {
    char text[SENTENCE_CHARS_MAX];
    if (chat->last_end.is_final)
        return; /* said when it came */
    if (session_is_online(chat->session)) {
        chat_say("no answer within the time");
    } else if (chat->last_end.retry_in_ms == 0 && chat->last_end.detail == 0) {
        chat_say("no connection to %s within the time", session_server(chat->session));
    } else {
        chat_describe_end(chat, &chat->last_end, text, sizeof text);
        chat_say("%s", text);
    }
}

const char *chat_explain_code(unsigned code) {
    switch (code) {
    case WIRE_CODE_NOT_FOUND:
        return "nobody has this number";
    case WIRE_CODE_FULL:
        return "the recipient's queue has no more room for you";
    case WIRE_CODE_TOO_BIG:
        return "it is too big";
    case WIRE_CODE_FORBIDDEN:
        return "the recipient does not allow it";
    case WIRE_CODE_UNAUTHORIZED:
        return "this device may not";
    case WIRE_CODE_LIMITED:
        return "too many of these for now";
    case WIRE_CODE_OVERLOADED:
        return "the node has too much to do";
    case WIRE_CODE_UNAVAILABLE:
        return "a part of the service is away";
    default:
        return wire_code_name(code);
    }
}
