/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/node/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECRET_BYTES 32
/* The node renews its certificate at each start. */
#define CERTIFICATE_VALID_MS (400ull * 24 * 3600 * 1000)

static int secret_read(const char *path, uint8_t secret[SECRET_BYTES], char *error,
                       size_t error_bytes) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    struct stat about;
    uint8_t bytes[SECRET_BYTES + 1];
    int result = fstat(fd, &about) ? -errno : 0;
    ssize_t length = read(fd, bytes, sizeof(bytes));
    close(fd);
    if (result == 0 && (about.st_mode & 077)) {
        snprintf(error, error_bytes, "%s can be read by others; chmod 600 it", path);
        result = -EPERM;
    } else if (result == 0 && length != SECRET_BYTES) {
        snprintf(error, error_bytes, "%s is not a key of %d bytes", path, SECRET_BYTES);
        result = -EBADMSG;
    }
    if (result == 0)
        memcpy(secret, bytes, SECRET_BYTES);
    sodium_memzero(bytes, sizeof(bytes));
    return result;
}

/* Written beside its place, synced, then linked into it: a crash leaves no half key, and a key that
 * is there is never replaced. */
static int secret_write(const char *data, const char *path, const uint8_t secret[SECRET_BYTES]) {
    char beside[PATH_MAX + 8];
    snprintf(beside, sizeof(beside), "%s.new", path);
    unlink(beside);
    int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int result = write(fd, secret, SECRET_BYTES) != SECRET_BYTES ? -ENOSPC : 0;
    if (result == 0 && fsync(fd))
        result = -errno;
    close(fd);
    if (result == 0 && link(beside, path))
        result = -errno;
    unlink(beside);
    int folder = open(data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder >= 0) {
        if (result == 0 && fsync(folder))
            result = -errno;
        close(folder);
    }
    return result;
}

static int secret_load(const char *data, const char *file, uint8_t secret[SECRET_BYTES],
                       bool *fresh, char *error, size_t error_bytes) {
    char path[PATH_MAX];
    if (snprintf(path, sizeof(path), "%s/%s", data, file) >= (int)sizeof(path))
        return -ENAMETOOLONG;
    *fresh = false;
    int result = secret_read(path, secret, error, error_bytes);
    if (result == -ENOENT) {
        randombytes_buf(secret, SECRET_BYTES);
        *fresh = true;
        result = secret_write(data, path, secret);
    }
    if (result && !error[0])
        snprintf(error, error_bytes, "%s: %s", path, strerror(-result));
    return result;
}

int identity_load(const char *data, const char *name, uint64_t now_ms, struct identity *identity,
                  char *error, size_t error_bytes) {
    uint8_t seed[SECRET_BYTES], cluster_secret[crypto_sign_SECRETKEYBYTES];
    bool fresh;
    error[0] = '\0';
    int result = secret_load(data, "cluster.key", seed, &identity->fresh, error, error_bytes);
    if (result == 0)
        result = secret_load(data, "node.key", identity->noise_secret, &fresh, error, error_bytes);
    if (result)
        return result;
    crypto_sign_seed_keypair(identity->cluster_public, cluster_secret, seed);
    crypto_scalarmult_base(identity->noise_public, identity->noise_secret);

    struct certificate certificate = {.expiry_ms = now_ms + CERTIFICATE_VALID_MS};
    memcpy(certificate.node_key, identity->noise_public, sizeof(certificate.node_key));
    snprintf(certificate.name, sizeof(certificate.name), "%s", name);
    result = certificate_sign(identity->certificate, &certificate, cluster_secret);
    sodium_memzero(seed, sizeof(seed));
    sodium_memzero(cluster_secret, sizeof(cluster_secret));
    if (result < 0) {
        snprintf(error, error_bytes,
                 "\"%s\" can't be a node's name: letters, digits, '-', '_', '.', at most 64", name);
        return result;
    }
    identity->certificate_bytes = (size_t)result;
    return 0;
}
