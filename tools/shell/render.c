/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/shell/render.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COLUMNS_MAX ADMIN_FIELDS_MAX
#define GAP 2u

/* --- rows --------------------------------------------------------------------------------------
 */

static size_t text_bytes(const struct admin_field *field) {
    if (field->value.kind == ADMIN_TEXT)
        return field->name.length + field->value.text.length;
    return field->name.length + (field->value.kind == ADMIN_LIST ? field->value.list.bytes : 0);
}

static const char *keep(char **at, const void *bytes, size_t length) {
    char *kept = *at;
    if (length)
        memcpy(kept, bytes, length);
    *at += length;
    return kept;
}

static struct admin_reply *copy(const struct admin_reply *reply) {
    size_t bytes = sizeof(*reply);
    for (unsigned i = 0; i < reply->fields.count; i++)
        bytes += text_bytes(&reply->fields.items[i]);
    struct admin_reply *made = malloc(bytes);
    if (!made)
        abort();
    *made = *reply;
    char *at = (char *)(made + 1);
    for (unsigned i = 0; i < made->fields.count; i++) {
        struct admin_field *field = &made->fields.items[i];
        field->name.bytes = keep(&at, field->name.bytes, field->name.length);
        if (field->value.kind == ADMIN_TEXT)
            field->value.text.bytes = keep(&at, field->value.text.bytes, field->value.text.length);
        else if (field->value.kind == ADMIN_LIST)
            field->value.list.at =
                (const uint8_t *)keep(&at, field->value.list.at, field->value.list.bytes);
    }
    return made;
}

void render_rows_add(struct render_rows *rows, const struct admin_reply *reply) {
    if (rows->count == rows->capacity) {
        rows->capacity = rows->capacity ? 2 * rows->capacity : 64;
        rows->items = realloc(rows->items, rows->capacity * sizeof(rows->items[0]));
        if (!rows->items)
            abort();
    }
    rows->items[rows->count++] = copy(reply);
}

void render_rows_clear(struct render_rows *rows) {
    for (unsigned i = 0; i < rows->count; i++)
        free(rows->items[i]);
    free(rows->items);
    *rows = (struct render_rows){0};
}

/* --- values ------------------------------------------------------------------------------------
 */

static bool ends_with(struct admin_text name, const char *end) {
    size_t length = strlen(end);
    return name.length > length && memcmp(name.bytes + name.length - length, end, length) == 0;
}

/* What would move the cursor is not written to a terminal. */
static void put_tame(char *text, size_t bytes, size_t *used, const char *from, size_t length) {
    for (size_t i = 0; i < length && *used + 1 < bytes; i++)
        text[(*used)++] = (unsigned char)from[i] < 0x20 || from[i] == 0x7f ? '?' : from[i];
    text[*used] = '\0';
}

static void format_bytes(uint64_t bytes, char *text, size_t size) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    unsigned unit = 0;
    while (value >= 1024 && unit < 6) {
        value /= 1024;
        unit++;
    }
    snprintf(text, size, unit && value < 100 ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

static void format_duration(uint64_t ns, char *text, size_t size) {
    static const struct {
        uint64_t ns;
        const char *name;
    } units[] = {{86400000000000, "d"},
                 {3600000000000, "h"},
                 {60000000000, "min"},
                 {1000000000, "s"},
                 {1000000, "ms"},
                 {1000, "\u00b5s"},
                 {1, "ns"}};
    unsigned unit = 0;
    if (ns == 0) {
        snprintf(text, size, "0");
        return;
    }
    while (unit < 6 && ns < units[unit].ns)
        unit++;
    double value = (double)ns / (double)units[unit].ns;
    snprintf(text, size, unit < 6 && value < 100 ? "%.1f %s" : "%.0f %s", value, units[unit].name);
}

static void format_count(uint64_t number, char *text, size_t size) {
    char digits[24];
    size_t length = (size_t)snprintf(digits, sizeof(digits), "%" PRIu64, number), used = 0;
    for (size_t i = 0; i < length && used + 2 < size; i++) {
        if (i && (length - i) % 3 == 0)
            text[used++] = ',';
        text[used++] = digits[i];
    }
    text[used] = '\0';
}

static void format_time(uint64_t ms, char *text, size_t size) {
    time_t seconds = (time_t)(ms / 1000);
    struct tm at;
    localtime_r(&seconds, &at);
    if (strftime(text, size, "%Y-%m-%d %H:%M:%S", &at) == 0)
        text[0] = '\0';
}

static void format_number(struct admin_text name, uint64_t number, char *text, size_t bytes) {
    if (ends_with(name, "_time_ms"))
        format_time(number, text, bytes);
    else if (ends_with(name, "_bytes") || admin_text_equal(name, "bytes"))
        format_bytes(number, text, bytes);
    else if (ends_with(name, "_ms"))
        format_duration(number * 1000000, text, bytes);
    else if (ends_with(name, "_ns"))
        format_duration(number, text, bytes);
    else if (admin_text_equal(name, "key") || admin_text_equal(name, "user"))
        snprintf(text, bytes, "%" PRIu64, number);
    else
        format_count(number, text, bytes);
}

static void format_list(struct admin_value list, char *text, size_t bytes) {
    struct admin_text item;
    size_t used = 0;
    while (admin_list_next(&list, &item)) {
        put_tame(text, bytes, &used, ", ", used ? 2 : 0);
        put_tame(text, bytes, &used, item.bytes, item.length);
    }
    if (used == 0)
        snprintf(text, bytes, "-");
}

bool render_value(const struct admin_field *field, char *text, size_t bytes) {
    const struct admin_value *value = &field->value;
    size_t used = 0;
    text[0] = '\0';
    switch (value->kind) {
    case ADMIN_NIL:
        snprintf(text, bytes, "-");
        return false;
    case ADMIN_BOOL:
        snprintf(text, bytes, "%s", value->truth ? "yes" : "no");
        return false;
    case ADMIN_UINT:
        format_number(field->name, value->number, text, bytes);
        return true;
    case ADMIN_INT:
        snprintf(text, bytes, "%" PRId64, value->negative);
        return true;
    case ADMIN_TEXT:
        put_tame(text, bytes, &used, value->text.bytes, value->text.length);
        if (used == 0)
            snprintf(text, bytes, "-");
        return false;
    case ADMIN_LIST:
        format_list(*value, text, bytes);
        return false;
    }
    return false;
}

/* "uptime_ms" is "uptime": the unit is in the value. Bytes stay: of what would often be unclear. */
static void format_name(struct admin_text name, char *text, size_t bytes) {
    static const char *const units[] = {"_time_ms", "_ms", "_ns", "_total"};
    size_t used = 0, length = name.length;
    for (unsigned i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        if (ends_with(name, units[i])) {
            length -= strlen(units[i]);
            break;
        }
    put_tame(text, bytes, &used, name.bytes, length);
    for (char *at = text; *at; at++)
        if (*at == '_')
            *at = ' ';
}

/* --- lines -------------------------------------------------------------------------------------
 */

static unsigned columns_of(const char *text) {
    unsigned columns = 0;
    for (; *text; text++)
        columns += (*text & 0xc0) != 0x80;
    return columns;
}

/* So much of `text` as has `columns`. */
static int bytes_of(const char *text, unsigned columns) {
    int bytes = 0;
    while (text[bytes] && (columns > 0 || (text[bytes] & 0xc0) == 0x80)) {
        if ((text[bytes] & 0xc0) != 0x80)
            columns--;
        bytes++;
    }
    return bytes;
}

struct line {
    FILE *out;
    const struct render_options *options;
    unsigned used;   /* columns */
    unsigned blanks; /* owed: none are written at a line's end */
};

static void put(struct line *line, const char *text, const char *colour) {
    unsigned columns = columns_of(text), room = UINT32_MAX;
    if (line->options->width)
        room = line->options->width > line->used + line->blanks
                   ? line->options->width - line->used - line->blanks
                   : 0;
    if (columns == 0 || room == 0)
        return;
    bool cut = columns > room;
    fprintf(line->out, "%*s", (int)line->blanks, "");
    line->used += line->blanks + (cut ? room : columns);
    line->blanks = 0;
    if (colour && line->options->colour)
        fputs(colour, line->out);
    fprintf(line->out, "%.*s%s", bytes_of(text, cut ? room - 1 : columns), text,
            cut ? "\u2026" : "");
    if (colour && line->options->colour)
        fputs("\033[0m", line->out);
}

static void end(struct line *line) {
    fputc('\n', line->out);
    line->used = line->blanks = 0;
}

#define BOLD "\033[1m"
#define DIM "\033[2m"

/* --- tables ------------------------------------------------------------------------------------
 */

struct column {
    struct admin_text name;
    unsigned width;
    bool right;
};

static unsigned find_columns(const struct render_rows *rows, struct column columns[COLUMNS_MAX]) {
    unsigned count = 0;
    char text[RENDER_TEXT_BYTES_MAX];
    for (unsigned i = 0; i < rows->count; i++)
        for (unsigned k = 0; k < rows->items[i]->fields.count; k++) {
            const struct admin_field *field = &rows->items[i]->fields.items[k];
            unsigned at = 0;
            while (at < count &&
                   !(columns[at].name.length == field->name.length &&
                     memcmp(columns[at].name.bytes, field->name.bytes, field->name.length) == 0))
                at++;
            if (at == COLUMNS_MAX)
                continue;
            if (at == count) {
                format_name(field->name, text, sizeof(text));
                columns[count++] = (struct column){field->name, columns_of(text), false};
            }
            columns[at].right |= render_value(field, text, sizeof(text));
            if (columns_of(text) > columns[at].width)
                columns[at].width = columns_of(text);
        }
    return count;
}

static void put_cell(struct line *line, const struct column *column, const char *text,
                     const char *colour) {
    unsigned columns = columns_of(text);
    unsigned pad = column->width > columns ? column->width - columns : 0;
    if (column->right)
        line->blanks += pad;
    put(line, text, colour);
    line->blanks += GAP + (column->right ? 0 : pad);
}

void render_table(FILE *out, const struct render_rows *rows, const struct render_options *options) {
    struct column columns[COLUMNS_MAX];
    unsigned count = find_columns(rows, columns);
    struct line line = {out, options, 0, 0};
    char text[RENDER_TEXT_BYTES_MAX], name[ADMIN_NAME_BYTES_MAX + 1];
    for (unsigned k = 0; k < count; k++) {
        format_name(columns[k].name, text, sizeof(text));
        put_cell(&line, &columns[k], text, BOLD);
    }
    end(&line);
    for (unsigned i = 0; i < rows->count; i++) {
        for (unsigned k = 0; k < count; k++) {
            snprintf(name, sizeof(name), "%.*s", (int)columns[k].name.length,
                     columns[k].name.bytes);
            const struct admin_value *value = admin_field_find(&rows->items[i]->fields, name);
            struct admin_field field = {columns[k].name, {.kind = ADMIN_NIL}};
            if (value)
                field.value = *value;
            render_value(&field, text, sizeof(text));
            put_cell(&line, &columns[k], text, strcmp(text, "-") == 0 ? DIM : NULL);
        }
        end(&line);
    }
}

static void grow(unsigned *width, const char *text) {
    if (columns_of(text) > *width)
        *width = columns_of(text);
}

void render_stream(FILE *out, const struct admin_fields *fields, struct render_stream *stream,
                   const struct render_options *options) {
    struct line line = {out, options, 0, 0};
    char text[RENDER_TEXT_BYTES_MAX];
    for (unsigned k = 0; k < fields->count; k++) {
        format_name(fields->items[k].name, text, sizeof(text));
        grow(&stream->widths[k], text);
        render_value(&fields->items[k], text, sizeof(text));
        grow(&stream->widths[k], text);
    }
    for (unsigned k = 0; stream->count == 0 && k < fields->count; k++) {
        format_name(fields->items[k].name, text, sizeof(text));
        put_cell(&line, &(struct column){.width = stream->widths[k]}, text, BOLD);
    }
    if (stream->count++ == 0)
        end(&line);
    for (unsigned k = 0; k < fields->count; k++) {
        struct column column = {.width = stream->widths[k]};
        column.right = render_value(&fields->items[k], text, sizeof(text));
        put_cell(&line, &column, text, NULL);
    }
    end(&line);
}

void render_card(FILE *out, const struct render_rows *rows, const struct render_options *options) {
    char text[RENDER_TEXT_BYTES_MAX];
    struct line line = {out, options, 0, 0};
    for (unsigned i = 0; i < rows->count; i++) {
        const struct admin_fields *fields = &rows->items[i]->fields;
        struct column names = {.width = 0};
        for (unsigned k = 0; k < fields->count; k++) {
            format_name(fields->items[k].name, text, sizeof(text));
            if (columns_of(text) > names.width)
                names.width = columns_of(text);
        }
        if (i)
            end(&line);
        for (unsigned k = 0; k < fields->count; k++) {
            format_name(fields->items[k].name, text, sizeof(text));
            put_cell(&line, &names, text, BOLD);
            render_value(&fields->items[k], text, sizeof(text));
            put(&line, text, NULL);
            end(&line);
        }
    }
}

void render_text(FILE *out, const struct render_rows *rows) {
    for (unsigned i = 0; i < rows->count; i++) {
        const struct admin_value *value = admin_field_find(&rows->items[i]->fields, "text");
        if (!value || value->kind != ADMIN_TEXT)
            continue;
        for (uint32_t k = 0; k < value->text.length; k++) {
            unsigned char c = (unsigned char)value->text.bytes[k];
            fputc((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f ? '?' : c, out);
        }
        fputc('\n', out);
    }
}

/* --- trees -------------------------------------------------------------------------------------
 */

static uint64_t depth_of(const struct render_rows *rows, unsigned index) {
    const struct admin_value *depth =
        index < rows->count ? admin_field_find(&rows->items[index]->fields, "depth") : NULL;
    return depth && depth->kind == ADMIN_UINT ? depth->number : 0;
}

/* Is there another row of this depth behind this one, under the same parent? */
static bool has_sibling(const struct render_rows *rows, unsigned index, uint64_t depth) {
    for (unsigned i = index + 1; i < rows->count && depth_of(rows, i) >= depth; i++)
        if (depth_of(rows, i) == depth)
            return true;
    return false;
}

static void draw_branches(const struct render_rows *rows, unsigned index, char *text,
                          size_t bytes) {
    uint64_t depth = depth_of(rows, index);
    size_t used = 0;
    text[0] = '\0';
    for (uint64_t level = 1; level <= depth && used + 16 < bytes; level++) {
        bool more = has_sibling(rows, index, level);
        const char *piece = level == depth ? more ? "\u251c\u2500 " : "\u2514\u2500 "
                            : more         ? "\u2502  "
                                           : "   ";
        used += (size_t)snprintf(text + used, bytes - used, "%s", piece);
    }
}

/* The first fields are drawn as the branch; the rest is a table beside it. */
void render_tree(FILE *out, const struct render_rows *rows, const struct render_options *options) {
    struct render_rows drawn = {0};
    char text[RENDER_TEXT_BYTES_MAX], name[RENDER_TEXT_BYTES_MAX / 2];
    for (unsigned i = 0; i < rows->count; i++) {
        struct admin_reply row = {.kind = ADMIN_ROW};
        const struct admin_fields *fields = &rows->items[i]->fields;
        draw_branches(rows, i, text, sizeof(text));
        for (unsigned k = 0; k < fields->count; k++) {
            struct admin_field field = fields->items[k];
            if (admin_text_equal(field.name, "depth"))
                continue;
            if (admin_text_equal(field.name, "name")) {
                render_value(&field, name, sizeof(name));
                size_t used = strlen(text);
                snprintf(text + used, sizeof(text) - used, "%s", name);
                field.value.kind = ADMIN_TEXT;
                field.value.text = (struct admin_text){text, (uint32_t)strlen(text)};
            }
            row.fields.items[row.fields.count++] = field;
        }
        render_rows_add(&drawn, &row);
    }
    render_table(out, &drawn, options);
    render_rows_clear(&drawn);
}

/* --- JSON --------------------------------------------------------------------------------------
 */

static json_t *json_of(const struct admin_value *value) {
    struct admin_value list = *value;
    struct admin_text item;
    json_t *array;
    switch (value->kind) {
    case ADMIN_BOOL:
        return json_boolean(value->truth);
    case ADMIN_UINT:
        if (value->number > INT64_MAX)
            return json_real((double)value->number);
        return json_integer((json_int_t)value->number);
    case ADMIN_INT:
        return json_integer(value->negative);
    case ADMIN_TEXT:
        return json_stringn(value->text.bytes, value->text.length);
    case ADMIN_LIST:
        array = json_array();
        while (admin_list_next(&list, &item))
            json_array_append_new(array, json_stringn(item.bytes, item.length));
        return array;
    default:
        return json_null();
    }
}

void render_json(FILE *out, const struct admin_fields *fields) {
    json_t *object = json_object();
    for (unsigned i = 0; i < fields->count; i++) {
        char name[ADMIN_NAME_BYTES_MAX + 1];
        snprintf(name, sizeof(name), "%.*s", (int)fields->items[i].name.length,
                 fields->items[i].name.bytes);
        json_object_set_new(object, name, json_of(&fields->items[i].value));
    }
    json_dumpf(object, out, JSON_COMPACT);
    json_decref(object);
}
