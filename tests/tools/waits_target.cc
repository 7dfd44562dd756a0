// SPDX-License-Identifier: Apache-2.0
//
// A program whose tasks each wait in a different way, for the tests of the command. Some of the calls poll,
// because the kernel does not report their end. It prints "ready" and goes on until it is killed.
#include <aiofiber/asyncio.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;

namespace {

std::mutex of_a_thread, of_a_task;
std::timed_mutex timed;
std::once_flag flag;
int pipe_ends[3][2];

// A call in the last line: the function itself is not on the stack while that waits.
void ends_in_a_call() { sleep(3600); }

void blocks_a_thread() {
  for (;;) pause();
}

void start(const char* name, auto body) { asyncio::create_task({.name = name}, std::move(body)).detach(); }

void start_all(pid_t child, const char* locked_file) {
  static asyncio::Queue<int> queue, full(1);
  static asyncio::Barrier barrier(2);
  static asyncio::Lock of_tasks;
  start("lock-holder", [] {
    asyncio::await(of_tasks.acquire());
    asyncio::await(asyncio::sleep(1h));
  });
  full.put_nowait(1);
  start("queue-join", [] { asyncio::await(full.join()); });
  start("barrier", [] { asyncio::await(barrier.wait()); });
  start("timeout", [] { asyncio::await(asyncio::timeout(1h, [] { asyncio::await(queue.get()); })); });
  start("nested", [] {
    asyncio::await(asyncio::timeout(
        1h, [] { asyncio::await(asyncio::wait_for([] { asyncio::await(queue.get()); }, 2h)); }));
  });
  start("hook-in-timeout", [] {
    asyncio::await(asyncio::timeout(1h, [] {
      char c = 0;
      if (read(pipe_ends[0][0], &c, 1) != 1) return;
    }));
  });
  start("after-timeout", [] {
    asyncio::await(asyncio::timeout(1h, [] { asyncio::await(asyncio::sleep(1ms)); }));
    asyncio::await(queue.get());
  });
  start("mutex", [] { const std::lock_guard lock(of_a_thread); });
  start("once", [] { std::call_once(flag, [] { asyncio::await(asyncio::sleep(1h)); }); });
  start("once-more", [] {
    usleep(1000);
    std::call_once(flag, [] {});
  });
  start("poll-3", [] {
    pollfd entries[3];
    for (int i = 0; i < 3; ++i) entries[i] = {pipe_ends[i][0], POLLIN, 0};
    poll(entries, 3, 3'600'000);
  });
  start("ppoll", [] {
    sigset_t none;
    sigemptyset(&none);
    pollfd entry{pipe_ends[0][0], POLLIN, 0};
    ppoll(&entry, 1, nullptr, &none);
  });
  start("gather", [] {
    std::vector<asyncio::Task<int>> parts;
    for (const char* name : {"part-0", "part-1", "part-2", "part-3"}) {
      parts.push_back(asyncio::create_task({.name = name}, [] { return asyncio::await(queue.get()); }));
    }
    asyncio::await(asyncio::gather(parts));
  });
  start("shield", [] {
    const auto task = asyncio::create_task({.name = "shielded"}, [] { asyncio::await(queue.get()); });
    asyncio::await(asyncio::shield(task));
  });
  start("lock-in-timeout",
        [] { asyncio::await(asyncio::timeout(1h, [] { const std::lock_guard lock(of_a_thread); })); });
  start("timedlock", [] {
    if (timed.try_lock_for(1h)) timed.unlock();
  });
  start("aio-lock",
        [] { asyncio::await(asyncio::wait_for([] { asyncio::await(of_tasks.acquire()); }, 1h)); });
  start("to-thread", [] { asyncio::await(asyncio::to_thread(blocks_a_thread)); });
  start("to-thread-lambda", [] { asyncio::await(asyncio::to_thread([] { blocks_a_thread(); })); });
  start("in-executor",
        [] { asyncio::await(asyncio::get_running_loop().run_in_executor(nullptr, blocks_a_thread)); });
  start("tail-call", ends_in_a_call);
  start("flock", [locked_file] { flock(open(locked_file, O_RDWR), LOCK_EX); });
  start("waitpid", [child] { waitpid(child, nullptr, 0); });
  start("join", [] {
    std::thread thread([] { pause(); });
    thread.join();
  });
  start("system", [] { std::system("sleep 3600"); });
  start("condition", [] {
    std::condition_variable condition;
    std::unique_lock lock(of_a_task);
    condition.wait_for(lock, 1h);
  });
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  prctl(PR_SET_PDEATHSIG, SIGKILL);  // of a test that crashes nothing stays behind
  setpgid(0, 0);                     // the child of system() is ended with the group
  if (flock(open(argv[1], O_CREAT | O_RDWR, 0600), LOCK_EX) != 0) return 1;
  for (auto& ends : pipe_ends) {
    if (pipe(ends) != 0) return 1;
  }
  const pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) pause();
  }
  std::thread([] {
    pthread_setname_np(pthread_self(), "holder");
    timed.lock();
    of_a_thread.lock();
    for (;;) pause();
  }).detach();
  while (of_a_thread.try_lock()) {
    of_a_thread.unlock();
    std::this_thread::yield();
  }
  asyncio::run([&] {
    start_all(child, argv[1]);
    asyncio::await(asyncio::sleep(1300ms));
    std::printf("child %d\nready\n", static_cast<int>(child));
    std::fflush(stdout);
    asyncio::await(asyncio::sleep(1h));
  });
}
