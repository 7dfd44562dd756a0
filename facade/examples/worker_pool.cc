// SPDX-License-Identifier: Apache-2.0
//
// A pool of workers: a bounded queue of jobs, three tasks that take them, and an end that loses no job. A job
// that fails is told of, and the others go on.
#include <iostream>
#include <stdexcept>
#include <string>

#include "example_loop.h"

static int work_on(int job) {
  asyncio::await(asyncio::sleep(std::chrono::milliseconds(100)));
  if (job == 5) throw std::runtime_error("no such job");
  return job * job;
}

static void worker(asyncio::Queue<int>& jobs, int& sum) {
  for (;;) {
    try {
      const int job = asyncio::await(jobs.get());
      sum += work_on(job);
    } catch (const asyncio::QueueShutDown&) {
      return;  // no more jobs
    } catch (const std::runtime_error& error) {
      std::cout << "failed: " << error.what() << '\n';
    }
  }
}

int main() {
  auto loop = make_example_loop();
  const auto start = loop->time();
  loop->run_until_complete([] {
    asyncio::Queue<int> jobs(2);  // put() waits, so the producer cannot run ahead of the workers
    int sum = 0;
    asyncio::await(asyncio::task_group([&](asyncio::TaskGroup& group) {
      for (int i = 0; i < 3; ++i) {
        group.create_task({.name = "worker-" + std::to_string(i)}, [&] { worker(jobs, sum); });
      }
      for (int job = 1; job <= 9; ++job) asyncio::await(jobs.put(job));
      jobs.shutdown();  // what is in the queue is still worked on
    }));
    std::cout << "sum: " << sum << '\n';
  });
  if (virtual_time()) {
    std::cout << (loop->time() - start == std::chrono::milliseconds(300) ? "three rounds\n" : "late\n");
  }
  loop->close();
}
