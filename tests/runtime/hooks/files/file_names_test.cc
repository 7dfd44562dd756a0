// SPDX-License-Identifier: Apache-2.0
//
// Files by name, folders, and opened streams. By default these calls are libc's own. On request they run on
// the pool, with the same results, and are never interrupted.
// Labels: long
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <utime.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "aiofiber/hooks.h"
#include "aiofiber/runtime/arch/arch.h"
#include "support/fibers.h"

#if AIOFIBER_ARCH_HAS_XSTAT
// What programs call that were linked with a glibc before 2.33.
extern "C" {
int __xstat(int version, const char* path, struct stat* status);
int __lxstat(int version, const char* path, struct stat* status);
int __fxstatat(int version, int folder, const char* path, struct stat* status, int flags);
int __xmknod(int version, const char* path, mode_t mode, dev_t* device);
}
#endif

namespace aiofiber::hooks_test {
namespace {

// A fresh folder, and the option on for as long as it lives.
class OnPool {
 public:
  OnPool() {
    EXPECT_NE(::mkdtemp(folder_), nullptr);
    EXPECT_TRUE(hooks::set_files_on_pool(true));
  }
  ~OnPool() {
    hooks::set_files_on_pool(false);
    std::filesystem::remove_all(folder_);
  }
  OnPool(const OnPool&) = delete;
  OnPool& operator=(const OnPool&) = delete;
  std::string path(const char* name) const { return std::string(folder_) + "/" + name; }

 private:
  char folder_[40] = "/tmp/aiofiber_file_names_XXXXXX";
};

// Counts the turns that others get.
struct Turns {
  explicit Turns(Fibers& fibers) {
    fibers.spawn([this] {
      while (!stopped) {
        ++count;
        runtime::yield_now();
      }
    });
  }
  int count = 0;
  bool stopped = false;
};

// The call gives `value` and lets the others run meanwhile.
#define EXPECT_SUSPENDS(value, call)                          \
  do {                                                        \
    const int before_ = turns.count;                          \
    EXPECT_EQ((call), (value)) << #call << ::strerror(errno); \
    EXPECT_GT(turns.count, before_) << #call;                 \
  } while (false)

TEST(FileNames, OnThePoolLetTheOthersRun) {
  const OnPool files;
  const std::string a = files.path("a"), b = files.path("b"), c = files.path("c"),
                    folder = files.path("folder");
  Fibers fibers;
  Turns turns(fibers);
  fibers.spawn([&] {
    runtime::yield_now();
    int fd = -1;
    const int before = turns.count;
    fd = ::open(a.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    ASSERT_GE(fd, 0);
    EXPECT_GT(turns.count, before);
    struct stat status {};
    ASSERT_EQ(::fstat(fd, &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0640u & ~([] {
                                       const mode_t mask = ::umask(0);
                                       ::umask(mask);
                                       return mask;
                                     }()))
        << "the mode is handed on";
    EXPECT_SUSPENDS(0, ::ftruncate(fd, 100));
    EXPECT_SUSPENDS(0, ::posix_fadvise(fd, 0, 0, POSIX_FADV_WILLNEED));
    errno = 0;
    EXPECT_SUSPENDS(EBADF, ::posix_fadvise(-1, 0, 0, POSIX_FADV_DONTNEED));
    EXPECT_EQ(errno, 0);
    EXPECT_SUSPENDS(0, ::readahead(fd, 0, 100));
    EXPECT_SUSPENDS(-1, ::readahead(-1, 0, 100));
    EXPECT_EQ(errno, EBADF);
    EXPECT_SUSPENDS(0, ::truncate(a.c_str(), 50));
    ASSERT_EQ(::fstat(fd, &status), 0);
    EXPECT_EQ(status.st_size, 50);
    ::close(fd);
    EXPECT_SUSPENDS(0, ::rename(a.c_str(), b.c_str()));
    EXPECT_SUSPENDS(0, ::renameat(AT_FDCWD, b.c_str(), AT_FDCWD, a.c_str()));
    EXPECT_SUSPENDS(0, ::link(a.c_str(), b.c_str()));
    EXPECT_SUSPENDS(0, ::symlink("a", c.c_str()));
    EXPECT_SUSPENDS(0, ::unlink(c.c_str()));
    EXPECT_SUSPENDS(0, ::unlinkat(AT_FDCWD, b.c_str(), 0));
    EXPECT_SUSPENDS(0, ::mkdir(folder.c_str(), 0700));
    EXPECT_SUSPENDS(0, ::rmdir(folder.c_str()));
    EXPECT_SUSPENDS(0, ::remove(a.c_str()));
    EXPECT_SUSPENDS(-1, ::open(a.c_str(), O_RDONLY));
    EXPECT_EQ(errno, ENOENT);
    errno = ERANGE;
    EXPECT_SUSPENDS(0, ::mkdirat(AT_FDCWD, folder.c_str(), 0700));
    EXPECT_EQ(errno, ERANGE) << "a success leaves it alone";
    turns.stopped = true;
  });
  fibers.run();
}

// Runs body(turns) in a fiber, beside one that counts the turns it gets.
void run_beside_turns(const std::function<void(Turns&)>& body) {
  Fibers fibers;
  Turns turns(fibers);
  fibers.spawn([&] {
    runtime::yield_now();
    body(turns);
    turns.stopped = true;
  });
  fibers.run();
}

TEST(FileNames, AreAskedAboutOnThePool) {
  const OnPool files;
  const std::string a = files.path("a"), link = files.path("link");
  std::ofstream(a) << "hello";
  ASSERT_EQ(::symlink(a.c_str(), link.c_str()), 0);
  run_beside_turns([&](Turns& turns) {
    struct stat status {};
    EXPECT_SUSPENDS(0, ::stat(link.c_str(), &status));
    EXPECT_EQ(status.st_size, 5);
    EXPECT_SUSPENDS(0, ::lstat(link.c_str(), &status));
    EXPECT_TRUE(S_ISLNK(status.st_mode));
    EXPECT_SUSPENDS(0, ::fstatat(AT_FDCWD, link.c_str(), &status, 0));
    EXPECT_EQ(status.st_size, 5);
    struct stat64 status64 {};
    EXPECT_SUSPENDS(0, ::stat64(a.c_str(), &status64));
    EXPECT_EQ(status64.st_size, 5);
    struct statx extended {};
    EXPECT_SUSPENDS(0, ::statx(AT_FDCWD, a.c_str(), 0, STATX_SIZE, &extended));
    EXPECT_EQ(extended.stx_size, 5u);
    EXPECT_SUSPENDS(0, ::access(a.c_str(), R_OK));
    EXPECT_SUSPENDS(0, ::eaccess(a.c_str(), R_OK));
    EXPECT_SUSPENDS(0, ::faccessat(AT_FDCWD, a.c_str(), R_OK, AT_EACCESS));
    char text[PATH_MAX] = {};
    const auto length = static_cast<ssize_t>(a.size());
    EXPECT_SUSPENDS(length, ::readlink(link.c_str(), text, sizeof text));
    EXPECT_EQ(text, a);
    EXPECT_SUSPENDS(length, ::readlinkat(AT_FDCWD, link.c_str(), text, sizeof text));
    EXPECT_SUSPENDS(text, ::realpath(link.c_str(), text));
    EXPECT_EQ(text, std::filesystem::canonical(a).string());
    struct statfs system {};
    EXPECT_SUSPENDS(0, ::statfs(a.c_str(), &system));
    EXPECT_GT(system.f_bsize, 0);
    struct statvfs volume {};
    EXPECT_SUSPENDS(0, ::statvfs(a.c_str(), &volume));
    EXPECT_GT(volume.f_bsize, 0u);
    const int before = turns.count;
    EXPECT_EQ(::getxattr(a.c_str(), "user.none", text, sizeof text), -1);
    EXPECT_TRUE(errno == ENODATA || errno == ENOTSUP) << ::strerror(errno);
    EXPECT_GT(turns.count, before);
#if AIOFIBER_ARCH_HAS_XSTAT
    EXPECT_SUSPENDS(0, __xstat(1, link.c_str(), &status));
    EXPECT_EQ(status.st_size, 5);
    EXPECT_SUSPENDS(0, __lxstat(1, link.c_str(), &status));
    EXPECT_TRUE(S_ISLNK(status.st_mode));
    EXPECT_SUSPENDS(0, __fxstatat(1, AT_FDCWD, a.c_str(), &status, 0));
    EXPECT_EQ(status.st_size, 5);
#endif
  });
}

TEST(FileNames, GetTheirAttributesOnThePool) {
  const OnPool files;
  const std::string a = files.path("a"), fifo = files.path("fifo"), other = files.path("other");
  std::ofstream(a) << "hello";
  run_beside_turns([&](Turns& turns) {
    const int fd = ::open(a.c_str(), O_RDWR | O_CLOEXEC);
    const uid_t user = ::geteuid();
    const gid_t group = ::getegid();
    struct stat status {};
    EXPECT_SUSPENDS(0, ::chmod(a.c_str(), 0600));
    EXPECT_SUSPENDS(0, ::fchmod(fd, 0640));
    EXPECT_SUSPENDS(0, ::fchmodat(AT_FDCWD, a.c_str(), 0604, 0));
    EXPECT_SUSPENDS(0, ::chown(a.c_str(), user, group));
    EXPECT_SUSPENDS(0, ::lchown(a.c_str(), user, group));
    EXPECT_SUSPENDS(0, ::fchown(fd, user, group));
    EXPECT_SUSPENDS(0, ::fchownat(AT_FDCWD, a.c_str(), user, group, 0));
    const timeval times[2] = {{1000, 0}, {2000, 0}};
    const timespec new_times[2] = {{3000, 0}, {4000, 0}};
    const utimbuf old_times{5000, 6000};
    EXPECT_SUSPENDS(0, ::utimes(a.c_str(), times));
    EXPECT_SUSPENDS(0, ::lutimes(a.c_str(), times));
    EXPECT_SUSPENDS(0, ::futimes(fd, times));
    EXPECT_SUSPENDS(0, ::futimesat(AT_FDCWD, a.c_str(), times));
    EXPECT_SUSPENDS(0, ::utimensat(AT_FDCWD, a.c_str(), new_times, 0));
    ASSERT_EQ(::fstat(fd, &status), 0);
    EXPECT_EQ(status.st_mtime, 4000);
    EXPECT_SUSPENDS(0, ::futimens(fd, new_times));
    EXPECT_SUSPENDS(0, ::utime(a.c_str(), &old_times));
    ASSERT_EQ(::fstat(fd, &status), 0);
    EXPECT_EQ(status.st_mtime, 6000);
    EXPECT_EQ(status.st_mode & 0777, 0604u);
    ::close(fd);
    EXPECT_SUSPENDS(0, ::mkfifo(fifo.c_str(), 0600));
    EXPECT_SUSPENDS(0, ::mknod(other.c_str(), S_IFIFO | 0600, 0));
    ASSERT_EQ(::lstat(other.c_str(), &status), 0);
    EXPECT_TRUE(S_ISFIFO(status.st_mode));
  });
}

// Each call fails as libc's does, with the same errno, also when its path is nowhere.
TEST(FileNames, FailAsLibcsDo) {
  const OnPool files;
  void* const nowhere = ::mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(nowhere, MAP_FAILED);
  const std::string missing = files.path("missing/file");
  const auto fail = [](const char* path, bool has_letters) {
    std::vector<int> errors;
    const auto note = [&](bool failed) { errors.push_back(failed ? errno : 0); };
    struct stat status {};
    struct statfs system {};
    char text[PATH_MAX];
    errno = 0;
    note(::stat(path, &status) != 0);
    note(::lstat(path, &status) != 0);
    note(::fstatat(AT_FDCWD, path, &status, 0) != 0);
    note(::access(path, R_OK) != 0);
    note(::readlink(path, text, sizeof text) < 0);
    note(::chmod(path, 0600) != 0);
    note(::chown(path, 0, 0) != 0);
    note(::mkfifo(path, 0600) != 0);
    note(::statfs(path, &system) != 0);
    note(::getxattr(path, "user.none", text, sizeof text) < 0);
    note(::open(path, O_RDONLY) < 0);
    note(::rename(path, path) != 0);
    if (has_letters) {  // libc itself looks at the first one
      note(::opendir(path) == nullptr);
      note(::realpath(path, text) == nullptr);
    }
    note(::fopen(path, "re") == nullptr);
    return errors;
  };
  for (const bool has_letters : {true, false}) {
    if (AIOFIBER_ASAN && !has_letters) continue;  // the sanitizer measures each name
    const char* const path = has_letters ? missing.c_str() : static_cast<const char*>(nowhere);
    const std::vector<int> libcs = fail(path, has_letters);
    std::vector<int> ours;
    Fibers fibers;
    fibers.spawn([&] { ours = fail(path, has_letters); });
    fibers.run();
    EXPECT_EQ(ours, libcs) << (has_letters ? "a missing file" : "nowhere");
    EXPECT_EQ(std::count(libcs.begin(), libcs.end(), 0), 0);
  }
  ::munmap(nowhere, 4096);
}

// With names so long they fill several blocks of what libc reads at once.
constexpr std::size_t kManyFiles = 600;

void make_many_files(const OnPool& files) {
  for (std::size_t i = 0; i < kManyFiles; ++i)
    std::ofstream(files.path((std::string(200, 'x') + std::to_string(i)).c_str())).flush();
}

TEST(Folders, AreReadOnThePoolBlockByBlock) {
  const OnPool files;
  make_many_files(files);
  run_beside_turns([&](Turns& turns) {
    const int before = turns.count;
    DIR* const folder = ::opendir(files.path(".").c_str());
    ASSERT_NE(folder, nullptr);
    EXPECT_GT(turns.count, before);
    std::set<std::string> names;
    std::size_t suspended = 0, calls = 0;
    long middle = 0;
    std::size_t suspended_at_first = 0;
    std::string next_of_middle;
    errno = ERANGE;
    for (;;) {
      const int before_call = turns.count;
      const dirent* const entry = ::readdir(folder);
      suspended += turns.count != before_call ? 1u : 0u;
      if (++calls == 1) suspended_at_first = suspended;
      if (entry == nullptr) break;
      names.insert(entry->d_name);
      if (calls == 301) next_of_middle = entry->d_name;
      if (calls == 300) middle = ::telldir(folder);
    }
    EXPECT_EQ(errno, ERANGE) << "the end is no error";
    EXPECT_EQ(names.size(), kManyFiles + 2);
    EXPECT_EQ(suspended_at_first, 1u);
    EXPECT_GE(suspended, 4u);
    EXPECT_LT(suspended, 60u) << "most calls ask nobody";

    // Another place is another block.
    ::seekdir(folder, middle);
    const int before_seek = turns.count;
    const dirent* const again = ::readdir(folder);
    ASSERT_NE(again, nullptr);
    EXPECT_EQ(again->d_name, next_of_middle);
    EXPECT_GT(turns.count, before_seek);
    ::rewinddir(folder);
    const int before_rewind = turns.count;
    EXPECT_NE(::readdir(folder), nullptr);
    EXPECT_GT(turns.count, before_rewind);
    EXPECT_EQ(::closedir(folder), 0);
  });
}

TEST(Folders, AreReadOnThePoolByTheOldNameToo) {
  const OnPool files;
  std::ofstream(files.path("a")).flush();
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  run_beside_turns([&](Turns& turns) {
    DIR* const folder = ::opendir(files.path(".").c_str());
    ASSERT_NE(folder, nullptr);
    dirent entry;
    dirent* result = &entry;
    EXPECT_SUSPENDS(0, ::readdir_r(folder, &entry, &result));
    int seen = 0;
    for (; result != nullptr; ++seen) ASSERT_EQ(::readdir_r(folder, &entry, &result), 0);
    EXPECT_EQ(seen, 3);
    ::closedir(folder);
  });
#pragma GCC diagnostic pop
}

TEST(Folders, OfTheStandardLibraryAreReadOnThePool) {
  const OnPool files;
  std::ofstream(files.path("a")).flush();
  run_beside_turns([&](Turns& turns) {
    const int before = turns.count;
    int seen = 0;
    for (const auto& entry : std::filesystem::directory_iterator(files.path(".")))
      seen += entry.exists() ? 1 : 0;
    EXPECT_EQ(seen, 1);
    EXPECT_GT(turns.count, before + 1);
  });
}

TEST(FileStreams, AreOpenedOnThePool) {
  const OnPool files;
  const std::string a = files.path("a"), pattern = files.path("XXXXXX"),
                    with_suffix = files.path("XXXXXX.txt");
  run_beside_turns([&](Turns& turns) {
    int before = turns.count;
    std::FILE* file = std::fopen(a.c_str(), "we");
    ASSERT_NE(file, nullptr);
    EXPECT_GT(turns.count, before);
    EXPECT_EQ(std::fputs("hello", file), 1);
    before = turns.count;
    file = std::freopen(a.c_str(), "re", file);
    ASSERT_NE(file, nullptr);
    EXPECT_GT(turns.count, before);
    char text[8];
    EXPECT_STREQ(std::fgets(text, sizeof text, file), "hello");
    EXPECT_EQ(std::fclose(file), 0);
    before = turns.count;
    EXPECT_EQ(std::fopen(files.path("missing").c_str(), "re"), nullptr);
    EXPECT_EQ(errno, ENOENT);
    EXPECT_GT(turns.count, before);
    before = turns.count;
    std::string content;
    EXPECT_TRUE(std::getline(std::ifstream(a), content));
    EXPECT_EQ(content, "hello");
    EXPECT_GT(turns.count, before);
    before = turns.count;
    file = std::tmpfile();
    ASSERT_NE(file, nullptr);
    EXPECT_GT(turns.count, before);
    std::fclose(file);

    const auto make = [&](std::string name, auto call) {
      const int before_call = turns.count;
      const int fd = call(name.data());
      EXPECT_GE(fd, 0) << ::strerror(errno);
      EXPECT_GT(turns.count, before_call);
      EXPECT_EQ(name.find("XXXXXX"), std::string::npos);
      EXPECT_TRUE(std::filesystem::exists(name));
      ::close(fd);
    };
    make(pattern, [](char* name) { return ::mkstemp(name); });
    make(pattern, [](char* name) { return ::mkostemp(name, O_CLOEXEC); });
    make(with_suffix, [](char* name) { return ::mkstemps(name, 4); });
    make(with_suffix, [](char* name) { return ::mkostemps(name, 4, O_CLOEXEC); });
    std::string folder = pattern;
    EXPECT_SUSPENDS(folder.data(), ::mkdtemp(folder.data()));
  });
}

TEST(FileStreams, OfBothEndsOfAFifoOpenInOneThread) {
  const OnPool files;
  const std::string fifo = files.path("fifo");
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  Fibers fibers;
  char text[8] = {};
  fibers.spawn([&] {
    std::FILE* const file = std::fopen(fifo.c_str(), "re");
    ASSERT_NE(file, nullptr);
    EXPECT_EQ(::read(::fileno(file), text, 5), 5);
    std::fclose(file);
  });
  fibers.spawn([&] {
    std::FILE* const file = std::fopen(fifo.c_str(), "we");
    ASSERT_NE(file, nullptr);
    EXPECT_EQ(::write(::fileno(file), "hello", 5), 5);
    std::fclose(file);
  });
  fibers.run();
  EXPECT_STREQ(text, "hello");
}

TEST(FileNames, AreLibcsUnlessAskedFor) {
  const OnPool files;
  hooks::set_files_on_pool(false);
  const std::string a = files.path("a");
  Fibers fibers;
  Turns turns(fibers);
  fibers.spawn([&] {
    const int before = turns.count;
    const int fd = ::open(a.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    EXPECT_GE(fd, 0);
    ::close(fd);
    struct stat status {};
    EXPECT_EQ(::stat(a.c_str(), &status), 0);
    EXPECT_EQ(::unlink(a.c_str()), 0);
    DIR* const folder = ::opendir(files.path(".").c_str());
    EXPECT_NE(::readdir(folder), nullptr);
    ::closedir(folder);
    std::FILE* const file = std::fopen(a.c_str(), "we");
    EXPECT_NE(file, nullptr);
    std::fclose(file);
    EXPECT_EQ(turns.count, before);
    turns.stopped = true;
  });
  fibers.run();
}

TEST(FileNames, BothEndsOfAFifoOpenInOneThread) {
  const OnPool files;
  const std::string fifo = files.path("fifo");
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  Fibers fibers;
  char byte = 0;
  fibers.spawn([&] {
    const int fd = ::open(fifo.c_str(), O_RDONLY | O_CLOEXEC);
    EXPECT_EQ(::read(fd, &byte, 1), 1);
    ::close(fd);
  });
  fibers.spawn([&] {
    const int fd = ::openat(AT_FDCWD, fifo.c_str(), O_WRONLY | O_CLOEXEC);
    EXPECT_EQ(::write(fd, "x", 1), 1);
    ::close(fd);
  });
  fibers.run();
  EXPECT_EQ(byte, 'x');
}

TEST(FileNames, AreServedThoughTheTaskIsCancelled) {
  const OnPool files;
  const std::string folder = files.path("folder");
  Fibers fibers;
  runtime::Fiber& cancelled = fibers.spawn([&] {
    sleep_ms(5000);
    EXPECT_EQ(::mkdir(folder.c_str(), 0700), 0) << ::strerror(errno);
    struct stat status {};
    EXPECT_EQ(::stat(folder.c_str(), &status), 0) << ::strerror(errno);
    DIR* const entries = ::opendir(folder.c_str());
    ASSERT_NE(entries, nullptr) << ::strerror(errno);
    EXPECT_NE(::readdir(entries), nullptr) << ::strerror(errno);
    ::closedir(entries);
    EXPECT_EQ(::rmdir(folder.c_str()), 0) << ::strerror(errno);
  });
  fibers.spawn([&] { Fibers::interrupt(cancelled); });
  fibers.run();
}

// It shares the task's memory, and must not suspend it.
TEST(FileNames, OfAVforkedChildAreLibcs) {
  const OnPool files;
  const std::string folder = files.path("folder");
  Fibers fibers;
  int status = -1;
  fibers.spawn([&] {
    const pid_t child = ::vfork();
    if (child == 0) ::_exit(::mkdir(folder.c_str(), 0700) == 0 ? 7 : 1);
    EXPECT_EQ(::waitpid(child, &status, 0), child);
  });
  fibers.run();
  EXPECT_EQ(WEXITSTATUS(status), 7);
}

// Run with AIOFIBER_FILES_ON_POOL=1, and without.
TEST(FileNames, GoToThePoolIfTheEnvironmentSaysSo) {
  const char* const wanted = ::getenv("AIOFIBER_FILES_ON_POOL");
  Fibers fibers;
  Turns turns(fibers);
  fibers.spawn([&] {
    runtime::yield_now();
    const int before = turns.count;
    EXPECT_EQ(::unlink("/no/such/file"), -1);
    EXPECT_EQ(errno, ENOENT);
    EXPECT_EQ(turns.count > before, wanted != nullptr);
    turns.stopped = true;
  });
  fibers.run();
}

}  // namespace
}  // namespace aiofiber::hooks_test
