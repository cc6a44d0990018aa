/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Request heads, reply heads and addresses of any bytes. Given in growing pieces a head must come
 * to the same end as at once: MORE, and then one answer.
 *
 * Covers: net/http_head.c net/http_parse.c net/http_write.c net/url.c
 */
#include "net/http.h"
#include "runtime/check.h"

#include <stdlib.h>
#include <string.h>

#define KEY "dGhlIHNhbXBsZSBub25jZQ=="

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A copy that ends where it ends, so that the sanitizer sees a read past it. */
static uint8_t *copy_exactly(const uint8_t *data, size_t size) {
    uint8_t *copy = malloc(size > 0 ? size : 1);
    CHECK(copy != NULL);
    memcpy(copy, data, size);
    return copy;
}

static void check_request(const uint8_t *data, size_t size, enum parse_result result,
                          const struct http_request *request) {
    char answer[HTTP_RESPONSE_HEAD_BYTES_MAX];
    if (result == PARSE_MORE)
        return;
    CHECK((request->status < 400) == (request->kind != HTTP_REQUEST_REFUSED));
    CHECK((request->kind == HTTP_REQUEST_UPGRADE) == (request->status == 101));
    if (result == PARSE_COMPLETE) {
        CHECK(request->head_bytes <= size && request->head_bytes <= HTTP_HEAD_BYTES_MAX);
        CHECK(memcmp(data + request->head_bytes - 4, "\r\n\r\n", 4) == 0);
    }
    if (request->kind == HTTP_REQUEST_UPGRADE) {
        struct http_reply reply;
        int length = http_write_upgrade(answer, sizeof answer, request->key);
        CHECK(length > 0);
        CHECK(http_parse_reply((uint8_t *)answer, (size_t)length, request->key, &reply) ==
              PARSE_COMPLETE);
        CHECK(request->path_length == 3);
    } else {
        CHECK(http_write_answer(answer, sizeof answer, request->status, 0, false) > 0);
    }
}

static void fuzz_request(const uint8_t *data, size_t size) {
    struct http_request whole, part;
    uint8_t *copy = copy_exactly(data, size);
    enum parse_result result = http_parse_request(copy, size, &whole), cut_result = PARSE_MORE;
    check_request(copy, size, result, &whole);
    size_t step = 1 + size / 16, cut = 0;
    for (; cut < size && cut_result == PARSE_MORE; cut += step) {
        uint8_t *front = copy_exactly(data, cut);
        cut_result = http_parse_request(front, cut, &part);
        check_request(front, cut, cut_result, &part);
        free(front);
    }
    if (cut_result != PARSE_MORE) /* decided early: then the whole is decided the same way */
        CHECK(result == cut_result && part.status == whole.status &&
              part.head_bytes == whole.head_bytes);
    free(copy);
}

static void fuzz_reply(const uint8_t *data, size_t size) {
    struct http_reply reply, part;
    uint8_t *copy = copy_exactly(data, size), *half = copy_exactly(data, size / 2);
    enum parse_result result = http_parse_reply(copy, size, KEY, &reply);
    enum parse_result half_result = http_parse_reply(half, size / 2, KEY, &part);
    CHECK(half_result == PARSE_MORE || half_result == result);
    if (result == PARSE_COMPLETE)
        CHECK(reply.head_bytes <= size && reply.status >= 101 && reply.status <= 599);
    free(copy);
    free(half);
}

/* An address that can be read makes a request that can be read. */
static void fuzz_url(const uint8_t *data, size_t size) {
    struct url url, again;
    char *text = malloc(size + 1);
    CHECK(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    if (url_parse(text, &url) == 0) {
        char written[HTTP_REQUEST_BYTES_MAX], authority[URL_AUTHORITY_CHARS_MAX + 1];
        struct http_request request;
        int length = http_write_request(written, sizeof written, &url, KEY);
        CHECK(length > 0);
        enum parse_result result = http_parse_request((uint8_t *)written, (size_t)length, &request);
        CHECK(result == PARSE_COMPLETE || strchr(url.path, '%') != NULL);
        CHECK(url_write_authority(authority, sizeof authority, &url) > 0);
        char address[sizeof "wss://" + URL_AUTHORITY_CHARS_MAX];
        strcpy(address, url.secure ? "wss://" : "ws://"); /* NOLINT: sized for it */
        strcat(address, authority);                       /* NOLINT: sized for it */
        CHECK(url_parse(address, &again) == 0 && strcmp(again.host, url.host) == 0 &&
              again.port == url.port && again.secure == url.secure);
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_request(data, size);
    fuzz_reply(data, size);
    fuzz_url(data, size);
    return 0;
}
