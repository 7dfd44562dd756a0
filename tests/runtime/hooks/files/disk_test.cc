// SPDX-License-Identifier: Apache-2.0
//
// Files that need a wait: read past the page cache (O_DIRECT), or dropped from it. The test runs again
// without io_uring, so that the pool does the work, and in sandboxes that forbid io_uring. Real files in the
// temporary folder.
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include <cstring>

#include "support/fibers.h"
#include "support/forbid.h"

namespace aiofiber::hooks_test {
namespace {

constexpr std::size_t kBlock = 4096;

struct Free {
  void operator()(char* memory) const { ::free(memory); }
};
using Buffer = std::unique_ptr<char, Free>;
Buffer aligned(std::size_t bytes) { return Buffer(static_cast<char*>(::aligned_alloc(kBlock, bytes))); }

class Disk : public testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/aiofiber-disk-test-XXXXXX";
    plain_ = ::mkstemp(path);
    ASSERT_GE(plain_, 0);
    direct_ = ::open(path, O_RDWR | O_DIRECT);
    ::unlink(path);
    ASSERT_EQ(::write(plain_, data_.data(), data_.size()), static_cast<ssize_t>(data_.size()));
    ASSERT_EQ(::fsync(plain_), 0);
    if (direct_ < 0) GTEST_SKIP() << "the temporary folder's file system has no O_DIRECT";
  }
  void TearDown() override {
    ::close(plain_);
    if (direct_ >= 0) ::close(direct_);
  }
  void drop_from_page_cache() {
    ::posix_fadvise(plain_, 0, 0, POSIX_FADV_RANDOM);
    ::posix_fadvise(plain_, 0, 0, POSIX_FADV_DONTNEED);
  }
  bool is_block(const char* buffer, std::size_t block) const {
    return std::memcmp(buffer, data_.data() + block * kBlock, kBlock) == 0;
  }

  const std::string data_ = pattern(16u << 20);
  const std::size_t blocks_ = data_.size() / kBlock;
  int plain_ = -1;
  int direct_ = -1;
};

std::size_t open_descriptors() {
  std::size_t count = 0;
  DIR* folder = ::opendir("/proc/self/fd");
  while (::readdir(folder) != nullptr) ++count;
  ::closedir(folder);
  return count;
}

TEST_F(Disk, ReadPastThePageCacheSuspendsTheFiberOnly) {
  Fibers fibers;
  bool other_ran = false;
  fibers.spawn([&] {
    const Buffer buffer = aligned(kBlock);
    EXPECT_EQ(::pread(direct_, buffer.get(), kBlock, 3 * kBlock), static_cast<ssize_t>(kBlock));
    EXPECT_TRUE(is_block(buffer.get(), 3));
    EXPECT_TRUE(other_ran);
  });
  fibers.spawn([&] { other_ran = true; });
  fibers.run();
}

TEST_F(Disk, SixtyFourFibersReadAtOnceEachItsOwn) {
  for (const bool direct : {true, false}) {
    Fibers fibers;
    int right = 0;
    if (!direct) drop_from_page_cache();
    for (std::size_t i = 0; i < 64; ++i) {
      fibers.spawn([&, i] {
        const Buffer buffer = aligned(kBlock);
        for (std::size_t k = 0; k < 20; ++k) {
          const std::size_t block = (i * 7919 + k * 104'729) % blocks_;
          const auto position = static_cast<off_t>(block * kBlock);
          right += ::pread(direct ? direct_ : plain_, buffer.get(), kBlock, position) ==
                       static_cast<ssize_t>(kBlock) &&
                   is_block(buffer.get(), block);
        }
      });
    }
    fibers.run();
    EXPECT_EQ(right, 64 * 20) << (direct ? "O_DIRECT" : "dropped");
  }
}

TEST_F(Disk, MoreRequestsThanARingHasRoomFor) {
  Fibers fibers;
  int right = 0;
  for (std::size_t i = 0; i < 1000; ++i) {
    fibers.spawn([&, i] {
      const Buffer buffer = aligned(kBlock);
      const std::size_t block = i % blocks_;
      right += ::pread(direct_, buffer.get(), kBlock, static_cast<off_t>(block * kBlock)) ==
                   static_cast<ssize_t>(kBlock) &&
               is_block(buffer.get(), block);
    });
  }
  fibers.run();
  EXPECT_EQ(right, 1000);
}

TEST_F(Disk, ReadAndWriteMoveThePosition) {
  Fibers fibers;
  fibers.spawn([&] {
    const Buffer buffer = aligned(2 * kBlock);
    drop_from_page_cache();
    ASSERT_EQ(::lseek(plain_, kBlock, SEEK_SET), static_cast<off_t>(kBlock));
    for (const std::size_t block : {1u, 2u}) {
      EXPECT_EQ(::read(plain_, buffer.get(), kBlock), static_cast<ssize_t>(kBlock));
      EXPECT_TRUE(is_block(buffer.get(), block));
    }
    for (const std::size_t block : {0u, 1u}) {
      EXPECT_EQ(::read(direct_, buffer.get(), kBlock), static_cast<ssize_t>(kBlock));
      EXPECT_TRUE(is_block(buffer.get(), block));
    }
    std::memset(buffer.get(), 'w', 2 * kBlock);
    const iovec pieces[2] = {{buffer.get(), kBlock}, {buffer.get() + kBlock, kBlock}};
    EXPECT_EQ(::writev(direct_, pieces, 2), static_cast<ssize_t>(2 * kBlock));
    EXPECT_EQ(::pwrite(direct_, buffer.get(), kBlock, 10 * kBlock), static_cast<ssize_t>(kBlock));
    EXPECT_EQ(::pwritev(direct_, pieces, 2, 12 * kBlock), static_cast<ssize_t>(2 * kBlock));
    EXPECT_EQ(::lseek(direct_, 0, SEEK_CUR), static_cast<off_t>(4 * kBlock));
    EXPECT_EQ(::fdatasync(direct_), 0);
    std::string seen(kBlock, '\0');
    for (const std::size_t block : {2u, 3u, 10u, 12u, 13u}) {
      EXPECT_EQ(::pread(plain_, seen.data(), kBlock, static_cast<off_t>(block * kBlock)),
                static_cast<ssize_t>(kBlock));
      EXPECT_TRUE(seen == std::string(kBlock, 'w')) << block;
    }
  });
  fibers.run();
}

TEST_F(Disk, TheEndAndErrorsAreThoseOfTheSystemCalls) {
  Fibers fibers;
  const Buffer buffer = aligned(kBlock);
  // EINVAL on most file systems; tmpfs has no blocks and reads.
  const auto read_askew = [&] { return ::pread(direct_, buffer.get() + 1, kBlock / 2, 1); };
  const Outcome expected = outcome_of(read_askew);
  fibers.spawn([&] {
    errno = EXDEV;
    EXPECT_EQ(::pread(direct_, buffer.get(), kBlock, static_cast<off_t>(data_.size())), 0);
    EXPECT_EQ(errno, EXDEV) << "success leaves errno alone";
    const Outcome outcome = outcome_of(read_askew);
    EXPECT_EQ(outcome.value, expected.value);
    EXPECT_EQ(outcome.error, expected.error) << ::strerror(outcome.error);
    const int only_read = ::open(("/proc/self/fd/" + std::to_string(direct_)).c_str(), O_RDONLY | O_DIRECT);
    EXPECT_FAILS_WITH(EBADF, outcome_of([&] { return ::pwrite(only_read, buffer.get(), kBlock, 0); }));
    ::close(only_read);
    EXPECT_FAILS_WITH(EBADF, outcome_of([&] { return ::fsync(9999); }));
    SocketPair pair;
    EXPECT_FAILS_WITH(EINVAL, outcome_of([&] { return ::fsync(pair[0]); }));
  });
  fibers.run();
}

// Flags that the program changes later are seen, by fcntl as well.
TEST_F(Disk, DirectIsNoticedWhenItIsSetLater) {
  Fibers fibers;
  bool other_ran = false;
  fibers.spawn([&] {
    const Buffer buffer = aligned(kBlock);
    EXPECT_EQ(::pread(plain_, buffer.get(), kBlock, 0), static_cast<ssize_t>(kBlock));
    EXPECT_EQ(::fcntl(plain_, F_SETFL, O_DIRECT), 0);
    fibers.spawn([&] { other_ran = true; });
    EXPECT_EQ(::pread(plain_, buffer.get(), kBlock, kBlock), static_cast<ssize_t>(kBlock));
    EXPECT_TRUE(is_block(buffer.get(), 1));
    EXPECT_TRUE(other_ran);
  });
  fibers.run();
}

// The kernel, or a thread, may write to the buffer until the call has returned, and not after.
TEST_F(Disk, ACancelledReadLeavesTheBufferAlone) {
  Fibers fibers;
  const Buffer buffer = aligned(data_.size());
  Outcome read;
  bool unchanged = false;
  runtime::Fiber& reader = fibers.spawn([&] {
    std::memset(buffer.get(), 0, data_.size());
    read = outcome_of([&] { return ::pread(direct_, buffer.get(), data_.size(), 0); });
    const std::string at_return(buffer.get(), data_.size());
    runtime::current_fiber()->interrupted = false;  // as the facade does once it has raised the error
    sleep_ms(20);
    unchanged = std::memcmp(at_return.data(), buffer.get(), data_.size()) == 0;
  });
  fibers.spawn([&] { EXPECT_TRUE(Fibers::interrupt(reader)); });
  fibers.run();
  EXPECT_TRUE(unchanged);
  if (read.value < 0) {
    EXPECT_EQ(read.error, ECANCELED);
  } else {
    EXPECT_EQ(std::memcmp(buffer.get(), data_.data(), static_cast<std::size_t>(read.value)), 0);
  }
}

TEST_F(Disk, ACancelledTaskStartsNoRead) {
  Fibers fibers;
  Outcome read;
  runtime::Fiber& reader = fibers.spawn([&] {
    sleep_ms(1000);
    const Buffer buffer = aligned(kBlock);
    read = outcome_of([&] { return ::pread(direct_, buffer.get(), kBlock, 0); });
  });
  fibers.spawn([&] { EXPECT_TRUE(Fibers::interrupt(reader)); });
  fibers.run();
  EXPECT_FAILS_WITH(ECANCELED, read);
}

// A cancelled task's write to a file is kept, as the kernel keeps it for a process that gets a signal: the
// writer must not see a disk error. The cancellation comes at a wait that can fail.
TEST_F(Disk, WhatIsWrittenIsNeitherCutShortNorRefused) {
  const Buffer buffer = aligned(kBlock);
  std::memset(buffer.get(), 'w', kBlock);
  const iovec piece{buffer.get(), kBlock};
  const auto block = static_cast<ssize_t>(kBlock);
  struct Kept {
    const char* name;
    std::function<bool()> call;
  };
  const std::vector<Kept> all = {
      {"write", [&] { return ::write(plain_, buffer.get(), kBlock) == block; }},
      {"pwrite", [&] { return ::pwrite(plain_, buffer.get(), kBlock, 0) == block; }},
      {"write, O_DIRECT", [&] { return ::write(direct_, buffer.get(), kBlock) == block; }},
      {"writev, O_DIRECT", [&] { return ::writev(direct_, &piece, 1) == block; }},
      {"pwrite, O_DIRECT", [&] { return ::pwrite(direct_, buffer.get(), kBlock, 0) == block; }},
      {"pwritev, O_DIRECT", [&] { return ::pwritev(direct_, &piece, 1, 0) == block; }},
      {"fsync", [&] { return ::fsync(plain_) == 0; }},
      {"fdatasync", [&] { return ::fdatasync(plain_) == 0; }},
      {"syncfs", [&] { return ::syncfs(plain_) == 0; }},
      {"sync_file_range", [&] { return ::sync_file_range(plain_, 0, 0, SYNC_FILE_RANGE_WRITE) == 0; }},
      {"fallocate", [&] { return ::fallocate(plain_, 0, 0, block) == 0 || errno == EOPNOTSUPP; }},
      {"posix_fallocate", [&] { return ::posix_fallocate(plain_, 0, block) == 0; }},
      {"copy_file_range",
       [&] {
         off64_t from = 0, to = block;
         return ::copy_file_range(plain_, &from, plain_, &to, kBlock, 0) == block;
       }},
  };
  for (const Kept& kept : all) {
    for (const bool already_cancelled : {true, false}) {
      Fibers fibers;
      bool right = false;
      int error = 0;
      runtime::Fiber& writer = fibers.spawn([&] {
        if (already_cancelled) sleep_ms(1000);
        right = kept.call();
        error = errno;
        if (already_cancelled) EXPECT_FAILS_WITH(ECANCELED, outcome_of([] { return ::usleep(1'000'000); }));
      });
      fibers.spawn([&] {
        EXPECT_TRUE(Fibers::interrupt(writer) || !already_cancelled)
            << "what it waits for may be over by now, or never wait";
      });
      fibers.run();
      EXPECT_TRUE(right) << kept.name << (already_cancelled ? ", refused: " : ", cut short: ")
                         << ::strerror(error);
    }
  }
}

// The loop is closed over a task that waits for the disk: its destructors run when the kernel is done with
// its buffer.
TEST_F(Disk, ALoopThatClosesWaitsForTheKernel) {
  Outcome read;
  bool left = false;
  {
    Fibers fibers;
    runtime::Fiber& reader = fibers.spawn([&] {
      const Buffer buffer = aligned(data_.size());
      read = outcome_of([&] { return ::pread(direct_, buffer.get(), data_.size(), 0); });
      left = true;
    });
    fibers.spawn([&] { fibers.scheduler().stop(); });
    fibers.scheduler().run();
    ASSERT_FALSE(left);
    EXPECT_TRUE(fibers.scheduler().unwind(reader));
  }
  EXPECT_TRUE(left);
  EXPECT_TRUE(read.value == static_cast<long>(data_.size()) || read.value == -1) << read.value;
}

TEST_F(Disk, NoDescriptorOutlivesTheLoop) {
  const auto read_in_a_loop = [&] {
    Fibers fibers;
    fibers.spawn([&] {
      const Buffer buffer = aligned(kBlock);
      EXPECT_EQ(::pread(direct_, buffer.get(), kBlock, 0), static_cast<ssize_t>(kBlock));
    });
    fibers.run();
  };
  read_in_a_loop();  // the pool has its threads now
  const std::size_t before = open_descriptors();
  for (int i = 0; i < 3; ++i) read_in_a_loop();
  EXPECT_EQ(open_descriptors(), before);
}

TEST_F(Disk, AForkedChildLeavesTheParentsRequestsAlone) {
  Fibers fibers;
  int status = -1;
  fibers.spawn([&] {
    const Buffer buffer = aligned(kBlock);
    EXPECT_EQ(::pread(direct_, buffer.get(), kBlock, 0), static_cast<ssize_t>(kBlock));
    const pid_t child = ::fork();
    if (child == 0) {
      const bool right = ::pread(direct_, buffer.get(), kBlock, kBlock) == static_cast<ssize_t>(kBlock) &&
                         is_block(buffer.get(), 1);
      ::_exit(right ? 0 : 1);
    }
    for (std::size_t block = 0; block < 50; ++block) {
      EXPECT_EQ(::pread(direct_, buffer.get(), kBlock, static_cast<off_t>(block * kBlock)),
                static_cast<ssize_t>(kBlock));
      EXPECT_TRUE(is_block(buffer.get(), block));
    }
    EXPECT_EQ(::waitpid(child, &status, 0), child);
  });
  fibers.run();
  EXPECT_EQ(status, 0);
}

// Some requests are with the kernel then and some are not yet; all of them have to be right. A loop that
// tries to hand them in for ever ends by ctest's time limit.
TEST_F(Disk, SandboxEnteredWhileRequestsWait) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    Fibers fibers;
    int right = 0;
    for (std::size_t i = 0; i < 8; ++i) {
      fibers.spawn([&, i] {
        const Buffer buffer = aligned(kBlock);
        for (std::size_t block = i; block < 64; block += 8) {
          right += ::pread(direct_, buffer.get(), kBlock, static_cast<off_t>(block * kBlock)) ==
                       static_cast<ssize_t>(kBlock) &&
                   is_block(buffer.get(), block);
          if (block == 19 && !forbid("io_uring_enter")) ::_exit(2);
        }
      });
    }
    fibers.run();
    ::_exit(right == 64 ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

}  // namespace
}  // namespace aiofiber::hooks_test
