/* SPDX-License-Identifier: Apache-2.0 */
/* Every key of the cluster file, in the order of the reference. */
#include "tools/node/config_keys.h"
#include "tools/node/config.h"

#define FIELD(member) offsetof(struct config, member), sizeof(((struct config *)0)->member)

#define SECOND 1000ull
#define DAY (86400 * SECOND)
#define MIB (1ull << 20)

const char *const config_words[] = {
    [CONFIG_WORDS_LOG_LEVEL] = "debug info warning error",
    [CONFIG_WORDS_REACTOR] = "auto io_uring libev",
};

const struct config_key config_keys[] = {
    {"cluster", CONFIG_TEXT, "tern", 1, CONFIG_NAME_MAX, FIELD(cluster),
     "The cluster's name. Nodes of another cluster are not talked to."},
    {"region", CONFIG_TEXT, "", 0, CONFIG_NAME_MAX, FIELD(region),
     "Where the node stands. The metrics of errors are told apart by it."},
    {"listen", CONFIG_ADDRESSES, "127.0.0.1:7700", 0, 0, FIELD(listen),
     "Addresses for devices (HTTP upgrade to WebSocket at /v1). A list: {\"a:1\", \"b:2\"}."},
    {"proxies", CONFIG_PROXIES, "", 0, 0, FIELD(proxies),
     "Load balancers in front of the node, by address: {\"10.0.0.2\", \"fd00::2\"}. What comes "
     "from "
     "them must begin with a header of the PROXY protocol, version 2, and limits per address are "
     "for "
     "the client that it names. Nobody else's header is believed."},
    {"metrics", CONFIG_ADDRESS, "127.0.0.1:7780", 0, 0, FIELD(metrics),
     "Address for GET /metrics in plain HTTP, or \"off\". Keep it off the open network."},
    {"home_address", CONFIG_TEXT, "", 0, 255, FIELD(home_address),
     "What devices are told to reconnect to (ws://host:port). Empty: where they came to."},
    {"data", CONFIG_PATH, "~/.local/share/tern/node", 0, 0, FIELD(data),
     "The node's data: keys (mode 0600) and the store. Made at the first start."},
    {"sms_command", CONFIG_PROGRAM, "", 0, 0, FIELD(sms_command),
     "Delivers registration codes: gets the phone number as its argument and the code on its "
     "standard input. Empty: nobody can register here."},
    {"shards", CONFIG_COUNT, "0", 0, 64, FIELD(shards), "Scheduler threads. 0: one per core."},
    {"pool_threads", CONFIG_COUNT, "0", 0, 64, FIELD(pool_threads),
     "Threads for what blocks (store, fsync). 0: four."},
    {"reactor", CONFIG_WORD, "auto", CONFIG_WORDS_REACTOR, 0, FIELD(reactor),
     "How sockets are served. io_uring: where the kernel allows it, which many containers don't. "
     "libev: everywhere, but each connection takes a descriptor of the process. auto: io_uring "
     "where "
     "it is allowed, else libev; the log says so."},
    {"batch_wait_us", CONFIG_COUNT, "200", 0, 10000, FIELD(batch_wait_us),
     "While a node is busy, an event may wait so many microseconds for others, and be handled with "
     "them: less CPU, later by as much. 0: each is handled at once."},
    {"store_memory", CONFIG_SIZE, "128MiB", 16 * MIB, 1ull << 40, FIELD(store_memory_bytes),
     "Memory of the store: caches and write buffers together."},
    {"store_reserve", CONFIG_SIZE, "64MiB", MIB, 1ull << 40, FIELD(store_reserve_bytes),
     "New mail is refused when less disk than this is free."},
    {"watchdog_budget_ms", CONFIG_COUNT, "25", 0, 60000, FIELD(watchdog_budget_ms),
     "A handler that runs longer is reported in the log, with where it is. 0: none is."},
    {"log_level", CONFIG_WORD, "info", CONFIG_WORDS_LOG_LEVEL, 0, FIELD(log_level),
     "How much the log says."},
    {"connections_max", CONFIG_COUNT, "1000000", 1, 1u << 30, FIELD(limits.connections_max),
     "Connections of the node."},
    {"connections_per_address", CONFIG_COUNT, "0", 0, 1u << 30,
     FIELD(limits.connections_per_address_max), "Connections from one address. 0: no limit."},
    {"accepts_per_second", CONFIG_COUNT, "0", 0, 1u << 30, FIELD(limits.accepts_per_second_max),
     "New connections per second from one address. 0: no limit."},
    {"handshake_timeout", CONFIG_DURATION, "10s", 100, 600 * SECOND,
     FIELD(limits.handshake_timeout_ms), "From accept to a device that is known or registers."},
    {"handshakes_waiting", CONFIG_COUNT, "1024", 0, 1u << 30, FIELD(limits.handshakes_waiting_max),
     "Of one shard, that have not begun; more are told to come again later. 0: no limit."},
    {"heartbeat", CONFIG_DURATION, "30s", 100, 3600 * SECOND, FIELD(limits.heartbeat_ms),
     "Devices are told to be heard this often; two and a half of them in silence is death."},
    {"heartbeats_per_second", CONFIG_COUNT, "2000", 0, 10000000,
     FIELD(limits.heartbeats_per_second_max),
     "With many connections devices are told longer intervals (up to 280 s), those who came before "
     "when they are next heard, so that all of them together stay below this. 0: the interval "
     "never grows."},
    {"mail_in_flight", CONFIG_COUNT, "256", 1, 65536, FIELD(limits.mail_in_flight_max),
     "Messages sent to a device that it has not acknowledged."},
    {"mail_in_flight_bytes", CONFIG_SIZE, "1MiB", 65536, 64 * MIB,
     FIELD(limits.mail_in_flight_bytes_max), "The same in bytes; whichever is first."},
    {"sends_in_flight", CONFIG_COUNT, "64", 1, 1024, FIELD(limits.sends_in_flight_max),
     "Sends of a device that have no answer yet."},
    {"queue_messages", CONFIG_COUNT, "10000", 1, 10000000, FIELD(limits.queue_messages_max),
     "Undelivered messages kept for one device."},
    {"queue_bytes", CONFIG_SIZE, "64MiB", 65536, 1ull << 40, FIELD(limits.queue_bytes_max),
     "The same in bytes; whichever is first."},
    {"sender_share", CONFIG_COUNT, "10", 1, 100, FIELD(limits.sender_share_percent),
     "How much of a device's queue one sender may fill, in percent."},
    {"mail_expiry", CONFIG_DURATION, "30d", SECOND, 3650 * DAY, FIELD(limits.mail_expiry_ms),
     "Mail that nobody fetched is deleted after this, and its sender is told."},
    {"hold", CONFIG_SWITCH, "on", 0, 0, FIELD(limits.hold),
     "Hold mail for devices that are online in memory for a moment instead of storing it at once."},
    {"hold_min", CONFIG_DURATION, "20ms", 0, 10 * SECOND, FIELD(limits.hold_ms_min),
     "The shortest such moment."},
    {"hold_max", CONFIG_DURATION, "300ms", 1, 10 * SECOND, FIELD(limits.hold_ms_max),
     "The longest."},
    {"mailbox_idle", CONFIG_DURATION, "60s", 10, DAY, FIELD(limits.mailbox_idle_ms),
     "A mailbox that nobody uses leaves memory after this."},
    {"code_expiry", CONFIG_DURATION, "10m", SECOND, DAY, FIELD(limits.code_expiry_ms),
     "How long a registration code is good for."},
    {"code_attempts", CONFIG_COUNT, "5", 1, 100, FIELD(limits.code_attempts_max),
     "Wrong codes before a code is void."},
    {"codes_per_number", CONFIG_COUNT, "5", 1, 1u << 30, FIELD(limits.codes_per_number_hour),
     "Codes sent to one phone number in an hour."},
    {"codes_per_prefix", CONFIG_COUNT, "1000", 1, 1u << 30, FIELD(limits.codes_per_prefix_hour),
     "Codes in an hour to numbers that share all but their last four digits."},
    {"codes_per_address", CONFIG_COUNT, "100", 1, 1u << 30, FIELD(limits.codes_per_address_hour),
     "Codes in an hour asked for from one network address."},
    {"codes_per_hour", CONFIG_COUNT, "10000", 1, 1u << 30, FIELD(limits.codes_per_hour),
     "Codes in an hour in all."},
    {"drain", CONFIG_DURATION, "10s", 0, 600 * SECOND, FIELD(limits.drain_ms),
     "On SIGTERM: how long connections may take to end in order."},
};
const size_t config_key_count = sizeof(config_keys) / sizeof(config_keys[0]);
