/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin: accepts shells on the admin socket; one per node.
 *
 *     watching ─(LOCAL_WAITS)─► one session is spawned, which accepts ─► watching
 *
 * SIGHUP, which the heart hands on, reloads the cluster file as the shell's `reload` does.
 *
 * It owns the count of sessions alone: each is monitored. Beyond ADMIN_SESSIONS_MAX a session is
 * still spawned, says that there are too many, and ends. A node without the socket (a unit test,
 * the simulator) has an admin that does nothing.
 */
#include "actors/admin.h"

#include "actors/node.h"
#include "runtime/local.h"
#include "runtime/log.h"
#include "runtime/signals.h"
#include "runtime/supervisor.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

struct admin {
    unsigned sessions;
};

static void watch(void) {
    const struct node *node = node_current();
    int error = local_watch(node->admin_fds[0]);
    if (error)
        log_error("admin: nobody can look into this node any more: %s", strerror(-error));
}

static void admin_on_waits(void *state, struct message **message) {
    struct admin *admin = state;
    struct admin_session_argument how = {
        .listening_fd = message_as(*message, struct local_waits)->listening_fd,
        .refuse = admin->sessions >= ADMIN_SESSIONS_MAX,
    };
    struct actor_id id;
    int error =
        actor_spawn(&admin_session_class, &how, supervisor_of_class(&admin_session_class), &id);
    if (how.refuse)
        actor_count("admin_sessions_max", 1);
    if (error == 0) {
        actor_monitor(id);
        admin->sessions++;
    } else if (error != -EAGAIN) {
        actor_count("admin_accept_failed", 1);
        log_warning("admin: a shell could not be accepted: %s", strerror(-error));
    }
    watch();
}

static void admin_on_down(void *state, struct message **message) {
    struct admin *admin = state;
    admin->sessions--;
}

static void admin_on_signal(void *state, struct message **message) {
    admin_reload_by_signal();
}

static void admin_on_reloaded(void *state, struct message **message) {
    admin_reload_done(*message);
}

static int admin_init(void *state, const void *argument) {
    const struct node *node = node_current();
    int error = node->config ? signal_subscribe(SIGHUP) : 0;
    if (error)
        log_error("admin: SIGHUP can't be listened to: %s", strerror(-error));
    if (node->admin_count)
        watch();
    return 0;
}

static const struct actor_handler handlers[] = {
    [ACTOR_DOWN] = {"down", admin_on_down},
    [LOCAL_WAITS] = {"waits", admin_on_waits},
    [SIGNAL_RAISED] = {"signal", admin_on_signal},
    [ADMIN_DONE] = {"reloaded", admin_on_reloaded},
};

const struct actor_class admin_class = {
    .name = "admin",
    .state_bytes = sizeof(struct admin),
    .init = admin_init,
    .handlers = handlers,
    .handler_count = sizeof(handlers) / sizeof(handlers[0]),
};
