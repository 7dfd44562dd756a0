// SPDX-License-Identifier: Apache-2.0
//
// Each name of asyncio.__all__ (CPython 3.13) is in <aiofiber/asyncio.h>, or facade/README.md says why not.
// The compiler checks the first: a using-declaration of a name that is not there is an error. The test reads
// the table.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <string>

#include "aiofiber/asyncio.h"
#include "aiofiber/testing.h"

namespace {

// What is there, as a type or a function.
namespace there {
using asyncio::ALL_COMPLETED;
using asyncio::all_tasks;
using asyncio::as_completed;
using asyncio::Barrier;
using asyncio::BaseProtocol;
using asyncio::BoundedSemaphore;
using asyncio::BrokenBarrierError;
using asyncio::BufferedProtocol;
using asyncio::CancelledError;
using asyncio::Condition;
using asyncio::create_eager_task_factory;
using asyncio::create_subprocess_exec;
using asyncio::create_subprocess_shell;
using asyncio::create_task;
using asyncio::current_task;
using asyncio::DatagramProtocol;
using asyncio::DatagramTransport;
using asyncio::eager_task_factory;
using asyncio::ensure_future;
using asyncio::Event;
using asyncio::EventLoop;
using asyncio::FIRST_COMPLETED;
using asyncio::FIRST_EXCEPTION;
using asyncio::Future;
using asyncio::gather;
using asyncio::get_event_loop;
using asyncio::get_running_loop;
using asyncio::Handle;
using asyncio::IncompleteReadError;
using asyncio::InvalidStateError;
using asyncio::iscoroutine;
using asyncio::iscoroutinefunction;
using asyncio::isfuture;
using asyncio::LifoQueue;
using asyncio::LimitOverrunError;
using asyncio::Lock;
using asyncio::new_event_loop;
using asyncio::open_connection;
using asyncio::open_unix_connection;
using asyncio::PriorityQueue;
using asyncio::Protocol;
using asyncio::Queue;
using asyncio::QueueEmpty;
using asyncio::QueueFull;
using asyncio::QueueShutDown;
using asyncio::run;
using asyncio::run_coroutine_threadsafe;
using asyncio::Runner;
using asyncio::Semaphore;
using asyncio::SendfileNotAvailableError;
using asyncio::Server;
using asyncio::set_event_loop;
using asyncio::shield;
using asyncio::sleep;
using asyncio::start_server;
using asyncio::start_unix_server;
using asyncio::StreamReader;
using asyncio::StreamWriter;
using asyncio::SubprocessProtocol;
using asyncio::SubprocessTransport;
using asyncio::Task;
using asyncio::TaskGroup;
using asyncio::Timeout;
using asyncio::timeout;
using asyncio::timeout_at;
using asyncio::TimeoutError;
using asyncio::TimerHandle;
using asyncio::to_thread;
using asyncio::Transport;
using asyncio::wait;
using asyncio::wait_for;
using asyncio::wrap_future;
}  // namespace there

constexpr const char* kAll =
    "ALL_COMPLETED AbstractChildWatcher AbstractEventLoop AbstractEventLoopPolicy AbstractServer Barrier "
    "BaseEventLoop BaseProtocol BaseTransport BoundedSemaphore BrokenBarrierError BufferedProtocol "
    "CancelledError "
    "Condition DatagramProtocol DatagramTransport DefaultEventLoopPolicy Event EventLoop FIRST_COMPLETED "
    "FIRST_EXCEPTION FastChildWatcher Future Handle IncompleteReadError InvalidStateError LifoQueue "
    "LimitOverrunError Lock MultiLoopChildWatcher PidfdChildWatcher PriorityQueue Protocol Queue QueueEmpty "
    "QueueFull QueueShutDown ReadTransport Runner SafeChildWatcher SelectorEventLoop Semaphore "
    "SendfileNotAvailableError Server StreamReader StreamReaderProtocol StreamWriter SubprocessProtocol "
    "SubprocessTransport Task TaskGroup ThreadedChildWatcher Timeout TimeoutError TimerHandle Transport "
    "WriteTransport _enter_task _get_running_loop _leave_task _register_task _set_running_loop "
    "_unregister_task "
    "all_tasks as_completed create_eager_task_factory create_subprocess_exec create_subprocess_shell "
    "create_task "
    "current_task eager_task_factory ensure_future gather get_child_watcher get_event_loop "
    "get_event_loop_policy "
    "get_running_loop iscoroutine iscoroutinefunction isfuture new_event_loop open_connection "
    "open_unix_connection run run_coroutine_threadsafe set_child_watcher set_event_loop "
    "set_event_loop_policy "
    "shield sleep start_server start_unix_server timeout timeout_at to_thread wait wait_for wrap_future";

std::set<std::string> words_between(const std::string& text, const std::string& from, const std::string& to) {
  const std::size_t begin = text.find(from), end = text.find(to);
  std::set<std::string> words;
  if (begin == std::string::npos || end == std::string::npos) return words;
  std::string word;
  bool in_code = false;
  for (const char c : text.substr(begin, end - begin)) {
    if (c == '`') {
      if (in_code) words.insert(word);
      word.clear();
      in_code = !in_code;
    } else if (in_code && c == ' ') {
      words.insert(word);
      word.clear();
    } else if (in_code) {
      word += c;
    }
  }
  return words;
}

}  // namespace

TEST(NamesOfAsyncio, AreAllInTheTable) {
  std::ifstream file(AIOFIBER_FACADE_README);
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const std::set<std::string> table = words_between(text, "<!-- asyncio:begin -->", "<!-- asyncio:end -->");
  std::istringstream all(kAll);
  for (std::string name; all >> name;) EXPECT_TRUE(table.count(name) == 1) << name << " is not in the table";
}
