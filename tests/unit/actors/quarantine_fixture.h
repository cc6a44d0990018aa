/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Crash records for tests, in a directory of the test's own, and the mail that they blame.
 *
 * For the one file of a test program that includes it.
 */
#ifndef TERN_TESTS_QUARANTINE_FIXTURE_H
#define TERN_TESTS_QUARANTINE_FIXTURE_H

#include "actors/messages.h"
#include "actors/quarantine.h"
#include "runtime/crash.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define ANN 100
#define EVE 150
#define BOB 201

static char crashes_directory[64];
static unsigned crashes_written;

/* --- records ---------------------------------------------------------------------------------- */

static inline int crashes_remove(void *context, const char *path) {
    return unlink(path) == 0 ? 0 : -errno;
}

static inline int crashes_setup(void **state) {
    strcpy(crashes_directory, "/tmp/tern-quarantine-XXXXXX");
    crashes_written = 0;
    return mkdtemp(crashes_directory) ? 0 : -1;
}

static inline int crashes_teardown(void **state) {
    crash_records_visit(crashes_directory, crashes_remove, NULL);
    return rmdir(crashes_directory);
}

static inline void crashes_write(const char *text) {
    char path[128];
    unsigned number = crashes_written++;
    snprintf(path, sizeof(path), "%s/CRASH-20260101T00%02u%02uZ-7", crashes_directory, number / 60,
             number % 60);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

/* The records are of 2026-01-01, one a second. */
static const struct quarantine_now crashes_now = {.wall_ms = 1767225660000,
                                                  .monotonic_ms = 5000000};

static inline struct quarantine *crashes_read(void) {
    return quarantine_read(crashes_directory, crashes_now);
}

static inline void crashes_blame(const char *line) {
    char text[1024];
    snprintf(text, sizeof(text),
             "Tern crash record, format 1\nsummary: one\ntime: 2026-01-01T00:%02u:%02uZ\n"
             "blame: %s\nend\n",
             crashes_written / 60, crashes_written % 60, line);
    crashes_write(text);
}

/* --- mail ------------------------------------------------------------------------------------- */

static const uint8_t mail_id[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

static inline struct quarantine_mail mail_of(const char *text) {
    return (struct quarantine_mail){
        .to = {BOB, 1},
        .from = {ANN, 2},
        .id = mail_id,
        .ciphertext = (const uint8_t *)text,
        .ciphertext_bytes = (uint32_t)strlen(text),
        .external = (const uint8_t *)"ext",
        .external_bytes = 3,
    };
}

/* The line as a crash handler writes it, at most `bytes` of it. */
static inline size_t mail_describe(const struct quarantine_mail *mail, char *line, size_t bytes) {
    struct message *message = message_create(CONNECTION_MAIL, sizeof(struct connection_mail));
    struct connection_mail *sent = message_as(message, struct connection_mail);
    *sent = (struct connection_mail){
        .sender = mail->from,
        .ciphertext_offset = 5,
        .ciphertext_bytes = mail->ciphertext_bytes,
        .external_offset = 5 + mail->ciphertext_bytes,
        .external_bytes = mail->external_bytes,
    };
    memcpy(sent->id, mail->id, sizeof(sent->id));
    message->blob = blob_create(5 + mail->ciphertext_bytes + mail->external_bytes);
    memset(blob_bytes(message->blob), '.', 5);
    memcpy(blob_bytes(message->blob) + 5, mail->ciphertext, mail->ciphertext_bytes);
    memcpy(blob_bytes(message->blob) + 5 + mail->ciphertext_bytes, mail->external,
           mail->external_bytes);
    const struct quarantine_sending sending = {mail->to, message};
    size_t length = quarantine_describe_sending(&sending, line, bytes);
    message_destroy(message);
    return length;
}

static inline void crashes_blame_mail(const struct quarantine_mail *mail) {
    char line[CRASH_BLAME_BYTES_MAX] = "";
    assert_true(mail_describe(mail, line, sizeof(line) - 1) < sizeof(line) - 1);
    crashes_blame(line);
}

#define CRASHES_TEST(test) cmocka_unit_test_setup_teardown(test, crashes_setup, crashes_teardown)

#endif
