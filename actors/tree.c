/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervision tree: who restarts whom.
 *
 *     root ─┬─ committer            alone; everything accepted waits for it
 *           ├─ limits
 *           ├─ users (each shard) ──── mailbox, account, number: come back with the next message
 *           ├─ connections (each shard) ─ connection: its device comes back by itself
 *           ├─ listener (each shard)
 *           ├─ expirer
 *           ├─ quarantine
 *           ├─ metrics
 *           ├─ admin ───────────────── admin_session: a shell; and who accepts them
 *           └─ drainer
 *
 * Children start from top to bottom and stop from bottom to top: when the listeners begin,
 * everything behind them is there; when the mailboxes end, the committer still writes what they
 * held.
 *
 * The pools of dynamic children bear many failures, since one user's bad luck is nobody else's:
 * only a flood of them is taken for a fault of the node, which then starts anew from its store.
 */
#include "actors/admin.h"
#include "actors/node.h"
#include "runtime/supervisor.h"

#define POOL_FAILURES_MAX 20000
#define POOL_PERIOD_MS 10000
#define FIXED_RESTARTS_MAX 200
#define FIXED_PERIOD_MS 10000

static const struct supervisor_child users_children[] = {
    {.class = &mailbox_class, .dynamic = true, .restart = RESTART_TEMPORARY, .shutdown_ms = 10000},
    {.class = &account_class, .dynamic = true, .restart = RESTART_TEMPORARY},
    {.class = &number_class, .dynamic = true, .restart = RESTART_TEMPORARY},
};

static const struct supervisor_spec users = {
    .name = "users",
    .strategy = SUPERVISE_ONE_FOR_ONE,
    .restarts_max = POOL_FAILURES_MAX,
    .period_ms = POOL_PERIOD_MS,
    .children = users_children,
    .child_count = sizeof(users_children) / sizeof(users_children[0]),
};

static const struct supervisor_child connections_children[] = {
    {.class = &connection_class, .dynamic = true, .restart = RESTART_TEMPORARY},
};

static const struct supervisor_spec connections = {
    .name = "connections",
    .strategy = SUPERVISE_ONE_FOR_ONE,
    .restarts_max = POOL_FAILURES_MAX,
    .period_ms = POOL_PERIOD_MS,
    .children = connections_children,
    .child_count = sizeof(connections_children) / sizeof(connections_children[0]),
};

static const struct supervisor_child admin_children[] = {
    {.class = &admin_session_class, .dynamic = true, .restart = RESTART_TEMPORARY},
    {.class = &admin_class, .restart = RESTART_PERMANENT},
};

/* Looking on must not bring down what is looked at: it fails by itself, and comes back. */
static const struct supervisor_spec admin = {
    .name = "admin",
    .strategy = SUPERVISE_ONE_FOR_ONE,
    .restarts_max = FIXED_RESTARTS_MAX,
    .period_ms = FIXED_PERIOD_MS,
    .children = admin_children,
    .child_count = sizeof(admin_children) / sizeof(admin_children[0]),
};

static const struct supervisor_child root_children[] = {
    {.class = &committer_class, .restart = RESTART_PERMANENT, .shutdown_ms = 30000},
    {.class = &limits_class, .restart = RESTART_PERMANENT},
    {.supervisor = &users, .restart = RESTART_PERMANENT, .every_shard = true, .shutdown_ms = 20000},
    {.supervisor = &connections, .restart = RESTART_PERMANENT, .every_shard = true},
    {.class = &listener_class, .restart = RESTART_PERMANENT, .every_shard = true},
    {.class = &expirer_class, .restart = RESTART_PERMANENT},
    {.class = &quarantine_class, .restart = RESTART_PERMANENT},
    {.class = &metrics_class, .restart = RESTART_PERMANENT},
    {.supervisor = &admin, .restart = RESTART_PERMANENT},
    {.class = &drainer_class, .restart = RESTART_PERMANENT},
};

const struct supervisor_spec tern_tree = {
    .name = "root",
    .strategy = SUPERVISE_ONE_FOR_ONE,
    .restarts_max = FIXED_RESTARTS_MAX,
    .period_ms = FIXED_PERIOD_MS,
    .children = root_children,
    .child_count = sizeof(root_children) / sizeof(root_children[0]),
};
