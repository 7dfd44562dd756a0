// SPDX-License-Identifier: Apache-2.0
//
// The torture of calls that wait for a connection: everything that can happen to one meanwhile. It is
// cancelled, limited, overtaken by its result, its peer goes or breaks, its transport ends, its loop closes,
// memory is short. Each call is one row of a table, written once and run on a stack and as a coroutine; each
// kind of event is a function that takes a table.
//
// After each case: no descriptor, no task, no timer, no callback and no byte is left, no byte of the stream
// was lost, and the stream goes on wherever asyncio lets it. Included by the one source of a test program,
// because allocations.h is.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include "aiofiber/asyncio.h"
#include "support/allocations.h"
#include "support/descriptors.h"
#include "support/run_in_loop.h"

namespace aiofiber::torture {

// ---- what a case works on ---------------------------------------------------------------------------------

enum class Wire { kUnix, kTcp };

// Two ends that are connected. The kernel's own calls, so that injected faults do not meet them.
inline std::pair<Socket, Socket> connected_sockets(Wire wire) {
  int fds[2] = {-1, -1};
  if (wire == Wire::kUnix) {
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
  } else {
    const Socket listening(::socket(AF_INET, SOCK_STREAM, 0));
    SocketAddress any("127.0.0.1", 0);
    EXPECT_EQ(::bind(listening.fd(), any.data(), any.size()), 0);
    EXPECT_EQ(::listen(listening.fd(), 1), 0);
    const SocketAddress there = listening.getsockname();
    fds[0] = ::socket(AF_INET, SOCK_STREAM, 0);
    EXPECT_EQ(::connect(fds[0], there.data(), there.size()), 0);
    do {
      fds[1] = ::accept(listening.fd(), nullptr, nullptr);
    } while (fds[1] < 0 && errno == EAGAIN);
  }
  return {Socket(fds[0]), Socket(fds[1])};
}

struct Bench {
  testing::TestLoop& loop;
  Wire wire = Wire::kUnix;
  std::optional<StreamReader> reader = std::nullopt;
  std::optional<StreamWriter> writer = std::nullopt;
  std::optional<Server> server = std::nullopt;
  std::optional<Transport> transport = std::nullopt;
  std::optional<DatagramTransport> datagrams = std::nullopt;
  Socket own = {};   // of a case that works on a socket
  Socket peer = {};  // the other end, which the test reads and writes itself
  std::vector<Socket> others = {};
  std::string memory = std::string(6, '.');  // of the calls that read into memory
  std::string sent = {};                     // by the peer
  std::size_t bytes = 0;                     // written to the peer, or to be written
  std::size_t taken = 0;                     // by the peer
  int connects = 0, accepts = 0;
  int pipe = -1;                         // given to a transport, which may have refused it
  std::shared_ptr<void> more = nullptr;  // what else belongs to the peer

  void peer_sends(std::string_view text) {
    ASSERT_EQ(::write(peer.fd(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
    sent += text;
  }
  // Takes what there is.
  void peer_takes() {
    char buffer[16 * 1024];
    for (ssize_t got; (got = ::read(peer.fd(), buffer, sizeof buffer)) > 0;)
      taken += static_cast<std::size_t>(got);
  }
  void close_all() {
    if (writer && !writer->is_closing()) writer->close();
    if (writer) writer->transport().abort();
    if (transport) transport->abort();
    if (datagrams) datagrams->abort();
    if (server) {
      server->close();
      server->abort_clients();
    }
    own.close();
    peer.close();
    for (const Socket& other : others) other.close();
    passes_to_close();
    if (pipe >= 0 && ::fcntl(pipe, F_GETFD) >= 0) ::close(pipe);
  }
  static void passes_to_close() {
    for (int i = 0; i < 3; ++i) await(sleep(Duration()));
  }
};

// Lets so many passes go by.
inline void passes(int count) {
  for (int i = 0; i < count; ++i) await(sleep(Duration()));
}
// Waits until something is so, in virtual time; then, because the kernel may deliver late on a busy machine,
// in real time too. False: it never was.
template <class Condition>
bool comes(Condition condition) {
  for (int round = 0; round < 3000; ++round) {
    if (condition()) return true;
    await(sleep(std::chrono::milliseconds(1)));
    if (round > 300) ::usleep(1000);
  }
  return false;
}

inline std::string text_of(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const CancelledError&) {
    return "cancelled";
  } catch (const TimeoutError&) {
    return "too late";
  } catch (const IncompleteReadError& incomplete) {
    return "incomplete:" + incomplete.partial();
  } catch (const std::bad_alloc&) {
    return "no memory";
  } catch (const std::system_error& system) {
    const int code = system.code().value();
    // Which of the two a peer that is gone gives depends on who notices first.
    return code == ECONNRESET || code == EPIPE ? "gone" : std::string("errno ") + ::strerror(code);
  } catch (const std::exception& other) {
    return std::string("error: ") + other.what();
  }
}

// ---- the calls --------------------------------------------------------------------------------------------

inline std::string text_of_result(Bench&, std::string result) { return result; }
inline std::string text_of_result(Bench&, std::pair<std::string, SocketAddress> result) {
  return result.first;
}
inline std::string text_of_result(Bench& bench, std::size_t count) { return bench.memory.substr(0, count); }
inline std::string text_of_result(Bench& bench, std::pair<std::size_t, SocketAddress> result) {
  return bench.memory.substr(0, result.first);
}
inline std::string text_of_result(Bench& bench, std::pair<Socket, SocketAddress> result) {
  bench.others.push_back(result.first);
  ++bench.accepts;
  return "accepted";
}
inline std::string text_of_result(Bench& bench, std::pair<StreamReader, StreamWriter> result) {
  bench.reader = std::move(result.first);
  bench.writer = std::move(result.second);
  return "connected";
}
inline std::string text_of_result(Bench& bench, Server result) {
  bench.server = std::move(result);
  return "serving";
}
inline std::string text_of_result(Bench& bench, std::pair<Transport, std::shared_ptr<Protocol>> result) {
  bench.transport = std::move(result.first);
  return "opened";
}
inline std::string text_of_result(Bench& bench,
                                  std::pair<DatagramTransport, std::shared_ptr<DatagramProtocol>> result) {
  bench.datagrams = std::move(result.first);
  return "opened";
}

enum class Event {
  kPeerCloses,
  kPeerEnds,    // shutdown(SHUT_WR)
  kPeerResets,  // SO_LINGER 0
  kAbort,       // of the own transport, by another task
  kClose,       // of the own writer, server or socket, by another task
};
inline constexpr Event kEvents[] = {Event::kPeerCloses, Event::kPeerEnds, Event::kPeerResets, Event::kAbort,
                                    Event::kClose};
inline constexpr const char* kEventNames[] = {"the peer closes", "the peer ends its side", "the peer resets",
                                              "abort", "close"};

struct Call {
  const char* name = "";
  std::function<void(Bench&)> prepare = {};
  std::function<std::string(Bench&)> on_stack = {};
  std::function<Coro<std::string>(Bench&)> without_stack = {};
  std::function<void(Bench&)> satisfy = {};  // makes its result come; none: it cannot come here
  std::string result = {};
  // Looks at what the case has left. `got`: what the call has given, if it was not disturbed.
  std::function<void(Bench&, const std::string& got)> check = [](Bench&, const std::string&) {};
  // What each event does to it: its result or error; "-": it waits on; "*": not tried.
  const char* events[5] = {"*", "*", "*", "*", "*"};
  bool waits = true;  // longer than a pass or two

  const char* after(Event event) const { return events[static_cast<int>(event)]; }
};

template <class Make>
std::string call_on_stack(Bench& bench, const Make& make) {
  if constexpr (std::is_void_v<decltype(await(make(bench)))>) {
    await(make(bench));
    return "done";
  } else {
    return text_of_result(bench, await(make(bench)));
  }
}
template <class Make>
Coro<std::string> call_without_stack(Bench& bench, Make make) {
  if constexpr (std::is_void_v<decltype(await(make(bench)))>) {
    co_await make(bench);
    co_return "done";
  } else {
    auto result = co_await make(bench);
    co_return text_of_result(bench, std::move(result));
  }
}
// `make`: gives what is awaited.
template <class Make>
Call call(const char* name, std::function<void(Bench&)> prepare, Make make) {
  Call made;
  made.name = name;
  made.prepare = std::move(prepare);
  made.on_stack = [make](Bench& bench) { return call_on_stack(bench, make); };
  made.without_stack = [make](Bench& bench) { return call_without_stack(bench, make); };
  return made;
}

using Table = std::vector<Call>;

// ---- plain connections
// -------------------------------------------------------------------------------------

inline void connect(Bench& bench) {
  auto [ours, theirs] = connected_sockets(bench.wire);
  bench.peer = theirs;
  auto [reader, writer] = await(open_connection(ours));
  bench.reader = reader;
  bench.writer = writer;
}
inline std::function<void(Bench&)> connected_with(const char* text) {
  return [text](Bench& bench) {
    connect(bench);
    if (*text == '\0') return;
    bench.peer_sends(text);
    EXPECT_TRUE(comes([&] { return !bench.reader->state()->buffer.empty(); }));
  };
}
// The reader gives what the call has not: together all that was sent.
inline void nothing_is_lost(Bench& bench, const std::string& got) {
  ::shutdown(bench.peer.fd(), SHUT_WR);
  EXPECT_EQ(got + await(bench.reader->read()), bench.sent);
}

inline constexpr const char* kMore = "c\r\nd;e";  // behind "ab"

inline void fill(Bench& bench) {
  connect(bench);
  bench.writer->get_extra_info(extra_info::socket)->set_option(SOL_SOCKET, SO_SNDBUF, 4096);
  bench.bytes = 400'000;
  bench.writer->write(std::string(bench.bytes, 'x'));
}
// The peer takes all that was written.
inline void all_arrives(Bench& bench) {
  EXPECT_TRUE(comes([&] {
    bench.peer_takes();
    return bench.taken >= bench.bytes;
  })) << bench.taken;
  EXPECT_EQ(bench.taken, bench.bytes);
}

// ---- one case ---------------------------------------------------------------------------------------------

enum class Form { kOnStack, kWithoutStack };

inline Task<std::string> start(Bench& bench, const Call& call, Form form) {
  if (form == Form::kOnStack) return create_task([&bench, &call] { return call.on_stack(bench); });
  return create_task(call.without_stack(bench));
}
inline Task<std::string> start_with_limit(Bench& bench, const Call& call, Form form) {
  const auto body = [&bench, &call] { return call.without_stack(bench); };
  if (form == Form::kOnStack)
    return create_task([&bench, &call] {
      return await(timeout(std::chrono::seconds(10), [&] { return call.on_stack(bench); }));
    });
  return create_task(timeout(std::chrono::seconds(10), body));
}

// The result of a task that has ended, or its error.
inline std::string outcome_of(const Task<std::string>& task) {
  if (task.cancelled()) return "cancelled";
  if (const std::exception_ptr error = task.exception(); error != nullptr) return text_of(error);
  return task.result();
}
inline bool is_error(const std::string& outcome) {
  for (const char* text : {"cancelled", "too late", "incomplete:", "errno", "error:", "no memory", "gone"}) {
    if (outcome.starts_with(text)) return true;
  }
  return false;
}

inline void make(Bench& bench, Event event) {
  switch (event) {
    case Event::kPeerCloses:
      bench.peer.close();
      break;
    case Event::kPeerEnds:
      ::shutdown(bench.peer.fd(), SHUT_WR);
      break;
    case Event::kPeerResets: {
      const linger at_once{1, 0};
      ::setsockopt(bench.peer.fd(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
      bench.peer.close();
      break;
    }
    case Event::kAbort:
      if (bench.writer) {
        bench.writer->transport().abort();
      } else if (bench.datagrams) {
        bench.datagrams->abort();
      } else {
        bench.transport->abort();
      }
      break;
    case Event::kClose:
      if (bench.writer) {
        bench.writer->close();
      } else if (bench.transport) {
        bench.transport->close();
      } else if (bench.datagrams) {
        bench.datagrams->close();
      } else if (bench.server) {
        bench.server->close();
      } else {
        bench.own.close();
      }
      break;
  }
}

// Runs a case twice in loops of their own; `body` gets the bench, and ends it. After the second nothing is
// left that was not there before.
inline void in_a_loop(const std::string& name, Wire wire, const std::function<void(Bench&)>& body) {
  SCOPED_TRACE(name + (wire == Wire::kTcp ? " (TCP)" : " (Unix)"));
  const auto before = open_descriptors();
  long left = 0;
  for (int time = 0; time < 3 && !::testing::Test::HasFatalFailure(); ++time) {
    const long blocks = live_blocks;
    {
      testing::TestLoop loop;
      loop.set_exception_handler([](EventLoop&, const ExceptionContext& context) {
        ADD_FAILURE() << context.message << ": " << repr(context.exception);
      });
      loop.run_until_complete([&] {
        Bench bench{.loop = loop, .wire = wire};
        body(bench);
        bench.close_all();
        passes(3);
        EXPECT_EQ(all_tasks().size(), 1u);
        EXPECT_EQ(loop.live_timers(), 0u);
        EXPECT_EQ(loop.core().scheduler().ready_count(), 0u);
        EXPECT_TRUE(loop.core().open_objects.empty());
      });
      loop.close();
    }
    left = live_blocks - blocks;
    // The first time makes what is made once and kept.
    if (time > 0 && left == 0) break;
  }
  EXPECT_EQ(left, 0) << "blocks of memory are left";
  EXPECT_EQ(open_descriptors(), before);
}

using Case = std::function<void(const Call&, Form, Wire)>;
inline void for_each_call(const Table& calls, const Case& run) {
  set_log_sink([](LogLevel, std::string_view) {});
  for (const Call& call : calls) {
    for (const Form form : {Form::kOnStack, Form::kWithoutStack}) {
      for (const Wire wire : {Wire::kUnix, Wire::kTcp}) {
        run(call, form, wire);
        if (::testing::Test::HasFailure()) {
          set_log_sink(nullptr);
          return;
        }
      }
    }
  }
  set_log_sink(nullptr);
}
inline std::string name_of(const Call& call, Form form, const std::string& event) {
  return std::string(call.name) + (form == Form::kOnStack ? " on a stack, " : " without a stack, ") + event;
}

// ---- the cases --------------------------------------------------------------------------------------------

inline void gives_its_result(const Table& calls) {
  for_each_call(calls, [](const Call& call, Form form, Wire wire) {
    if (!call.satisfy) return;
    in_a_loop(name_of(call, form, "undisturbed"), wire, [&](Bench& bench) {
      call.prepare(bench);
      auto task = start(bench, call, form);
      passes(5);
      EXPECT_FALSE(call.waits && task.done()) << outcome_of(task);
      call.satisfy(bench);
      ASSERT_TRUE(comes([&] { return task.done(); }));
      EXPECT_EQ(outcome_of(task), call.result);
      call.check(bench, outcome_of(task));
    });
  });
}

inline void leaves_the_stream_usable_when_cancelled(const Table& calls) {
  for (const int times : {1, 2}) {
    for_each_call(calls, [&](const Call& call, Form form, Wire wire) {
      if (!call.waits) return;
      in_a_loop(name_of(call, form, "cancelled"), wire, [&](Bench& bench) {
        call.prepare(bench);
        auto task = start(bench, call, form);
        passes(5);
        for (int i = 0; i < times; ++i) task.cancel();
        // What cleans up first may be cancelled again.
        passes(3);
        if (times == 2 && !task.done()) task.cancel();
        if (times == 1 && !task.done() && bench.server) bench.server->close_clients();
        ASSERT_TRUE(comes([&] { return task.done(); }));
        EXPECT_EQ(outcome_of(task), "cancelled");
        call.check(bench, "");
      });
    });
  }
}

inline void ends_at_a_limit(const Table& calls) {
  for_each_call(calls, [&](const Call& call, Form form, Wire wire) {
    if (!call.waits) return;
    in_a_loop(name_of(call, form, "limited"), wire, [&](Bench& bench) {
      call.prepare(bench);
      const TimePoint begin = bench.loop.time();
      auto task = start_with_limit(bench, call, form);
      await(sleep(std::chrono::seconds(20)));
      if (!task.done() && bench.server) bench.server->close_clients();
      ASSERT_TRUE(comes([&] { return task.done(); }));
      EXPECT_GE(bench.loop.time() - begin, std::chrono::seconds(10));
      EXPECT_EQ(outcome_of(task), "too late");
      call.check(bench, "");
    });
  });
}

// At each pass around the one in which the result comes: it is given or left, and never lost.
inline void loses_nothing_when_cancelled_beside_its_result(const Table& calls) {
  for (int pass = 0; pass < 6; ++pass) {
    for_each_call(calls, [&](const Call& call, Form form, Wire wire) {
      if (!call.satisfy) return;
      in_a_loop(name_of(call, form, "cancelled in pass " + std::to_string(pass)), wire, [&](Bench& bench) {
        call.prepare(bench);
        auto task = start(bench, call, form);
        if (call.waits) passes(5);
        call.satisfy(bench);
        passes(pass);
        task.cancel();
        ASSERT_TRUE(comes([&] { return task.done(); }));
        const std::string outcome = outcome_of(task);
        EXPECT_TRUE(outcome == "cancelled" || outcome == call.result) << outcome;
        call.check(bench, is_error(outcome) ? "" : outcome);
      });
    });
  }
}

inline void ends_by_each_event(const Table& calls) {
  for (const Event event : kEvents) {
    for_each_call(calls, [&](const Call& call, Form form, Wire wire) {
      const std::string expected = call.after(event);
      if (expected == "*") return;
      if (event == Event::kPeerResets && wire == Wire::kUnix) return;  // there is no such thing
      in_a_loop(name_of(call, form, kEventNames[static_cast<int>(event)]), wire, [&](Bench& bench) {
        call.prepare(bench);
        auto task = start(bench, call, form);
        passes(5);
        EXPECT_FALSE(task.done());
        make(bench, event);
        if (expected == "-") {
          await(sleep(std::chrono::seconds(1)));
          EXPECT_FALSE(task.done()) << outcome_of(task);
          task.cancel();
          if (bench.server) bench.server->close_clients();
        }
        ASSERT_TRUE(comes([&] { return task.done(); }));
        EXPECT_EQ(outcome_of(task), expected == "-" ? "cancelled" : expected);
      });
    });
  }
}

// Objects of the program outlive the loop, or do not.
inline void leaves_nothing_in_a_loop_that_closes(const Table& calls) {
  for (const bool outlives : {false, true}) {
    for_each_call(calls, [&](const Call& call, Form form, Wire wire) {
      SCOPED_TRACE(name_of(call, form, outlives ? "closed before its objects" : "closed after its objects"));
      const auto before = open_descriptors();
      const auto run = [&] {
        std::unique_ptr<Bench> kept;
        testing::TestLoop loop;
        loop.run_until_complete([&] {
          kept.reset(new Bench{.loop = loop, .wire = wire});
          call.prepare(*kept);
          start(*kept, call, form).detach();
          passes(call.waits ? 5 : 1);
        });
        if (!outlives) {
          // The call itself refers to the bench.
          kept->own = kept->peer = Socket();
        }
        loop.close();
        if (kept->writer) kept->writer->close();
        if (kept->server) kept->server->close();
      };
      long left = 1;
      for (int time = 0; time < 3 && left != 0; ++time) {
        const long blocks = live_blocks;
        run();
        left = live_blocks - blocks;
      }
      EXPECT_EQ(left, 0) << "blocks of memory are left";
      EXPECT_EQ(open_descriptors(), before);
    });
  }
}

// One allocation fails, each in turn: the call gives its result, or tells the shortage, or the connection
// ends with it. Nothing waits for ever.
inline void leaves_nothing_after_a_failed_allocation(const Table& calls) {
  for_each_call(calls, [&](const Call& call, Form form, Wire wire) {
    if (!call.satisfy) return;
    // First without a failure: what is made once and kept is no allocation later.
    for (long n = 0; (n < 2 || failed) && !::testing::Test::HasFailure(); ++n) {
      in_a_loop(name_of(call, form, "allocation " + std::to_string(n)), wire, [&](Bench& bench) {
        bench.loop.set_exception_handler([](EventLoop&, const ExceptionContext&) {});
        call.prepare(bench);
        failed = false;
        std::optional<Task<std::string>> task;
        bool of_the_test = false;
        allocations_left = n;
        try {
          task = start(bench, call, form);
          passes(5);
          if (!task->done()) call.satisfy(bench);
          await(sleep(std::chrono::seconds(2)));
        } catch (const std::bad_alloc&) {
          of_the_test = true;
        }
        allocations_left = 0;
        if (!task) return;
        passes(5);
        if (of_the_test && !task->done()) call.satisfy(bench);
        if (!comes([&] { return task->done(); })) {
          ADD_FAILURE() << "it waits for ever";
          task->cancel();
          passes(5);
          return;
        }
        const std::string outcome = outcome_of(*task);
        EXPECT_TRUE(of_the_test || outcome == call.result || outcome == "no memory") << outcome;
      });
    }
  });
}

}  // namespace aiofiber::torture
