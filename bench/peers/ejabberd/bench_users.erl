%% SPDX-License-Identifier: Apache-2.0
%% Makes the users u0, u1, ... (password "p") as soon as ejabberd is up, then the file that says so.
-module(bench_users).
-export([start/0]).

start() -> spawn(fun() -> wait() end).

wait() ->
    case catch register_user(0) of
        ok -> fill();
        {error, exists} -> fill();
        _ -> timer:sleep(200), wait()
    end.

fill() ->
    [register_user(I) || I <- lists:seq(1, list_to_integer(os:getenv("BENCH_USERS")) - 1)],
    file:write_file(os:getenv("BENCH_READY"), <<"ok">>).

register_user(I) ->
    ejabberd_auth:try_register(<<"u", (integer_to_binary(I))/binary>>, <<"localhost">>, <<"p">>).
