/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Local sockets. They are accepted as plain descriptors, which alone can be asked for the peer's
 * credentials (a ring's direct ones cannot before kernel 6.7), and then given to the reactor.
 */
#include "runtime/local.h"

#include "runtime/socket_table_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* --- listening ------------------------------------------------------------------------------- */

/* A path that is too long for the kernel's structure is reached by its open folder. */
static int address_of(const char *path, int folder, struct sockaddr_un *address) {
    const char *slash = strrchr(path, '/');
    int length;

    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    length = snprintf(address->sun_path, sizeof address->sun_path, "%s", path);
    if ((size_t)length < sizeof address->sun_path)
        return 0;
    length = snprintf(address->sun_path, sizeof address->sun_path, "/proc/self/fd/%d/%s", folder,
                      slash != NULL ? slash + 1 : path);
    return (size_t)length < sizeof address->sun_path ? 0 : -ENAMETOOLONG;
}

static int open_folder(const char *path) {
    char folder[4096];
    const char *slash = strrchr(path, '/');
    int fd;

    if (slash == NULL)
        return open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if ((size_t)(slash - path) >= sizeof folder)
        return -ENAMETOOLONG;
    snprintf(folder, sizeof folder, "%.*s", (int)(slash - path + 1), path);
    fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* What an earlier process left. */
static int remove_socket(const char *path) {
    struct stat file;

    if (lstat(path, &file) != 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(file.st_mode))
        return -EEXIST;
    return unlink(path) == 0 ? 0 : -errno;
}

static int listen_at(int fd, const char *path, int folder, int backlog) {
    struct sockaddr_un address;
    int error = address_of(path, folder, &address);

    if (error != 0)
        return error;
    /* The file takes the socket's mode when it is made: there is no moment with another one. */
    if (fchmod(fd, S_IRUSR | S_IWUSR) == 0 &&
        bind(fd, (const struct sockaddr *)&address, sizeof address) == 0 &&
        listen(fd, backlog) == 0)
        return 0;
    return -errno;
}

int local_listen(const char *path, int backlog) {
    int error = remove_socket(path);
    int folder = error == 0 ? open_folder(path) : error;
    int fd;

    if (folder < 0)
        return folder;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    error = fd < 0 ? -errno : listen_at(fd, path, folder, backlog);
    close(folder);
    if (error == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return error;
}

/* --- watching -------------------------------------------------------------------------------- */

struct local_watcher {
    struct owned owned;
    struct reactor_watch watch;
    struct shard *shard;
    struct actor_id owner; /* nobody: it has ended, and the watch is on its way out */
    int fd;
};

static const struct reactor_ops *ops_of(struct shard *shard) {
    return socket_ops(socket_table_of(shard));
}

static void on_ready(struct reactor_watch *watch, int error) {
    struct local_watcher *watcher =
        (struct local_watcher *)((char *)watch - offsetof(struct local_watcher, watch));

    if (watcher->owner.bits != 0) {
        struct message *message = message_create(LOCAL_WAITS, sizeof(struct local_waits));
        message_as(message, struct local_waits)->listening_fd = watcher->fd;
        owned_remove(&watcher->owned);
        shard_post(watcher->shard, watcher->owner, &message);
    }
    shard_free(watcher->shard, watcher, sizeof *watcher);
}

static void release(struct owned *owned) {
    struct local_watcher *watcher = (struct local_watcher *)owned;

    watcher->owner = ACTOR_NOBODY;
    ops_of(watcher->shard)->unwatch(shard_reactor(watcher->shard), &watcher->watch);
}

int local_watch(int listening_fd) {
    struct shard *shard = shard_current();
    struct local_watcher *watcher = shard_allocate(shard, sizeof *watcher);
    int error;

    *watcher = (struct local_watcher){
        .watch.ready = on_ready, .shard = shard, .owner = actor_self(), .fd = listening_fd};
    error = ops_of(shard)->watch(shard_reactor(shard), listening_fd, &watcher->watch);
    if (error != 0) {
        shard_free(shard, watcher, sizeof *watcher);
        return error;
    }
    owned_add(&watcher->owned, release);
    return 0;
}

/* --- accepting ------------------------------------------------------------------------------- */

int local_accept(int listening_fd, struct local_peer *peer, struct socket_id *id) {
    struct ucred credentials;
    socklen_t length = sizeof credentials;
    int fd = accept4(listening_fd, NULL, NULL, SOCK_CLOEXEC);
    int error;

    if (fd < 0)
        return -errno;
    error = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) == 0 ? 0 : -errno;
    if (error == 0)
        error = socket_adopt(fd, id);
    if (error != 0) {
        close(fd);
        return error;
    }
    *peer = (struct local_peer){credentials.uid, credentials.gid, credentials.pid};
    return 0;
}
