/* SPDX-License-Identifier: Apache-2.0 */
/*
 * soak-connections: so many connections in one process, both ends on the runtime, under a limit of
 * descriptors (20,000 unless told) that is far below.
 *
 *   connect all ─► say a byte on each and hear it back ─► look at memory ─► end all ─► none is left
 *
 * Each shard has a listener that gives a connection an actor of its own (`guest`), and a `caller`
 * that owns the other ends. Peers are many addresses of 127/8, because a port of ours serves once
 * per address. Prints a line per figure; exits 1 when a connection was lost.
 */
#include "runtime/heart.h"
#include "runtime/log.h"
#include "runtime/reactor.h"
#include "runtime/runtime.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* Connections to one address: few beside its ports (28,232 as a rule), or the kernel looks long for
 * a free one. */
#define PER_ADDRESS 4000u
#define CONNECTING_MAX 256u
#define SPEAKING_MAX 512u
#define ENDING_MAX 512u /* in one turn */
#define STALL_SECONDS_MAX 60u
#define CALLERS_MAX 64u

enum { BEGIN = ACTOR_KIND_FIRST, SPEAK, LEAVE };

/* The runtime's context. Counts: written by the shards, read by main. */
struct soak {
    struct heart_listener listener;
    unsigned total, callers;
    _Atomic unsigned callers_here;
    struct actor_id caller[CALLERS_MAX];
    atomic_uint accepted, connected, refused, waited, heard, ended, lost;
    atomic_int error; /* why a connect was refused, the last one */
    atomic_bool leaving;
};

struct caller {
    struct socket_id *sockets;
    unsigned index, wanted, started, connected;
    unsigned connecting;
    unsigned speaking, spoken, left;
};

static struct soak *soak_here(void) {
    return actor_context();
}

/* --- the side that is called ----------------------------------------------------------------- */

static int guest_init(void *state, const void *argument) {
    return socket_own(((const struct socket_accepted *)argument)->socket);
}

static void send_byte(struct socket_id socket, uint8_t byte) {
    struct socket_buffer *buffer = socket_buffer_create(1);

    socket_buffer_bytes(buffer)[0] = byte;
    if (socket_send(socket, &buffer, 0, 1) != 0)
        socket_buffer_destroy(buffer);
}

static void guest_on_data(void *state, struct message **message) {
    const struct socket_data *data = message_as(*message, struct socket_data);

    send_byte(data->socket, data->bytes[0]);
}

static void guest_on_closed(void *state, struct message **message) {
    atomic_fetch_add(&soak_here()->ended, 1);
    actor_stop(ACTOR_NORMAL);
}

static const struct actor_handler guest_handlers[] = {
    [SOCKET_DATA] = {"data", guest_on_data},
    [SOCKET_CLOSED] = {"closed", guest_on_closed},
};
static const struct actor_class guest_class = {
    .name = "guest",
    .handlers = guest_handlers,
    .init = guest_init,
    .handler_count = sizeof guest_handlers / sizeof guest_handlers[0],
};

static int listener_init(void *state, const void *argument) {
    return socket_accept(soak_here()->listener.fd, SOCKET_OUTSTANDING_MAX);
}

static void listener_on_accepted(void *state, struct message **message) {
    struct actor_id guest;

    if (actor_spawn(&guest_class, message_as(*message, struct socket_accepted), ACTOR_NOBODY,
                    &guest) == 0)
        atomic_fetch_add(&soak_here()->accepted, 1);
}

static const struct actor_handler listener_handlers[] = {
    [SOCKET_ACCEPTED] = {"accepted", listener_on_accepted},
};
static const struct actor_class listener_class = {
    .name = "listener",
    .init = listener_init,
    .handlers = listener_handlers,
    .handler_count = sizeof listener_handlers / sizeof listener_handlers[0],
};

/* --- the side that calls --------------------------------------------------------------------- */

static int caller_init(void *state, const void *argument) {
    struct caller *caller = state;
    struct soak *soak = soak_here();

    caller->index = actor_shard();
    caller->wanted =
        soak->total / soak->callers + (caller->index < soak->total % soak->callers ? 1 : 0);
    caller->sockets = actor_allocate((caller->wanted + 1) * sizeof *caller->sockets);
    soak->caller[caller->index] = actor_self();
    atomic_fetch_add(&soak->callers_here, 1);
    return 0;
}

/* Callers have addresses of their own: 127.(1 + caller).x.y */
static struct socket_address address_of(const struct caller *caller, unsigned number) {
    unsigned address = number / PER_ADDRESS + 1;
    struct socket_address peer = {
        .family = AF_INET,
        .port = soak_here()->listener.address.port,
        .bytes = {127, (uint8_t)(1 + caller->index), (uint8_t)(address >> 8), (uint8_t)address}};

    return peer;
}

static void connect_more(struct caller *caller) {
    while (caller->connecting < CONNECTING_MAX && caller->started < caller->wanted) {
        struct socket_address peer = address_of(caller, caller->started);
        struct socket_id socket;

        if (socket_connect(&peer, NULL, &socket) != 0) { /* no room for now */
            atomic_fetch_add(&soak_here()->waited, 1);
            actor_timer_start(10, BEGIN, 0);
            return;
        }
        caller->started++;
        caller->connecting++;
    }
}

static void caller_on_begin(void *state, struct message **message) {
    connect_more(state);
}

static void caller_on_connected(void *state, struct message **message) {
    const struct socket_connected *connected = message_as(*message, struct socket_connected);
    struct caller *caller = state;

    caller->connecting--;
    if (connected->error == 0) {
        caller->sockets[caller->connected++] = connected->socket;
        atomic_fetch_add(&soak_here()->connected, 1);
    } else {
        atomic_store(&soak_here()->error, connected->error);
        atomic_fetch_add(&soak_here()->refused, 1);
    }
    connect_more(caller);
}

static void speak_more(struct caller *caller) {
    for (; caller->speaking < SPEAKING_MAX && caller->spoken < caller->connected;
         caller->spoken++) {
        send_byte(caller->sockets[caller->spoken], (uint8_t)caller->spoken);
        caller->speaking++;
    }
}

static void caller_on_speak(void *state, struct message **message) {
    speak_more(state);
}

static void caller_on_data(void *state, struct message **message) {
    struct caller *caller = state;

    caller->speaking--;
    atomic_fetch_add(&soak_here()->heard, 1);
    speak_more(caller);
}

static void caller_on_closed(void *state, struct message **message) {
    if (!atomic_load(&soak_here()->leaving))
        atomic_fetch_add(&soak_here()->lost, 1);
}

/* By resets, which leave no connection in TIME_WAIT. */
static void caller_on_leave(void *state, struct message **message) {
    struct caller *caller = state;

    for (unsigned i = 0; i < ENDING_MAX && caller->left < caller->connected; i++)
        socket_abort(caller->sockets[caller->left++]);
    if (caller->left < caller->connected)
        actor_signal_next_turn(LEAVE);
}

static const struct actor_handler caller_handlers[] = {
    [SOCKET_CONNECTED] = {"connected", caller_on_connected},
    [SOCKET_DATA] = {"data", caller_on_data},
    [SOCKET_CLOSED] = {"closed", caller_on_closed},
    [BEGIN] = {"begin", caller_on_begin},
    [SPEAK] = {"speak", caller_on_speak},
    [LEAVE] = {"leave", caller_on_leave},
};
static const struct actor_class caller_class = {
    .name = "caller",
    .state_bytes = sizeof(struct caller),
    .init = caller_init,
    .handlers = caller_handlers,
    .handler_count = sizeof caller_handlers / sizeof caller_handlers[0],
};

/* --- main ------------------------------------------------------------------------------------ */

static const struct supervisor_child children[] = {
    {.class = &listener_class, .every_shard = true, .restart = RESTART_TEMPORARY},
    {.class = &caller_class, .every_shard = true, .restart = RESTART_TEMPORARY},
};
static const struct supervisor_spec root = {
    .name = "root", .restarts_max = 1, .period_ms = 1000, .children = children, .child_count = 2};

static double now(void) {
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static double cpu_seconds(void) {
    struct timespec time;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* A number of kibibytes behind a name at a line's beginning. */
static double kibibytes(const char *path, const char *name) {
    FILE *file = fopen(path, "re");
    char line[256];
    double value = 0;

    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, name, strlen(name)) == 0)
            value = strtod(line + strlen(name), NULL);
    if (file != NULL)
        fclose(file);
    return value;
}

/* Until the count is reached; false if it has not moved for STALL_SECONDS_MAX. */
static bool wait_for(atomic_uint *count, const struct soak *soak, const char *what) {
    unsigned seen = atomic_load(count), ticks = 0;

    while (atomic_load(count) < soak->total) {
        usleep(50000);
        ticks = seen == atomic_load(count) ? ticks + 1 : 0;
        seen = atomic_load(count);
        if (ticks == STALL_SECONDS_MAX * 20) {
            printf("stalled: %s %u of %u (refused %u, last %s)\n", what, seen, soak->total,
                   atomic_load(&soak->refused), strerror(-atomic_load(&soak->error)));
            return false;
        }
    }
    return true;
}

static void tell_callers(struct soak *soak, struct runtime *runtime, uint16_t kind) {
    for (unsigned i = 0; i < soak->callers; i++) {
        struct message *message = message_create(kind, 0);
        runtime_send(runtime, soak->caller[i], &message);
    }
}

static void print_memory(struct runtime *runtime, const struct soak *soak, double free_before) {
    struct runtime_counters counters;
    double ours = kibibytes("/proc/self/status", "VmRSS:");
    double taken = free_before - kibibytes("/proc/meminfo", "MemAvailable:");
    double sockets;

    runtime_counters_read(runtime, &counters);
    sockets = (double)(counters.sockets > 0 ? counters.sockets : 1);
    printf("sockets                %12lu\n", counters.sockets);
    printf("rings                  %12lu\n", counters.rings);
    printf("socket_bytes_each      %12.0f  (records, buffers and rings; counted by the runtime)\n",
           (double)counters.memory_socket_bytes / sockets);
    printf(
        "resident_bytes_each    %12.0f  (the process, per socket, actors of one side included)\n",
        ours * 1024 / sockets);
    printf("kernel_bytes_a_pair    %12.0f  (what else the machine has less)\n",
           (taken - ours) * 1024 / soak->total);
}

static bool phase(const char *name, bool (*run)(struct soak *, struct runtime *), struct soak *soak,
                  struct runtime *runtime) {
    double begin = now(), cpu = cpu_seconds();
    bool good = run(soak, runtime);

    printf("%-8s_seconds       %12.1f  (%.1f of CPU)\n", name, now() - begin, cpu_seconds() - cpu);
    fflush(stdout);
    return good;
}

static bool run_connect(struct soak *soak, struct runtime *runtime) {
    tell_callers(soak, runtime, BEGIN);
    return wait_for(&soak->connected, soak, "connected") &&
           wait_for(&soak->accepted, soak, "accepted");
}

static bool run_speak(struct soak *soak, struct runtime *runtime) {
    tell_callers(soak, runtime, SPEAK);
    return wait_for(&soak->heard, soak, "heard");
}

static bool run_leave(struct soak *soak, struct runtime *runtime) {
    struct runtime_counters counters;

    atomic_store(&soak->leaving, true);
    tell_callers(soak, runtime, LEAVE);
    if (!wait_for(&soak->ended, soak, "ended"))
        return false;
    for (unsigned tries = 0; tries < STALL_SECONDS_MAX * 20; tries++) {
        runtime_counters_read(runtime, &counters);
        if (counters.sockets == 0)
            return true;
        usleep(50000);
    }
    printf("%lu sockets are left\n", counters.sockets);
    return false;
}

static bool run(struct soak *soak, const struct reactor_ops *reactor) {
    struct runtime_options options = {.root = &root, .context = soak, .reactor = reactor};
    double free_before = kibibytes("/proc/meminfo", "MemAvailable:");
    struct runtime *runtime;
    bool good;

    if (runtime_start(&options, &runtime) != 0)
        return false;
    while (atomic_load(&soak->callers_here) < soak->callers)
        usleep(1000);
    printf("connections            %12u  (on %s)\n", soak->total, runtime_reactor_name(runtime));
    good = phase("connect", run_connect, soak, runtime) && phase("speak", run_speak, soak, runtime);
    print_memory(runtime, soak, free_before);
    good = good && phase("end", run_leave, soak, runtime);
    printf("waited_for_room        %12u\n", atomic_load(&soak->waited));
    printf("lost                   %12u\n", atomic_load(&soak->lost));
    runtime_stop(runtime, 0);
    good = runtime_wait(runtime) == 0 && good;
    runtime_destroy(runtime);
    return good && atomic_load(&soak->lost) == 0;
}

static int usage(void) {
    fputs("Usage: soak-connections [-n CONNECTIONS] [-d DESCRIPTORS] [-r auto|io_uring|libev]\n",
          stderr);
    return 64;
}

int main(int count, char **arguments) {
    static struct soak soak = {.total = 100000};
    struct rlimit files = {.rlim_cur = 20000, .rlim_max = 20000};
    const struct reactor_ops *reactor = NULL;
    unsigned failed;
    int option;

    while ((option = getopt(count, arguments, "n:d:r:")) != -1) {
        if (option == 'n')
            soak.total = (unsigned)strtoul(optarg, NULL, 10);
        else if (option == 'd')
            files.rlim_cur = files.rlim_max = strtoul(optarg, NULL, 10);
        else if (option != 'r' || reactor_find(optarg, &reactor) != 0)
            return usage();
    }
    soak.callers = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
    if (soak.total == 0 || soak.callers > CALLERS_MAX || setrlimit(RLIMIT_NOFILE, &files) != 0)
        return usage();
    socket_address_parse("0.0.0.0:0", 0, &soak.listener.address);
    soak.listener.backlog = 4096;
    if (heart_listen(&soak.listener, 1, &failed) != 0)
        return 69;
    log_level_set(LOG_WARNING);
    return run(&soak, reactor) ? 0 : 1;
}
