/* SPDX-License-Identifier: Apache-2.0 */
/* The lines by which crash records blame. Called by a crash handler: async-signal-safe. */
#include "actors/quarantine_internal.h"

#include <sodium.h>
#include <string.h>

#define HASH_BYTES 16u
#define ID_BYTES 16u
#define KEY_BYTES 32u

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

static void put_device(struct line *line, struct device_address address) {
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

/* BLAKE2b computes, and takes neither memory nor a lock. */
static void put_hash(struct line *line, struct engine_bytes first, struct engine_bytes second) {
    crypto_generichash_state state;
    uint8_t hash[HASH_BYTES];
    crypto_generichash_init(&state, NULL, 0, sizeof(hash));
    crypto_generichash_update(&state, first.data, first.size);
    crypto_generichash_update(&state, second.data, second.size);
    crypto_generichash_final(&state, hash, sizeof(hash));
    put(line, " hash=");
    put_hex(line, hash, sizeof(hash));
}

/* An IPv6 address counts as its /64, as in address_limits.h. */
static void put_address(struct line *line, const uint8_t *address) {
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (memcmp(address, mapped, sizeof(mapped)) != 0) {
        for (unsigned i = 0; i < 8; i += 2) {
            put_hex(line, address + i, 2);
            put(line, ":");
        }
        put(line, ":/64");
        return;
    }
    for (unsigned i = 12; i < 16; i++) {
        put_number(line, address[i]);
        put(line, i < 15 ? "." : "");
    }
}

size_t quarantine_describe_mail(const void *of, char *text, size_t bytes) {
    const struct quarantine_mail *mail = of;
    struct line line = {.text = text, .bytes = bytes};
    put(&line, QUARANTINE_MAIL);
    put_device(&line, mail->to);
    put(&line, " from=");
    put_device(&line, mail->from);
    put(&line, " id=");
    put_hex(&line, mail->id, ID_BYTES);
    put_hash(&line, (struct engine_bytes){mail->ciphertext, mail->ciphertext_bytes},
             (struct engine_bytes){mail->external, mail->external_bytes});
    return line.used;
}

size_t quarantine_describe_sending(const void *of, char *text, size_t bytes) {
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
    return quarantine_describe_mail(&mail, text, bytes);
}

size_t quarantine_describe_entry(const void *of, char *text, size_t bytes) {
    const struct quarantine_entry *entry = of;
    struct line line = {.text = text, .bytes = bytes};
    put(&line, QUARANTINE_ENTRY);
    put_device(&line, entry->of);
    put(&line, " sequence=");
    put_number(&line, entry->sequence);
    put_hash(&line, entry->value, (struct engine_bytes){NULL, 0});
    return line.used;
}

size_t quarantine_describe_input(const void *of, char *text, size_t bytes) {
    const struct quarantine_input *input = of;
    struct line line = {.text = text, .bytes = bytes};
    put(&line, input->hello ? QUARANTINE_HELLO : QUARANTINE_INPUT);
    if (input->device.user) {
        put(&line, " device=");
        put_device(&line, input->device);
    }
    if (input->key) {
        put(&line, " key=");
        put_hex(&line, input->key, KEY_BYTES);
    }
    if (input->address) {
        put(&line, " address=");
        put_address(&line, input->address);
    }
    return line.used;
}
