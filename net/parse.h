/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a parser of outside bytes answers: the one result type of all incremental codecs in net/.
 *
 * Such a parser never asserts on its input, never allocates, and never reads past the length that
 * it was given. What it gives out points into the caller's bytes and lives as long as they do.
 */
#ifndef TERN_NET_PARSE_H
#define TERN_NET_PARSE_H

enum parse_result {
    PARSE_COMPLETE, /* one whole unit was there; the outputs are set */
    PARSE_MORE,     /* good so far; give the same bytes again with more behind them */
    PARSE_JUNK,     /* can never become valid; the connection is to be refused */
    PARSE_TOO_BIG,  /* may be valid, but goes beyond a stated bound */
};

#endif
