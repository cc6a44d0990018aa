/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A shard: one scheduler thread and everything that only it touches.
 *
 *   while (!stopping) { shard_step(shard); reactor->poll(reactor, how long may we sleep); }
 *
 * `shard_step` runs a turn: it reads the clock, takes what other shards and the pool sent, fires
 * timers, runs actors, and publishes what they sent to others. It never blocks. The reactor's poll
 * reports the kernel's completions by `shard_post`; those messages are handled in the next turn.
 *
 * For the runtime's own files only (not installed). All functions are for the shard's own thread
 * unless said otherwise.
 */
#ifndef TERN_RUNTIME_SHARD_INTERNAL_H
#define TERN_RUNTIME_SHARD_INTERNAL_H

#include "runtime/actor.h"
#include "runtime/recorder.h"
#include "runtime/runtime.h"

struct reactor;
struct socket_table;  /* socket.c's own */
struct program_table; /* program.c's own */
struct shard;

/* --- the current shard, and what a file of the runtime may know of it ------------------------ */

/* NULL on a thread that is no shard. The simulator swaps it. */
struct shard *shard_current(void);
unsigned shard_index(const struct shard *shard);
struct runtime *shard_runtime(const struct shard *shard);
const struct seams *shard_seams(const struct shard *shard);
struct reactor *shard_reactor(const struct shard *shard);
/* The monotonic clock as this turn read it, or the spin that it follows, a microsecond before. */
uint64_t shard_now_ns(const struct shard *shard);

/* Where socket.c and program.c keep their state: set and freed by them, NULL at first. */
struct socket_table **shard_sockets(struct shard *shard);
struct program_table **shard_programs(struct shard *shard);

/* --- completions become messages ------------------------------------------------------------- */

/* Gives a system message to an actor of this shard: never refused by a bound, keeps its place. When
 * the actor is no more the message is destroyed and counted. Takes the message. */
void shard_post(struct shard *shard, struct actor_id to, struct message **message);

/* True while this actor of this shard has not ended. */
bool shard_actor_lives(const struct shard *shard, struct actor_id actor);

/* Marks a message whose payload points into a buffer of the reactor. When the message is freed,
 * however that happens, its shard calls `giver` with it, once, before its memory goes. */
typedef void (*shard_give_back_fn)(struct shard *shard, struct message *message);
void shard_lend(struct shard *shard, struct message *message, shard_give_back_fn giver);

/* --- handles that an actor owns -------------------------------------------------------------- */

/* Embedded in a handle (a socket, a running program). When its actor ends, after terminate, each
 * handle still on the actor's list is taken off it and `release` is called once, on the shard's
 * thread; no actor is running then, and it may not fail. */
struct owned {
    struct owned *next;
    struct owned **link; /* what points here; NULL: owned by nobody */
    void (*release)(struct owned *owned);
};
/* Makes the running actor the owner. CHECKs that nobody is. */
void owned_add(struct owned *owned, void (*release)(struct owned *owned));
/* Takes it off its owner's list, if it has one. */
void owned_remove(struct owned *owned);

/* --- memory of the shard, for handles and tables --------------------------------------------- */

/* Zeroed, from the shard's pools; at most 16 KiB come from slabs, more from the heap. Aborts when
 * memory is out. Freed on the same shard with the same size. */
void *shard_allocate(struct shard *shard, size_t bytes);
void shard_free(struct shard *shard, void *memory, size_t bytes);

/* --- what sockets and programs want of the thread loop: io.c --------------------------------- */

/* Once per turn, when its actors have run (they may have closed sockets or started programs):
 * closes what lingered long enough, kills programs that ran too long, accepts again after a pause
 * for want of descriptors. Returns when it wants to be called next, on the monotonic clock (poll
 * may wait until then); UINT64_MAX: not before something happens. Cheap when nothing is due. */
uint64_t io_turn(struct shard *shard);
/* Sockets that nobody owns any more and that still send their last bytes or wait for the peer's
 * end: a shard that stops polls on while there are some, a second at most. */
unsigned io_closing(struct shard *shard);
/* Frees the tables. After all actors have ended and the reactor was destroyed (the kernel may still
 * read what is being sent until then). */
void io_finish(struct shard *shard);
struct io_counters {
    uint64_t sockets, rings, memory_bytes;
};
/* Any thread; a gauge as it was at the last turn. */
void io_counters_read(struct shard *shard, struct io_counters *counters);
/* A note in the flight recorder about an actor of this shard, or nobody. */
void shard_note(struct shard *shard, struct actor_id actor, enum recorder_event event, int detail);
/* An event of the runtime's own, seen as those of actor_count. Constant names. */
void shard_count(struct shard *shard, const char *name, uint64_t n);

/* --- for the thread loop and for tests that drive shards by hand ----------------------------- */

/* Runs one turn. True: more is ready to run now. False: poll may wait for `shard_idle_ns`. */
bool shard_step(struct shard *shard);
/* How long poll may wait: 0 when something is ready, UINT64_MAX when no timer is pending. */
uint64_t shard_idle_ns(struct shard *shard);

#endif
