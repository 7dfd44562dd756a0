// SPDX-License-Identifier: Apache-2.0
//
// Queue.shutdown: puts fail, gets drain the queue, waiters get the error; immediate drops the items and ends
// join.
// The twin of python/100_queue_shutdown.py.
#include "../conf.h"

namespace conf::s100 {

using Queue = asyncio::Queue<int>;

static void getter(const char* n, Queue& q) {
  try {
    log(n, "got", asyncio::await(q.get()));
  } catch (const asyncio::QueueShutDown&) {
    log(n, exc());
    throw;
  }
}

static void putter(int n, Queue& q) {
  try {
    asyncio::await(q.put(n));
    log(n, "was put");
  } catch (const asyncio::QueueShutDown&) {
    log(n, exc());
    throw;
  }
}

static void drained() {
  Queue q(2);
  q.put_nowait(1);
  q.put_nowait(2);
  auto p = asyncio::create_task(putter, 3, std::ref(q));
  asyncio::await(asyncio::sleep(0s));
  q.shutdown();
  log(q);
  asyncio::await(asyncio::wait(list_of(p)));
  log(st(p));
  attempt("put_nowait", [&] { q.put_nowait(4); });
  attempt("get_nowait", [&] { return q.get_nowait(); });
  log("get", asyncio::await(q.get()));
  attempt("get_nowait, empty", [&] { return q.get_nowait(); });
  auto g = asyncio::create_task(getter, "late", std::ref(q));
  asyncio::await(asyncio::wait(list_of(g)));
  log(st(g));
  auto j = asyncio::create_task(q.join());
  ticks(2);
  log("join counts what was got:", st(j));
  q.task_done();
  q.task_done();
  asyncio::await(asyncio::wait(list_of(j)));
  log(st(j));
}

static void getters() {
  Queue q;
  std::vector<asyncio::Task<>> ts;
  for (const char* n : {"a", "b", "c"}) ts.push_back(asyncio::create_task(getter, n, std::ref(q)));
  asyncio::await(asyncio::sleep(0s));
  q.put_nowait(5);
  q.shutdown();
  q.shutdown();
  asyncio::await(asyncio::wait(ts));
  log(std::vector{st(ts[0]), st(ts[1]), st(ts[2])});
}

static void at_once() {
  Queue q(2);
  q.put_nowait(6);
  q.put_nowait(7);
  auto j = asyncio::create_task(q.join());
  auto p = asyncio::create_task(putter, 8, std::ref(q));
  asyncio::await(asyncio::sleep(0s));
  q.shutdown(true);
  log(q);
  asyncio::await(asyncio::wait(list_of(j, p)));
  const std::string joined = st(j);
  log(joined, st(p));
  attempt("get_nowait", [&] { return q.get_nowait(); });
  attempt("task_done", [&] { q.task_done(); });
}

SCENARIO(100_queue_shutdown) {
  run([] {
    drained();
    getters();
    at_once();
  });
}

}  // namespace conf::s100
