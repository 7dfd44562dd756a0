// SPDX-License-Identifier: Apache-2.0
//
// The trace's text and digest.
#include "simulation/trace.h"

#include <absl/strings/str_format.h>

#include <utility>

namespace aiofiber::testing::detail {

void Trace::digest(std::string_view bytes) noexcept {
  for (const char byte : bytes) digest_ = (digest_ ^ static_cast<unsigned char>(byte)) * 1099511628211u;
}
void Trace::digest(std::uint64_t number) noexcept { digest_ = (digest_ ^ number) * 1099511628211u; }

void Trace::add(Record record) {
  digest(static_cast<std::uint64_t>(record.time));
  digest(record.what);
  if (record.from != nullptr) digest(*record.from);
  if (record.to != nullptr) digest(*record.to);
  digest(std::uint64_t{record.from_port} << 16 | record.to_port);
  digest(static_cast<std::uint64_t>(record.amount));
  digest(record.text);
  if (most_ == 0) return;
  if (records_.size() == most_) {
    records_.pop_front();
    ++dropped_;
  }
  records_.push_back(std::move(record));
}

std::string Trace::text() const {
  std::string text;
  if (dropped_ > 0) absl::StrAppendFormat(&text, "(%d older events)\n", dropped_);
  for (const Record& record : records_) {
    absl::StrAppendFormat(&text, "%d.%09d ", record.time / 1'000'000'000, record.time % 1'000'000'000);
    if (record.to != nullptr) {
      absl::StrAppendFormat(&text, "%s:%d > %s:%d ", *record.from, record.from_port, *record.to,
                            record.to_port);
    } else if (record.from != nullptr) {
      absl::StrAppendFormat(&text, "%s ", *record.from);
    }
    text += record.what;
    if (record.amount >= 0) absl::StrAppendFormat(&text, " %d", record.amount);
    if (!record.text.empty()) text += " " + record.text;
    text += "\n";
  }
  return text;
}

}  // namespace aiofiber::testing::detail
