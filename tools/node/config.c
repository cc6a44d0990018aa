/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the cluster file with libconfuse, by the table in config_keys.c.
 *
 * Every option is parsed as text and converted by its type here, once while the file is read (so
 * that a mistake is reported with its line) and once into the result: the fallback first, then the
 * value at the top of the file, then the one in the node's own section.
 */
#include "tools/node/config.h"
#include "tools/node/config_keys.h"

#include "net/decimal.h"

#include <confuse.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEYS_MAX 64

/* libconfuse's callbacks carry no context: the reading in progress. */
struct reading {
    const char *path;
    char folder[CONFIG_PATH_MAX];
    char *error;
    size_t error_bytes;
};
static _Thread_local struct reading *reading_now;

struct unit {
    const char *name;
    uint64_t factor;
};
static const struct unit size_units[] = {
    {"B", 1},     {"KiB", 1ull << 10}, {"MiB", 1ull << 20}, {"GiB", 1ull << 30},
    {"kB", 1000}, {"MB", 1000000},     {"GB", 1000000000},  {NULL, 0}};
static const struct unit time_units[] = {{"ms", 1},      {"s", 1000},     {"m", 60000},
                                         {"h", 3600000}, {"d", 86400000}, {NULL, 0}};

static const char *number_parse(const char *text, const struct unit *units, uint64_t *value) {
    uint64_t number, factor = 1;
    if (text[0] < '0' || text[0] > '9')
        return "a number is wanted";
    if (!decimal_take(&text, &number))
        return "the number is too large";
    if (units) {
        while (*text == ' ')
            text++;
        while (units->name && strcmp(units->name, text) != 0)
            units++;
        if (!units->name)
            return units == time_units || *text == '\0' ? "a unit is wanted"
                                                        : "the unit is unknown";
        factor = units->factor;
    } else if (*text) {
        return "a plain number is wanted";
    }
    return __builtin_mul_overflow(number, factor, value) ? "the number is too large" : NULL;
}

static const char *number_set(const struct config_key *key, const char *text, void *field) {
    const struct unit *units = NULL;
    if (key->type == CONFIG_SIZE)
        units = size_units;
    if (key->type == CONFIG_DURATION)
        units = time_units;
    uint64_t value;
    const char *reason = number_parse(text, units, &value);
    if (reason)
        return reason;
    if (value < key->min)
        return "the value is too small";
    if (value > key->max)
        return "the value is too large";
    if (key->bytes == sizeof(uint32_t))
        *(uint32_t *)field = (uint32_t)value;
    else
        *(uint64_t *)field = value;
    return NULL;
}

/* "~/x" and relative paths made absolute. */
static const char *path_set(const char *folder, const char *text, char *field, size_t bytes) {
    int length;
    const char *home = getenv("HOME");
    if (text[0] == '\0')
        return "a path is wanted";
    if (text[0] == '~' && text[1] == '/') {
        if (!home)
            return "\"~/\" needs the environment's HOME";
        length = snprintf(field, bytes, "%s%s", home, text + 1);
    } else if (text[0] == '/') {
        length = snprintf(field, bytes, "%s", text);
    } else {
        length = snprintf(field, bytes, "%s/%s", folder, text);
    }
    return (size_t)length < bytes ? NULL : "the path is too long";
}

static const char *program_set(const char *folder, const char *text, char *field, size_t bytes) {
    if (text[0] && strchr(text, '/')) {
        const char *reason = path_set(folder, text, field, bytes);
        if (reason)
            return reason;
        return access(field, X_OK) == 0 ? NULL : "this program is not there or can't be run";
    }
    return (size_t)snprintf(field, bytes, "%s", text) < bytes ? NULL : "the name is too long";
}

static const char *text_set(const struct config_key *key, const char *text, char *field) {
    size_t length = strlen(text);
    if (length < key->min)
        return "the value is too short";
    if (length > key->max || length >= key->bytes)
        return "the value is too long";
    memcpy(field, text, length + 1);
    return NULL;
}

static const char *addresses_set(const char *const *texts, unsigned count, struct config *config) {
    if (count < 1 || count > CONFIG_ADDRESSES_MAX)
        return "between one and eight addresses are wanted";
    for (unsigned i = 0; i < count; i++)
        if (socket_address_parse(texts[i], 0, &config->listen[i]))
            return "an address is written 127.0.0.1:7700 or [::1]:7700";
    config->listen_count = count;
    return NULL;
}

static const char *proxies_set(const char *const *texts, unsigned count, struct config *config) {
    struct socket_address address;
    if (count > CONFIG_ADDRESSES_MAX)
        return "at most eight addresses are wanted";
    if (count == 1 && texts[0][0] == '\0')
        count = 0;
    for (unsigned i = 0; i < count; i++) {
        if (socket_address_parse(texts[i], 0, &address) || address.port)
            return "an address without a port is wanted, 10.0.0.2 or fd00::2";
        address_of_socket(&address, config->proxies[i]);
    }
    config->proxy_count = count;
    return NULL;
}

static const char *switch_set(const char *text, bool *field) {
    bool on = strcmp(text, "on") == 0;
    if (!on && strcmp(text, "off") != 0)
        return "on or off is wanted";
    *field = on;
    return NULL;
}

/* One of the key's words, whole. The reason names them. */
static const char *word_set(const struct config_key *key, const char *text, char *field) {
    static _Thread_local char reason[128];
    const char *words = config_words[key->min];
    size_t length = strlen(text);
    const char *at = length > 0 && !strchr(text, ' ') ? words : NULL;
    for (; at; at = strchr(at, ' ')) {
        at += *at == ' ';
        if (strncmp(at, text, length) == 0 && (at[length] == ' ' || at[length] == '\0')) {
            CHECK(length < key->bytes);
            memcpy(field, text, length + 1);
            return NULL;
        }
    }
    snprintf(reason, sizeof(reason), "one of these is wanted: %s", words);
    return reason;
}

/* Converts what the file says; NULL or the reason why it is refused. */
static const char *value_set(const struct config_key *key, const char *folder,
                             const char *const *texts, unsigned count, struct config *config) {
    void *field = (char *)config + key->offset;
    if (key->type == CONFIG_ADDRESSES)
        return addresses_set(texts, count, config);
    if (key->type == CONFIG_PROXIES)
        return proxies_set(texts, count, config);
    if (count != 1)
        return "one value is wanted";
    switch (key->type) {
    case CONFIG_TEXT:
        return text_set(key, texts[0], field);
    case CONFIG_PATH:
        return path_set(folder, texts[0], field, key->bytes);
    case CONFIG_PROGRAM:
        return program_set(folder, texts[0], field, key->bytes);
    case CONFIG_SWITCH:
        return switch_set(texts[0], field);
    case CONFIG_WORD:
        return word_set(key, texts[0], field);
    case CONFIG_ADDRESS:
        config->metrics_on = strcmp(texts[0], "off") != 0;
        if (config->metrics_on && socket_address_parse(texts[0], 0, &config->metrics))
            return "an address is written 127.0.0.1:7780 or [::1]:7780; or off";
        return NULL;
    default:
        return number_set(key, texts[0], field);
    }
}

const struct config_key *config_key_find(const char *name) {
    for (size_t i = 0; i < config_key_count; i++)
        if (strcmp(config_keys[i].name, name) == 0)
            return &config_keys[i];
    return NULL;
}

const char *config_value_set(const struct config_key *key, const char *text,
                             struct config *config) {
    return value_set(key, "", &text, 1, config);
}

static void on_error(cfg_t *cfg, const char *format, va_list arguments) {
    struct reading *reading = reading_now;
    if (reading->error[0]) /* the first mistake is the one to mend */
        return;
    int length = snprintf(reading->error, reading->error_bytes, "%s:%d: ", reading->path,
                          cfg ? cfg->line : 0);
    if (length > 0 && (size_t)length < reading->error_bytes)
        vsnprintf(reading->error + length, reading->error_bytes - (size_t)length, format,
                  arguments);
}

static unsigned option_texts(cfg_opt_t *option, const char *texts[CONFIG_ADDRESSES_MAX + 1]) {
    unsigned count = cfg_opt_size(option);
    for (unsigned i = 0; i < count && i <= CONFIG_ADDRESSES_MAX; i++)
        texts[i] = cfg_opt_getnstr(option, i);
    return count;
}

static int on_option(cfg_t *cfg, cfg_opt_t *option) {
    const struct config_key *key = config_key_find(option->name);
    const char *texts[CONFIG_ADDRESSES_MAX + 1];
    unsigned count = option_texts(option, texts);
    struct config *scratch = calloc(1, sizeof(*scratch));
    if (!scratch)
        abort();
    const char *reason = value_set(key, reading_now->folder, texts, count, scratch);
    free(scratch);
    if (reason)
        cfg_error(cfg, "%s: %s", option->name, reason);
    return reason ? -1 : 0;
}

/* The options of the table, and `section` (may be NULL) behind them. */
static void options_fill(cfg_opt_t *options, cfg_opt_t *section) {
    size_t n = 0;
    for (; n < config_key_count; n++) {
        const char *name = config_keys[n].name;
        enum config_type type = config_keys[n].type;
        options[n] = type == CONFIG_ADDRESSES || type == CONFIG_PROXIES
                         ? (cfg_opt_t)CFG_STR_LIST(name, NULL, CFGF_NODEFAULT)
                         : (cfg_opt_t)CFG_STR(name, NULL, CFGF_NODEFAULT);
        options[n].validcb = on_option;
    }
    if (section)
        options[n++] =
            (cfg_opt_t)CFG_SEC("node", section, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES);
    options[n] = (cfg_opt_t)CFG_END();
}

/* How many texts the file gives for a key. */
static unsigned said_of(cfg_t *cfg, const struct config_key *key,
                        const char *texts[CONFIG_ADDRESSES_MAX + 1]) {
    unsigned count = option_texts(cfg_getopt(cfg, key->name), texts);
    return count && texts[0] ? count : 0;
}

static void values_apply(cfg_t *cfg, const struct reading *reading, struct config *config) {
    const char *texts[CONFIG_ADDRESSES_MAX + 1];
    for (size_t i = 0; i < config_key_count; i++) {
        unsigned count = said_of(cfg, &config_keys[i], texts);
        if (count)
            CHECK(!value_set(&config_keys[i], reading->folder, texts, count, config));
    }
}

/* Of the keys that the file does not say; one of them needs the environment's HOME. */
static int defaults_apply(cfg_t *cfg, cfg_t *section, const struct reading *reading,
                          struct config *config) {
    const char *texts[CONFIG_ADDRESSES_MAX + 1];
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        if (said_of(cfg, key, texts) || (section && said_of(section, key, texts)))
            continue;
        const char *text = key->fallback;
        const char *reason = value_set(key, reading->folder, &text, 1, config);
        if (!reason)
            continue;
        snprintf(reading->error, reading->error_bytes,
                 "%s: %s is not said, and would be \"%s\": %s", reading->path, key->name, text,
                 reason);
        return -EINVAL;
    }
    return 0;
}

/* The section of the node that was asked for; NULL with no error: the file has none. */
static int node_choose(cfg_t *cfg, const char *name, const struct reading *reading,
                       cfg_t **section) {
    unsigned count = cfg_size(cfg, "node");
    *section = NULL;
    if (count == 0)
        return 0;
    if (!name && count == 1)
        *section = cfg_getnsec(cfg, "node", 0);
    else if (name)
        *section = cfg_gettsec(cfg, "node", name);
    if (*section)
        return 0;
    snprintf(reading->error, reading->error_bytes,
             name ? "%s: there is no node \"%s\" in it"
                  : "%s: it has several nodes; say which with --node",
             reading->path, name);
    return -EINVAL;
}

static int config_gather(cfg_t *cfg, const char *name, const struct reading *reading,
                         struct config *config) {
    cfg_t *section;
    int error = node_choose(cfg, name, reading, &section);
    if (error)
        return error;
    const char *title = section ? cfg_title(section) : name ? name : "node";
    if (strlen(title) == 0 || strlen(title) > CONFIG_NAME_MAX) {
        snprintf(reading->error, reading->error_bytes, "%s: a node's name has 1 to %d bytes",
                 reading->path, CONFIG_NAME_MAX);
        return -EINVAL;
    }
    error = defaults_apply(cfg, section, reading, config);
    if (error)
        return error;
    values_apply(cfg, reading, config);
    if (section)
        values_apply(section, reading, config);
    memcpy(config->name, title, strlen(title) + 1);
    if (config->limits.hold_ms_min > config->limits.hold_ms_max) {
        snprintf(reading->error, reading->error_bytes, "%s: hold_min is greater than hold_max",
                 reading->path);
        return -EINVAL;
    }
    return 0;
}

static int folder_of(const char *path, char folder[CONFIG_PATH_MAX]) {
    char real[PATH_MAX];
    if (!realpath(path, real))
        return -errno;
    char *slash = strrchr(real, '/');
    *slash = '\0';
    int length = snprintf(folder, CONFIG_PATH_MAX, "%s", real);
    return length < CONFIG_PATH_MAX ? 0 : -ENAMETOOLONG;
}

int config_read(const char *path, const char *name, struct config *config, char *error,
                size_t error_bytes) {
    struct reading reading = {.path = path, .error = error, .error_bytes = error_bytes};
    error[0] = '\0';
    int result = folder_of(path, reading.folder);
    if (result) {
        snprintf(error, error_bytes, "%s: %s", path, strerror(-result));
        return result;
    }
    CHECK(config_key_count + 2 <= KEYS_MAX);
    cfg_opt_t node_options[KEYS_MAX], options[KEYS_MAX];
    options_fill(node_options, NULL);
    options_fill(options, node_options);

    cfg_t *cfg = cfg_init(options, CFGF_NONE);
    struct config *fresh = calloc(1, sizeof(*fresh));
    if (!cfg || !fresh)
        abort();
    cfg_set_error_function(cfg, on_error);
    reading_now = &reading;
    int parsed = cfg_parse(cfg, path);
    if (parsed == CFG_SUCCESS)
        result = config_gather(cfg, name, &reading, fresh);
    else
        result = parsed == CFG_FILE_ERROR ? -EIO : -EINVAL;
    if (result && !error[0])
        snprintf(error, error_bytes, "%s: it can't be read", path);
    reading_now = NULL;
    cfg_free(cfg);
    if (!result)
        *config = *fresh;
    free(fresh);
    return result;
}
