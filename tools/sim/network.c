/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/sim/network.h"

#include "runtime/check.h"
#include "tools/sim/node.h"
#include "tools/sim/reactor.h"
#include "tools/sim/world.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DELAY_NS_MIN 1000000u
#define DELAY_NS_MAX 2000000000u
#define GIVE_UP_NS_MIN 5000000000u
#define GIVE_UP_NS_MAX 60000000000u /* the user timeout of a socket */
#define REBOOT_NS_MAX 5000000000u   /* after which a lost machine answers with a reset */

/* --- flows -------------------------------------------------------------------------------------
 */

static size_t flow_room(const struct flow *flow) {
    size_t held = flow->end - flow->begin;
    return held < FLOW_BYTES_MAX ? FLOW_BYTES_MAX - held : 0;
}

static void flow_reserve(struct flow *flow, size_t length) {
    if (flow->begin) {
        memmove(flow->bytes, flow->bytes + flow->begin, flow->end - flow->begin);
        flow->arrived -= flow->begin;
        flow->end -= flow->begin;
        flow->begin = 0;
    }
    if (flow->end + length <= flow->capacity)
        return;
    flow->capacity = 2 * (flow->end + length);
    flow->bytes = realloc(flow->bytes, flow->capacity);
    CHECK(flow->bytes);
}

static void flow_add_segment(struct flow *flow, enum segment_kind kind, size_t length) {
    if (flow->segments_count == flow->segments_capacity) {
        uint32_t capacity = flow->segments_capacity ? 2 * flow->segments_capacity : 8;
        struct segment *segments = malloc(capacity * sizeof(*segments));
        CHECK(segments);
        for (uint32_t i = 0; i < flow->segments_count; i++)
            segments[i] = flow->segments[(flow->segments_head + i) & (flow->segments_capacity - 1)];
        free(flow->segments);
        flow->segments = segments;
        flow->segments_head = 0;
        flow->segments_capacity = capacity;
    }
    uint32_t at = (flow->segments_head + flow->segments_count++) & (flow->segments_capacity - 1);
    flow->segments[at] = (struct segment){(uint32_t)length, kind};
}

/* False: it was dropped meanwhile. */
static bool flow_take_segment(struct flow *flow, struct segment *segment) {
    if (!flow->segments_count)
        return false;
    *segment = flow->segments[flow->segments_head];
    flow->segments_head = (flow->segments_head + 1) & (flow->segments_capacity - 1);
    flow->segments_count--;
    return true;
}

/* What is under way, and what nobody has read. */
static void flow_drop(struct flow *flow) {
    flow->segments_count = 0;
    flow->begin = flow->arrived = flow->end = 0;
}

static void flow_free(struct flow *flow) {
    free(flow->bytes);
    free(flow->segments);
    flow->bytes = NULL;
    flow->segments = NULL;
    flow->capacity = flow->segments_capacity = flow->segments_count = 0;
    flow->begin = flow->arrived = flow->end = 0;
}

/* --- segments on their way ----------------------------------------------------------------------
 */

static void arrive_up(struct world *world, void *subject, uint64_t token);
static void arrive_down(struct world *world, void *subject, uint64_t token);

/* False: it went with what was dropped. */
static bool next_segment(struct world *world, const struct link *link, struct flow *flow,
                         const char *direction, struct segment *segment) {
    if (!flow_take_segment(flow, segment))
        return false;
    uint64_t what = segment->kind;
    if (segment->kind == SEGMENT_BYTES)
        what = journal_hash_bytes(flow->bytes + flow->arrived, segment->length);
    journal_add(&world->journal, world->now_ns, direction, link->number, segment->length, what);
    return true;
}

static void flow_arrive(struct flow *flow, const struct segment *segment) {
    flow->arrived += segment->length;
    if (segment->kind == SEGMENT_BYTES)
        return;
    flow->ended = true;
    flow->error = segment->kind == SEGMENT_RESET ? -ECONNRESET : 0;
}

static uint64_t draw_delay(struct world *world, const struct link *link) {
    struct random *random = &world->random_network;
    uint64_t delay = link->path->latency_ns + random_below(random, link->path->latency_ns);
    if (world_fault(world, FAULT_DELAY))
        delay += random_spread(random, DELAY_NS_MIN, DELAY_NS_MAX);
    return delay;
}

static void post(struct world *world, struct link *link, struct flow *flow, enum segment_kind kind,
                 size_t length) {
    uint64_t at_ns = world->now_ns + draw_delay(world, link);
    if (at_ns < flow->last_ns)
        at_ns = flow->last_ns;
    flow->last_ns = at_ns;
    flow_add_segment(flow, kind, length);
    agenda_add(&world->agenda, at_ns, flow == &link->up ? arrive_up : arrive_down, link, 0);
}

/* One in eight is cut in two, so that no reader counts on whole messages. */
static void post_bytes(struct world *world, struct link *link, struct flow *flow,
                       const uint8_t *bytes, size_t length) {
    size_t first = length;
    flow_reserve(flow, length);
    memcpy(flow->bytes + flow->end, bytes, length);
    flow->end += length;
    if (length > 1 && random_below(&world->random_network, 8) == 0)
        first = 1 + random_below(&world->random_network, length - 1);
    post(world, link, flow, SEGMENT_BYTES, first);
    if (first < length)
        post(world, link, flow, SEGMENT_BYTES, length - first);
}

static void post_end(struct world *world, struct link *link, struct flow *flow, bool reset) {
    if (flow->end_sent && !reset)
        return;
    flow->end_sent = true;
    if (reset)
        flow_drop(flow);
    post(world, link, flow, reset ? SEGMENT_RESET : SEGMENT_END, 0);
}

void network_release(struct link *link) {
    if (link->state == LINK_CLOSED)
        flow_free(&link->up);
    if (!link->device_open)
        flow_free(&link->down);
}

/* --- to the node --------------------------------------------------------------------------------
 */

static void arrive_up(struct world *world, void *subject, uint64_t token) {
    struct link *link = subject;
    struct flow *flow = &link->up;
    struct segment segment;
    if (link->path->up_ns > world->now_ns) {
        agenda_add(&world->agenda, link->path->up_ns, arrive_up, link, 0);
        return;
    }
    if (!next_segment(world, link, flow, "up", &segment))
        return;
    world->network.bytes_up++;
    if (link->state == LINK_CLOSED) { /* its kernel knows no such connection */
        if (segment.kind == SEGMENT_BYTES && link->device_open)
            post_end(world, link, &link->down, true);
        flow_drop(flow);
        return;
    }
    flow_arrive(flow, &segment);
    if (segment.kind == SEGMENT_RESET)
        reactor_link_reset(world, link);
    else
        reactor_link_readable(world, link);
}

void network_read_up(struct world *world, struct link *link, size_t length) {
    struct flow *flow = &link->up;
    flow->begin += length;
    CHECK(flow->begin <= flow->arrived);
    if (!flow->writer_waits || flow_room(flow) < FLOW_BYTES_MAX / 2)
        return;
    flow->writer_waits = false;
    if (link->device_open && !link->device_told_end)
        link->path->calls->writable(link->path->user, link);
}

/* --- to the device ------------------------------------------------------------------------------
 */

static void tell_end(struct link *link) {
    struct flow *flow = &link->down;
    if (!flow->ended || link->device_told_end || !link->device_open || flow->begin != flow->arrived)
        return;
    link->device_told_end = true;
    link->path->calls->ended(link->path->user, link, flow->error);
}

static void read_down(struct world *world, struct link *link) {
    struct flow *flow = &link->down;
    size_t length = flow->arrived - flow->begin;
    if (!link->device_open || link->path->reads_ns > world->now_ns)
        return;
    if (length && !link->device_told_end) {
        uint8_t *bytes = malloc(length); /* the reader may close the link */
        CHECK(bytes);
        memcpy(bytes, flow->bytes + flow->begin, length);
        flow->begin += length;
        link->path->calls->received(link->path->user, link, bytes, length);
        free(bytes);
    }
    if (!link->device_open)
        return;
    if (flow->writer_waits && flow_room(flow) >= FLOW_BYTES_MAX / 2) {
        flow->writer_waits = false;
        reactor_link_writable(world, link);
    }
    tell_end(link);
}

static void arrive_down(struct world *world, void *subject, uint64_t token) {
    struct link *link = subject;
    struct flow *flow = &link->down;
    struct segment segment;
    if (link->path->down_ns > world->now_ns) {
        agenda_add(&world->agenda, link->path->down_ns, arrive_down, link, 0);
        return;
    }
    if (!next_segment(world, link, flow, "down", &segment))
        return;
    world->network.bytes_down++;
    if (!link->device_open) { /* the device's kernel knows no such connection */
        if (segment.kind == SEGMENT_BYTES && !link->vanished)
            post_end(world, link, &link->up, true);
        flow_drop(flow);
        return;
    }
    flow_arrive(flow, &segment);
    read_down(world, link);
}

void network_read_again(struct world *world, struct path *path) {
    for (uint32_t i = 0; i < world->network.count; i++)
        if (world->network.links[i]->path == path)
            read_down(world, world->network.links[i]);
}

size_t network_send_down(struct world *world, struct link *link, const uint8_t *bytes,
                         size_t length) {
    size_t room = flow_room(&link->down);
    if (length > room)
        length = room;
    if (!length) {
        link->down.writer_waits = true;
        return 0;
    }
    if (link->device_open)
        post_bytes(world, link, &link->down, bytes, length);
    else if (!link->vanished)
        post_end(world, link, &link->up, true);
    return length;
}

void network_end_down(struct world *world, struct link *link, bool reset) {
    if (link->device_open)
        post_end(world, link, &link->down, reset);
}

/* --- the device's end ---------------------------------------------------------------------------
 */

static void tell_connected(struct world *world, void *subject, uint64_t error) {
    struct link *link = subject;
    if (!link->device_open)
        return;
    if (link->path->down_ns > world->now_ns) {
        agenda_add(&world->agenda, link->path->down_ns, tell_connected, link, error);
        return;
    }
    if (error)
        link->device_open = false;
    link->device_connected = !error;
    link->path->calls->connected(link->path->user, link, -(int)error);
}

static unsigned backlog_count(const struct network *network, const struct sim_node *node) {
    unsigned count = 0;
    for (uint32_t i = 0; i < network->count; i++)
        count += network->links[i]->node == node && network->links[i]->state == LINK_BACKLOG;
    return count;
}

static void arrive_syn(struct world *world, void *subject, uint64_t token) {
    struct link *link = subject;
    bool up =
        sim_node_is_up(link->node) && backlog_count(&world->network, link->node) < BACKLOG_MAX;
    if (link->path->up_ns > world->now_ns) {
        agenda_add(&world->agenda, link->path->up_ns, arrive_syn, link, 0);
        return;
    }
    journal_add(&world->journal, world->now_ns, "syn", link->number, up, 0);
    link->state = up ? LINK_BACKLOG : LINK_CLOSED;
    agenda_add(&world->agenda, world->now_ns + draw_delay(world, link), tell_connected, link,
               up ? 0 : ECONNREFUSED);
    if (up)
        reactor_give_backlog(world, link->node);
}

struct link *link_connect(struct network *network, struct path *path, struct sim_node *node) {
    struct world *world = network->world;
    struct link *link = calloc(1, sizeof(*link));
    if (network->count == network->capacity) {
        network->capacity = network->capacity ? 2 * network->capacity : 64;
        network->links = realloc(network->links, network->capacity * sizeof(struct link *));
    }
    CHECK(link && network->links);
    *link = (struct link){.number = network->count,
                          .path = path,
                          .node = node,
                          .device_open = true,
                          .created_ns = world->now_ns};
    network->links[network->count++] = link;
    agenda_add(&world->agenda, world->now_ns + draw_delay(world, link), arrive_syn, link, 0);
    return link;
}

size_t link_write(struct world *world, struct link *link, const uint8_t *bytes, size_t length) {
    size_t room = flow_room(&link->up);
    CHECK(link->device_open && link->device_connected);
    if (length > room) {
        length = room;
        link->up.writer_waits = true;
    }
    if (length)
        post_bytes(world, link, &link->up, bytes, length);
    return length;
}

void link_close(struct world *world, struct link *link, bool reset) {
    CHECK(link->device_open);
    link->device_open = false;
    if (link->state != LINK_CLOSED)
        post_end(world, link, &link->up, reset || link->down.begin != link->down.arrived);
    network_release(link);
}

static void give_up(struct world *world, void *subject, uint64_t token) {
    struct link *link = subject;
    if (link->state == LINK_CLOSED)
        return;
    flow_drop(&link->up);
    link->up.ended = true;
    link->up.error = -ETIMEDOUT;
    reactor_link_reset(world, link);
}

void link_vanish(struct world *world, struct link *link) {
    CHECK(link->device_open);
    link->device_open = false;
    link->vanished = true;
    network_release(link);
    agenda_add(&world->agenda,
               world->now_ns +
                   random_between(&world->random_network, GIVE_UP_NS_MIN, GIVE_UP_NS_MAX),
               give_up, link, 0);
}

/* --- faults -------------------------------------------------------------------------------------
 */

void link_break(struct world *world, struct link *link) {
    if (link->state != LINK_CLOSED)
        post_end(world, link, &link->up, true);
    if (link->device_open)
        post_end(world, link, &link->down, true);
}

struct link *network_draw_open(struct world *world) {
    struct network *network = &world->network;
    struct link *chosen = NULL;
    uint64_t seen = 0;
    for (uint32_t i = 0; i < network->count; i++) {
        struct link *link = network->links[i];
        if (link->state == LINK_OPEN && link->device_connected && link->device_open &&
            random_below(&world->random_network, ++seen) == 0)
            chosen = link;
    }
    return chosen;
}

static void reset_late(struct world *world, void *subject, uint64_t token) {
    struct link *link = subject;
    if (link->device_open)
        post_end(world, link, &link->down, true);
}

void network_node_gone(struct world *world, struct sim_node *node, bool machine) {
    for (uint32_t i = 0; i < world->network.count; i++) {
        struct link *link = world->network.links[i];
        if (link->node != node || link->state == LINK_NEW || link->state == LINK_CLOSED)
            continue;
        link->state = LINK_CLOSED;
        link->reactor = NULL;
        link->socket = NULL;
        link->sending = NULL;
        network_release(link);
        if (!link->device_open)
            continue;
        if (!machine)
            post_end(world, link, &link->down, false);
        else
            agenda_add(&world->agenda,
                       world->now_ns + random_below(&world->random_network, REBOOT_NS_MAX),
                       reset_late, link, 0);
    }
}

/* --- life ---------------------------------------------------------------------------------------
 */

struct link *network_backlog(struct network *network, struct sim_node *node) {
    for (uint32_t i = 0; i < network->count; i++)
        if (network->links[i]->node == node && network->links[i]->state == LINK_BACKLOG)
            return network->links[i];
    return NULL;
}

void network_init(struct network *network, struct world *world) {
    *network = (struct network){.world = world};
}

void network_finish(struct network *network) {
    for (uint32_t i = 0; i < network->count; i++) {
        flow_free(&network->links[i]->up);
        flow_free(&network->links[i]->down);
        free(network->links[i]);
    }
    free(network->links);
    *network = (struct network){0};
}
