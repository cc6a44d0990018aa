// SPDX-License-Identifier: Apache-2.0
//
// The measurements of `tern-bench actors` on CAF, the C++ Actor Framework, 0.17. README.md defines
// them.
//
//     caf_actors MEASUREMENT THREADS full|quick wall|cpu
//
// Prints a JSON object a line: name, value, unit. Rates are of a stretch that grew until it was
// long enough to be measured; what went before has warmed everything up. CAF 0.17 has no timer that
// could be canceled by itself, so timer_start_cancel is not here.
#include <algorithm>
#include <atomic>
#include <caf/all.hpp>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace caf;
using clock_type = std::chrono::steady_clock;

using ping_atom = atom_constant<atom("ping")>;
using pong_atom = atom_constant<atom("pong")>;
using number_atom = atom_constant<atom("number")>;
using sync_atom = atom_constant<atom("sync")>;
using start_atom = atom_constant<atom("start")>;

namespace {

bool quick, by_cpu;
std::atomic<long> reached{0};

void figure(const char *name, double value, const char *unit) {
    printf("{\"name\":\"%s\",\"value\":%.4f,\"unit\":\"%s\"}\n", name, value, unit);
    fflush(stdout);
}

// So many in a full run, a twentieth with `quick`.
long scaled(long full) {
    return quick ? full / 20 : full;
}

double resident_bytes() {
    long all = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == nullptr || fscanf(file, "%ld %ld", &all, &resident) != 2)
        abort();
    fclose(file);
    return double(resident) * double(sysconf(_SC_PAGESIZE));
}

// What rates are counted by: the clock's time, or the process's CPU with `cpu`.
double now_seconds() {
    timespec now;
    clock_gettime(by_cpu ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &now);
    return double(now.tv_sec) + double(now.tv_nsec) / 1e9;
}

// Waits until actors have counted so far.
void wait_for(long count) {
    while (reached.load(std::memory_order_acquire) < count)
        usleep(200);
}

void reach() {
    reached.fetch_add(1, std::memory_order_acq_rel);
}

template <class Run> double seconds(Run run) {
    double begin = now_seconds();
    run();
    return now_seconds() - begin;
}

// run(n) does the work of n and returns the seconds that its measured part took.
template <class Run> double stretch(long n, Run run) {
    double wanted = quick ? 0.05 : 0.3;
    for (;;) {
        reached = 0;
        double taken = run(n);
        if (taken >= wanted)
            return double(n) / taken;
        n = long(double(n) * std::min(16.0, std::max(2.0, 1.3 * wanted / (taken + 1e-6))));
    }
}

void end_all(const std::vector<actor> &actors) {
    for (auto &one : actors)
        anon_send_exit(one, exit_reason::kill);
}

// --- actors that begin and end

struct idle_actor : event_based_actor {
    using event_based_actor::event_based_actor;
    behavior make_behavior() override {
        return {[](start_atom) {}};
    }
};

struct exits_actor : event_based_actor {
    using event_based_actor::event_based_actor;
    behavior make_behavior() override {
        reach();
        return {};
    }
};

// Ends with its first message.
struct joins_actor : event_based_actor {
    using event_based_actor::event_based_actor;
    behavior make_behavior() override {
        return {[this](number_atom, int) {
            reach();
            quit();
        }};
    }
};

void idle(actor_system &system) {
    long n = scaled(1000000);
    std::vector<actor> all(static_cast<size_t>(n)); // its memory is touched before
    double before = resident_bytes();
    for (auto &one : all)
        one = system.spawn<idle_actor>();
    usleep(500000);
    figure("idle_bytes", (resident_bytes() - before) / double(n), "B");
}

double spawn_round(actor_system &system, long n) {
    std::vector<actor> all(static_cast<size_t>(n));
    double taken = seconds([&] {
        for (auto &one : all)
            one = system.spawn<joins_actor>();
    });
    reached = 0;
    for (auto &one : all)
        anon_send(one, number_atom::value, 1);
    wait_for(n);
    return double(n) / taken;
}

void spawn(actor_system &system) {
    std::vector<double> rates;
    auto end = clock_type::now() + std::chrono::seconds(2); // ending them takes its time
    for (int i = 0; i < 6 || (i < (quick ? 10 : 30) && clock_type::now() < end); i++)
        rates.push_back(spawn_round(system, 10000));
    rates.erase(rates.begin(), rates.begin() + 3);
    std::sort(rates.begin(), rates.end());
    figure("spawn", rates[rates.size() / 2], "1/s");
}

void spawn_exit(actor_system &system) {
    auto run = [&](long n) {
        return seconds([&] {
            for (long i = 0; i < n; i++)
                system.spawn<exits_actor>();
            wait_for(n);
        });
    };
    figure("spawn_exit", stretch(5000, run), "1/s");
}

void fork_join(actor_system &system) {
    auto run = [&](long n) {
        return seconds([&] {
            for (long i = 0; i < n; i++)
                anon_send(system.spawn<joins_actor>(), number_atom::value, 1);
            wait_for(n);
        });
    };
    figure("fork_join", stretch(5000, run), "1/s");
}

// --- actors that write to each other

struct pong_actor : event_based_actor {
    using event_based_actor::event_based_actor;
    behavior make_behavior() override {
        return {[this](ping_atom, const actor &from) { send(from, pong_atom::value); }};
    }
};

struct ping_actor : event_based_actor {
    ping_actor(actor_config &config, actor other, long count)
        : event_based_actor(config), pong(std::move(other)), left(count) {
    }
    behavior make_behavior() override {
        return {
            [this](start_atom) { send(pong, ping_atom::value, actor{this}); },
            [this](pong_atom) {
                if (--left > 0)
                    send(pong, ping_atom::value, actor{this});
                else
                    reach();
            },
        };
    }
    actor pong;
    long left;
};

void ping_pong(actor_system &system) {
    auto pong = system.spawn<pong_actor>();
    auto run = [&](long n) {
        auto ping = system.spawn<ping_actor>(pong, n);
        double taken = seconds([&] {
            anon_send(ping, start_atom::value);
            wait_for(1);
        });
        end_all({ping});
        return taken;
    };
    figure("ping_pong", 2 * stretch(20000, run), "1/s");
}

struct ring_actor : event_based_actor {
    using event_based_actor::event_based_actor;
    behavior make_behavior() override {
        return {
            [this](start_atom, const actor &after) { next = after; },
            [this](number_atom, long left) {
                if (left == 0)
                    reach();
                else
                    send(next, number_atom::value, left - 1);
            },
        };
    }
    actor next;
};

void thread_ring(actor_system &system) {
    std::vector<actor> ring;
    for (int i = 0; i < 100; i++)
        ring.push_back(system.spawn<ring_actor>());
    for (size_t i = 0; i < ring.size(); i++)
        anon_send(ring[i], start_atom::value, ring[(i + 1) % ring.size()]);
    auto run = [&](long n) {
        return seconds([&] {
            anon_send(ring[0], number_atom::value, n);
            wait_for(1);
        });
    };
    figure("thread_ring", stretch(40000, run), "1/s");
}

struct sink_actor : event_based_actor {
    sink_actor(actor_config &config, long count) : event_based_actor(config), left(count) {
    }
    behavior make_behavior() override {
        return {
            [this](number_atom, int) {
                if (--left == 0)
                    reach();
            },
            [this](sync_atom, const actor &from) { send(from, pong_atom::value); },
        };
    }
    long left;
};

// 256 messages, then a wait for the acknowledgement, so that no mailbox grows.
struct sender_actor : event_based_actor {
    sender_actor(actor_config &config, actor to, long count)
        : event_based_actor(config), sink(std::move(to)), left(count) {
    }
    void burst() {
        if (left <= 0)
            return;
        for (int i = 0; i < 256 && left > 0; i++, left--)
            send(sink, number_atom::value, i);
        send(sink, sync_atom::value, actor{this});
    }
    behavior make_behavior() override {
        return {[this](start_atom) { burst(); }, [this](pong_atom) { burst(); }};
    }
    actor sink;
    long left;
};

void many_to_one(actor_system &system, const char *name, long count) {
    auto run = [&](long each) {
        std::vector<actor> senders;
        auto sink = system.spawn<sink_actor>(count * each);
        for (long i = 0; i < count; i++)
            senders.push_back(system.spawn<sender_actor>(sink, each));
        double taken = seconds([&] {
            for (auto &one : senders)
                anon_send(one, start_atom::value);
            wait_for(1);
        });
        end_all(senders);
        end_all({sink});
        return taken;
    };
    figure(name, double(count) * stretch(40000 / count, run), "1/s");
}

struct big_actor : event_based_actor {
    big_actor(actor_config &config, const std::vector<actor> *others, long count,
              unsigned long seed)
        : event_based_actor(config), all(others), left(count), random(seed) {
    }
    void ping() {
        random = random * 48271 % 2147483647;
        send((*all)[random % all->size()], ping_atom::value, actor{this});
    }
    behavior make_behavior() override {
        return {
            [this](start_atom) { ping(); },
            [this](ping_atom, const actor &from) { send(from, pong_atom::value); },
            [this](pong_atom) {
                if (--left == 0)
                    reach();
                else
                    ping();
            },
        };
    }
    const std::vector<actor> *all;
    long left;
    unsigned long random;
};

void big(actor_system &system) {
    const long actors = 1000;
    auto run = [&](long n) {
        auto *all = new std::vector<actor>; // actors that end late may still look at it
        for (long i = 0; i < actors; i++)
            all->push_back(system.spawn<big_actor>(all, n, static_cast<unsigned long>(i + 1)));
        double taken = seconds([&] {
            for (auto &one : *all)
                anon_send(one, start_atom::value);
            wait_for(actors);
        });
        end_all(*all);
        return taken;
    };
    figure("big", 2.0 * double(actors) * stretch(20, run), "1/s");
}

// The last receiver acknowledges every fourth message.
struct receiver_actor : event_based_actor {
    receiver_actor(actor_config &config, long count, bool answers)
        : event_based_actor(config), left(count), is_last(answers) {
    }
    behavior make_behavior() override {
        return {[this](number_atom, long number, const actor &from) {
            if (is_last && number % 4 == 0)
                send(from, pong_atom::value);
            if (--left == 0)
                reach();
        }};
    }
    long left;
    bool is_last;
};

struct multicast_actor : event_based_actor {
    multicast_actor(actor_config &config, std::vector<actor> to, long count)
        : event_based_actor(config), receivers(std::move(to)), left(count) {
    }
    void more() {
        while (left > 0) {
            auto news = make_message(number_atom::value, left, actor{this}); // one for all
            for (auto &one : receivers)
                send(one, news);
            if (left-- % 4 == 0)
                return;
        }
    }
    behavior make_behavior() override {
        return {[this](start_atom) { more(); }, [this](pong_atom) { more(); }};
    }
    std::vector<actor> receivers;
    long left;
};

void multicast(actor_system &system) {
    const long count = 256;
    auto run = [&](long n) {
        std::vector<actor> receivers;
        for (long i = 0; i < count; i++)
            receivers.push_back(system.spawn<receiver_actor>(n, i == count - 1));
        auto sender = system.spawn<multicast_actor>(receivers, n);
        double taken = seconds([&] {
            anon_send(sender, start_atom::value);
            wait_for(count);
        });
        end_all(receivers);
        end_all({sender});
        return taken;
    };
    figure("multicast_256", double(count) * stretch(50, run), "1/s");
}

struct hot_actor : event_based_actor {
    using event_based_actor::event_based_actor;
    behavior make_behavior() override {
        return {[](ping_atom) {}};
    }
};

struct light_actor : event_based_actor {
    light_actor(actor_config &config, actor other) : event_based_actor(config), hot(other) {
    }
    behavior make_behavior() override {
        return {
            [this](start_atom, const actor &after) { next = after; },
            [this](number_atom, long left) {
                if (left == 0) {
                    reach();
                    return;
                }
                if (hot)
                    send(hot, ping_atom::value);
                send(next, number_atom::value, left - 1);
            },
        };
    }
    actor next, hot;
};

// 999 pass on a token each, n times in all; the hot one gets as many messages.
double skew_rate(actor_system &system, const actor &hot) {
    const long count = 999;
    auto run = [&](long each) {
        std::vector<actor> light;
        for (long i = 0; i < count; i++)
            light.push_back(system.spawn<light_actor>(hot));
        for (size_t i = 0; i < light.size(); i++)
            anon_send(light[i], start_atom::value, light[(i + 1) % light.size()]);
        double taken = seconds([&] {
            for (auto &one : light)
                anon_send(one, number_atom::value, each);
            wait_for(count);
        });
        end_all(light);
        return taken;
    };
    return double(count) * stretch(50, run);
}

void skew(actor_system &system) {
    double without = skew_rate(system, actor{});
    figure("skew", skew_rate(system, system.spawn<hot_actor>()) / without, "share");
}

// --- time

struct timers_actor : event_based_actor {
    using event_based_actor::event_based_actor;
    behavior make_behavior() override {
        return {
            [](pong_atom) {},
            [this](start_atom) {
                long n = scaled(1000000);
                double before = resident_bytes();
                for (long i = n; i > 0; i--)
                    delayed_send(this, std::chrono::milliseconds(600000 + i * 7919 % 600000),
                                 pong_atom::value);
                usleep(100000);
                figure("timer_bytes", (resident_bytes() - before) / double(n), "B");
                reach();
            },
        };
    }
};

void timers(actor_system &system) {
    anon_send(system.spawn<timers_actor>(), start_atom::value);
    wait_for(1);
}

std::atomic<bool> handled;

struct sleeper_actor : event_based_actor {
    using event_based_actor::event_based_actor;
    behavior make_behavior() override {
        return {[this](number_atom, long sent) {
            auto now = clock_type::now().time_since_epoch();
            waits.push_back(double(std::chrono::nanoseconds(now).count() - sent) / 1e3);
            handled = true;
        }};
    }
    static std::vector<double> waits;
};
std::vector<double> sleeper_actor::waits;

// The waker's core is busy until the other has handled the message, so that it is that one which
// wakes: CAF's workers look for work every 10 ms when they have had none for long.
struct waker_actor : event_based_actor {
    waker_actor(actor_config &config, actor other)
        : event_based_actor(config), sleeper(std::move(other)) {
    }
    behavior make_behavior() override {
        return {[this](start_atom) {
            auto end = clock_type::now() + std::chrono::milliseconds(quick ? 300 : 2000);
            for (int i = 0; i < (quick ? 100 : 500) && clock_type::now() < end; i++) {
                usleep(2000);
                handled = false;
                auto now = clock_type::now().time_since_epoch();
                send(sleeper, number_atom::value, long(std::chrono::nanoseconds(now).count()));
                while (!handled)
                    ;
            }
            reach();
        }};
    }
    actor sleeper;
};

void wake(actor_system &system) {
    auto sleeper = system.spawn<sleeper_actor>();
    anon_send(system.spawn<waker_actor>(sleeper), start_atom::value);
    wait_for(1);
    auto &waits = sleeper_actor::waits;
    std::sort(waits.begin(), waits.end());
    figure("wake_p50_us", waits[waits.size() / 2], "us");
    figure("wake_p99_us", waits[waits.size() * 99 / 100], "us");
}

const std::map<std::string, std::function<void(actor_system &)>> measurements = {
    {"idle", idle},
    {"spawn", spawn},
    {"spawn_exit", spawn_exit},
    {"fork_join", fork_join},
    {"ping_pong", ping_pong},
    {"thread_ring", thread_ring},
    {"counting", [](actor_system &system) { many_to_one(system, "counting", 1); }},
    {"many_to_one_8", [](actor_system &system) { many_to_one(system, "many_to_one_8", 8); }},
    {"many_to_one_64", [](actor_system &system) { many_to_one(system, "many_to_one_64", 64); }},
    {"big", big},
    {"multicast_256", multicast},
    {"skew", skew},
    {"timers", timers},
    {"wake", wake},
};

} // namespace

int main(int count, char **values) {
    auto found = count == 5 ? measurements.find(values[1]) : measurements.end();
    if (found == measurements.end()) {
        fprintf(stderr, "usage: caf_actors MEASUREMENT THREADS full|quick wall|cpu\n");
        return 64;
    }
    quick = std::string(values[3]) == "quick";
    by_cpu = std::string(values[4]) == "cpu";
    actor_system_config config;
    config.set("scheduler.max-threads", size_t(std::stoul(values[2])));
    actor_system system{config};
    found->second(system);
    _exit(0); // without waiting for a million actors to end
}
