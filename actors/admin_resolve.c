/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which actor a person means.
 *
 *     text ─(a phone number: the store is asked, on the pool)─► query ─► shards ─► row, or not
 * found
 *
 * A connection has no key: connection:USER asks the user's mailbox which connections its devices
 * have, and then for that one.
 */
#include "actors/admin_internal.h"
#include "net/decimal.h"
#include "storage/account.h"
#include "storage/format.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ADMIN_DONE of a look-up by phone number. */
struct phone_lookup {
    struct admin_job job;
    struct engine *engine;
    uint64_t user;
    int error;
    char class_name[INSPECT_CLASS_BYTES];
    char digits[24];
};

static void ask(struct admin_session *session, const struct inspect_query *query) {
    int error = inspect_gather_begin(&session->work.gather, query);
    if (error)
        admin_error_errno(session, error, "the shards can't be asked");
    else
        session->deadline = actor_timer_start(ADMIN_DEADLINE_MS, ADMIN_TICK, 0);
}

static void not_found(struct admin_session *session, const char *why) {
    admin_error(session, "not_found", "there is no actor \"%s\": %s", session->work.reference, why);
}

/* --- text --------------------------------------------------------------------------------------
 */

/* "0x..." */
static bool id_read(const char *text, uint64_t *bits) {
    char *end;
    errno = 0;
    *bits = strtoull(text, &end, 16);
    return *end == '\0' && errno == 0 && *bits;
}

static void run_lookup(struct message *message) {
    struct phone_lookup *lookup = message_payload(message);
    lookup->error = account_find_phone(lookup->engine, lookup->digits, &lookup->user);
}

static void look_up_phone(struct admin_session *session, const char *class_name,
                          const char *phone) {
    struct message *message = message_create(ADMIN_DONE, sizeof(struct phone_lookup));
    struct phone_lookup *lookup = message_payload(message);
    lookup->job.request = session->request;
    lookup->engine = node_current()->engine;
    snprintf(lookup->class_name, sizeof(lookup->class_name), "%.*s", (int)INSPECT_CLASS_BYTES - 1,
             class_name);
    snprintf(lookup->digits, sizeof(lookup->digits), "%.23s", phone + 1); /* longer than any */
    int error = format_phone_valid(lookup->digits) ? 0 : -EINVAL;
    if (!error)
        error = actor_run_blocking(run_lookup, &message);
    message_destroy(message);
    if (error == -EINVAL)
        not_found(session, "a phone number is written +15550001111");
    else if (error)
        admin_error_errno(session, error, "the store can't be asked");
}

static void by_key(struct admin_session *session, const char *class_name, uint64_t key) {
    struct inspect_query query = {
        .order = INSPECT_BY_MAILBOX, .rows = 1, .key_given = true, .key = key};
    snprintf(query.class_name, sizeof(query.class_name), "%.*s", (int)INSPECT_CLASS_BYTES - 1,
             class_name);
    ask(session, &query);
}

struct class_search {
    const char *name;
    bool found;
};

static void compare_class(void *context, const struct runtime_class_counters *counters) {
    struct class_search *search = context;
    search->found |= strcmp(counters->name, search->name) == 0;
}

bool admin_class_exists(const char *name) {
    struct class_search search = {.name = name};
    runtime_classes_visit(runtime_current(), compare_class, &search);
    return search.found;
}

/* Cuts "/device" off a connection's key; false: it is none. */
static bool take_device(struct admin_session *session, char *key) {
    char *slash = strchr(key, '/');
    uint64_t device = 0;
    if (!slash)
        return true;
    *slash = '\0';
    if (!decimal_read(slash + 1, 1, UINT32_MAX, &device))
        return false;
    session->work.device = (uint32_t)device;
    return true;
}

/* "class:key" */
static void by_class(struct admin_session *session, const char *behind_colon) {
    char class_name[ADMIN_REFERENCE_BYTES_MAX], key_text[ADMIN_REFERENCE_BYTES_MAX];
    uint64_t key;
    snprintf(class_name, sizeof(class_name), "%.*s",
             (int)(behind_colon - session->work.reference) - 1, session->work.reference);
    snprintf(key_text, sizeof(key_text), "%s", behind_colon);
    session->work.by_device = strcmp(class_name, connection_class.name) == 0;
    if (session->work.by_device)
        snprintf(class_name, sizeof(class_name), "%s", mailbox_class.name);
    if (strcmp(class_name, "group") == 0)
        not_found(session, "this node has no groups yet");
    else if (!admin_class_exists(class_name))
        not_found(session, "there is no such class; \"classes\" lists them");
    else if (session->work.by_device && !take_device(session, key_text))
        not_found(session, "a connection is its user's and device's: connection:42/1, or "
                           "connection:+15550001111");
    else if (key_text[0] == '+' && strcmp(class_name, number_class.name) != 0)
        look_up_phone(session, class_name, key_text);
    else if (decimal_read(key_text + (key_text[0] == '+'), 0, UINT64_MAX, &key))
        by_key(session, class_name, key);
    else
        not_found(session, "what is behind the colon is a user's number or a phone number");
}

void admin_resolve(struct admin_session *session, const struct admin_request *request,
                   admin_found_fn found) {
    char *text = session->work.reference;
    session->work.found = found;
    if (!admin_take_text(session, request, "actor", text, ADMIN_REFERENCE_BYTES_MAX))
        return;
    const char *colon = strchr(text, ':');
    struct inspect_query query = {.order = INSPECT_BY_MAILBOX, .rows = 1};
    if (!text[0]) {
        admin_error(session, "argument", "which actor? 0x..., class:key or a name");
    } else if (strncmp(text, "0x", 2) == 0) {
        if (id_read(text, &query.actor.bits))
            ask(session, &query);
        else
            not_found(session, "an id is 0x and hexadecimal digits");
    } else if (colon) {
        by_class(session, colon + 1);
    } else {
        query.actor = actor_whereis(text);
        if (!query.actor.bits) /* or the only one of its class: "metrics" */
            snprintf(query.class_name, sizeof(query.class_name), "%.31s", text);
        ask(session, &query);
    }
}

/* --- a connection, by its mailbox --------------------------------------------------------------
 */

int admin_describe(struct admin_session *session, struct actor_id actor, uint16_t kind) {
    struct message *message = message_create(kind, sizeof(struct describe));
    *(struct describe *)message_payload(message) =
        (struct describe){.reply_to = actor_self(), .reference = session->request};
    int error = actor_send(actor, &message);
    if (error)
        message_destroy(message);
    else
        session->deadline = actor_timer_start(ADMIN_DEADLINE_MS, ADMIN_TICK, 0);
    return error;
}

static void on_mailbox_described(struct admin_session *session,
                                 const struct mailbox_described *described) {
    struct inspect_query query = {.order = INSPECT_BY_MAILBOX, .rows = 1};
    uint32_t wanted = session->work.device, online = 0, first = 0;
    if (described->reference != session->request || !session->work.by_device)
        return;
    actor_timer_cancel(&session->deadline);
    for (uint32_t i = 0; i < described->count; i++) {
        const struct described_device *device = &described->devices[i];
        if (!device->connection.bits || (wanted && device->number != wanted))
            continue;
        first = online++ ? first : device->number;
        query.actor = device->connection;
    }
    if (online == 0) {
        not_found(session, wanted ? "this device is not connected to this node"
                                  : "no device of this user is connected to this node");
    } else if (online > 1) {
        admin_error(session, "not_found",
                    "%u devices of this user are connected: say which, as in "
                    "connection:%" PRIu64 "/%u; \"info mailbox:%" PRIu64 "\" lists them",
                    online, described->user, first, described->user);
    } else {
        session->work.by_device = false;
        ask(session, &query);
    }
}

/* --- answers -----------------------------------------------------------------------------------
 */

static void on_looked_up(struct admin_session *session, const struct phone_lookup *lookup) {
    if (lookup->error == -ENOENT)
        not_found(session, "no account has this phone number");
    else if (lookup->error)
        admin_error_errno(session, lookup->error, "the store can't be read");
    else
        by_key(session, lookup->class_name, lookup->user);
}

static void on_answered(struct admin_session *session) {
    struct inspect_gather *gather = &session->work.gather;
    if (session->work.by_device && !gather->reference) {
        admin_error(session, "timeout", "the user's mailbox did not answer; see \"slow\"");
        return;
    }
    actor_timer_cancel(&session->deadline);
    bool by_name = !strchr(session->work.reference, ':') && session->work.reference[0] != '0';
    if (gather->actors_matched > 1) {
        admin_error(session, "not_found",
                    "there are %" PRIu64 " actors of class %s: say which; \"actors %s\" lists them",
                    gather->actors_matched, session->work.reference, session->work.reference);
    } else if (gather->row_count && session->work.by_device) {
        int error = admin_describe(session, gather->rows[0].actor, MAILBOX_DESCRIBE);
        inspect_gather_end(gather);
        if (error)
            admin_error_errno(session, error, "the user's mailbox can't be asked");
    } else if (gather->row_count) {
        struct inspect_row row = gather->rows[0];
        session->work.found(session, &row);
    } else if (gather->error) {
        admin_error_errno(session, gather->error, "a shard could not look");
    } else if (gather->answered < gather->shards) {
        admin_error(session, "timeout", "%u of %u shards did not answer: they hang, see \"slow\"",
                    gather->shards - gather->answered, gather->shards);
    } else if (session->work.by_device) {
        not_found(session, "no device of this user is connected to this node");
    } else if (by_name) {
        not_found(session,
                  "no actor has this name; \"actors CLASS\" lists a class, and class:key or "
                  "an id 0x... name one");
    } else {
        not_found(session, "it has ended or is not in memory (one with a key comes back with the "
                           "next message to it)");
    }
}

void admin_resolve_on_message(struct admin_session *session, struct message **message) {
    if ((*message)->kind == ADMIN_DONE)
        on_looked_up(session, message_as(*message, struct phone_lookup));
    else if ((*message)->kind == MAILBOX_DESCRIBED)
        on_mailbox_described(session, message_as(*message, struct mailbox_described));
    else if ((*message)->kind == ADMIN_TICK ||
             ((*message)->kind == INSPECT_ANSWER &&
              inspect_gather_add(&session->work.gather, *message)))
        on_answered(session);
}
