/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How tern-chat ends: what a script can rely on. Named after sysexits.h where that has a name; the
 * numbers are part of the interface (README.md, `tern-chat --help`) and stay.
 */
#ifndef TERN_TOOLS_CHAT_EXIT_CODE_H
#define TERN_TOOLS_CHAT_EXIT_CODE_H

enum exit_code {
    CHAT_OK = 0,
    CHAT_REFUSED = 1,       /* by the node, by the person's device; or nobody has that number */
    CHAT_USAGE = 64,        /* EX_USAGE */
    CHAT_DATA = 65,         /* EX_DATAERR: the text is too long, or no UTF-8 */
    CHAT_UNREACHABLE = 69,  /* EX_UNAVAILABLE: no connection, or not within the time */
    CHAT_HOME = 73,         /* EX_CANTCREAT: the home is in use, or cannot be used */
    CHAT_IO = 74,           /* EX_IOERR: the store or the output failed */
    CHAT_QUEUED = 75,       /* EX_TEMPFAIL: no answer yet; it is kept and goes out by itself */
    CHAT_PIN = 76,          /* EX_PROTOCOL: the cluster's key is not the pinned one */
    CHAT_UNREGISTERED = 77, /* EX_NOPERM: this home has no account, or lost it to another device */
};

#endif
