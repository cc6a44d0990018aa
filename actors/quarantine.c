/* SPDX-License-Identifier: Apache-2.0 */
#include "actors/quarantine.h"

#include "runtime/check.h"
#include "runtime/crash.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define HASH_BYTES 16u
#define ID_BYTES 16u
#define BLAME "mail to="

/* Blame lines are compared as they were written: the hash in them stands for the content. */
struct quarantine {
    unsigned count;
    char mails[QUARANTINE_MAILS_MAX][CRASH_BLAME_BYTES_MAX];
};

/* --- writing, async-signal-safe --- */

struct line {
    char *text;
    size_t used, bytes;
};

static void put(struct line *line, const char *text) {
    while (*text && line->used < line->bytes)
        line->text[line->used++] = *text++;
}

static void put_number(struct line *line, uint64_t number) {
    char digits[21];
    unsigned at = sizeof(digits) - 1;
    digits[at] = '\0';
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    put(line, digits + at);
}

static void put_address(struct line *line, struct device_address address) {
    put_number(line, address.user);
    put(line, "/");
    put_number(line, address.device);
}

static void put_hex(struct line *line, const uint8_t *bytes, size_t length) {
    for (size_t i = 0; i < length; i++) {
        const char digits[] = {"0123456789abcdef"[bytes[i] >> 4], "0123456789abcdef"[bytes[i] & 15],
                               '\0'};
        put(line, digits);
    }
}

static size_t describe(const struct quarantine_mail *mail, char *text, size_t bytes) {
    struct line line = {.text = text, .bytes = bytes};
    crypto_generichash_state state; /* BLAKE2b: computes, and takes neither memory nor a lock */
    uint8_t hash[HASH_BYTES];
    crypto_generichash_init(&state, NULL, 0, sizeof(hash));
    crypto_generichash_update(&state, mail->ciphertext, mail->ciphertext_bytes);
    crypto_generichash_update(&state, mail->external, mail->external_bytes);
    crypto_generichash_final(&state, hash, sizeof(hash));
    put(&line, BLAME);
    put_address(&line, mail->to);
    put(&line, " from=");
    put_address(&line, mail->from);
    put(&line, " id=");
    put_hex(&line, mail->id, ID_BYTES);
    put(&line, " hash=");
    put_hex(&line, hash, sizeof(hash));
    return line.used;
}

size_t quarantine_describe(const void *of, char *text, size_t bytes) {
    const struct quarantine_sending *sending = of;
    const struct connection_mail *sent = message_payload(sending->mail);
    const uint8_t *content = blob_bytes(sending->mail->blob);
    const struct quarantine_mail mail = {
        .to = sending->to,
        .from = sent->sender,
        .id = sent->id,
        .ciphertext = content + sent->ciphertext_offset,
        .ciphertext_bytes = sent->ciphertext_bytes,
        .external = content + sent->external_offset,
        .external_bytes = sent->external_bytes,
    };
    return describe(&mail, text, bytes);
}

/* --- reading --- */

struct reading {
    struct quarantine *twice;
    struct quarantine once;
};

static bool has(const struct quarantine *quarantine, const char *line) {
    for (unsigned i = 0; i < quarantine->count; i++)
        if (strcmp(quarantine->mails[i], line) == 0)
            return true;
    return false;
}

static void add(struct quarantine *quarantine, const char *line) {
    if (quarantine->count < QUARANTINE_MAILS_MAX && !has(quarantine, line))
        memcpy(quarantine->mails[quarantine->count++], line, strlen(line) + 1);
}

static int visit(void *context, const char *path) {
    struct reading *reading = context;
    char line[CRASH_BLAME_BYTES_MAX];
    if (crash_record_field(path, "blame", line, sizeof(line)) != 0 ||
        strncmp(line, BLAME, strlen(BLAME)) != 0)
        return 0;
    add(has(&reading->once, line) ? reading->twice : &reading->once, line);
    return 0;
}

struct quarantine *quarantine_read(const char *directory) {
    struct reading *reading = calloc(1, sizeof(*reading));
    struct quarantine *twice = calloc(1, sizeof(*twice));
    CHECK(reading && twice);
    reading->twice = twice;
    crash_records_visit(directory, visit, reading);
    free(reading);
    if (twice->count)
        return twice;
    free(twice);
    return NULL;
}

void quarantine_destroy(struct quarantine *quarantine) {
    free(quarantine);
}

unsigned quarantine_count(const struct quarantine *quarantine) {
    return quarantine ? quarantine->count : 0;
}

bool quarantine_has(const struct quarantine *quarantine, const struct quarantine_mail *mail) {
    char line[CRASH_BLAME_BYTES_MAX];
    if (!quarantine)
        return false;
    size_t length = describe(mail, line, sizeof(line) - 1);
    line[length] = '\0';
    return has(quarantine, line);
}
