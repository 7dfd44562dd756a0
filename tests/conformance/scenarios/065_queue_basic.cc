// SPDX-License-Identifier: Apache-2.0
//
// Queue: blocking get/put, FIFO of getters and putters, nowait errors, repr, task_done/join.
// The twin of python/065_queue_basic.py.
#include "../conf.h"

namespace conf::s065 {

// Python's queue holds numbers and strings at once.
struct Mixed {
  Mixed(int number) : text(py(number)) {}                        // NOLINT: as Python's literals
  Mixed(const char* string) : text(py(string)), bare(string) {}  // NOLINT
  const std::string& py_repr() const { return text; }
  friend std::string repr(const Mixed& item) { return item.text; }
  std::string text;
  std::string bare = text;  // as str() gives it
};

static void putter(const char* n, asyncio::Queue<Mixed>& q) {
  asyncio::await(q.put(n));
  log(n, "was put", q.qsize());
}

static void getter(const char* n, asyncio::Queue<int>& q) {
  const int item = asyncio::await(q.get());
  log(n, "got", item);
}

static void bounded() {
  asyncio::Queue<Mixed> q(2);
  log(q, q.maxsize(), q.empty(), q.full(), q.qsize());
  attempt("get_nowait", [&] { return q.get_nowait(); });
  q.put_nowait(1);
  q.put_nowait(2);
  attempt("put_nowait", [&] { q.put_nowait(3); });
  log(q, q.full());
  std::vector<asyncio::Task<>> ts;
  for (const char* n : {"a", "b", "c"}) ts.push_back(asyncio::create_task(putter, n, std::ref(q)));
  asyncio::await(asyncio::sleep(0s));
  log(q);
  const Mixed taken = q.get_nowait();
  log(taken, "one putter is only scheduled:", q);
  attempt("a free slot is not reserved: put_nowait", [&] { q.put_nowait("barging"); });
  ticks(2);
  log(q);
  while (!q.empty()) {
    log("take", q.get_nowait().bare);
    asyncio::await(asyncio::sleep(0s));
  }
  ticks(3);
  log(std::vector{st(ts[0]), st(ts[1]), st(ts[2])}, q);
  while (!q.empty()) q.get_nowait();
  asyncio::await(asyncio::wait(ts));
}

static void getters() {
  asyncio::Queue<int> q;
  std::vector<asyncio::Task<>> ts;
  for (const char* n : {"x", "y", "z"}) ts.push_back(asyncio::create_task(getter, n, std::ref(q)));
  asyncio::await(asyncio::sleep(0s));
  log(q);
  for (int i = 0; i < 3; ++i) q.put_nowait(i);
  log("items wait for the getters", q);
  asyncio::await(asyncio::wait(ts));
  log(q);
}

static void joining() {
  asyncio::Queue<int> q;
  log("full() with maxsize 0", q.full());
  attempt("task_done", [&] { q.task_done(); });
  asyncio::await(q.join());
  log("join of an empty queue returns at once");
  for (int i = 0; i < 2; ++i) q.put_nowait(i);
  auto j = asyncio::create_task(q.join());
  asyncio::await(asyncio::sleep(0s));
  q.get_nowait();
  q.task_done();
  ticks(2);
  log("join", st(j));
  q.get_nowait();
  ticks(2);
  log("join counts task_done, not get:", st(j));
  q.task_done();
  asyncio::await(asyncio::wait(list_of(j)));
  log(st(j));
  attempt("task_done", [&] { q.task_done(); });
}

template <class Q>
static void order(const char* name) {
  Q q;
  for (const int x : {3, 1, 2}) q.put_nowait(x);
  std::vector<int> items;
  while (items.size() < 3) items.push_back(q.get_nowait());
  log(name, items);
}

SCENARIO(065_queue_basic) {
  run([] {
    bounded();
    getters();
    joining();
    order<asyncio::PriorityQueue<int>>("PriorityQueue");
    order<asyncio::LifoQueue<int>>("LifoQueue");
  });
}

}  // namespace conf::s065
