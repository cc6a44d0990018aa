/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client's home: the directory that holds its store, for its owner alone (mode 0700), and for one
 * process at a time (a lock on the file `lock`).
 */
#ifndef TERN_TOOLS_CHAT_HOME_H
#define TERN_TOOLS_CHAT_HOME_H

#define HOME_PATH_CHARS_MAX 3000
#define HOME_WHY_CHARS_MAX (HOME_PATH_CHARS_MAX + 200)

/* $XDG_DATA_HOME/tern/chat, or ~/.local/share/tern/chat. 0, or -ENOENT: there is no home. */
int home_default(char path[HOME_PATH_CHARS_MAX]);

/* Makes what is missing of the directory (`make`; else -ENOENT), and locks it, after waiting up to
 * `wait_ms` for another process. Returns the lock: close it, or end. -EBUSY: in use. `why`: a
 * sentence for people. */
int home_lock(const char *path, int make, unsigned wait_ms, char why[HOME_WHY_CHARS_MAX]);

#endif
