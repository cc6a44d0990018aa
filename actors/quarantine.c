/* SPDX-License-Identifier: Apache-2.0 */
#include "actors/quarantine.h"

#include "actors/quarantine_internal.h"
#include "net/decimal.h"
#include "runtime/check.h"
#include "runtime/crash.h"
#include "storage/format.h"

#include <errno.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BYTES CRASH_BLAME_BYTES_MAX
#define ID_BYTES 16u

/* Lines are compared as they were written: the hash in them stands for the content. */
#define LINES_MAX (3 * QUARANTINE_ITEMS_MAX) /* an input is its line, its key and its address */
struct lines {
    unsigned count;
    struct line {
        char text[LINE_BYTES];
        uint64_t newest_ms;   /* Unix time of the newest record */
        atomic_bool forgiven; /* set once, by any thread; depends on nothing else: relaxed */
        /* Of what is aside, to be asked before anything is hashed: */
        uint8_t id[ID_BYTES]; /* of a mail */
        uint64_t sequence;    /* of an entry */
    } items[LINES_MAX];
};

struct refusal {
    char what[LINE_BYTES]; /* "device=1/2", "key=...", "stranger=...", "address=..." */
    uint64_t until_ms;     /* monotonic */
};

struct quarantine {
    char *directory;
    unsigned mails, entries; /* how many of `aside` are such */
    struct lines aside;
    unsigned refusal_count;
    struct refusal refusals[QUARANTINE_ITEMS_MAX];
};

/* --- reading --- */

struct reading {
    struct lines once, twice; /* newest records first */
};

static struct line *find(struct lines *lines, const char *text) {
    for (unsigned i = 0; i < lines->count; i++)
        if (strcmp(lines->items[i].text, text) == 0)
            return &lines->items[i];
    return NULL;
}

static void add(struct lines *lines, const char *text, uint64_t when_ms) {
    if (lines->count == LINES_MAX || find(lines, text))
        return;
    struct line *line = &lines->items[lines->count++];
    memcpy(line->text, text, strlen(text) + 1);
    line->newest_ms = when_ms;
}

static void count(struct reading *reading, const char *text, uint64_t when_ms) {
    const struct line *before = find(&reading->once, text);
    if (before)
        add(&reading->twice, text, before->newest_ms);
    else
        add(&reading->once, text, when_ms);
}

static bool begins(const char *text, const char *with) {
    return strncmp(text, with, strlen(with)) == 0;
}

/* The word of an input's line that begins so, NULL: it has none. */
static const char *word(const char *line, const char *with, char text[LINE_BYTES]) {
    const char *at = strstr(line, with);
    if (!at)
        return NULL;
    size_t length = strcspn(at, " ");
    memcpy(text, at, length);
    text[length] = '\0';
    return text;
}

/* The narrowest that is known is to blame. An address is, by keys, when they differ. */
static void count_input(struct reading *reading, const char *line, uint64_t when_ms) {
    char text[LINE_BYTES], address[LINE_BYTES];
    if (word(line, "device=", text)) {
        count(reading, text, when_ms);
        return;
    }
    bool keyed = word(line, "key=", text) != NULL;
    bool first = !find(&reading->once, line);
    if (keyed)
        count(reading, text, when_ms);
    if ((keyed && !first) || !word(line, "address=", text))
        return;
    add(&reading->once, line, when_ms);
    bool stranger = keyed && begins(line, QUARANTINE_INPUT);
    int length = snprintf(address, sizeof(address), "%s%s", stranger ? "stranger" : "address",
                          text + strlen("address"));
    if (length > 0 && length < (int)sizeof(address))
        count(reading, address, when_ms);
}

static bool ends(const char *text, const char *with) {
    size_t length = strlen(text), ending = strlen(with);
    return length >= ending && strcmp(text + length - ending, with) == 0;
}

static int visit(void *context, const char *path) {
    struct reading *reading = context;
    char line[LINE_BYTES];
    uint64_t when_ms = 0;
    if (ends(path, QUARANTINE_FORGIVEN) ||
        crash_record_field(path, "blame", line, sizeof(line)) != 0)
        return 0;
    if (begins(line, QUARANTINE_MAIL) || begins(line, QUARANTINE_ENTRY))
        count(reading, line, 0);
    else if ((begins(line, QUARANTINE_INPUT " ") || begins(line, QUARANTINE_HELLO " ")) &&
             crash_record_time(path, &when_ms) == 0)
        count_input(reading, line, when_ms);
    return 0;
}

/* A line that is cut or not ours names nothing that there is. */
static void set_aside(struct quarantine *quarantine, const char *text) {
    unsigned before = quarantine->aside.count;
    if (before == QUARANTINE_ITEMS_MAX)
        return;
    add(&quarantine->aside, text, 0);
    struct line *line = &quarantine->aside.items[before];
    const char *id = strstr(text, " id="), *sequence = strstr(text, " sequence=");
    if (id && strlen(id) > strlen(" id="))
        sodium_hex2bin(line->id, sizeof(line->id), id + strlen(" id="), strcspn(id + 1, " ") - 3,
                       NULL, NULL, NULL);
    if (sequence)
        line->sequence = strtoull(sequence + strlen(" sequence="), NULL, 10);
}

/* The clock may have been set since: no longer than it would be from now on. */
static void refuse(struct quarantine *quarantine, const struct line *line,
                   struct quarantine_now now) {
    uint64_t until_ms = line->newest_ms + QUARANTINE_REFUSED_MS;
    if (until_ms <= now.wall_ms)
        return;
    uint64_t left_ms = until_ms - now.wall_ms;
    left_ms = left_ms > QUARANTINE_REFUSED_MS ? QUARANTINE_REFUSED_MS : left_ms;
    struct refusal *refusal = &quarantine->refusals[quarantine->refusal_count++];
    memcpy(refusal->what, line->text, sizeof(refusal->what));
    refusal->until_ms = now.monotonic_ms + left_ms;
}

struct quarantine *quarantine_read(const char *directory, struct quarantine_now now) {
    struct reading *reading = calloc(1, sizeof(*reading));
    struct quarantine *quarantine = calloc(1, sizeof(*quarantine));
    CHECK(reading && quarantine);
    crash_records_visit(directory, visit, reading);
    for (unsigned i = 0; i < reading->twice.count; i++) {
        const struct line *line = &reading->twice.items[i];
        bool mail = begins(line->text, QUARANTINE_MAIL);
        bool entry = begins(line->text, QUARANTINE_ENTRY);
        quarantine->mails += mail;
        quarantine->entries += entry;
        if (mail || entry)
            set_aside(quarantine, line->text);
        else if (quarantine->refusal_count < QUARANTINE_ITEMS_MAX)
            refuse(quarantine, line, now);
    }
    free(reading);
    if (quarantine->aside.count || quarantine->refusal_count) {
        quarantine->directory = strdup(directory);
        CHECK(quarantine->directory);
        return quarantine;
    }
    free(quarantine);
    return NULL;
}

void quarantine_destroy(struct quarantine *quarantine) {
    if (quarantine)
        free(quarantine->directory);
    free(quarantine);
}

unsigned quarantine_mails(const struct quarantine *quarantine) {
    return quarantine ? quarantine->aside.count : 0;
}

unsigned quarantine_refusals(const struct quarantine *quarantine) {
    return quarantine ? quarantine->refusal_count : 0;
}

const char *quarantine_refusal(const struct quarantine *quarantine, unsigned index) {
    return quarantine->refusals[index].what;
}

/* --- mail and entries --- */

static void write_line(char line[LINE_BYTES], crash_describe_fn describe, const void *of) {
    size_t length = describe(of, line, LINE_BYTES - 1);
    line[length] = '\0';
}

static bool has(const struct quarantine *quarantine, crash_describe_fn describe, const void *of) {
    char text[LINE_BYTES];
    write_line(text, describe, of);
    const struct line *line = find((struct lines *)&quarantine->aside, text);
    return line && !atomic_load_explicit(&line->forgiven, memory_order_relaxed);
}

bool quarantine_has_mail(const struct quarantine *quarantine, const struct quarantine_mail *mail) {
    bool maybe = false;
    if (!quarantine || !quarantine->mails)
        return false;
    for (unsigned i = 0; i < quarantine->aside.count && !maybe; i++)
        maybe = memcmp(quarantine->aside.items[i].id, mail->id, ID_BYTES) == 0;
    return maybe && has(quarantine, quarantine_describe_mail, mail);
}

bool quarantine_has_entry(const struct quarantine *quarantine,
                          const struct quarantine_entry *entry) {
    bool maybe = false;
    if (!quarantine || !quarantine->entries)
        return false;
    for (unsigned i = 0; i < quarantine->aside.count && !maybe; i++)
        maybe = quarantine->aside.items[i].sequence == entry->sequence;
    return maybe && has(quarantine, quarantine_describe_entry, entry);
}

int quarantine_decode(const struct quarantine *quarantine, const struct quarantine_entry *entry,
                      struct record_queued *queued) {
    if (quarantine_has_entry(quarantine, entry))
        return -EPERM;
    actor_blame(quarantine_describe_entry, entry);
    int error = record_queued_decode(entry->value, queued);
    actor_blame(NULL, NULL);
    return error;
}

/* --- forgiving --- */

static int forgive(void *context, const char *path) {
    char line[LINE_BYTES], name[CRASH_PATH_BYTES_MAX];
    int length = snprintf(name, sizeof(name), "%s" QUARANTINE_FORGIVEN, path);
    if (!ends(path, QUARANTINE_FORGIVEN) && length < (int)sizeof(name) &&
        crash_record_field(path, "blame", line, sizeof(line)) == 0 && strcmp(line, context) == 0)
        rename(path, name); /* else it is named again at the next start */
    return 0;
}

void quarantine_forgive_records(const char *directory, crash_describe_fn describe, const void *of) {
    char text[LINE_BYTES];
    write_line(text, describe, of);
    crash_records_visit(directory, forgive, text);
}

void quarantine_forgive(struct quarantine *quarantine, crash_describe_fn describe, const void *of) {
    char text[LINE_BYTES];
    if (!quarantine)
        return;
    write_line(text, describe, of);
    struct line *line = find(&quarantine->aside, text);
    if (line)
        atomic_store_explicit(&line->forgiven, true, memory_order_relaxed);
    quarantine_forgive_records(quarantine->directory, describe, of);
}

/* --- input --- */

static uint32_t left_ms(const struct quarantine *quarantine, const char *what, uint64_t now_ms) {
    for (unsigned i = 0; i < quarantine->refusal_count; i++) {
        const struct refusal *refusal = &quarantine->refusals[i];
        if (strcmp(refusal->what, what) == 0)
            return refusal->until_ms > now_ms ? (uint32_t)(refusal->until_ms - now_ms) : 0;
    }
    return 0;
}

/* The one word that describes it, but with `kind` for its name. */
static uint32_t ask(const struct quarantine *quarantine, const char *kind,
                    const struct quarantine_input *input, uint64_t now_ms) {
    char line[LINE_BYTES], what[LINE_BYTES + sizeof("stranger")];
    write_line(line, quarantine_describe_input, input);
    const char *value = strchr(line, '=');
    CHECK(value);
    snprintf(what, sizeof(what), "%s%s", kind, value);
    return left_ms(quarantine, what, now_ms);
}

uint32_t quarantine_refuses_address(const struct quarantine *quarantine, const uint8_t *address,
                                    uint64_t now_ms) {
    const struct quarantine_input input = {.address = address};
    return quarantine_refusals(quarantine) ? ask(quarantine, "address", &input, now_ms) : 0;
}

uint32_t quarantine_refuses_key(const struct quarantine *quarantine, const uint8_t *key,
                                uint64_t now_ms) {
    const struct quarantine_input input = {.key = key};
    return quarantine_refusals(quarantine) ? ask(quarantine, "key", &input, now_ms) : 0;
}

uint32_t quarantine_refuses_device(const struct quarantine *quarantine,
                                   struct device_address device, const uint8_t *address,
                                   uint64_t now_ms) {
    const struct quarantine_input known = {.device = device}, stranger = {.address = address};
    if (!quarantine_refusals(quarantine))
        return 0;
    return device.user ? ask(quarantine, "device", &known, now_ms)
                       : ask(quarantine, "stranger", &stranger, now_ms);
}

bool quarantine_place_read(const char *text, struct quarantine_place *place) {
    uint64_t user, device, sequence;
    if (!decimal_take(&text, &user) || *text++ != '/' || !decimal_take(&text, &device) ||
        *text++ != '/' || !decimal_read(text, 1, UINT64_MAX, &sequence) || device > UINT32_MAX)
        return false;
    *place = (struct quarantine_place){{user, (uint32_t)device}, sequence};
    return true;
}
