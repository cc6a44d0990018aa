/* SPDX-License-Identifier: Apache-2.0 */
/* Local sockets: the file's mode, paths of any length, and who the peer is; on both reactors. */
#include "runtime/local.h"

#include "tests/unit/runtime/socket_peer.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

static int listening = -1;
static atomic_uint peer_uid, peer_pid; /* of who was accepted last, for the test's thread */
static char folder[256];

static void on_waits(void *state, struct message **message) {
    struct socket_id socket;
    struct local_peer peer;
    assert_int_equal(message_as(*message, struct local_waits)->listening_fd, listening);
    assert_int_equal(local_accept(listening, &peer, &socket), 0);
    atomic_store(&peer_uid, (unsigned)peer.uid);
    atomic_store(&peer_pid, (unsigned)peer.pid);
    assert_int_equal(local_accept(listening, &peer, &socket), -EAGAIN);
    assert_int_equal(local_watch(listening), 0);
}

static void on_data(void *state, struct message **message) {
    const struct socket_data *data = message_as(*message, struct socket_data);
    struct socket_buffer *buffer = socket_buffer_create(data->length);
    memcpy(socket_buffer_bytes(buffer), data->bytes, data->length);
    assert_int_equal(socket_send(data->socket, &buffer, 0, data->length), 0);
}

static int init(void *state, const void *argument) {
    return local_watch(listening);
}
static const struct actor_handler handlers[] = {
    [LOCAL_WAITS] = {"waits", on_waits}, [SOCKET_DATA] = {"data", on_data}};
static const struct actor_class server_class = {
    .name = "server", .init = init, .handlers = handlers, .handler_count = LOCAL_WAITS + 1};

static void make_folder(void) {
    snprintf(folder, sizeof folder, "/tmp/test-local-XXXXXX");
    assert_non_null(mkdtemp(folder));
}

static int connect_to(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_true(strlen(path) < sizeof address.sun_path);
    memcpy(address.sun_path, path, strlen(path));
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/* Also the second one is served, and the end of the scene ends the watch. */
static void serve_on(const struct reactor_ops *reactor) {
    struct scene scene = {0};
    char path[300], got[5];
    make_folder();
    snprintf(path, sizeof path, "%s/socket", folder);
    listening = local_listen(path, 4);
    assert_true(listening >= 0);
    scene_reactor = reactor;
    scene_start_with(&scene, &server_class);
    for (unsigned i = 0; i < 2; i++) {
        int fd = connect_to(path);
        client_write(fd, "hello", 5);
        client_read(fd, got, 5);
        assert_memory_equal(got, "hello", 5);
        assert_int_equal(atomic_load(&peer_uid), getuid());
        assert_int_equal(atomic_load(&peer_pid), getpid());
        close(fd);
    }
    scene_stop(&scene);
    close(listening);
    unlink(path);
    rmdir(folder);
}

static void peers_are_served_and_known_on_libev(void **state) {
    serve_on(&reactor_ev);
}
static void peers_are_served_and_known_on_the_best_reactor(void **state) {
    serve_on(NULL);
}

static void file_is_its_owners_alone_and_takes_an_old_ones_place(void **state) {
    char path[300];
    struct stat file;
    make_folder();
    snprintf(path, sizeof path, "%s/socket", folder);
    for (unsigned i = 0; i < 2; i++) {
        int fd = local_listen(path, 4);
        assert_true(fd >= 0);
        assert_int_equal(stat(path, &file), 0);
        assert_true(S_ISSOCK(file.st_mode));
        assert_int_equal(file.st_mode & 0777, 0600);
        close(fd);
    }
    unlink(path);
    FILE *other = fopen(path, "w");
    assert_non_null(other);
    fclose(other);
    assert_int_equal(local_listen(path, 4), -EEXIST);
    unlink(path);
    rmdir(folder);
    assert_int_equal(local_listen(path, 4), -ENOENT);
}

static void path_may_be_longer_than_the_kernel_allows(void **state) {
    char deep[512], path[600];
    struct stat file;
    make_folder();
    snprintf(deep, sizeof deep, "%s/%0150d", folder, 1);
    snprintf(path, sizeof path, "%s/socket", deep);
    assert_int_equal(mkdir(deep, 0700), 0);
    int fd = local_listen(path, 4);
    assert_true(fd >= 0);
    assert_int_equal(stat(path, &file), 0);
    close(fd);
    unlink(path);
    rmdir(deep);
    rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(peers_are_served_and_known_on_the_best_reactor),
        cmocka_unit_test(peers_are_served_and_known_on_libev),
        cmocka_unit_test(file_is_its_owners_alone_and_takes_an_old_ones_place),
        cmocka_unit_test(path_may_be_longer_than_the_kernel_allows),
    };
    return cmocka_run_group_tests_name("local", tests, NULL, NULL);
}
