/* SPDX-License-Identifier: Apache-2.0 */
/* ws:// and wss:// addresses: what people write, and what is refused with which reason. */
#include "net/url.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void addresses_are_taken_apart(void **state) {
    static const struct {
        const char *text, *host, *path, *authority;
        uint16_t port;
        bool ipv6, secure;
    } cases[] = {
        {"ws://127.0.0.1:7700", "127.0.0.1", "/v1", "127.0.0.1:7700", 7700, false, false},
        {"ws://chat.example.org", "chat.example.org", "/v1", "chat.example.org", 80, false, false},
        {"ws://chat.example.org/", "chat.example.org", "/v1", "chat.example.org", 80, false, false},
        {"WS://h:1/a/b?c=d%20", "h", "/a/b?c=d%20", "h:1", 1, false, false},
        {"ws://[::1]:65535/v2", "::1", "/v2", "[::1]:65535", 65535, true, false},
        {"ws://[fe80::1.2.3.4]", "fe80::1.2.3.4", "/v1", "[fe80::1.2.3.4]", 80, true, false},
        {"wss://chat.example.org", "chat.example.org", "/v1", "chat.example.org", 443, false, true},
        {"WSS://h:443/", "h", "/v1", "h", 443, false, true},
        {"wss://h:80", "h", "/v1", "h:80", 80, false, true},
        {"ws://h:443", "h", "/v1", "h:443", 443, false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct url url;
        char authority[URL_AUTHORITY_CHARS_MAX + 1];
        assert_int_equal(url_parse(cases[i].text, &url), 0);
        assert_string_equal(url.host, cases[i].host);
        assert_string_equal(url.path, cases[i].path);
        assert_int_equal(url.port, cases[i].port);
        assert_int_equal(url.host_is_ipv6, cases[i].ipv6);
        assert_int_equal(url.secure, cases[i].secure);
        assert_int_equal(url_write_authority(authority, sizeof authority, &url),
                         strlen(cases[i].authority));
        assert_string_equal(authority, cases[i].authority);
    }
}

static void wrong_addresses_are_refused_and_nothing_is_touched(void **state) {
    static const struct {
        const char *text;
        int error;
    } cases[] = {
        {"wsss://host", -EPROTONOSUPPORT},
        {"http://host", -EPROTONOSUPPORT},
        {"wss://", -EINVAL},
        {"wss:/host", -EINVAL},
        {"host:7700", -EINVAL},
        {"", -EINVAL},
        {"ws://", -EINVAL},
        {"ws:///v1", -EINVAL},
        {"ws://:80", -EINVAL},
        {"ws://host:", -EINVAL},
        {"ws://host:0", -EINVAL},
        {"ws://host:65536", -EINVAL},
        {"ws://host:65616", -EINVAL},
        {"ws://host:000080", -EINVAL},
        {"ws://host:7x", -EINVAL},
        {"ws://user@host", -EINVAL},
        {"ws://ho st", -EINVAL},
        {"ws://host/a b", -EINVAL},
        {"ws://host/a#b", -EINVAL},
        {"ws://host#b", -EINVAL},
        {"ws://host?x", -EINVAL},
        {"ws://[::1", -EINVAL},
        {"ws://[::1]7700", -EINVAL},
        {"ws://[]", -EINVAL},
        {"ws://[host]", -EINVAL},
        {"ws://host/\xC3\xA9", -EINVAL},
        {"ws://host/\r\nX: y", -EINVAL},
        {"ws://h\xC3\xA9", -EINVAL},
        {"ws://[::1]]:80", -EINVAL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct url url, untouched;
        memset(&url, 0x5A, sizeof url);
        untouched = url;
        assert_int_equal(url_parse(cases[i].text, &url), cases[i].error);
        assert_memory_equal(&url, &untouched, sizeof url);
    }
}

/* "ws://" + count times `fill` + end */
static int parse_long(const char *start, char fill, size_t count, const char *end) {
    char text[1024];
    struct url url;
    size_t at = strlen(start);
    memcpy(text, start, at);
    memset(text + at, fill, count);
    memcpy(text + at + count, end, strlen(end) + 1);
    return url_parse(text, &url);
}

static void lengths_are_bounded(void **state) {
    assert_int_equal(parse_long("ws://", 'h', 253, ""), 0);
    assert_int_equal(parse_long("ws://", 'h', 254, ""), -ENAMETOOLONG);
    assert_int_equal(parse_long("ws://[", ':', 253, "]"), 0);
    assert_int_equal(parse_long("ws://[", ':', 254, "]"), -ENAMETOOLONG);
    assert_int_equal(parse_long("ws://h/", 'p', 254, ""), 0);
    assert_int_equal(parse_long("ws://h/", 'p', 255, ""), -ENAMETOOLONG);
    assert_int_equal(parse_long("ws://h/", 'p', 900, ""), -ENAMETOOLONG);
}

static void authority_is_not_cut(void **state) {
    struct url url;
    char out[16];
    assert_int_equal(url_parse("ws://[::1]:7700", &url), 0);
    assert_int_equal(url_write_authority(out, 10, &url), -ENOSPC);
    assert_int_equal(url_write_authority(out, 11, &url), 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_taken_apart),
        cmocka_unit_test(wrong_addresses_are_refused_and_nothing_is_touched),
        cmocka_unit_test(lengths_are_bounded),
        cmocka_unit_test(authority_is_not_cut),
    };
    return cmocka_run_group_tests_name("url", tests, NULL, NULL);
}
