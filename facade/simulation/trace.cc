// SPDX-License-Identifier: Apache-2.0
//
// The trace's text and digest.
#include "simulation/trace.h"

#include <absl/strings/str_cat.h>

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
  if (dropped_ > 0) absl::StrAppend(&text, "(", dropped_, " older events)\n");
  for (const Record& record : records_) {
    absl::StrAppend(&text, record.time / 1'000'000'000, ".",
                    absl::Dec(record.time % 1'000'000'000, absl::kZeroPad9), " ");
    if (record.to != nullptr) {
      absl::StrAppend(&text, *record.from, ":", record.from_port, " > ", *record.to, ":", record.to_port,
                      " ");
    } else if (record.from != nullptr) {
      absl::StrAppend(&text, *record.from, " ");
    }
    text += record.what;
    if (record.amount >= 0) absl::StrAppend(&text, " ", record.amount);
    if (!record.text.empty()) text += " " + record.text;
    text += "\n";
  }
  return text;
}

}  // namespace aiofiber::testing::detail
