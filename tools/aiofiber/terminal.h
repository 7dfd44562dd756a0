// SPDX-License-Identifier: Apache-2.0
//
// The terminal for a full-screen program: single keys, its size, whole screens, and a restore at the end.
//
// It uses termios and a dozen control sequences that every current terminal has. A library such as ncurses
// would be one more dependency and replace only 150 lines. Signals arrive as events, in order with the keys,
// so no signal handler runs.
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
    kClosed,  // no more input is possible
  };
  Kind kind = Kind::kTimeout;
  int value = 0;  // the character, or the signal
};

class Terminal {
 public:
  // Takes over the terminal: no echo, no line editing, the other screen buffer, no cursor. Errors: Failure
  // kInternal.
  Terminal();
  // Restores the terminal.
  ~Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  struct Size {
    std::size_t columns, rows;
  };
  Size size() const;
  // Replaces the contents of the screen. Each line ends with "\n" and fits.
  void show(const std::string& lines);
  // The next event within the time; kTimeout if there is none.
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
