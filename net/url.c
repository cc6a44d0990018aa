/* SPDX-License-Identifier: Apache-2.0 */
/* ws:// and wss:// addresses, read from left to right into a copy that is handed out only when all
 * of it is right. */
#include "net/url.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define SCHEME "ws://"
#define SCHEME_SECURE "wss://"
#define SCHEME_CHARS_MAX (sizeof SCHEME_SECURE - 1)
#define PORT_MAX 65535
#define TEXT_CHARS_MAX (SCHEME_CHARS_MAX + URL_AUTHORITY_CHARS_MAX + URL_PATH_CHARS_MAX)

static bool is_one_of(char c, const char *set) {
    return c != '\0' && strchr(set, c) != NULL;
}

static bool is_alphanumeric(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* 1 to 5 digits, 1 to 65535; 0 if they aren't. */
static uint16_t parse_port(const char *digits, size_t length) {
    unsigned port = 0;
    if (length < 1 || length > 5)
        return 0;
    for (size_t i = 0; i < length; i++) {
        if (digits[i] < '0' || digits[i] > '9')
            return 0;
        port = port * 10 + (unsigned)(digits[i] - '0');
    }
    return port <= PORT_MAX ? (uint16_t)port : 0;
}

/* "[...]" at the front; returns the characters taken, or a negative errno. */
static int take_ipv6(const char *text, size_t length, struct url *url) {
    const char *end = memchr(text, ']', length);
    if (end == NULL || end - text < 3) /* "[::" at least */
        return -EINVAL;
    size_t count = (size_t)(end - text) - 1;
    if (count > URL_HOST_CHARS_MAX)
        return -ENAMETOOLONG;
    for (size_t i = 0; i < count; i++) {
        if (!is_one_of(text[1 + i], "0123456789abcdefABCDEF:."))
            return -EINVAL;
    }
    memcpy(url->host, text + 1, count);
    url->host_is_ipv6 = true;
    return (int)count + 2;
}

/* A name or an IPv4 address, up to the colon; returns the characters taken, or a negative errno. */
static int take_name(const char *text, size_t length, struct url *url) {
    size_t count = 0;
    while (count < length && text[count] != ':') {
        if (!is_alphanumeric(text[count]) && !is_one_of(text[count], "-._"))
            return -EINVAL;
        count++;
    }
    if (count == 0)
        return -EINVAL;
    if (count > URL_HOST_CHARS_MAX)
        return -ENAMETOOLONG;
    memcpy(url->host, text, count);
    return (int)count;
}

static uint16_t default_port(const struct url *url) {
    return url->secure ? URL_SECURE_PORT : URL_DEFAULT_PORT;
}

static int parse_authority(const char *text, size_t length, struct url *url) {
    bool bracket = length > 0 && text[0] == '[';
    int taken = bracket ? take_ipv6(text, length, url) : take_name(text, length, url);
    if (taken < 0)
        return taken;
    const char *rest = text + taken;
    size_t rest_length = length - (size_t)taken;
    url->port = default_port(url);
    if (rest_length == 0)
        return 0;
    url->port = parse_port(rest + 1, rest_length - 1);
    return rest[0] == ':' && url->port != 0 ? 0 : -EINVAL;
}

/* Path and query as they go into a request: pchar, '/' and '?' of RFC 3986. */
static int parse_path(const char *text, struct url *url) {
    size_t length = strlen(text);
    if (length == 0 || strcmp(text, "/") == 0) {
        strcpy(url->path, URL_DEFAULT_PATH); /* NOLINT: a constant into a longer array */
        return 0;
    }
    if (length > URL_PATH_CHARS_MAX)
        return -ENAMETOOLONG;
    if (text[0] != '/')
        return -EINVAL;
    for (size_t i = 0; i < length; i++) {
        if (!is_alphanumeric(text[i]) && !is_one_of(text[i], "-._~!$&'()*+,;=:@%/?"))
            return -EINVAL;
    }
    memcpy(url->path, text, length + 1);
    return 0;
}

int url_parse(const char *text, struct url *url) {
    struct url read = {0};
    if (strnlen(text, TEXT_CHARS_MAX + 1) > TEXT_CHARS_MAX)
        return -ENAMETOOLONG;
    read.secure = strncasecmp(text, SCHEME_SECURE, strlen(SCHEME_SECURE)) == 0;
    const char *scheme = read.secure ? SCHEME_SECURE : SCHEME;
    if (strncasecmp(text, scheme, strlen(scheme)) != 0)
        return strstr(text, "://") != NULL ? -EPROTONOSUPPORT : -EINVAL;
    const char *authority = text + strlen(scheme);
    size_t authority_length = strcspn(authority, "/?#");
    int error = parse_authority(authority, authority_length, &read);
    if (error == 0)
        error = parse_path(authority + authority_length, &read);
    if (error != 0)
        return error;
    *url = read;
    return 0;
}

int url_write_authority(char *out, size_t capacity, const struct url *url) {
    char port[sizeof ":65535"] = "";
    if (url->port != default_port(url))
        snprintf(port, sizeof port, ":%u", url->port);
    const char *format = url->host_is_ipv6 ? "[%s]%s" : "%s%s";
    int length = snprintf(out, capacity, format, url->host, port); /* NOLINT: one of two literals */
    return (size_t)length < capacity ? length : -ENOSPC;
}
