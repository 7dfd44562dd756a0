// SPDX-License-Identifier: Apache-2.0
//
// Disks of simulated machines: slow and failing syncs, no room, and what a power cut loses.
//
// Labels: long
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "aiofiber/exceptions.h"
#include "aiofiber/simulation.h"
#include "aiofiber/task.h"
#include "facade/simulation/blocking_code.h"

namespace aiofiber::testing::test {
namespace {

using namespace std::chrono_literals;

struct Disks : ::testing::Test {
  Simulation sim{{.seed = 42}};
  Node node = sim.node("node");
  std::string path = node.folder() + "/journal";

  Fd opened(int flags = O_APPEND) const {
    return Fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | flags, 0600));
  }
  std::string content() const {
    std::ifstream file(path);
    return std::string(std::istreambuf_iterator<char>(file), {});
  }
};

ssize_t write_text(const Fd& fd, const std::string& text) {
  return ::write(fd.get(), text.data(), text.size());
}

TEST_F(Disks, SyncTakesSimulatedTimeAndIsNotCutShort) {
  std::vector<Duration> times;
  bool cancelled = false;
  node.set_disk({.sync = fixed(2s)});
  node.run([&] {
    const Fd file = opened();
    write_text(file, "line\n");
    EXPECT_EQ(::fsync(file.get()), 0);
    times.push_back(sim.time());
    EXPECT_EQ(::fdatasync(file.get()), 0);
    times.push_back(sim.time());
    Task<> other = create_task([&] {
      EXPECT_EQ(::fsync(file.get()), 0);
      times.push_back(sim.time());
      ::sleep(10);
      cancelled = sim.time() == Duration(6s);
    });
    ::sleep(1);
    other.cancel();
    ::sleep(10);
    EXPECT_EQ(::fsync(-1), -1);
    EXPECT_EQ(errno, EBADF);
  });
  sim.run_for(1min);
  EXPECT_EQ(times, (std::vector<Duration>{2s, 4s, 6s}));
  EXPECT_TRUE(cancelled);
}

TEST_F(Disks, FailedSyncIsToldOnce) {
  std::vector<int> results;
  node.run([&] {
    const Fd file = opened();
    for (const double failure : {1.0, 0.0}) {
      node.set_disk({.sync_failure = failure});
      results.push_back(::fsync(file.get()) == 0 ? 0 : errno);
    }
  });
  sim.run_for(1s);
  EXPECT_EQ(results, (std::vector<int>{EIO, 0}));
}

TEST_F(Disks, PowerCutLosesWhatWasNotSynced) {
  node.run([&] {
    if (sim.time() > Duration(1s)) return;  // after the restart
    const Fd file = opened();
    write_text(file, "saved ");
    ::fsync(file.get());
    write_text(file, "lost");
    const Fd never(::open((node.folder() + "/never").c_str(), O_WRONLY | O_CREAT, 0600));
    write_text(never, "lost, too");
    ::sleep(100);
  });
  sim.run_for(1s);
  EXPECT_EQ(content(), "saved lost");  // the machine's memory has it
  node.kill();
  EXPECT_EQ(content(), "saved lost");  // so a dead program loses nothing
  node.restart();
  node.crash();
  EXPECT_EQ(content(), "saved ");
  struct stat status {};
  EXPECT_EQ(::stat((node.folder() + "/never").c_str(), &status), 0);
  EXPECT_EQ(status.st_size, 0);
  EXPECT_NE(sim.trace().find("node loses what was not synced of journal"), std::string::npos);
}

// A new file may get the number of a deleted one, and nothing else of it.
TEST_F(Disks, DeletedFileLeavesNothingToItsSuccessors) {
  node.run([&] {
    {
      const Fd file = opened();
      write_text(file, "of the first");
      ::fsync(file.get());
    }
    ::unlink(path.c_str());
    for (int i = 0; i < 10; ++i) {
      const Fd file(::open((path + std::to_string(i)).c_str(), O_WRONLY | O_CREAT, 0600));
      write_text(file, "of another");
    }
    ::sleep(100);
  });
  sim.run_for(1s);
  node.crash();
  for (int i = 0; i < 10; ++i) {
    struct stat status {};
    EXPECT_EQ(::stat((path + std::to_string(i)).c_str(), &status), 0);
    EXPECT_EQ(status.st_size, 0) << i;
  }
}

// The classic mistake: fsync() again until it succeeds.
std::string after_a_failed_sync(Simulation& sim, Node node, const std::string& path, bool writes_again) {
  node.run([&sim, node, path, writes_again]() mutable {
    if (sim.time() > Duration(1s)) return;
    const Fd file(::open(path.c_str(), O_RDWR | O_CREAT, 0600));
    write_text(file, "old ");
    ::fsync(file.get());
    node.set_disk({.sync_failure = 1});
    ::pwrite(file.get(), "new", 3, 4);
    EXPECT_EQ(::fsync(file.get()), -1);
    node.set_disk({});
    if (writes_again) ::pwrite(file.get(), "new", 3, 4);
    EXPECT_EQ(::fsync(file.get()), 0);
    ::sleep(100);
  });
  sim.run_for(1s);
  node.crash();
  std::ifstream file(path);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

TEST_F(Disks, SecondSyncDoesNotSaveWhatTheFailedOneLost) {
  EXPECT_EQ(after_a_failed_sync(sim, node, path, false), std::string("old \0\0\0", 7));
}
TEST_F(Disks, SecondSyncSavesWhatWasWrittenAgain) {
  EXPECT_EQ(after_a_failed_sync(sim, node, path, true), "old new");
}

TEST_F(Disks, FullDiskShortensWritesAndThenRefusesThem) {
  std::vector<ssize_t> results;
  int error = 0;
  node.set_disk({.space = 10});
  node.run([&] {
    const Fd file = opened(0);
    results.push_back(write_text(file, "123456"));
    results.push_back(::pwrite(file.get(), "abcdef", 6, 0));  // needs no room
    const iovec pieces[2] = {{const_cast<char*>("78"), 2}, {const_cast<char*>("9012"), 4}};
    results.push_back(::writev(file.get(), pieces, 2));
    results.push_back(::pwritev(file.get(), pieces + 1, 1, 8));
    results.push_back(write_text(file, "x"));
    results.push_back(write_text(file, "x"));
    results.push_back(write_text(file, "x"));
    error = errno;
    results.push_back(::pwrite(file.get(), "x", 1, 10));
    node.set_disk({});
    results.push_back(::pwrite(file.get(), "x", 1, 10));
  });
  sim.run_for(1s);
  // writev: a short write, of its first piece; pwritev: two of its four bytes.
  EXPECT_EQ(results, (std::vector<ssize_t>{6, 6, 2, 2, 1, 1, -1, -1, 1}));
  EXPECT_EQ(error, ENOSPC);
  EXPECT_EQ(content(), "abcdef78xxx");
}

TEST_F(Disks, SocketsAndPipesNeedNoRoom) {
  node.set_disk({.space = 0});
  node.run([] {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const Fd out(ends[0]);
    const Fd in(ends[1]);
    EXPECT_EQ(write_text(in, "x"), 1);
  });
  sim.run_for(1s);
}

TEST_F(Disks, BadSettingsAreRefused) {
  EXPECT_THROW(node.set_disk({.sync = uniform(2s, 1s)}), ValueError);
  EXPECT_THROW(node.set_disk({.sync_failure = 2}), ValueError);
}

TEST(DiskFolder, GoesWithItsSimulation) {
  std::string folder;
  {
    Simulation sim({.seed = 1});
    folder = sim.node("a").folder();
    EXPECT_NE(sim.node("b").folder(), folder);
    EXPECT_EQ(sim.node("a").folder(), folder);
    std::ofstream(folder + "/file") << "x";
  }
  EXPECT_NE(::access(folder.c_str(), F_OK), 0);
}

}  // namespace
}  // namespace aiofiber::testing::test
