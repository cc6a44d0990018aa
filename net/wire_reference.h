/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reference page of the wire (net/WIRE.md), made from wire.def: `scons wire-reference` writes
 * it, and a test fails when it is stale. Nothing of the node calls this, so nothing of the node
 * links it.
 */
#ifndef TERN_NET_WIRE_REFERENCE_H
#define TERN_NET_WIRE_REFERENCE_H

#include <stddef.h>

/* Writes the page in Markdown with a closing NUL, as far as it fits; returns its whole length. */
size_t wire_reference(char *out, size_t capacity);

#endif
