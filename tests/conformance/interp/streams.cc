// SPDX-License-Identifier: Apache-2.0
//
// The instructions that never wait, and the calls of those that do; bodies/streams.cc awaits them.
#include "streams.h"

#include <algorithm>

namespace conf {
namespace {

// "/" stands for a newline, and "-" for no byte: the words of a program are not empty.
std::string bytes_of(std::string text) {
  if (text == "-") return "";
  std::replace(text.begin(), text.end(), '/', '\n');
  return text;
}

}  // namespace

Streams::Streams(Machine& machine) {
  readers_["r0"] = std::make_shared<TracedReader>(TracedReader{asyncio::StreamReader(4)});
  readers_["r1"] = std::make_shared<TracedReader>();
  machine.add(*this, {{"rnew", &Streams::renew},
                      {"feed", &Streams::feed_data},
                      {"eof", &Streams::feed_eof},
                      {"rfail", &Streams::fail},
                      {"rstate", &Streams::show}});
  machine.add_waiting(*this, {{"read", &Streams::read, &Streams::read},
                              {"readexactly", &Streams::read, &Streams::read},
                              {"readline", &Streams::read, &Streams::read},
                              {"readuntil", &Streams::read, &Streams::read},
                              {"lines", &Streams::lines, &Streams::lines}});
}

bool Streams::TracedReader::busy() const {
  const bool waiting = repr(reader).find(" waiter") != std::string::npos;
  return inside > 0 && (!waiting || size() > 0);
}

asyncio::Coroutine<std::string> Streams::call(const asyncio::StreamReader& reader,
                                              const Instruction& instruction) {
  if (instruction.name == "read") return reader.read(instruction.number(1));
  if (instruction.name == "readexactly") return reader.readexactly(instruction.number(1));
  if (instruction.name == "readline") return reader.readline();
  std::vector<std::string> separators;
  for (std::size_t i = 1; i < instruction.words.size(); ++i)
    separators.push_back(bytes_of(instruction.word(i)));
  return separators.size() == 1 ? reader.readuntil(separators[0]) : reader.readuntil(separators);
}

void Streams::renew(Frame&, const Instruction& instruction) {
  const asyncio::StreamReader reader(static_cast<std::size_t>(instruction.number(1)));
  readers_[instruction.word(0)] = std::make_shared<TracedReader>(TracedReader{reader});
}

void Streams::feed_data(Frame& frame, const Instruction& instruction) {
  try {
    get(instruction)->reader.feed_data(bytes_of(instruction.word(1)));
  } catch (const asyncio::RuntimeError&) {
    log(frame.me, "feed refused");
  }
}

void Streams::feed_eof(Frame&, const Instruction& instruction) { get(instruction)->reader.feed_eof(); }

void Streams::fail(Frame&, const Instruction& instruction) {
  get(instruction)->reader.set_exception(ValueError(instruction.number(1)));
}

void Streams::show(Frame& frame, const Instruction& instruction) {
  const TracedReader& traced = *get(instruction);
  if (const std::exception_ptr exception = traced.reader.exception()) {
    log(frame.me, instruction.word(0), Verbatim{exc(exception)});
  } else {
    log(frame.me, instruction.word(0), "at_eof", traced.reader.at_eof(), traced.size());
  }
}

}  // namespace conf
