/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervision tree, live: asks the root for its children, those of them that are supervisors
 * for theirs, and so on, one question at a time; then shows it from the top.
 *
 * A pool is one row however many are in it.
 */
#include "actors/admin_internal.h"

#include <stdio.h>
#include <string.h>

static const char *const states[] = {
    [SUPERVISED_ENDED] = "ended",       [SUPERVISED_STARTING] = "starting",
    [SUPERVISED_RUNNING] = "running",   [SUPERVISED_WAITING] = "waits",
    [SUPERVISED_STOPPING] = "stopping",
};

static void put_row(struct admin_session *session, const struct admin_tree_row *at,
                    uint64_t children) {
    struct admin_writer *writer = admin_row(session);
    const struct supervisor_row *row = &at->row;
    admin_put_uint(writer, "depth", at->depth);
    admin_put_text(writer, "name", row->name);
    admin_put_text(writer, "what",
                   row->is_supervisor ? "supervisor"
                   : row->is_dynamic  ? "pool"
                                      : "actor");
    admin_put_uint(writer, "shard", row->shard);
    admin_put_text(writer, "actor", row->actor.bits ? ADMIN_ID_TEXT(row->actor) : NULL);
    admin_put_text(writer, "state", states[row->state]);
    if (row->is_supervisor || row->is_dynamic)
        admin_put_uint(writer, "children", children);
    else
        admin_put_nil(writer, "children");
    admin_put_uint(writer, "ends", row->ends);
    admin_put_text(writer, "last_reason", row->ends ? ADMIN_REASON_TEXT(row->last_reason) : NULL);
    admin_row_end(session);
}

static uint64_t children_of(const struct admin_session *session, uint32_t index) {
    const struct supervisor_row *row = &session->work.tree[index].row;
    uint64_t children = 0;
    if (row->is_dynamic)
        return runtime_class_actors(runtime_current(), row->name, row->shard);
    for (uint32_t i = index + 1; i < session->work.tree_count; i++)
        if (session->work.tree[i].parent == index)
            children += session->work.tree[i].row.is_dynamic ? children_of(session, i) : 1;
    return children;
}

/* Depth first: the rows lie breadth first, a supervisor's always behind it. */
static void put_below(struct admin_session *session, uint32_t parent) {
    for (uint32_t i = parent + 1; i < session->work.tree_count; i++) {
        if (session->work.tree[i].parent != parent)
            continue;
        put_row(session, &session->work.tree[i], children_of(session, i));
        if (session->work.tree[i].row.is_supervisor)
            put_below(session, i);
    }
}

static void show(struct admin_session *session) {
    put_row(session, &session->work.tree[0], children_of(session, 0));
    put_below(session, 0);
    struct admin_writer *end = admin_end(session);
    if (session->work.tree_count == ADMIN_TREE_MAX)
        admin_put_text(end, "note", "the tree is larger; this is its beginning");
    admin_end_send(session);
}

/* Asks the next supervisor that has not been asked; at the end shows what is known. */
static void ask_next(struct admin_session *session) {
    for (; session->work.tree_asked < session->work.tree_count; session->work.tree_asked++) {
        const struct supervisor_row *row = &session->work.tree[session->work.tree_asked].row;
        if (row->is_supervisor && row->actor.bits &&
            supervisor_ask(row->actor, SUPERVISOR_LIST, 0, ADMIN_DEADLINE_MS,
                           &session->work.call) == 0)
            return;
    }
    show(session);
}

static void on_answer(struct admin_session *session, const struct supervisor_answer *answer) {
    struct admin_tree_row *tree = session->work.tree;
    uint32_t parent = session->work.tree_asked;
    for (uint32_t i = 0; i < answer->row_count && session->work.tree_count < ADMIN_TREE_MAX; i++)
        tree[session->work.tree_count++] = (struct admin_tree_row){
            .row = answer->rows[i], .parent = parent, .depth = tree[parent].depth + 1};
}

void admin_tree_on_message(struct admin_session *session, struct message **message) {
    if (message_reference(*message) != session->work.call)
        return;
    if ((*message)->kind == SUPERVISOR_ANSWER)
        on_answer(session, message_payload(*message));
    session->work
        .tree_asked++; /* one that doesn't answer has ended, or hangs: it has no children */
    ask_next(session);
}

void admin_tree(struct admin_session *session, const struct admin_request *request) {
    struct actor_id root = runtime_root(runtime_current());
    session->work.tree = actor_allocate(ADMIN_TREE_MAX * sizeof(struct admin_tree_row));
    session->work.tree[0] = (struct admin_tree_row){
        .row = {.actor = root, .name = "root", .state = SUPERVISED_RUNNING, .is_supervisor = true},
        .parent = UINT32_MAX};
    session->work.tree_count = 1;
    ask_next(session);
}
