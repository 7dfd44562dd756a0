# SPDX-License-Identifier: Apache-2.0
"""What tools/race compares: the rows of its table, the peers, and what is unequal by nature. Tables only."""
from collections import namedtuple

# A row: the measure and n as a peer prints them; the label; the same measure at n and 10 n, for the growth of a cost.
Row = namedtuple("Row", "key label scale", defaults=[None])
ROWS = [
    Row("yield=2", "yield of 2 tasks"),
    Row("yield=1000", "yield of 1,000", ("yield=1000", "yield=10000")),
    Row("yield=10000", "yield of 10,000", ("yield=10000", "yield=100000")),
    Row("spawn=1000", "create + finish, 1,000 alive", ("spawn=1000", "spawn=10000")),
    Row("spawn=100000", "create + finish, 100,000 alive", ("spawn=100000", "spawn=1000000")),
    Row("gather=1000", "gather of 1,000", ("gather=1000", "gather=10000")),
    Row("wave=10000", "waves of 10,000 that suspend once", ("wave=10000", "wave=100000")),
    Row("future=1", "future round trip", ("future=1", "future=10")),
    Row("semaphore=1", "semaphore hand-over", ("semaphore=1", "semaphore=10")),
    Row("lock=2", "lock held over a yield", ("lock=2", "lock=20")),
    Row("queue=1", "queue of 1", ("queue=1", "queue=10")),
    Row("queue=1024", "queue of 1,024", ("queue=1024", "queue=10240")),
    Row("timed_semaphore=1", "semaphore wait with a time limit", ("timed_semaphore=1", "timed_semaphore=10")),
    Row("wait_for=1", "wait_for in time", ("wait_for=1", "wait_for=10")),
    Row("timer_start=1000000", "1 M timers: start", ("timer_start=100000", "timer_start=1000000")),
    Row("timer_cancel=1000000", "1 M timers: cancel", ("timer_cancel=100000", "timer_cancel=1000000")),
    Row("cancel_1=1000", "cancel a sleeper, 1 frame", ("cancel_1=1000", "cancel_1=10000")),
    Row("cancel_10=1000", "cancel a sleeper, 10 frames", ("cancel_10=1000", "cancel_10=10000")),
    Row("sleeper_bytes=20000", "20,000 sleepers: bytes each", ("sleeper_bytes=20000", "sleeper_bytes=200000")),
    Row("sleeper_wake=20000", "20,000 sleepers: wake and end", ("sleeper_wake=20000", "sleeper_wake=200000")),
    Row("post=1", "call_soon_threadsafe, 1 producer"),
    Row("post=4", "call_soon_threadsafe, 4 producers", ("post=4", "post=40")),
    Row("idle_call=1", "another thread to the idle loop and back"),
    Row("hello_start=1", "start to the first task"),
    Row("hello_bytes=1", "size of a stripped hello"),
]
GROWS = 1.3

# One process for each line, in each round: the words for the peer, repetitions. The first repetition is left out.
Run = namedtuple("Run", "words repeat")
RUNS = [
    Run(["yield=2", "yield=1000", "yield=10000"], 4),
    Run(["spawn=1000", "spawn=100000"], 3),
    Run(["gather=1000"], 4),
    Run(["wave=10000"], 4),
    Run(["future=1"], 4),
    Run(["semaphore=1", "lock=2"], 4),
    Run(["queue=1", "queue=1024"], 4),
    Run(["timed_semaphore=1"], 4),
    Run(["wait_for=1"], 4),
    Run(["timers=1000000"], 2),
    Run(["cancel_1=1000", "cancel_10=1000"], 6),
    Run(["sleepers=20000"], 1),
    Run(["post=1", "post=4"], 4),
    Run(["idle_call=1"], 4),
]
# aiofiber alone, after the rounds: what rows have at 10 n. The last ones take long and are left out of --quick.
SCALE_RUNS = [
    Run(["yield=1000", "yield=10000", "yield=100000"], 4),
    Run(["spawn=1000", "spawn=10000", "spawn=100000", "spawn=1000000"], 3),
    Run(["gather=1000", "gather=10000"], 4),
    Run(["wave=10000", "wave=100000"], 3),
    Run(["future=1", "future=10"], 4),
    Run(["semaphore=1", "semaphore=10", "lock=2", "lock=20"], 4),
    Run(["queue=1", "queue=10", "queue=1024", "queue=10240"], 4),
    Run(["timed_semaphore=1", "timed_semaphore=10", "wait_for=1", "wait_for=10"], 4),
    Run(["timers=100000", "timers=1000000"], 3),
    Run(["cancel_1=1000", "cancel_1=10000", "cancel_10=1000", "cancel_10=10000"], 4),
    Run(["post=4", "post=40"], 4),
    Run(["sleepers=20000"], 1),
    Run(["sleepers=200000"], 1),
]
QUICK_SCALE_RUNS = len(SCALE_RUNS) - 2
YARDSTICK = Run(["resume=1000000", "poll=50000", "page=1024", "clock=1000000", "idle_call=1"], 3)

# Cost and memory against the number of tasks, for the plots. A peer goes on to the next number while that is cheap.
TASK_COUNTS = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000]
MEMORY_COUNTS = [1_000, 10_000, 100_000, 1_000_000]

# A peer: its name; where its program is built from (see build.py); its command, its echo servers {name: command} and its hello
# program; the Debian packages that say its version. {build} and {source} are the folders; {python} is Debian's Python.
Peer = namedtuple("Peer", "name target command echo hello packages", defaults=[{}, "", ""])
PEERS = [
    Peer("aiofiber", "cmake peer_aiofiber hello_aiofiber", "{build}/bench/peers/peer_aiofiber",
         {"aiofiber, fd_wait": "{build}/bench/echo_wait_server", "aiofiber, hooks": "{build}/bench/echo_task_server"},
         "{build}/bench/peers/hello_aiofiber"),
    Peer("Boost.Fiber", "cmake peer_boost_fiber hello_boost_fiber", "{build}/bench/peers/peer_boost_fiber",
         hello="{build}/bench/peers/hello_boost_fiber", packages="libboost-fiber-dev"),
    Peer("State Threads", "cmake peer_state_threads hello_state_threads", "{build}/bench/peers/peer_state_threads",
         {"State Threads": "{build}/bench/peers/peer_state_threads echo"}, "{build}/bench/peers/hello_state_threads", "libst-dev"),
    Peer("Go", "go", "{build}/peer_go", {"Go": "{build}/peer_go echo"}, "{build}/hello_go", "golang-go"),
    Peer("Tokio", "cargo", "{build}/tokio/target/release/peer_tokio",
         {"Tokio": "{build}/tokio/target/release/peer_tokio echo"}, "{build}/tokio/target/release/hello_tokio", "librust-tokio-dev rustc"),
    Peer("asyncio", "python asyncio", "{python} {source}/asyncio_peer.py", {"asyncio": "{python} {source}/asyncio_peer.py echo"},
         "{python} {source}/hello/hello_asyncio.py", "python3"),
    Peer("uvloop", "python uvloop", "{python} {source}/asyncio_peer.py uvloop",
         {"uvloop": "{python} {source}/asyncio_peer.py uvloop echo"}, "{python} {source}/hello/hello_asyncio.py uvloop", "python3-uvloop"),
    Peer("gevent", "python gevent", "{python} {source}/gevent_peer.py", {"gevent": "{python} {source}/gevent_peer.py echo"},
         "{python} {source}/hello/hello_gevent.py", "python3-gevent"),
    Peer("Asio", "cmake peer_asio", "{build}/bench/peers/peer_asio", {"Asio": "{build}/bench/peers/peer_asio echo"},
         packages="libboost-dev"),
    Peer("libuv", "cmake peer_libuv", "{build}/bench/peers/peer_libuv", {"libuv": "{build}/bench/peers/peer_libuv echo"},
         packages="libuv1-dev"),
]
OURS = PEERS[0].name
ECHO_BASE = "raw libev"
ECHO_BASE_COMMAND = "{build}/bench/echo_libev_server"
ECHO_CONNECTIONS = [64, 1000]

# What is unequal by nature: (names of measures, peers, text). The table has the letter of the text in these cells.
UNEQUAL = [
    (["yield", "lock"], ["State Threads"], "st_usleep(0) is its yield; its loop polls after it"),
    (["yield"], ["Tokio"], "with few tasks its loop also polls after each turn"),
    (["gather"], ["State Threads", "Go"], "no call for it: threads are joined without results, goroutines write into a slice"),
    (["gather", "wave", "spawn"], ["Tokio"], "tasks without a stack; handles are awaited one after another"),
    (["semaphore", "timed_semaphore"], ["Boost.Fiber", "State Threads"],
     "no semaphore: a number and a condition variable, in Boost.Fiber with a mutex, too"),
    (["semaphore", "timed_semaphore", "future"], ["Go"], "channels of one item"),
    (["future"], ["Tokio"], "a request goes through a channel, the answer through a oneshot"),
    (["queue"], ["State Threads"], "no queue: a ring and two condition variables"),
    (["queue"], ["Boost.Fiber"], "safe between threads; holds one item less than its size"),
    (["wait_for"], ["asyncio", "uvloop"], "makes a task for each call"),
    (["wait_for"], ["Go"], "a context with a deadline; the call itself runs in the same goroutine"),
    (["timer_start", "timer_cancel"], ["libuv", "gevent"], "the timers' memory is the program's, or an object that is closed"),
    (["cancel_1", "cancel_10"], ["State Threads", "Go"], "nothing is unwound: the call returns early, and each frame returns by itself"),
    (["cancel_1", "cancel_10"], ["Tokio"], "the future is dropped, without an exception; its frames are on the heap"),
    (["sleeper_bytes", "sleeper_wake"], ["Tokio", "asyncio", "uvloop"], "no stack: a shallow task, which keeps only its variables"),
    (["sleeper_bytes", "sleeper_wake"], ["Boost.Fiber"], "plain stacks of 64 KiB without a guard, not pooled ones"),
    (["post"], ["Boost.Fiber", "Go"], "a number through a channel of 1,024, which makes producers wait; not a function"),
    (["post"], ["libuv"], "a list with a lock of the program's own, and one wake-up for several posts"),
    (["post"], ["Tokio"], "each post is a task of its own"),
    (["idle_call"], ["gevent", "libuv"], "a callback, not a task, and no result"),
    (["hello_bytes"], ["aiofiber", "Boost.Fiber", "State Threads"],
     "Go, Tokio and aiofiber are in the program; Boost.Fiber and State Threads are shared libraries, which do not count"),
]
