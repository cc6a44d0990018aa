/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bugs that are planted to see that the simulator finds them: BUG(NAME, name, what is wrong).
 *
 * tests/sim/planted.c compiles the files with a mark once more for a program of its own, with
 * TERN_PLANTED. Everywhere else a mark is the constant 0, and leaves nothing in the object file; a
 * release build refuses the switch.
 */
#ifndef TERN_RUNTIME_PLANTED_INTERNAL_H
#define TERN_RUNTIME_PLANTED_INTERNAL_H

#define PLANTED_BUGS(BUG)                                                                        \
    BUG(ACK_BEFORE_FSYNC, ack_before_fsync, "a write is answered before it is on the disk")      \
    BUG(DEDUP_LOST, dedup_lost, "a device that gets a message again shows it again")             \
    BUG(CURSOR_OFF_BY_ONE, cursor_off_by_one, "an acknowledgement takes one message more along") \
    BUG(CURSOR_OF_OTHER_EPOCH, cursor_of_other_epoch,                                            \
        "a cursor from before a crash is taken for one of now")                                  \
    BUG(TIMER_AFTER_CANCEL, timer_after_cancel,                                                  \
        "cancel overlooks a timer whose message is in the mailbox already")                      \
    BUG(MAILBOX_DROPS, mailbox_drops, "a full mailbox drops what it should give back")

enum planted_bug {
    PLANTED_NOTHING,
#define BUG(upper, name, says) PLANTED_##upper,
    PLANTED_BUGS(BUG)
#undef BUG
};

#ifndef TERN_PLANTED
#define PLANTED(upper) ((void)PLANTED_##upper, 0)
#elif defined(TERN_RELEASE)
#error "bugs are planted in a debug build alone"
#else
extern enum planted_bug planted_bug; /* set once, before anything runs */
#define PLANTED(upper) (planted_bug == PLANTED_##upper)
#endif

#endif
