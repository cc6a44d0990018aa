%% SPDX-License-Identifier: Apache-2.0
%% The measurements of `tern-bench actors` on Erlang: a process is an actor. README.md defines them.
%%
%%   erl +S THREADS:THREADS +P 4000000 -noshell -noinput -pa DIR \
%%       -run beam_actors main MEASUREMENT full|quick wall|cpu
%%
%% Prints a JSON object a line: name, value, unit. Rates are of a stretch that grew until it was long
%% enough to be measured (stretch/2); what went before has warmed everything up.
-module(beam_actors).
-export([main/1, idle/0, hibernating/0, stopped_by/1, exits/1, joins/1, pong/0, ring/1, sink/2,
         sender/3, big/4, receiver/3, light/1, hot/0, sleeper/3]).

main([Measurement, Size, Clock]) ->
    put(quick, Size =:= "quick"),
    put(cpu, Clock =:= "cpu"),
    erlang:garbage_collect(),
    measure(list_to_atom(Measurement)),
    erlang:halt(0).

figure(Name, Value, Unit) ->
    io:format("{\"name\":\"~s\",\"value\":~.4f,\"unit\":\"~s\"}~n", [Name, float(Value), Unit]).

%% So many in a full run, a twentieth with `quick`.
scaled(Full) ->
    case get(quick) of true -> Full div 20; false -> Full end.

resident_bytes() ->
    {ok, Text} = file:read_file("/proc/self/statm"),
    [_, Pages | _] = string:lexemes(binary_to_list(Text), " "),
    list_to_integer(Pages) * 4096.

%% What rates are counted by: the clock's time, or the process's CPU with `cpu`.
now_seconds() ->
    case get(cpu) of
        true -> element(1, erlang:statistics(runtime)) / 1.0e3;
        false -> erlang:monotonic_time(nanosecond) / 1.0e9
    end.

seconds(Function) ->
    Begin = now_seconds(),
    Function(),
    now_seconds() - Begin.

%% Run(N) does the work of N and returns the seconds that its measured part took.
stretch(N, Run) ->
    Wanted = case get(quick) of true -> 0.05; false -> 0.3 end,
    case Run(N) of
        Seconds when Seconds >= Wanted -> N / Seconds;
        Seconds -> stretch(trunc(N * min(16, max(2, 1.3 * Wanted / max(Seconds, 1.0e-6)))), Run)
    end.

times(0, _) -> ok;
times(N, Function) -> Function(), times(N - 1, Function).

wait_for_count(Counter, N) ->
    case counters:get(Counter, 1) of
        N -> ok;
        _ -> timer:sleep(1), wait_for_count(Counter, N)
    end.

wait_for(0, _) -> ok;
wait_for(N, What) -> receive What -> wait_for(N - 1, What) end.

end_all(Processes) -> [exit(Process, kill) || Process <- Processes].

%% --- actors that begin and end

measure(idle) ->
    idle_bytes("idle_bytes", fun() -> spawn(?MODULE, idle, []) end),
    idle_bytes("idle_bytes_hibernated", fun() -> spawn(?MODULE, hibernating, []) end);
measure(spawn) ->
    Rounds = case get(quick) of true -> 10; false -> 30 end,
    Rates = [spawn_round(10000) || _ <- lists:seq(1, Rounds)],
    Warm = lists:sort(lists:nthtail(3, Rates)),
    figure("spawn", lists:nth((length(Warm) + 1) div 2, Warm), "1/s");
measure(spawn_exit) ->
    figure("spawn_exit", stretch(20000, fun(N) ->
        Counter = counters:new(1, []),
        seconds(fun() ->
            times(N, fun() -> spawn(?MODULE, exits, [Counter]) end),
            wait_for_count(Counter, N)
        end)
    end), "1/s");
measure(fork_join) ->
    figure("fork_join", stretch(20000, fun(N) ->
        Counter = counters:new(1, []),
        seconds(fun() ->
            times(N, fun() -> spawn(?MODULE, joins, [Counter]) ! {add, 1} end),
            wait_for_count(Counter, N)
        end)
    end), "1/s");

%% --- actors that write to each other

measure(ping_pong) ->
    Pong = spawn(?MODULE, pong, []),
    figure("ping_pong", 2 * stretch(50000, fun(N) ->
        seconds(fun() -> ping(N, Pong) end)
    end), "1/s");
measure(thread_ring) ->
    Me = self(),
    Ring = [spawn(?MODULE, ring, [Me]) || _ <- lists:seq(1, 100)],
    [Process ! {next, Next} || {Process, Next} <- lists:zip(Ring, tl(Ring) ++ [hd(Ring)])],
    figure("thread_ring", stretch(100000, fun(N) ->
        seconds(fun() -> hd(Ring) ! {token, N}, wait_for(1, done) end)
    end), "1/s");
measure(counting) -> many_to_one("counting", 1);
measure(many_to_one_8) -> many_to_one("many_to_one_8", 8);
measure(many_to_one_64) -> many_to_one("many_to_one_64", 64);
measure(big) ->
    Me = self(),
    figure("big", 2000 * stretch(50, fun(N) ->
        All = [spawn(?MODULE, big, [Me, Seed, N, none]) || Seed <- lists:seq(1, 1000)],
        Tuple = list_to_tuple(All),
        Seconds = seconds(fun() -> [P ! {go, Tuple} || P <- All], wait_for(1000, done) end),
        end_all(All),
        Seconds
    end), "1/s");
measure(multicast_256) ->
    Me = self(),
    figure("multicast_256", 256 * stretch(100, fun(N) ->
        All = [spawn(?MODULE, receiver, [Me, N, Index]) || Index <- lists:seq(1, 256)],
        Seconds = seconds(fun() -> multicast(N, All), wait_for(256, done) end),
        end_all(All),
        Seconds
    end), "1/s");
measure(skew) ->
    Without = skew_rate(none),
    Hot = spawn(?MODULE, hot, []),
    figure("skew", skew_rate(Hot) / Without, "share");

%% --- time

measure(timers) ->
    N = scaled(1000000), Me = self(),
    resident_bytes(), timer:sleep(50),
    Before = resident_bytes(),
    times_counted(N, fun(Index) -> start_timer(Index, Me) end),
    timer:sleep(100),
    figure("timer_bytes", (resident_bytes() - Before) / N, "B"),
    figure("timer_start_cancel", stretch(20000, fun(Pairs) ->
        seconds(fun() ->
            times_counted(Pairs, fun(Index) -> erlang:cancel_timer(start_timer(Index, Me)) end)
        end)
    end), "1/s");
measure(wake) ->
    Me = self(), Seen = atomics:new(1, []),
    Sleeper = spawn_opt(?MODULE, sleeper, [Me, Seen, []], [{scheduler, 2}]),
    Wakes = case get(quick) of true -> 100; false -> 500 end,
    spawn_opt(fun() -> waker(Wakes, Sleeper, Seen) end, [{scheduler, 1}]),
    receive {waits, Waits} -> ok end,
    Sorted = lists:sort(Waits),
    figure("wake_p50_us", lists:nth(length(Sorted) div 2, Sorted) / 1000, "us"),
    figure("wake_p99_us", lists:nth(length(Sorted) * 99 div 100, Sorted) / 1000, "us").

%% --- of idle, spawn, spawn_exit, fork_join

idle() -> receive stop -> ok end.
hibernating() -> erlang:hibernate(?MODULE, idle, []).

idle_bytes(Name, Spawn) ->
    N = scaled(1000000),
    resident_bytes(), timer:sleep(50),
    Before = resident_bytes(),
    times(N, Spawn),
    timer:sleep(500),
    figure(Name, (resident_bytes() - Before) / N, "B").

stopped_by(Counter) -> receive stop -> counters:add(Counter, 1, 1) end.

spawn_round(N) ->
    Counter = counters:new(1, []),
    Begin = now_seconds(),
    All = spawn_all(N, Counter, []),
    Seconds = now_seconds() - Begin,
    [Process ! stop || Process <- All],
    wait_for_count(Counter, N),
    N / max(Seconds, 1.0e-3).

spawn_all(0, _, All) -> All;
spawn_all(N, Counter, All) -> spawn_all(N - 1, Counter, [spawn(?MODULE, stopped_by, [Counter]) | All]).

exits(Counter) -> counters:add(Counter, 1, 1).
joins(Counter) -> receive {add, N} -> counters:add(Counter, 1, N) end.

%% --- of ping_pong, thread_ring, counting, many_to_one

ping(0, _) -> ok;
ping(N, Pong) -> Pong ! {ping, self()}, receive pong -> ping(N - 1, Pong) end.
pong() -> receive {ping, From} -> From ! pong, pong() end.

ring(Main) -> receive {next, Next} -> ring(Main, Next) end.
ring(Main, Next) ->
    receive
        {token, 0} -> Main ! done;
        {token, N} -> Next ! {token, N - 1}
    end,
    ring(Main, Next).

many_to_one(Name, Count) ->
    Me = self(),
    figure(Name, Count * stretch(100000 div Count, fun(Each) ->
        Sink = spawn(?MODULE, sink, [Me, Count * Each]),
        All = [spawn(?MODULE, sender, [Sink, Each, go]) || _ <- lists:seq(1, Count)],
        Seconds = seconds(fun() -> [P ! go || P <- All], wait_for(1, done) end),
        end_all([Sink | All]),
        Seconds
    end), "1/s").

sink(Main, 0) -> Main ! done;
sink(Main, N) ->
    receive
        {increment, _} -> sink(Main, N - 1);
        {sync, From} -> From ! acknowledge, sink(Main, N)
    end.

%% 256 messages, then a wait for the acknowledgement, so that no mailbox grows.
sender(_, 0, _) -> ok;
sender(Sink, N, What) ->
    receive What -> ok end,
    Burst = min(N, 256),
    increments(Sink, Burst),
    Sink ! {sync, self()},
    sender(Sink, N - Burst, acknowledge).

increments(_, 0) -> ok;
increments(Sink, N) -> Sink ! {increment, N}, increments(Sink, N - 1).

%% --- of big

big(Main, Random, Left, none) ->
    receive {go, All} -> big(Main, big_ping(Random, All), Left, All) end;
big(Main, Random, Left, All) -> % goes on answering when its own pings are through
    receive
        {ping, From} -> From ! pong, big(Main, Random, Left, All);
        pong when Left =:= 1 -> Main ! done, big(Main, Random, 0, All);
        pong -> big(Main, big_ping(Random, All), Left - 1, All)
    end.

big_ping(Random, All) ->
    Next = Random * 48271 rem 2147483647,
    element(Next rem tuple_size(All) + 1, All) ! {ping, self()},
    Next.

%% --- of multicast_256: the last receiver acknowledges every fourth message

multicast(0, _) -> ok;
multicast(N, All) ->
    Message = {news, N, self()},
    [Process ! Message || Process <- All],
    case N rem 4 of 0 -> wait_for(1, acknowledge); _ -> ok end,
    multicast(N - 1, All).

receiver(Main, 0, _) -> Main ! done;
receiver(Main, Left, Index) ->
    receive
        {news, N, From} when Index =:= 256, N rem 4 =:= 0 -> From ! acknowledge;
        {news, _, _} -> ok
    end,
    receiver(Main, Left - 1, Index).

%% --- of skew: 999 pass on a token each, N times in all; the hot one gets as many messages

skew_rate(Hot) ->
    Me = self(),
    All = [spawn(?MODULE, light, [Me]) || _ <- lists:seq(1, 999)],
    [P ! {next, Next, Hot} || {P, Next} <- lists:zip(All, tl(All) ++ [hd(All)])],
    Rate = 999 * stretch(200, fun(Each) ->
        seconds(fun() -> [P ! {token, Each} || P <- All], wait_for(999, done) end)
    end),
    end_all(All),
    Rate.

light(Main) -> receive {next, Next, Hot} -> light(Main, Next, Hot) end.
light(Main, Next, Hot) ->
    receive
        {token, 0} -> Main ! done;
        {token, N} ->
            case Hot of none -> ok; _ -> Hot ! ping end,
            Next ! {token, N - 1}
    end,
    light(Main, Next, Hot).
hot() -> receive ping -> hot() end.

%% --- of timers, wake

times_counted(0, _) -> ok;
times_counted(N, Function) -> Function(N), times_counted(N - 1, Function).

start_timer(Index, To) -> erlang:start_timer(600000 + (Index * 7919) rem 600000, To, due).

%% The waker's core is busy until the other has handled the message, so that it is that one which wakes.
waker(0, Sleeper, _) -> Sleeper ! stop;
waker(N, Sleeper, Seen) ->
    timer:sleep(2),
    Sleeper ! {wake, erlang:monotonic_time(nanosecond)},
    spin(Seen),
    waker(N - 1, Sleeper, Seen).

spin(Seen) ->
    case atomics:exchange(Seen, 1, 0) of 1 -> ok; 0 -> spin(Seen) end.

sleeper(Main, Seen, Waits) ->
    receive
        {wake, Sent} ->
            Wait = erlang:monotonic_time(nanosecond) - Sent,
            atomics:put(Seen, 1, 1),
            sleeper(Main, Seen, [Wait | Waits]);
        stop -> Main ! {waits, Waits}
    end.
