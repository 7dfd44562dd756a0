// SPDX-License-Identifier: Apache-2.0
//
// Mixed program: producer, workers, timeout, cancellation, shutdown by join() and cancel().
// The twin of python/075_server_pattern.py.
#include "../conf.h"

namespace conf::s075 {

using Job = std::pair<int, std::string>;

static void producer(asyncio::Queue<Job>& q, int n) {
  for (int i = 0; i < n; ++i) {
    asyncio::await(q.put({i, "job" + py(i)}));
    log("put", i, q.qsize());
  }
}

static void worker(const std::string& name, asyncio::Queue<Job>& q) {
  const auto serve = [&] {
    for (;;) {
      const auto [number, text] = asyncio::await(q.get());
      const int i = number;  // clang 14 captures no structured bindings
      const std::string job = text;
      const auto attend = [&] {
        try {
          asyncio::await(asyncio::timeout(.25s, [&] {
            asyncio::await(asyncio::sleep(i % 4 * 100ms));
            log(name, "did", job);
          }));
        } catch (const asyncio::TimeoutError&) {
          log(name, "gave up", job);
        }
      };
      try_finally(attend, [&] { q.task_done(); });
    }
  };
  try_finally(serve, [&] { log(name, "exits"); });
}

SCENARIO(075_server_pattern) {
  run([] {
    asyncio::Queue<Job> q(2);
    std::vector<asyncio::Task<>> ws;
    for (const char* name : {"w0", "w1"}) {
      ws.push_back(asyncio::create_task({.name = name}, worker, std::string(name), std::ref(q)));
    }
    producer(q, 6);
    asyncio::await(q.join());
    log("all done");
    for (auto& w : ws) w.cancel();
    std::vector<std::string> types;
    for (const auto& x : asyncio::await(asyncio::gather(asyncio::return_exceptions, ws))) {
      types.push_back(exc_name(x.exception()));
    }
    log(types);
  });
}

}  // namespace conf::s075
