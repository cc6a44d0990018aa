/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The people of a load: phone numbers and device keys, as JSON lines that `tern-node import` takes.
 *
 * A line has phone, name, device_public_key and device_secret_key (hex); the import ignores the
 * last. The files are made for measuring alone: they hold secrets, and have mode 0600.
 *
 * In the bench they lie in a file without a name, not in its memory, which millions of connections
 * need: an account is read when its person logs in. The page cache keeps what it can.
 *
 * Accounts may be read by any thread; all else is one thread's.
 */
#ifndef TERN_BENCH_ACCOUNTS_H
#define TERN_BENCH_ACCOUNTS_H

#include "net/noise.h"

#include <stdint.h>

#define ACCOUNTS_MAX 4000000u
#define ACCOUNT_PHONE_CHARS 17

struct account {
    struct noise_keypair key;
    char phone[ACCOUNT_PHONE_CHARS];
};

struct accounts;

/* All of these: 0 or a negative errno. The file lies in `directory`; NULL: that of temporary files
 * (accounts_directory). */

/* `count` accounts with fresh keys. */
int accounts_make(const char *directory, unsigned count, struct accounts **accounts);
int accounts_write(const char *path, const struct accounts *accounts);
/* The first `count` of the file; -ENODATA: there are fewer; -EINVAL: a line is no account. */
int accounts_read(const char *path, const char *directory, unsigned count,
                  struct accounts **accounts);
/* Wipes nothing of *account: it is the caller's. Aborts when the file can't be read any more. */
void accounts_get(const struct accounts *accounts, unsigned index, struct account *account);
void accounts_close(struct accounts *accounts); /* NULL is allowed */

/* Where big files go that nobody needs afterwards: $TMPDIR, or /var/tmp, which is a disk's. */
const char *accounts_directory(const char *wanted);

#endif
