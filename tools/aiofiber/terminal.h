// SPDX-License-Identifier: Apache-2.0
//
// The terminal as a full-screen program needs it: keys one by one, its size, whole screens at a time, and
// everything as it was afterwards.
//
// termios and a dozen control sequences that every terminal of today has; a library of screens (ncurses)
// would be one more dependency for what is here 150 lines. Signals come as events, in order with the keys, so
// no handler runs and nothing has to be safe in one.
#pragma once

#include <signal.h>
#include <termios.h>

#include <deque>
#include <string>

namespace aiofiber::tool {

// Whether a full-screen program can run: standard input and output are a terminal, and not a "dumb" one.
bool is_terminal();

struct TerminalEvent {
  enum class Kind {
    kTimeout,
    kCharacter,
    kUp,
    kDown,
    kPageUp,
    kPageDown,
    kHome,
    kEnd,
    kEnter,
    kEscape,
    kRedraw,  // another size, or back after Ctrl-Z
    kSignal,  // SIGINT, SIGTERM or SIGHUP, which asks the program to end
    kClosed,  // nothing can be typed any more
  };
  Kind kind = Kind::kTimeout;
  int value = 0;  // the character, or the signal
};

class Terminal {
 public:
  // Takes the terminal over: no echo, no line editing, the other screen buffer, no cursor. Errors: Failure
  // kInternal.
  Terminal();
  // Gives it back as it was.
  ~Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  struct Size {
    std::size_t columns, rows;
  };
  Size size() const;
  // Replaces what the screen shows. Each line ends with "\n" and fits.
  void show(const std::string& lines);
  // The next thing that happens within the time; kTimeout when nothing does.
  TerminalEvent wait(int timeout_ms);

 private:
  void enter();
  void leave() noexcept;
  void read_signal();
  void read_keys();
  void push(TerminalEvent::Kind kind, int value = 0) { events_.push_back({kind, value}); }

  termios before_{};
  sigset_t mask_before_{};
  int signals_ = -1;
  std::deque<TerminalEvent> events_;
};

}  // namespace aiofiber::tool
