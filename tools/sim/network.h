/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulated network between devices and nodes: connections that delay, stall, and break.
 *
 *     device: link_connect ─SYN─► the node's backlog ─an accept is posted─► a socket of a shard
 *             link_write ──bytes, in order, after a delay──► reactor_on_data
 *             user->received ◄──bytes, in order, after a delay── the reactor's send
 *
 * A link is one connection. Its two flows carry segments that never overtake each other; while the
 * path is cut in a direction, what should arrive waits, as TCP would send it again. A flow holds
 * FLOW_BYTES_MAX, then its writer waits. An end of a connection travels behind what was written
 * (closed in order) or drops it (reset). Links live as long as the network, so that late calls of
 * the agenda find them.
 */
#ifndef TERN_TOOLS_SIM_NETWORK_H
#define TERN_TOOLS_SIM_NETWORK_H

#include "runtime/reactor.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLOW_BYTES_MAX (256u << 10)
#define BACKLOG_MAX 128u

struct world;
struct link;
struct sim_node;

/* What a device hears of its link; the first may call link_write and link_close. */
struct link_user {
    /* 0: connected; or a negative errno, and the link is gone. */
    void (*connected)(void *user, struct link *link, int error);
    void (*received)(void *user, struct link *link, uint8_t *bytes, size_t length);
    /* There is room again for link_write, which had taken less than all. */
    void (*writable)(void *user, struct link *link);
    /* 0: the node sends no more; or a negative errno. Once; then only link_close is left. */
    void (*ended)(void *user, struct link *link, int error);
};

/* The way between a device and the nodes: owned by the device, looked at by its links. */
struct path {
    const struct link_user *calls;
    void *user;
    uint8_t address[4];
    uint64_t latency_ns;
    uint64_t up_ns, down_ns; /* until when nothing arrives: to the node, to the device */
    uint64_t reads_ns;       /* until when the device does not read */
};

enum segment_kind { SEGMENT_BYTES, SEGMENT_END, SEGMENT_RESET };

struct segment {
    uint32_t length;
    enum segment_kind kind;
};

/* bytes[begin, arrived) can be read, bytes[arrived, end) are on their way. */
struct flow {
    uint8_t *bytes;
    size_t begin, arrived, end, capacity;
    struct segment *segments; /* on their way, a ring of `segments_capacity` */
    uint32_t segments_head, segments_count, segments_capacity;
    uint64_t last_ns;  /* when the last of them arrives */
    bool writer_waits; /* for room */
    bool end_sent;
    bool ended; /* the end has arrived */
    int error;  /* with it */
};

enum link_state {               /* of the node's end */
                  LINK_NEW,     /* the SYN is under way */
                  LINK_BACKLOG, /* connected, accepted by nobody yet */
                  LINK_GIVEN,   /* to a reactor, which has not reported it yet */
                  LINK_OPEN,    /* has a socket */
                  LINK_CLOSED,
};

struct link {
    uint32_t number;
    struct path *path;
    struct sim_node *node;
    enum link_state state;
    bool device_open; /* the device has not closed it */
    bool device_connected, device_told_end;
    bool vanished;        /* the device has, without a word */
    struct flow up, down; /* to the node, to the device */
    uint64_t created_ns;
    /* the node's end, while GIVEN or OPEN */
    struct reactor *reactor;
    struct reactor_socket *socket;
    bool receiving, data_reported, end_reported;
    bool closing;           /* the reactor was asked to close */
    const uint8_t *sending; /* NULL: no send is in flight */
    size_t sending_bytes;
};

struct network {
    struct world *world;
    struct link **links;
    uint32_t count, capacity;
    uint32_t bytes_up, bytes_down; /* segments delivered */
};

void network_init(struct network *network, struct world *world);
void network_finish(struct network *network);

/* --- the device's end ---------------------------------------------------------------------------
 */

struct link *link_connect(struct network *network, struct path *path, struct sim_node *node);
/* Returns how many bytes were taken; fewer than all: `writable` follows. */
size_t link_write(struct world *world, struct link *link, const uint8_t *bytes, size_t length);
/* Of nothing more is the user told. `reset`: what is under way to the node is lost. */
void link_close(struct world *world, struct link *link, bool reset);
/* The same, but the node hears nothing before its kernel has given up. */
void link_vanish(struct world *world, struct link *link);

/* --- faults -------------------------------------------------------------------------------------
 */

/* Both ends hear that it is broken; what was under way is lost. */
void link_break(struct world *world, struct link *link);
/* A link that is open at both ends, drawn at random, or NULL. */
struct link *network_draw_open(struct world *world);
/* The node's process is gone, or its machine, which the devices then hear later. */
void network_node_gone(struct world *world, struct sim_node *node, bool machine);
/* The device reads again. */
void network_read_again(struct world *world, struct path *path);

/* --- for the reactor ----------------------------------------------------------------------------
 */

/* Connections that wait for an accept of this node. NULL: none. */
struct link *network_backlog(struct network *network, struct sim_node *node);
/* Sends towards the device: returns how many bytes were taken, 0: it waits for room and
 * reactor_link_writable follows. */
size_t network_send_down(struct world *world, struct link *link, const uint8_t *bytes,
                         size_t length);
void network_end_down(struct world *world, struct link *link, bool reset);
/* Bytes of the upward flow were read. */
void network_read_up(struct world *world, struct link *link, size_t length);
/* Frees what the flows hold when nobody needs them. */
void network_release(struct link *link);

#endif
