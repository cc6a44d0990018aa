/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The people of a load: phone numbers and device keys, as JSON lines that `tern-node import` takes.
 *
 * A line has phone, name, device_public_key and device_secret_key (hex); the import ignores the
 * last. The files are made for measuring alone: they hold secrets, and have mode 0600.
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

/* `count` accounts with fresh keys; the caller frees them. Aborts when memory is out. */
struct account *accounts_make(unsigned count);
/* 0 or a negative errno. */
int accounts_write(const char *path, const struct account *accounts, unsigned count);
/* At least `count` of them, else -ENODATA; -EINVAL: a line is no account. The caller frees. */
int accounts_read(const char *path, unsigned count, struct account **accounts);

#endif
