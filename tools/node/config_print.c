/* SPDX-License-Identifier: Apache-2.0 */
/* The cluster file's reference and the values in force, from the same table as the parser. */
#include "tools/node/config.h"
#include "tools/node/config_keys.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *type_name(const struct config_key *key) {
    static const char *const names[] = {
        [CONFIG_TEXT] = "text",
        [CONFIG_PATH] = "path",
        [CONFIG_PROGRAM] = "program",
        [CONFIG_ADDRESS] = "address",
        [CONFIG_ADDRESSES] = "addresses",
        [CONFIG_PROXIES] = "addresses without ports",
        [CONFIG_COUNT] = "number",
        [CONFIG_SIZE] = "bytes, with unit",
        [CONFIG_DURATION] = "time, with unit",
        [CONFIG_SWITCH] = "on or off",
    };
    return key->type == CONFIG_WORD ? config_words[key->min] : names[key->type];
}

void config_print_reference(void) {
    printf("Keys of the cluster file, one `key = value` a line. Inside `node \"NAME\" { ... }`\n"
           "a key holds for that node alone.\n\n");
    for (size_t i = 0; i < config_key_count; i++)
        printf("%s = \"%s\"    # %s\n    %s\n\n", config_keys[i].name, config_keys[i].fallback,
               type_name(&config_keys[i]), config_keys[i].help);
}

static uint64_t number_of(const struct config_key *key, const struct config *config) {
    const void *field = (const char *)config + key->offset;
    return key->bytes == sizeof(uint32_t) ? *(const uint32_t *)field : *(const uint64_t *)field;
}

static void addresses_print(FILE *out, const struct socket_address *addresses, unsigned count) {
    char text[80];
    for (unsigned i = 0; i < count; i++) {
        socket_address_format(&addresses[i], text, sizeof(text));
        fprintf(out, "%s\"%s\"", i ? ", " : "", text);
    }
}

static void proxies_print(FILE *out, const struct config *config) {
    char text[INET6_ADDRSTRLEN];
    fprintf(out, "{");
    for (unsigned i = 0; i < config->proxy_count; i++)
        fprintf(out, "%s\"%s\"", i ? ", " : "",
                inet_ntop(AF_INET6, config->proxies[i], text, sizeof(text)));
    fprintf(out, "}");
}

static void value_print(FILE *out, const struct config_key *key, const struct config *config) {
    const void *field = (const char *)config + key->offset;
    switch (key->type) {
    case CONFIG_ADDRESSES:
        fprintf(out, "{");
        addresses_print(out, config->listen, config->listen_count);
        fprintf(out, "}");
        return;
    case CONFIG_PROXIES:
        proxies_print(out, config);
        return;
    case CONFIG_ADDRESS:
        if (config->metrics_on)
            addresses_print(out, &config->metrics, 1);
        else
            fprintf(out, "off");
        return;
    case CONFIG_COUNT:
        fprintf(out, "%" PRIu64, number_of(key, config));
        return;
    case CONFIG_SIZE:
        fprintf(out, "\"%" PRIu64 "B\"", number_of(key, config));
        return;
    case CONFIG_DURATION:
        fprintf(out, "\"%" PRIu64 "ms\"", number_of(key, config));
        return;
    case CONFIG_SWITCH:
        fprintf(out, "%s", *(const bool *)field ? "on" : "off");
        return;
    default:
        fprintf(out, "\"%s\"", (const char *)field);
    }
}

void config_print(const struct config *config) {
    printf("# node \"%s\"\n", config->name);
    for (size_t i = 0; i < config_key_count; i++) {
        printf("%s = ", config_keys[i].name);
        value_print(stdout, &config_keys[i], config);
        printf("\n");
    }
}

void config_value_text(const struct config_key *key, const struct config *config, char *text,
                       size_t bytes) {
    memset(text, 0, bytes);
    FILE *out = fmemopen(text, bytes, "w");
    CHECK(out);
    value_print(out, key, config);
    fclose(out);
    text[bytes - 1] = 0;
}
