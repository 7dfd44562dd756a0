// SPDX-License-Identifier: Apache-2.0
//
// Signals are blocked and read from a descriptor, like the keys.
#include "terminal.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>

#include "failure.h"

namespace aiofiber::tool {
namespace {

// ECMA-48 and xterm: the other screen buffer, the cursor, erasing.
constexpr std::string_view kEnter = "\x1b[?1049h\x1b[?25l\x1b[H\x1b[2J";
constexpr std::string_view kLeave = "\x1b[0m\x1b[?25h\x1b[?1049l";
constexpr std::string_view kHome = "\x1b[H";
constexpr std::string_view kEraseLine = "\x1b[K";
constexpr std::string_view kEraseBelow = "\x1b[J";

Terminal* shown = nullptr;  // is left also when the command ends without destructors

void write_all(std::string_view text) noexcept {
  while (!text.empty()) {
    const ssize_t written = write(STDOUT_FILENO, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;  // the terminal is gone: the next read reports it
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

}  // namespace

bool is_terminal() {
  const char* kind = ::secure_getenv("TERM");
  return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && kind != nullptr && std::string_view(kind) != "dumb";
}

Terminal::Terminal() {
  if (tcgetattr(STDIN_FILENO, &before_) != 0) {
    throw Failure(Exit::kInternal,
                  std::string("the terminal does not tell its settings: ") + std::strerror(errno));
  }
  sigset_t mask;
  sigemptyset(&mask);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGTSTP, SIGWINCH}) sigaddset(&mask, signal);
  sigprocmask(SIG_BLOCK, &mask, &mask_before_);
  signals_ = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
  shown = this;
  std::at_quick_exit([] {
    if (shown != nullptr) shown->leave();
  });
  enter();
}

Terminal::~Terminal() {
  leave();
  shown = nullptr;
  close(signals_);
  sigprocmask(SIG_SETMASK, &mask_before_, nullptr);
}

void Terminal::enter() {
  termios raw = before_;
  raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);  // ISIG stays: Ctrl-C and Ctrl-Z are signals
  raw.c_cc[VMIN] = 1;
  raw.c_cc[VTIME] = 0;
  tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
  write_all(kEnter);
}

void Terminal::leave() noexcept {
  write_all(kLeave);
  tcsetattr(STDIN_FILENO, TCSADRAIN, &before_);
}

Terminal::Size Terminal::size() const {
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0) return {80, 24};
  return {size.ws_col, size.ws_row};
}

void Terminal::show(const std::string& lines) {
  std::string screen(kHome);
  std::string_view rest = lines;
  for (bool first = true; !rest.empty(); first = false) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    if (!first) screen += "\r\n";
    screen.append(rest.substr(0, end)).append(kEraseLine);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  screen += kEraseBelow;
  write_all(screen);
}

TerminalEvent Terminal::wait(int timeout_ms) {
  if (events_.empty()) {
    pollfd entries[] = {{signals_, POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
    if (poll(entries, 2, timeout_ms) > 0) {
      if (entries[0].revents != 0) read_signal();
      if (entries[1].revents != 0) read_keys();
    }
  }
  if (events_.empty()) return {};
  const TerminalEvent event = events_.front();
  events_.pop_front();
  return event;
}

void Terminal::read_signal() {
  signalfd_siginfo info{};
  if (read(signals_, &info, sizeof info) != sizeof info) return;
  const int signal = static_cast<int>(info.ssi_signo);
  if (signal == SIGTSTP) {
    leave();
    raise(SIGSTOP);
    enter();
  }
  if (signal == SIGTSTP || signal == SIGWINCH) {
    push(TerminalEvent::Kind::kRedraw);
  } else {
    push(TerminalEvent::Kind::kSignal, signal);
  }
}

void Terminal::read_keys() {
  using Kind = TerminalEvent::Kind;
  static constexpr std::pair<std::string_view, Kind> kSequences[] = {
      {"\x1b[A", Kind::kUp},   {"\x1bOA", Kind::kUp},      {"\x1b[B", Kind::kDown},
      {"\x1bOB", Kind::kDown}, {"\x1b[5~", Kind::kPageUp}, {"\x1b[6~", Kind::kPageDown},
      {"\x1b[H", Kind::kHome}, {"\x1bOH", Kind::kHome},    {"\x1b[F", Kind::kEnd},
      {"\x1bOF", Kind::kEnd},  {"\r", Kind::kEnter},       {"\n", Kind::kEnter},
  };
  char buffer[256];
  const ssize_t got = read(STDIN_FILENO, buffer, sizeof buffer);
  if (got < 0 && errno == EINTR) return;
  if (got <= 0) return push(Kind::kClosed);
  std::string_view typed(buffer, static_cast<std::size_t>(got));
  while (!typed.empty()) {
    const auto* known = std::find_if(std::begin(kSequences), std::end(kSequences),
                                     [&](const auto& sequence) { return typed.starts_with(sequence.first); });
    if (known != std::end(kSequences)) {
      push(known->second);
      typed.remove_prefix(known->first.size());
    } else if (typed[0] == '\x1b' && typed.size() > 1 && (typed[1] == '[' || typed[1] == 'O')) {
      // An unknown key: its sequence ends with a letter or a tilde.
      std::size_t end = 2;
      while (end < typed.size() && (typed[end] < '@' || typed[end] > '~')) ++end;
      typed.remove_prefix(std::min(end + 1, typed.size()));
    } else {
      push(typed[0] == '\x1b' ? Kind::kEscape : Kind::kCharacter, typed[0]);
      typed.remove_prefix(1);
    }
  }
}

}  // namespace aiofiber::tool
