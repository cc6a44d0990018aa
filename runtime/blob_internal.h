/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks that any thread may free: what messages and blobs lie in. */
#ifndef TERN_RUNTIME_BLOB_INTERNAL_H
#define TERN_RUNTIME_BLOB_INTERNAL_H

#include <stdint.h>

/* Sends the block where it came from. `home` is its size class, or SLAB_CLASS_HEAP. */
void block_release(void *block, uint32_t home);

#endif
