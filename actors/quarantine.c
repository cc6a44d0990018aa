/* SPDX-License-Identifier: Apache-2.0 */
#include "actors/quarantine.h"

#include "actors/quarantine_internal.h"
#include "runtime/check.h"
#include "runtime/crash.h"
#include "storage/format.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BYTES CRASH_BLAME_BYTES_MAX

/* Lines are compared as they were written: the hash in them stands for the content. */
struct lines {
    unsigned count;
    struct line {
        char text[LINE_BYTES];
        uint64_t newest_ms; /* Unix time of the newest record */
    } items[QUARANTINE_ITEMS_MAX];
};

struct refusal {
    char what[LINE_BYTES]; /* "device=1/2", "key=...", "stranger=...", "address=..." */
    uint64_t until_ms;     /* monotonic */
};

struct quarantine {
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
    if (lines->count == QUARANTINE_ITEMS_MAX || find(lines, text))
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
static const char *word(char *line, const char *with, char text[LINE_BYTES]) {
    const char *at = strstr(line, with);
    if (!at)
        return NULL;
    size_t length = strcspn(at, " ");
    memcpy(text, at, length);
    text[length] = '\0';
    return text;
}

/* Who is to blame, the closest that is known; for a key that no account has its address as well. */
static void count_input(struct reading *reading, char *line, uint64_t when_ms) {
    char text[LINE_BYTES], stranger[LINE_BYTES + sizeof("stranger=")] = "stranger=";
    if (word(line, "device=", text)) {
        count(reading, text, when_ms);
        return;
    }
    if (!word(line, "key=", text)) {
        if (word(line, "address=", text))
            count(reading, text, when_ms);
        return;
    }
    count(reading, text, when_ms);
    if (!word(line, "address=", text))
        return;
    strcat(stranger, text + strlen("address="));
    if (strlen(stranger) < LINE_BYTES)
        count(reading, stranger, when_ms);
}

static int visit(void *context, const char *path) {
    struct reading *reading = context;
    char line[LINE_BYTES];
    uint64_t when_ms = 0;
    if (crash_record_field(path, "blame", line, sizeof(line)) != 0)
        return 0;
    if (begins(line, QUARANTINE_MAIL) || begins(line, QUARANTINE_ENTRY))
        count(reading, line, 0);
    else if (begins(line, QUARANTINE_INPUT " ") && crash_record_time(path, &when_ms) == 0)
        count_input(reading, line, when_ms);
    return 0;
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
            add(&quarantine->aside, line->text, 0);
        else
            refuse(quarantine, line, now);
    }
    free(reading);
    if (quarantine->aside.count || quarantine->refusal_count)
        return quarantine;
    free(quarantine);
    return NULL;
}

void quarantine_destroy(struct quarantine *quarantine) {
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

static bool has(const struct quarantine *quarantine, crash_describe_fn describe, const void *of) {
    char line[LINE_BYTES];
    size_t length = describe(of, line, sizeof(line) - 1);
    line[length] = '\0';
    return find((struct lines *)&quarantine->aside, line) != NULL;
}

bool quarantine_has_mail(const struct quarantine *quarantine, const struct quarantine_mail *mail) {
    return quarantine && quarantine->mails && has(quarantine, quarantine_describe_mail, mail);
}

bool quarantine_has_entry(const struct quarantine *quarantine,
                          const struct quarantine_entry *entry) {
    return quarantine && quarantine->entries && has(quarantine, quarantine_describe_entry, entry);
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

/* --- input --- */

static uint32_t left_ms(const struct quarantine *quarantine, const char *kind, const char *what,
                        uint64_t now_ms) {
    for (unsigned i = 0; i < quarantine->refusal_count; i++) {
        const struct refusal *refusal = &quarantine->refusals[i];
        if (begins(refusal->what, kind) && strcmp(refusal->what + strlen(kind), what) == 0)
            return refusal->until_ms > now_ms ? (uint32_t)(refusal->until_ms - now_ms) : 0;
    }
    return 0;
}

/* As the lines have it, behind "input " and the word's name. */
static uint32_t ask(const struct quarantine *quarantine, const char *kind, const char *name,
                    const struct quarantine_input *input, uint64_t now_ms) {
    char line[LINE_BYTES];
    size_t length = quarantine_describe_input(input, line, sizeof(line) - 1);
    line[length] = '\0';
    return left_ms(quarantine, kind, line + strlen(QUARANTINE_INPUT " ") + strlen(name), now_ms);
}

uint32_t quarantine_refuses_address(const struct quarantine *quarantine, const uint8_t *address,
                                    uint64_t now_ms) {
    if (!quarantine || !quarantine->refusal_count)
        return 0;
    const struct quarantine_input input = {.address = address};
    return ask(quarantine, "address=", "address=", &input, now_ms);
}

uint32_t quarantine_refuses(const struct quarantine *quarantine,
                            const struct quarantine_input *input, uint64_t now_ms) {
    if (!quarantine || !quarantine->refusal_count)
        return 0;
    const struct quarantine_input device = {.device = input->device}, key = {.key = input->key},
                                  address = {.address = input->address};
    if (input->device.user)
        return ask(quarantine, "device=", "device=", &device, now_ms);
    uint32_t left = ask(quarantine, "key=", "key=", &key, now_ms);
    return left ? left : ask(quarantine, "stranger=", "address=", &address, now_ms);
}
