// SPDX-License-Identifier: Apache-2.0
//
// The log of a run: compact records, made into text only when somebody reads it.
//
// The newest records are kept. A digest covers all of them. Nothing in a record depends on addresses in
// memory, descriptors or the real time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

#include "aiofiber/runtime/engine/config.h"
#include "simulation/address.h"

namespace aiofiber::testing::detail {

class Trace {
 public:
  Trace(std::size_t most, runtime::Nanoseconds& now) noexcept : most_(most), now_(now) {}

  // `what` must be a literal. `amount` < 0: none.
  void packet(const char* what, const std::string& from, std::uint16_t from_port, const std::string& to,
              std::uint16_t to_port, std::int64_t amount = -1) {
    add({now_, what, &from, &to, from_port, to_port, amount, {}});
  }
  // Of one machine; null: of none.
  void event(const char* what, const std::string* node, std::string_view text = {}) {
    add({now_, what, node, nullptr, 0, 0, -1, std::string(text)});
  }

  std::string text() const;
  std::uint64_t digest() const noexcept { return digest_; }

 private:
  struct Record {
    runtime::Nanoseconds time;
    const char* what;
    const std::string* from;  // names of nodes, which live as long as the simulation
    const std::string* to;
    std::uint16_t from_port;
    std::uint16_t to_port;
    std::int64_t amount;
    std::string text;
  };
  void add(Record record);
  void digest(std::string_view bytes) noexcept;
  void digest(std::uint64_t number) noexcept;

  const std::size_t most_;
  const runtime::Nanoseconds& now_;
  std::deque<Record> records_;
  std::uint64_t dropped_ = 0;
  std::uint64_t digest_ = 14695981039346656037u;  // FNV-1a
};

}  // namespace aiofiber::testing::detail
