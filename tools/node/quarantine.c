/* SPDX-License-Identifier: Apache-2.0 */
/* See quarantine.h. Only what an entry is is shown, never what it says. */
#include "tools/node/quarantine.h"

#include "actors/quarantine.h"
#include "storage/mail.h"
#include "tools/node/store.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EXIT_USAGE 64
#define EXIT_DATA 65
#define EXIT_UNAVAILABLE 69
#define BATCH_BYTES_MAX (1u << 20)

struct work {
    const struct config *config;
    struct engine *engine;
    char crashes[CONFIG_PATH_MAX + 8];
    uint64_t count;
};

static const char *const reasons[] = {
    [RECORD_ASIDE_UNKNOWN] = "unknown",
    [RECORD_ASIDE_DAMAGED] = "damaged",
    [RECORD_ASIDE_UNANSWERED] = "unanswered",
    [RECORD_ASIDE_CRASH] = "crash",
};

static const char *time_text(uint64_t ms, char text[32]) {
    time_t seconds = (time_t)(ms / 1000);
    struct tm broken;
    if (!ms || !gmtime_r(&seconds, &broken) || !strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &broken))
        snprintf(text, 32, "-");
    return text;
}

static bool decode(const struct mail_aside *aside, struct record_queued *queued) {
    return record_queued_decode(aside->value, queued) == 0;
}

static int list_one(void *context, const struct mail_aside *aside) {
    struct work *work = context;
    struct record_queued queued = {0};
    char place[64], from[40] = "-", when[32];
    bool readable = decode(aside, &queued);
    bool mail = readable && queued.entry == RECORD_MAIL;
    snprintf(place, sizeof(place), "%" PRIu64 "/%" PRIu32 "/%" PRIu64, aside->user, aside->device,
             aside->sequence);
    if (mail)
        snprintf(from, sizeof(from), "%" PRIu64 "/%" PRIu32, queued.mail.sender_user,
                 queued.mail.sender_device);
    if (work->count++ == 0)
        printf("%-24s %-10s %-20s %-10s %-14s %s\n", "ENTRY", "REASON", "SET ASIDE", "KIND", "FROM",
               "BYTES");
    printf("%-24s %-10s %-20s %-10s %-14s %zu\n", place, reasons[aside->note.reason],
           time_text(aside->note.time_ms, when),
           mail       ? "mail"
           : readable ? "status"
                      : "unreadable",
           from, aside->value.size);
    return 0;
}

static int list(struct work *work) {
    struct mail_aside_position position = {0};
    int result = 1;
    while (result == 1)
        result = mail_visit_asides(work->engine, &position, 1000, list_one, work);
    if (result == 0 && work->count == 0)
        printf("Nothing is set aside.\n");
    return result;
}

static void show(const struct mail_aside *aside) {
    struct record_queued queued;
    char text[32];
    printf("entry      %" PRIu64 " of user %" PRIu64 ", device %" PRIu32 "\n", aside->sequence,
           aside->user, aside->device);
    printf("set aside  %s, %s\n", time_text(aside->note.time_ms, text),
           reasons[aside->note.reason]);
    printf("bytes      %zu\n", aside->value.size);
    if (!decode(aside, &queued)) {
        printf("kind       unreadable\n");
        return;
    }
    printf("kind       %s\n", queued.entry == RECORD_MAIL ? "mail" : "status");
    printf("accepted   %s\n", time_text(queued.time_ms, text));
    if (queued.entry != RECORD_MAIL)
        return;
    printf("from       user %" PRIu64 ", device %" PRIu32 "\n", queued.mail.sender_user,
           queued.mail.sender_device);
    printf("chat       %" PRIu64 "\nid         ", queued.mail.chat);
    for (unsigned i = 0; i < sizeof(queued.mail.message_id); i++)
        printf("%02x", queued.mail.message_id[i]);
    printf("\nciphertext %" PRIu32 " bytes\nexternal   %" PRIu32 " bytes\n",
           queued.mail.ciphertext_bytes, queued.mail.external_bytes);
}

static int write_synced(struct work *work, struct write_batch *batch) {
    struct write_batch *batches[] = {batch};
    int error = batch->error;
    if (!error)
        error = engine_write(work->engine, batches, 1, ENGINE_SYNC);
    if (!error)
        error = batch->result;
    write_batch_finish(batch);
    return error;
}

static int drop(struct work *work, const struct mail_aside *aside) {
    struct write_batch batch;
    write_batch_init(&batch, BATCH_BYTES_MAX);
    mail_drop_aside(&batch, aside->user, aside->device, aside->sequence);
    return write_synced(work, &batch);
}

static void forgive(const struct work *work, const struct mail_aside *aside,
                    const struct record_queued *queued) {
    const struct quarantine_entry entry = {
        {aside->user, aside->device}, aside->sequence, aside->value};
    const struct quarantine_mail mail = {
        .to = entry.of,
        .from = {queued->mail.sender_user, queued->mail.sender_device},
        .id = queued->mail.message_id,
        .ciphertext = queued->ciphertext,
        .ciphertext_bytes = queued->mail.ciphertext_bytes,
        .external = queued->external,
        .external_bytes = queued->mail.external_bytes,
    };
    quarantine_forgive_records(work->crashes, quarantine_describe_entry, &entry);
    quarantine_forgive_records(work->crashes, quarantine_describe_mail, &mail);
}

/* Behind all that is in the queue; as if it had been accepted now when it would soon expire. */
static int release(struct work *work, const struct mail_aside *aside) {
    struct record_queued queued;
    struct record_queue queue = {.sequence_reserved = 1};
    struct write_batch batch;
    if (!decode(aside, &queued) || queued.entry != RECORD_MAIL)
        return -ENOTSUP;
    int error = mail_read_queue(work->engine, aside->user, aside->device, &queue);
    if (error && error != -ENOENT)
        return error;
    uint64_t sequence = queue.sequence_reserved ? queue.sequence_reserved : 1;
    uint64_t now_ms = (uint64_t)time(NULL) * 1000;
    if (queued.mail.accepted_ms + work->config->limits.mail_expiry_ms / 2 < now_ms)
        queued.mail.accepted_ms = now_ms;
    queue.sequence_reserved = sequence + 1;
    forgive(work, aside, &queued);
    write_batch_init(&batch, BATCH_BYTES_MAX);
    mail_append(&batch, aside->user, aside->device, sequence, &queued.mail, queued.ciphertext,
                queued.external);
    mail_put_queue(&batch, aside->user, aside->device, &queue);
    mail_drop_aside(&batch, aside->user, aside->device, aside->sequence);
    return write_synced(work, &batch);
}

static int act(struct work *work, const char *verb, const struct mail_aside *aside) {
    int error = 0;
    if (strcmp(verb, "show") == 0) {
        show(aside);
        return 0;
    }
    if (strcmp(verb, "drop") == 0)
        error = drop(work, aside);
    else
        error = release(work, aside);
    if (!error)
        printf("%s\n", strcmp(verb, "drop") == 0
                           ? "It is dropped."
                           : "It is released: the device gets it when it comes next.");
    return error;
}

static int one(struct work *work, const char *verb, const struct quarantine_place *place) {
    struct mail_aside aside;
    int error =
        mail_read_aside(work->engine, place->of.user, place->of.device, place->sequence, &aside);
    if (error)
        return error;
    error = act(work, verb, &aside);
    free((void *)aside.value.data);
    return error;
}

static const char *explain(int error) {
    switch (error) {
    case -ENOENT:
        return "no such entry is set aside";
    case -ENOTSUP:
        return "it is no mail, or cannot be read: it can only be dropped";
    default:
        return strerror(-error);
    }
}

int quarantine_run(const struct config *config, const char *verb, const char *what) {
    struct work work = {.config = config};
    struct quarantine_place place;
    struct meta meta;
    char error[512];
    bool lists = strcmp(verb, "list") == 0;
    bool known = lists || strcmp(verb, "show") == 0 || strcmp(verb, "release") == 0 ||
                 strcmp(verb, "drop") == 0;
    if (!known || lists != !what || (what && !quarantine_place_read(what, &place))) {
        fprintf(stderr, "Usage: tern-node quarantine list --config FILE\n"
                        "       tern-node quarantine show|release|drop USER/DEVICE/SEQUENCE "
                        "--config FILE\n");
        return EXIT_USAGE;
    }
    snprintf(work.crashes, sizeof(work.crashes), "%s/crashes", config->data);
    int result = store_open(config, &work.engine, &meta, error, sizeof(error));
    if (result) {
        fprintf(stderr, "tern-node: %s%s\n", error, result == -EBUSY ? "; stop it first" : "");
        return EXIT_UNAVAILABLE;
    }
    result = lists ? list(&work) : one(&work, verb, &place);
    engine_close(work.engine);
    if (result)
        fprintf(stderr, "tern-node: %s\n", explain(result));
    return result ? EXIT_DATA : 0;
}
