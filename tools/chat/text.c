/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/chat/text.h"

#include "net/utf8.h"

#include <ctype.h>
#include <string.h>
#include <time.h>
#include <wchar.h>

#define REPLACEMENT 0xfffdu
#define NAME_BYTES_MAX 63 /* wire.def, verify */

/* ---------------------------------------------------------------- characters */

size_t text_decode(const uint8_t *bytes, size_t length, uint32_t *point) {
    static const uint8_t marks[] = {0, 0, 0xc0, 0xe0, 0xf0};
    size_t size = bytes[0] < 0x80 ? 1 : bytes[0] < 0xe0 ? 2 : bytes[0] < 0xf0 ? 3 : 4;
    if (size > length || !utf8_is_valid(bytes, size)) {
        *point = REPLACEMENT;
        return 1;
    }
    *point = bytes[0] & ~marks[size];
    for (size_t i = 1; i < size; i++)
        *point = *point << 6 | (bytes[i] & 0x3f);
    return size;
}

unsigned text_columns(uint32_t point) {
    int width = wcwidth((wchar_t)point);
    return width < 0 ? 1 : (unsigned)width;
}

/* Controls, and the marks that turn the direction (Unicode TR 9): with them a text could look like
 * another one, or like what the program says. */
static bool is_harmful(uint32_t point) {
    return point < 0x20 || (point >= 0x7f && point < 0xa0) ||
           (point >= 0x200e && point <= 0x200f) || (point >= 0x2028 && point <= 0x202e) ||
           (point >= 0x2066 && point <= 0x2069) || point == 0x61c;
}

void text_put(FILE *out, struct wire_bytes text, const char *newline) {
    uint32_t point;
    for (size_t at = 0, size; at < text.length; at += size) {
        size = text_decode(text.bytes + at, text.length - at, &point);
        if (point == '\n')
            fputs(newline, out);
        else if (point == '\t')
            fputc(' ', out);
        else if (point == REPLACEMENT || is_harmful(point))
            fputs("\xef\xbf\xbd", out);
        else
            fwrite(text.bytes + at, 1, size, out);
    }
}

void text_put_string(FILE *out, const char *text) {
    struct wire_bytes bytes = {(const uint8_t *)text, (uint32_t)strlen(text)};
    text_put(out, bytes, " ");
}

bool text_is_name(const char *text) {
    size_t length = strlen(text);
    uint32_t point;
    if (length == 0 || length > NAME_BYTES_MAX || !utf8_is_valid((const uint8_t *)text, length))
        return false;
    for (size_t at = 0, size; at < length; at += size) {
        size = text_decode((const uint8_t *)text + at, length - at, &point);
        if (is_harmful(point))
            return false;
    }
    return true;
}

/* ---------------------------------------------------------------- ids, times, numbers */

void text_format_id(char out[TEXT_ID_CHARS + 1], const struct wire_id *id) {
    static const char digits[] = "0123456789abcdef";
    char *at = out;
    for (unsigned i = 0; i < WIRE_ID_BYTES; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *at++ = '-';
        *at++ = digits[id->bytes[i] >> 4];
        *at++ = digits[id->bytes[i] & 15];
    }
    *at = 0;
}

bool text_parse_id(const char *text, struct wire_id *id) {
    struct wire_id parsed = {0};
    unsigned count = 0;
    for (; *text != 0; text++) {
        if (*text == '-')
            continue;
        int digit = tolower((unsigned char)*text);
        if (!isxdigit(digit) || count == 2 * WIRE_ID_BYTES)
            return false;
        digit = digit <= '9' ? digit - '0' : digit - 'a' + 10;
        parsed.bytes[count / 2] = (uint8_t)(parsed.bytes[count / 2] << 4 | digit);
        count++;
    }
    if (count != 2 * WIRE_ID_BYTES)
        return false;
    *id = parsed;
    return true;
}

void text_format_time(char out[TEXT_TIME_CHARS_MAX], uint64_t time_ms, uint64_t now_ms) {
    time_t time = (time_t)(time_ms / 1000), now = (time_t)(now_ms / 1000);
    struct tm parts, today;
    out[0] = 0;
    if (localtime_r(&time, &parts) == NULL || localtime_r(&now, &today) == NULL)
        return;
    bool same_day = parts.tm_yday == today.tm_yday && parts.tm_year == today.tm_year;
    strftime(out, TEXT_TIME_CHARS_MAX, same_day ? "%H:%M" : "%Y-%m-%d %H:%M", &parts);
}

bool text_is_phone(const char *text) {
    size_t digits = strspn(text + (text[0] == '+'), "0123456789");
    return text[0] == '+' && text[1] != '0' && digits >= 7 && digits <= 15 && text[1 + digits] == 0;
}

const char *text_state(unsigned state) {
    return state == 0 ? "queued" : wire_state_name(state);
}
