/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/peers/ejabberd/xmpp_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_MAX 512
#define READ_BYTES 4096
#define STANZA_BYTES_MAX (1u << 20)

/* "T", 16 hex digits, and this make a body of 100 bytes. */
static const char padding[] =
    "abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijk";

void xmpp_die(const char *format, ...) {
    va_list arguments;
    fputs("xmpp-load: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

/* --- output --- */

static void buffer_reserve(struct xmpp_buffer *buffer, size_t bytes) {
    if (buffer->begin == buffer->length)
        buffer->begin = buffer->length = 0;
    if (buffer->length + bytes <= buffer->capacity)
        return;
    buffer->capacity = 2 * (buffer->length + bytes);
    buffer->bytes = realloc(buffer->bytes, buffer->capacity);
    if (buffer->bytes == NULL)
        xmpp_die("out of memory");
}

static void watch(struct xmpp_client *client, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = client};
    if (client->events == events)
        return;
    epoll_ctl(client->crowd->epoll, client->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, client->fd,
              &event);
    client->events = events;
}

__attribute__((format(printf, 2, 3))) static void say(struct xmpp_client *client,
                                                      const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= sizeof text)
        xmpp_die("a stanza is too long");
    buffer_reserve(&client->output, (size_t)length);
    memcpy(client->output.bytes + client->output.length, text, (size_t)length);
    client->output.length += (size_t)length;
}

void xmpp_flush(struct xmpp_client *client) {
    struct xmpp_buffer *output = &client->output;
    while (output->begin < output->length) {
        ssize_t sent = send(client->fd, output->bytes + output->begin,
                            output->length - output->begin, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN)
            break;
        if (sent < 0)
            xmpp_die("u%u cannot send: %s", client->index, strerror(errno));
        output->begin += (size_t)sent;
    }
    watch(client, output->begin < output->length ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

void xmpp_send(struct xmpp_client *client, unsigned to, uint64_t sent_ns) {
    say(client,
        "<message type='chat' to='u%u@localhost' id='m'><body>T%016" PRIx64 "%s</body></message>",
        to, sent_ns, padding);
}

void xmpp_ping(struct xmpp_client *client) {
    say(client, "<iq type='get' id='pg' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>");
    xmpp_flush(client);
}

/* --- the login: what is waited for, and what is said then --- */

static void say_header(struct xmpp_client *client) {
    say(client, "<?xml version='1.0'?><stream:stream to='localhost' xmlns='jabber:client' "
                "xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>");
}

static void say_auth(struct xmpp_client *client) {
    char plain[64], text[128];
    int length = snprintf(plain, sizeof plain, "%cu%u%cp", 0, client->index, 0);
    sodium_bin2base64(text, sizeof text, (const uint8_t *)plain, (size_t)length,
                      sodium_base64_VARIANT_ORIGINAL);
    say(client, "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>%s</auth>", text);
}

static void say_bind(struct xmpp_client *client) {
    say(client, "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
                "<resource>r</resource></bind></iq>");
}

static void say_presence(struct xmpp_client *client) {
    say(client, "<presence/>");
    client->crowd->ready++;
}

static const struct {
    const char *awaited;
    void (*then)(struct xmpp_client *client);
} login_steps[] = {
    {"</stream:features>", say_auth},
    {"<success", say_header},
    {"</stream:features>", say_bind},
    {"</iq>", say_presence},
};
#define LOGIN_STEPS (sizeof login_steps / sizeof login_steps[0])

/* True: one step was made, and there may be another. */
static bool login_step(struct xmpp_client *client) {
    struct xmpp_buffer *input = &client->input;
    const char *at = input->bytes + input->begin, *awaited = login_steps[client->step].awaited;
    size_t length = input->length - input->begin;
    if (memmem(at, length, "<failure", 8) != NULL)
        xmpp_die("u%u may not log in: %.*s", client->index, (int)length, at);
    const char *found = memmem(at, length, awaited, strlen(awaited));
    if (found == NULL)
        return false;
    input->begin += (size_t)(found - at) + strlen(awaited);
    login_steps[client->step++].then(client);
    return true;
}

/* --- stanzas --- */

static void take_message(struct xmpp_client *client, const char *stanza, size_t length) {
    char digits[17] = {0};
    const char *body = memmem(stanza, length, "<body>T", 7);
    if (body == NULL || (size_t)(stanza + length - body) < 7 + 16)
        return;
    memcpy(digits, body + 7, 16);
    client->crowd->message(client, strtoull(digits, NULL, 16));
}

/* The end of a stanza that begins at `at` with a tag up to `tag_end`, or NULL: not all is there. */
static const char *stanza_end(const char *at, const char *tag_end, const char *end) {
    static const char *const closings[] = {"</message>", "</presence>", "</iq>"};
    if (tag_end[-1] == '/')
        return tag_end + 1;
    for (unsigned i = 0; i < sizeof closings / sizeof closings[0]; i++) {
        size_t length = strlen(closings[i]);
        if (strncmp(at + 1, closings[i] + 2, length - 3) != 0)
            continue;
        const char *closing = memmem(tag_end, (size_t)(end - tag_end), closings[i], length);
        return closing != NULL ? closing + length : NULL;
    }
    return tag_end + 1;
}

static bool stanza_step(struct xmpp_client *client) {
    struct xmpp_buffer *input = &client->input;
    const char *end = input->bytes + input->length;
    const char *at = memchr(input->bytes + input->begin, '<', input->length - input->begin);
    const char *tag_end = at != NULL ? memchr(at, '>', (size_t)(end - at)) : NULL;
    const char *next = tag_end != NULL ? stanza_end(at, tag_end, end) : NULL;
    if (next == NULL)
        return false;
    input->begin = (size_t)(next - input->bytes);
    if (strncmp(at, "<message", 8) == 0)
        take_message(client, at, (size_t)(next - at));
    else if (strncmp(at, "<iq", 3) == 0 && memmem(at, (size_t)(next - at), "id='pg'", 7) != NULL)
        client->crowd->pongs++;
    return true;
}

static void take_input(struct xmpp_client *client) {
    struct xmpp_buffer *input = &client->input;
    while (input->begin < input->length &&
           (client->step < LOGIN_STEPS ? login_step(client) : stanza_step(client)))
        ;
    if (input->begin > 0) {
        memmove(input->bytes, input->bytes + input->begin, input->length - input->begin);
        input->length -= input->begin;
        input->begin = 0;
    }
    if (input->length > STANZA_BYTES_MAX)
        xmpp_die("u%u got a stanza without an end", client->index);
    if (client->output.begin < client->output.length)
        xmpp_flush(client);
}

/* --- sockets --- */

static void receive(struct xmpp_client *client) {
    struct xmpp_buffer *input = &client->input;
    for (;;) {
        buffer_reserve(input, READ_BYTES);
        size_t room = input->capacity - input->length - 1;
        ssize_t got = recv(client->fd, input->bytes + input->length, room, 0);
        if (got < 0 && errno == EAGAIN)
            break;
        if (got <= 0)
            xmpp_die("u%u lost its connection in step %u", client->index, client->step);
        input->length += (size_t)got;
        input->bytes[input->length] = '\0'; /* for strncmp */
        if ((size_t)got < room)
            break;
    }
    take_input(client);
}

static void connect_one(struct xmpp_client *client) {
    struct sockaddr_in peer = {.sin_family = AF_INET,
                               .sin_port = htons(client->crowd->port),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (client->fd < 0)
        xmpp_die("no socket: %s", strerror(errno));
    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(client->fd, (struct sockaddr *)&peer, sizeof peer) != 0 && errno != EINPROGRESS)
        xmpp_die("u%u cannot connect: %s", client->index, strerror(errno));
    say_header(client);
    watch(client, EPOLLIN | EPOLLOUT); /* writable when it is connected */
}

void xmpp_crowd_init(struct xmpp_crowd *crowd, uint16_t port, unsigned count) {
    *crowd = (struct xmpp_crowd){.port = port, .count = count};
    crowd->epoll = epoll_create1(EPOLL_CLOEXEC);
    crowd->clients = calloc(count, sizeof *crowd->clients);
    if (crowd->epoll < 0 || crowd->clients == NULL)
        xmpp_die("no room for %u clients", count);
    for (unsigned i = 0; i < count; i++)
        crowd->clients[i] = (struct xmpp_client){.crowd = crowd, .fd = -1, .index = i};
}

void xmpp_login(struct xmpp_crowd *crowd, unsigned first, unsigned count, unsigned at_once) {
    unsigned begun = 0, before = crowd->ready;
    while (crowd->ready - before < count) {
        while (begun < count && begun - (crowd->ready - before) < at_once)
            connect_one(&crowd->clients[first + begun++]);
        xmpp_turn(crowd, 100);
    }
}

void xmpp_turn(struct xmpp_crowd *crowd, int ms) {
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(crowd->epoll, events, EVENTS_MAX, ms);
    for (int i = 0; i < count; i++) {
        struct xmpp_client *client = events[i].data.ptr;
        if (events[i].events & EPOLLOUT)
            xmpp_flush(client);
        if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
            receive(client);
    }
}
