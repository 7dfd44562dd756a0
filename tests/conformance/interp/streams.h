// SPDX-License-Identifier: Apache-2.0
//
// Instructions for two stream readers that all tasks of a program share; `rnew` replaces one.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "machine.h"

namespace conf {

class Streams {
 public:
  explicit Streams(Machine& machine);

 private:
  // A reader that knows whether a read is in progress. CPython's reader is not made for two at once: the one
  // that runs first takes away what wakes the other. So the second is skipped, unless it is refused anyway
  // (README.md).
  struct TracedReader {
    asyncio::StreamReader reader;
    int inside = 0;
    std::size_t size() const { return reader.state()->buffer.size(); }
    bool busy() const;
  };
  using Shared = std::shared_ptr<TracedReader>;  // a read in progress keeps a replaced reader

  const Shared& get(const Instruction& instruction) const { return readers_.at(instruction.word(0)); }
  // What the instruction awaits.
  static asyncio::Coroutine<std::string> call(const asyncio::StreamReader& reader,
                                              const Instruction& instruction);

  // Runs step(reader) if that is possible now, and traces what an error of it carries.
  template <class Step>
  void run_reading(Fibers, Frame& frame, const Instruction& instruction, Step step);
  template <class Step>
  asyncio::Coro<> run_reading(Coroutines, Frame& frame, const Instruction& instruction, Step step);

  void renew(Frame& frame, const Instruction& instruction);
  void feed_data(Frame& frame, const Instruction& instruction);
  void feed_eof(Frame& frame, const Instruction& instruction);
  void fail(Frame& frame, const Instruction& instruction);
  void show(Frame& frame, const Instruction& instruction);
  CONF_WAITING(read);
  CONF_WAITING(lines);

  std::map<std::string, Shared> readers_;
};

// Bytes as Python prints them.
inline Verbatim py_bytes(std::string_view bytes) { return {"b" + py_string(bytes)}; }

}  // namespace conf
