/* SPDX-License-Identifier: Apache-2.0 */
#include "net/proxy.h"

#include <string.h>

#define SIGNATURE_BYTES 12u
#define FIXED_BYTES 16u
static const uint8_t signature[SIGNATURE_BYTES] = "\r\n\r\n\0\r\nQUIT\n";

enum { COMMAND_LOCAL = 0x20, COMMAND_PROXY = 0x21 }; /* with the version, 2 */
enum { FAMILY_NONE = 0x00, FAMILY_IPV4 = 0x11, FAMILY_IPV6 = 0x21, FAMILY_UNIX = 0x31 };

/* Source address, destination address, source port, destination port. */
#define IPV4_BYTES 12u
#define IPV6_BYTES 36u
#define UNIX_BYTES 216u

static uint16_t number(const uint8_t *bytes) {
    return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static bool is_family(uint8_t family) {
    return family == FAMILY_NONE || family == FAMILY_IPV4 || family == FAMILY_IPV6 ||
           family == FAMILY_UNIX;
}

static size_t addresses_bytes(uint8_t family) {
    switch (family) {
    case FAMILY_IPV4:
        return IPV4_BYTES;
    case FAMILY_IPV6:
        return IPV6_BYTES;
    case FAMILY_UNIX:
        return UNIX_BYTES;
    default:
        return 0;
    }
}

static void take_address(struct proxy_header *header, uint8_t family, const uint8_t *addresses) {
    if (family == FAMILY_IPV6) {
        memcpy(header->address, addresses, PROXY_ADDRESS_BYTES);
        header->port = number(addresses + 32);
    } else {
        memset(header->address + 10, 0xff, 2);
        memcpy(header->address + 12, addresses, 4);
        header->port = number(addresses + 8);
    }
    header->has_address = true;
}

enum parse_result proxy_parse(const uint8_t *bytes, size_t length, struct proxy_header *header) {
    size_t seen = length < SIGNATURE_BYTES ? length : SIGNATURE_BYTES;
    *header = (struct proxy_header){0};
    if (seen && memcmp(bytes, signature, seen) != 0)
        return PARSE_JUNK;
    if (length > 12 && bytes[12] != COMMAND_LOCAL && bytes[12] != COMMAND_PROXY)
        return PARSE_JUNK;
    if (length > 13 && bytes[12] == COMMAND_PROXY && !is_family(bytes[13]))
        return PARSE_JUNK; /* a local one's family is to be ignored */
    if (length < FIXED_BYTES)
        return PARSE_MORE;
    size_t rest = number(bytes + 14);
    bool proxied = bytes[12] == COMMAND_PROXY;
    if (proxied && rest < addresses_bytes(bytes[13]))
        return PARSE_JUNK;
    if (FIXED_BYTES + rest > PROXY_HEADER_BYTES_MAX)
        return PARSE_TOO_BIG;
    if (length < FIXED_BYTES + rest)
        return PARSE_MORE;
    header->bytes = FIXED_BYTES + rest;
    if (proxied && (bytes[13] == FAMILY_IPV4 || bytes[13] == FAMILY_IPV6))
        take_address(header, bytes[13], bytes + FIXED_BYTES);
    return PARSE_COMPLETE;
}
