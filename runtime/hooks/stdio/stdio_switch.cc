// SPDX-License-Identifier: Apache-2.0
//
// The switch, and the test that follows at once. FILEs over a socket pair, narrow and wide, must still read
// and write correctly, and must keep a second task out while one is inside. If not, libc gets its functions
// back.
#include "hooks/stdio/stdio_switch.h"

#include <gnu/libc-version.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <cwchar>
#include <mutex>

#include "aiofiber/runtime/engine/at_fork.h"
#include "hooks/core/act.h"
#include "hooks/core/real.h"
#include "hooks/glibc/stdio_tables.h"
#include "hooks/stdio/stdio_occupant.h"
#include "hooks/stdio/stdio_slots.h"

int aiofiber_stdio_state = 0;

namespace aiofiber::hooks {

namespace detail {
constinit std::atomic<bool> stdio_ending{false};
}

namespace {

constexpr const char kOddStream[] = "a FILE is not laid out as expected";
constexpr const char kOddData[] = "a FILE over a socket did not give what was sent";
constexpr const char kNotKeptOut[] = "a FILE that a task is in lets another one in";

// The switch was tested with glibc 2.31 to 2.41; their FILE has not changed. A newer glibc is accepted if it
// passes every check.
enum class Version { kRefused, kKnown, kNewer };

Version judge(const char* version) noexcept {
  char* end = nullptr;
  const long major = std::strtol(version, &end, 10);
  const long minor = *end == '.' ? std::strtol(end + 1, nullptr, 10) : -1;
  if (major != 2 || minor < 31) return Version::kRefused;
  return minor <= 41 ? Version::kKnown : Version::kNewer;
}

// A FILE over one end of a socket pair; the test uses the other end.
struct TrialStream {
  TrialStream() noexcept {
    int pair[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) return;
    peer = pair[1];
    file = ::fdopen(pair[0], "r+");
    if (file == nullptr) real::close(pair[0]);
  }
  ~TrialStream() {
    if (file != nullptr) std::fclose(file);
    if (peer >= 0) real::close(peer);
  }
  TrialStream(const TrialStream&) = delete;
  TrialStream& operator=(const TrialStream&) = delete;

  bool peer_gets(const char* text) const noexcept {
    char got[64] = {};
    const ssize_t n = real::recv(peer, got, sizeof got - 1, MSG_DONTWAIT);
    return n == static_cast<ssize_t>(std::strlen(text)) && std::strcmp(got, text) == 0;
  }
  bool peer_sends(const char* text) const noexcept {
    const auto length = std::strlen(text);
    return real::send(peer, text, length, MSG_DONTWAIT | MSG_NOSIGNAL) == static_cast<ssize_t>(length);
  }

  std::FILE* file = nullptr;
  int peer = -1;
};

const char* try_narrow(const StdioTables& tables) {
  const TrialStream stream;
  if (stream.file == nullptr) return "no socket pair can be made for a trial";
  std::FILE* const file = stream.file;
  if (file->_fileno != ::fileno(file) || table_of(file) != tables.of_plain_files()) return kOddStream;
  char line[16];
  if (std::fputs("to the peer\n", file) < 0 || std::fflush(file) != 0 || !stream.peer_gets("to the peer\n"))
    return kOddData;
  if (!stream.peer_sends("one\ntwo\n") || std::fgets(line, sizeof line, file) == nullptr ||
      std::strcmp(line, "one\n") != 0)
    return kOddData;
  {
    runtime::Fiber* const somebody = reinterpret_cast<runtime::Fiber*>(file);
    const StdioOccupant occupant(file, somebody);
    errno = 0;
    if (std::fgetc(file) != EOF || errno != EBUSY) return kNotKeptOut;
    if (std::fputc('x', file) != EOF || std::fwrite(line, 1, 2, file) != 0 || std::fflush(file) == 0)
      return kNotKeptOut;
  }
  std::clearerr(file);
  if (std::fgets(line, sizeof line, file) == nullptr || std::strcmp(line, "two\n") != 0) return kOddData;
  return nullptr;
}

const char* try_wide() {
  const TrialStream stream;
  if (stream.file == nullptr) return "no socket pair can be made for a trial";
  std::FILE* const file = stream.file;
  wchar_t line[16];
  if (std::fwide(file, 1) <= 0) return kOddStream;
  if (std::fputws(L"wide\n", file) < 0 || std::fflush(file) != 0 || !stream.peer_gets("wide\n"))
    return kOddData;
  if (!stream.peer_sends("one\ntwo\n") || std::fgetws(line, 16, file) == nullptr ||
      std::wcscmp(line, L"one\n") != 0)
    return kOddData;
  {
    runtime::Fiber* const somebody = reinterpret_cast<runtime::Fiber*>(file);
    const StdioOccupant occupant(file, somebody);
    errno = 0;
    if (std::fgetwc(file) != WEOF || errno != EBUSY || std::fputwc(L'x', file) != WEOF) return kNotKeptOut;
  }
  std::clearerr(file);
  if (std::fgetws(line, 16, file) == nullptr || std::wcscmp(line, L"two\n") != 0) return kOddData;
  return nullptr;
}

constinit runtime::ForkHandler forget_occupants{runtime::ForkStep::kStdio,
                                                {.child = &forget_stdio_occupants}};

const char* switch_on() noexcept {
  const Version version = judge(::gnu_get_libc_version());
  if (version == Version::kRefused) return "this version of glibc is not known";
  static StdioTables tables;
  if (const char* refusal = tables.find()) return refusal;
  static void* replacement[kMostStdioTables][kStdioSlots];
  prepare_stdio_slots(tables, replacement);
  const char* refusal = nullptr;
  if (!tables.replace(replacement)) {
    refusal = "libc's tables of FILE operations cannot be written to";
  } else if ((refusal = try_narrow(tables)) == nullptr) {
    refusal = try_wide();
  }
  if (refusal != nullptr) {
    tables.replace(original_stdio_slots());
    return refusal;
  }
  if (version == Version::kNewer) {
    std::fprintf(
        stderr,
        "aiofiber hooks: stdio suspends tasks with glibc %s, which is newer than what was tried; each of its "
        "FILE operations was checked\n",
        ::gnu_get_libc_version());
  }
  runtime::at_fork(forget_occupants);
  // Registered early, so it runs late in exit(): after handlers registered in main(), before libc flushes.
  std::atexit([] { detail::stdio_ending.store(true, std::memory_order_relaxed); });
  return nullptr;
}

}  // namespace

void enable_stdio_if_wanted() noexcept {
  const char* wanted = ::secure_getenv("AIOFIBER_STDIO");
  if (wanted == nullptr || *wanted == '\0' || std::strcmp(wanted, "0") == 0) return;
  if (const char* refusal = aiofiber_enable_stdio()) {
    std::fprintf(stderr, "aiofiber hooks: AIOFIBER_STDIO is without effect, stdio blocks the thread: %s\n",
                 refusal);
  }
}

}  // namespace aiofiber::hooks

const char* aiofiber_enable_stdio() noexcept {
  static constinit std::mutex mutex;
  static constinit const char* refused = nullptr;
  // Uses libc's own calls throughout, also in a task: the test must not wait.
  const aiofiber::runtime::HooksOff plain_calls;
  const std::lock_guard lock(mutex);
  if (aiofiber_stdio_state == 0) {
    refused = aiofiber::hooks::switch_on();
    aiofiber_stdio_state = refused == nullptr ? 1 : -1;
  }
  return refused;
}
