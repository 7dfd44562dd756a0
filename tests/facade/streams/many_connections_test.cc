// SPDX-License-Identifier: Apache-2.0
//
// Many short connections in one process: descriptors and memory stay what they were after the first ones.
// Real time, because what the process has is measured; nothing depends on how long it takes.
//
// AIOFIBER_CONNECTIONS: how many; the nightly run makes 100,000.
// Labels: slow
#include <gtest/gtest.h>
#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "aiofiber/asyncio.h"
#include "aiofiber/runtime/engine/config.h"
#include "support/descriptors.h"
#include "support/run_in_loop.h"
#include "support/streams.h"

namespace aiofiber {
namespace {

using namespace std::chrono_literals;

// One connection, which ends in one of several ways.
void connect_once(const std::string& path, int number) {
  auto [reader, writer] = await(open_unix_connection(path));
  writer.write("ping\n");
  switch (number % 4) {
    case 0:
      EXPECT_EQ(await(reader.readline()), "ping\n");
      break;
    case 1:
      writer.write_eof();
      EXPECT_EQ(await(reader.read()), "ping\n");
      break;
    case 2: {
      EXPECT_EQ(await(reader.readexactly(5)), "ping\n");
      auto reading = create_task([&, r = reader] { return await(r.readline()); });
      await(sleep(0s));
      reading.cancel();
      await(ended(reading));
      break;
    }
    default:
      writer.transport().abort();
      await(writer.wait_closed());
      return;
  }
  writer.close();
  await(writer.wait_closed());
}

std::size_t bytes_in_use() { return ::mallinfo2().uordblks + ::mallinfo2().hblkhd; }
std::size_t resident_pages() {
  std::size_t all = 0, resident = 0;
  if (std::FILE* const file = std::fopen("/proc/self/statm", "re")) {
    if (std::fscanf(file, "%zu %zu", &all, &resident) != 2) resident = 0;
    std::fclose(file);
  }
  return resident;
}

TEST(ManyConnections, LeaveDescriptorsAndMemoryAsTheyWere) {
  const char* const wanted = std::getenv("AIOFIBER_CONNECTIONS");
  const int count = wanted != nullptr ? std::atoi(wanted) : 2000;
  constexpr int kBeside = 20;  // clients at once
  set_log_sink([](LogLevel, std::string_view) {});
  EventLoop loop;
  loop.run_until_complete([&] {
    const std::string path = std::string(1, '\0') + "aiofiber-many-" + std::to_string(::getpid());
    Server on_stack = await(start_unix_server(echo, path));
    Server without = await(start_unix_server(echo_without_stack, path + "-2"));
    const auto make = [&](int connections) {
      std::vector<Task<>> clients;
      for (int client = 0; client < kBeside; ++client) {
        clients.push_back(create_task([&, client] {
          for (int i = client; i < connections; i += kBeside) connect_once(i % 8 < 4 ? path : path + "-2", i);
        }));
      }
      await(gather(clients));
      while (all_tasks().size() > 1) await(sleep(1ms));
      await(sleep(1ms));
    };
    make(1000);  // makes what is made once and kept
    const auto descriptors = open_descriptors();
    const std::size_t bytes = bytes_in_use(), pages = resident_pages();
    make(count);
    EXPECT_EQ(open_descriptors(), descriptors);
#if !AIOFIBER_ASAN
    // One byte a connection would show in the nightly run.
    EXPECT_LT(bytes_in_use(), bytes + 64 * 1024);
    // The allocator may keep a little more than before.
    EXPECT_LT(resident_pages(), pages + 1024);
#else
    static_cast<void>(bytes + pages);
#endif
    std::printf("%d connections: %+ld bytes in use, %+ld pages\n", count,
                static_cast<long>(bytes_in_use()) - static_cast<long>(bytes),
                static_cast<long>(resident_pages()) - static_cast<long>(pages));
    for (const Server& server : {on_stack, without}) {
      server.close();
      await(server.wait_closed());
    }
  });
  loop.close();
  set_log_sink(nullptr);
}

}  // namespace
}  // namespace aiofiber
