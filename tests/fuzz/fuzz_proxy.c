/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Headers of the PROXY protocol of any bytes. Cut anywhere a header must want more, or come to the
 * same end as the whole.
 *
 * Covers: net/proxy.c
 */
#include "net/proxy.h"
#include "runtime/check.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum parse_result parse(const uint8_t *data, size_t size, struct proxy_header *header) {
    uint8_t *copy = malloc(size > 0 ? size : 1); /* ends where it ends: a read past it is seen */
    CHECK(copy != NULL);
    memcpy(copy, data, size);
    enum parse_result result = proxy_parse(copy, size, header);
    free(copy);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct proxy_header whole, part;
    enum parse_result result = parse(data, size, &whole);
    if (result == PARSE_COMPLETE)
        CHECK(whole.bytes >= 16 && whole.bytes <= size && whole.bytes <= PROXY_HEADER_BYTES_MAX);
    for (size_t cut = 0; cut < size && cut <= 300; cut++) {
        enum parse_result cut_result = parse(data, cut, &part);
        if (cut_result == PARSE_MORE) {
            CHECK(result != PARSE_COMPLETE || cut < whole.bytes);
            continue;
        }
        CHECK(cut_result == result);
        if (result == PARSE_COMPLETE)
            CHECK(part.bytes == whole.bytes && part.port == whole.port);
        break;
    }
    return 0;
}
