/* SPDX-License-Identifier: Apache-2.0 */
/* Signals by a signalfd that the shard's reactor watches. */
#include "runtime/reactor.h"
#include "runtime/shard_internal.h"
#include "runtime/signals.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define READS_MAX 16 /* signals taken per event; there are five kinds, and each is pending once */

struct signal_source {
    struct reactor_watch watch; /* first: `ready` gets its address */
    struct shard *shard;
    sigset_t signals;
    int fd;
};

void signals_block(void) {
    sigset_t ours;

    sigemptyset(&ours);
    sigaddset(&ours, SIGTERM);
    sigaddset(&ours, SIGINT);
    sigaddset(&ours, SIGHUP);
    sigaddset(&ours, SIGUSR1);
    sigaddset(&ours, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &ours, NULL);
}

static int watch(struct signal_source *source) {
    return shard_seams(source->shard)
        ->reactor->watch(shard_reactor(source->shard), source->fd, &source->watch);
}

static void on_ready(struct reactor_watch *of, int error) {
    struct signal_source *source = (struct signal_source *)of;
    struct signalfd_siginfo raised;

    CHECK(error == 0); /* never unwatched */
    for (unsigned i = 0; i < READS_MAX; i++) {
        if (read(source->fd, &raised, sizeof raised) != sizeof raised)
            break;
        signal_on_raised(source->shard, (int)raised.ssi_signo);
    }
    CHECK(watch(source) == 0);
}

static int signals_listen(struct shard *shard, int signal, struct signal_source **listening) {
    struct signal_source *source = *listening;
    bool fresh = source == NULL;
    int fd;

    if (fresh) {
        source = calloc(1, sizeof *source);
        if (source == NULL)
            return -ENOMEM;
        source->watch.ready = on_ready;
        source->shard = shard;
        source->fd = -1;
        sigemptyset(&source->signals);
    }
    sigaddset(&source->signals, signal);
    fd = signalfd(source->fd, &source->signals, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0) {
        int error = -errno;
        if (fresh)
            free(source);
        return error;
    }
    source->fd = fd;
    if (fresh) {
        CHECK(watch(source) == 0);
        *listening = source;
    }
    return 0;
}

static void forget(struct signal_source *source) {
    close(source->fd);
    free(source);
}

const struct signal_ops signals_posix = {
    .name = "signalfd", .listen = signals_listen, .forget = forget};
