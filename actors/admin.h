/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The node's side of its shell: an actor that accepts on the admin socket, and one per shell.
 *
 *     tern-shell ─► admin (accepts, counts) ─spawns─► admin_session ─► what the command needs
 *
 * The socket is a file of mode 0600 in the data directory: who can open it is the node's user or
 * root. Frames are those of net/admin.h; net/ADMIN.md lists the commands.
 */
#ifndef TERN_ACTORS_ADMIN_H
#define TERN_ACTORS_ADMIN_H

#include "actors/messages.h"

#define ADMIN_SOCKET_NAME "admin.sock" /* in the data directory */
#define ADMIN_SESSIONS_MAX 16u         /* at a time; more are told so and closed */

/* The argument of an admin_session: it accepts by itself, since who accepts owns. */
struct admin_session_argument {
    int listening_fd;
    bool refuse; /* there are too many: it says so and ends */
};

/* SIGHUP came: the cluster file is read on the pool; an ADMIN_DONE follows. For admin.c. */
void admin_reload_by_signal(void);
/* That one: logs what was changed. */
void admin_reload_done(struct message *message);

extern const struct actor_class admin_class;
extern const struct actor_class admin_session_class;

#endif
