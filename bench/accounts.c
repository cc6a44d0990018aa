/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/accounts.h"

#include "runtime/check.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_BYTES_MAX 4096

struct account *accounts_make(unsigned count) {
    struct account *accounts = calloc(count > 0 ? count : 1, sizeof *accounts);
    CHECK(accounts != NULL && count <= ACCOUNTS_MAX);
    for (unsigned i = 0; i < count; i++) {
        randombytes_buf(accounts[i].key.private_key, sizeof accounts[i].key.private_key);
        crypto_scalarmult_base(accounts[i].key.public_key, accounts[i].key.private_key);
        snprintf(accounts[i].phone, sizeof accounts[i].phone, "+99955%08u", i);
    }
    return accounts;
}

int accounts_write(const char *path, const struct account *accounts, unsigned count) {
    char public_key[2 * NOISE_KEY_BYTES + 1], secret_key[2 * NOISE_KEY_BYTES + 1];
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    if (file == NULL)
        return -errno;
    for (unsigned i = 0; i < count; i++) {
        const struct noise_keypair *key = &accounts[i].key;
        sodium_bin2hex(public_key, sizeof public_key, key->public_key, NOISE_KEY_BYTES);
        sodium_bin2hex(secret_key, sizeof secret_key, key->private_key, NOISE_KEY_BYTES);
        fprintf(file,
                "{\"phone\":\"%s\",\"name\":\"bench %u\",\"device_public_key\":\"%s\","
                "\"device_secret_key\":\"%s\"}\n",
                accounts[i].phone, i, public_key, secret_key);
    }
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

int accounts_read(const char *path, unsigned count, struct account **accounts) {
    char line[LINE_BYTES_MAX];
    unsigned found = 0;
    int error = 0;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return -errno;
    struct account *read = calloc(count > 0 ? count : 1, sizeof *read);
    CHECK(read != NULL);
    while (found < count && error == 0 && fgets(line, sizeof line, file) != NULL)
        error = account_read(line, &read[found++]);
    fclose(file);
    if (error == 0 && found < count)
        error = -ENODATA;
    if (error == 0)
        *accounts = read;
    else
        free(read);
    return error;
}
