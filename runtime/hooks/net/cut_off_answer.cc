// SPDX-License-Identifier: Apache-2.0
//
// The list of libraries and their errors. Used only when a wait is cut short, so the look-up may be slow.
#include "hooks/net/cut_off_answer.h"

#include <dlfcn.h>

#include <cerrno>
#include <cstdlib>
#include <optional>
#include <string_view>

#include "hooks/core/name_list.h"

namespace aiofiber::hooks {

namespace {

// libevent ends its loop with an error. The others would abort (libzmq, libuv, libev) or complain and ask
// again (GLib, Qt).
constexpr std::string_view kKnownAnswers =
    "libzmq.so=EINTR:libuv.so=EINTR:libev.so=EINTR:libevent=ECANCELED:libglib-2.0.so=EINTR:libQt5Core.so="
    "EINTR:"
    "libQt6Core.so=EINTR";

std::optional<CutOffAnswer> answer_named(std::string_view name) noexcept {
  if (name == "ECANCELED") return CutOffAnswer::kCancelled;
  if (name == "EINTR") return CutOffAnswer::kInterrupted;
  if (name == "0") return CutOffAnswer::kTimedOut;
  return std::nullopt;
}

std::optional<CutOffAnswer> find_answer(std::string_view list, std::string_view file) noexcept {
  for (NameList items(list); const auto item = items.next();) {
    const std::size_t equals = item->rfind('=');
    if (equals == std::string_view::npos || equals == 0) continue;
    if (file.find(item->substr(0, equals)) == std::string_view::npos) continue;
    if (const auto answer = answer_named(item->substr(equals + 1))) return answer;
  }
  return std::nullopt;
}

}  // namespace

CutOffAnswer cut_off_answer(const void* caller, CutOffAnswer otherwise) noexcept {
  static const char* const setting = ::secure_getenv("AIOFIBER_CUT_OFF_ANSWERS");
  const int saved_errno = errno;
  Dl_info info;
  const bool found = ::dladdr(caller, &info) != 0 && info.dli_fname != nullptr;
  errno = saved_errno;
  if (!found) return otherwise;
  const std::string_view path = info.dli_fname;
  const std::string_view file = path.substr(path.rfind('/') + 1);
  if (const auto answer = find_answer(setting == nullptr ? "" : setting, file)) return *answer;
  return find_answer(kKnownAnswers, file).value_or(otherwise);
}

}  // namespace aiofiber::hooks
