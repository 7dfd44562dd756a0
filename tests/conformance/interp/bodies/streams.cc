// SPDX-License-Identifier: Apache-2.0
//
// The instructions that may wait for a reader. Only a fiber can use a reader as a range; a coroutine awaits
// line by line, which must trace the same.
#include "../streams.h"

#include "bodies.h"

namespace conf {

template <class Step>
Body<> Streams::run_reading(Style, Frame& frame, const Instruction& instruction, Step step) {
  const Shared traced = get(instruction);
  if (traced->busy()) {
    log(frame.me, "busy", instruction.word(0));
    RETURN;
  }
  ++traced->inside;
  const auto guarded = [&]() -> Body<> {
    try {
      CALL(step(*traced));
    } catch (const asyncio::IncompleteReadError& e) {
      log(frame.me, "partial", py_bytes(e.partial()), e.expected());
      throw;
    } catch (const asyncio::LimitOverrunError& e) {
      log(frame.me, "consumed", e.consumed(), "of", traced->size());
      throw;
    }
    RETURN;
  };
  CALL(try_finally(guarded, [&] { --traced->inside; }));
  RETURN;
}

Body<> Streams::read(Style style, Frame& frame, const Instruction& instruction) {
  const auto step = [&](const TracedReader& traced) -> Body<> {
    const std::string bytes = AWAIT(call(traced.reader, instruction));
    log(frame.me, instruction.name, instruction.word(0), py_bytes(bytes), "left", traced.size());
    RETURN;
  };
  CALL(run_reading(style, frame, instruction, step));
  RETURN;
}

Body<> Streams::lines(Style style, Frame& frame, const Instruction& instruction) {
  const std::string& name = instruction.word(0);
  const auto step = [&](const TracedReader& traced) -> Body<> {
#ifdef CONF_COROUTINES
    for (;;) {
      const std::string line = co_await traced.reader.readline();
      if (line.empty()) break;
      log(frame.me, "line", name, py_bytes(line));
    }
#else
    for (const std::string& line : traced.reader) log(frame.me, "line", name, py_bytes(line));
#endif
    log(frame.me, "no line", name);
    RETURN;
  };
  CALL(run_reading(style, frame, instruction, step));
  RETURN;
}

}  // namespace conf
