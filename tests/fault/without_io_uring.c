/* SPDX-License-Identifier: Apache-2.0 */
/*
 * without-io-uring ERROR COMMAND...: runs a command whose kernel refuses io_uring, as the profiles
 * of many containers do (EPERM), a kernel built without it (ENOSYS), or one that grants no memory
 * for it (ENOMEM). By a seccomp filter, which all that the command starts inherit.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static int error_of(const char *name) {
    if (strcmp(name, "EPERM") == 0)
        return EPERM;
    if (strcmp(name, "ENOSYS") == 0)
        return ENOSYS;
    return strcmp(name, "ENOMEM") == 0 ? ENOMEM : 0;
}

/* io_uring's three calls have neighbouring numbers, the same on every processor. */
static int refuse(int error) {
    struct sock_filter steps[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, SYS_io_uring_setup, 0, 2),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, SYS_io_uring_register, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {.len = sizeof(steps) / sizeof(steps[0]), .filter = steps};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return -1;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter);
}

int main(int count, char **arguments) {
    int error = count > 2 ? error_of(arguments[1]) : 0;
    if (error == 0) {
        fputs("Usage: without-io-uring EPERM|ENOSYS|ENOMEM COMMAND...\n", stderr);
        return 64;
    }
    if (refuse(error) != 0) {
        perror("without-io-uring");
        return 71;
    }
    execvp(arguments[2], arguments + 2);
    perror(arguments[2]);
    return 127;
}
