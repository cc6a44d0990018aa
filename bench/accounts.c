/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/accounts.h"

#include "runtime/check.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_BYTES_MAX 4096

struct accounts {
    int fd;
    unsigned count;
};

const char *accounts_directory(const char *wanted) {
    const char *temporary = getenv("TMPDIR");
    if (wanted != NULL)
        return wanted;
    return temporary != NULL ? temporary : "/var/tmp";
}

/* A file without a name. A descriptor or a negative errno. */
static int file_open(const char *directory) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/tern-bench-accounts-XXXXXX", accounts_directory(directory));
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        return -errno;
    unlink(path);
    return fd;
}

/* Fills the file by `next`, account by account. */
typedef int (*next_fn)(void *context, unsigned index, struct account *account);
static int file_fill(int fd, unsigned count, next_fn next, void *context) {
    struct account account;
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0), error = 0;
    FILE *file = copy < 0 ? NULL : fdopen(copy, "w");
    if (file == NULL)
        return -errno;
    for (unsigned i = 0; i < count && error == 0; i++) {
        memset(&account, 0, sizeof account);
        error = next(context, i, &account);
        if (error == 0 && fwrite(&account, sizeof account, 1, file) != 1)
            error = -EIO;
    }
    sodium_memzero(&account, sizeof account);
    return fclose(file) != 0 && error == 0 ? -EIO : error;
}

static int create(const char *directory, unsigned count, next_fn next, void *context,
                  struct accounts **accounts) {
    CHECK(count <= ACCOUNTS_MAX);
    int fd = file_open(directory);
    if (fd < 0)
        return fd;
    int error = file_fill(fd, count, next, context);
    struct accounts *created = error ? NULL : malloc(sizeof *created);
    if (created == NULL) {
        close(fd);
        return error ? error : -ENOMEM;
    }
    *created = (struct accounts){.fd = fd, .count = count};
    *accounts = created;
    return 0;
}

void accounts_get(const struct accounts *accounts, unsigned index, struct account *account) {
    CHECK(index < accounts->count);
    ssize_t got =
        pread(accounts->fd, account, sizeof *account, (off_t)index * (off_t)sizeof *account);
    CHECK(got == (ssize_t)sizeof *account);
}

void accounts_close(struct accounts *accounts) {
    if (accounts == NULL)
        return;
    close(accounts->fd);
    free(accounts);
}

static int make_one(void *context, unsigned index, struct account *account) {
    randombytes_buf(account->key.private_key, sizeof account->key.private_key);
    crypto_scalarmult_base(account->key.public_key, account->key.private_key);
    snprintf(account->phone, sizeof account->phone, "+99955%08u", index);
    return 0;
}

int accounts_make(const char *directory, unsigned count, struct accounts **accounts) {
    return create(directory, count, make_one, NULL, accounts);
}

int accounts_write(const char *path, const struct accounts *accounts) {
    struct account account;
    char public_key[2 * NOISE_KEY_BYTES + 1], secret_key[2 * NOISE_KEY_BYTES + 1];
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    if (file == NULL)
        return -errno;
    for (unsigned i = 0; i < accounts->count; i++) {
        const struct noise_keypair *key = &account.key;
        accounts_get(accounts, i, &account);
        sodium_bin2hex(public_key, sizeof public_key, key->public_key, NOISE_KEY_BYTES);
        sodium_bin2hex(secret_key, sizeof secret_key, key->private_key, NOISE_KEY_BYTES);
        fprintf(file,
                "{\"phone\":\"%s\",\"name\":\"bench %u\",\"device_public_key\":\"%s\","
                "\"device_secret_key\":\"%s\"}\n",
                account.phone, i, public_key, secret_key);
    }
    sodium_memzero(&account, sizeof account);
    sodium_memzero(secret_key, sizeof secret_key);
    int error = ferror(file) ? -EIO : 0;
    return fclose(file) ? -EIO : error;
}

static bool key_read(const char *hex, uint8_t key[NOISE_KEY_BYTES]) {
    size_t length;
    return sodium_hex2bin(key, NOISE_KEY_BYTES, hex, strlen(hex), NULL, &length, NULL) == 0 &&
           length == NOISE_KEY_BYTES;
}

static int account_read(const char *line, struct account *account) {
    const char *phone, *public_key, *secret_key;
    json_t *object = json_loads(line, 0, NULL);
    int error = -EINVAL;
    if (object != NULL &&
        json_unpack(object, "{s:s, s:s, s:s}", "phone", &phone, "device_public_key", &public_key,
                    "device_secret_key", &secret_key) == 0 &&
        strlen(phone) < sizeof account->phone && key_read(public_key, account->key.public_key) &&
        key_read(secret_key, account->key.private_key)) {
        snprintf(account->phone, sizeof account->phone, "%s", phone);
        error = 0;
    }
    json_decref(object);
    return error;
}

static int read_one(void *context, unsigned index, struct account *account) {
    char line[LINE_BYTES_MAX];
    return fgets(line, sizeof line, context) != NULL ? account_read(line, account) : -ENODATA;
}

int accounts_read(const char *path, const char *directory, unsigned count,
                  struct accounts **accounts) {
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return -errno;
    int error = create(directory, count, read_one, file, accounts);
    fclose(file);
    return error;
}
