// SPDX-License-Identifier: Apache-2.0
//
// What is called of libidn2, and the errors.
#include "sockets/idna.h"

#include <absl/cleanup/cleanup.h>
#include <absl/strings/str_cat.h>
#include <dlfcn.h>

#include <algorithm>
#include <cstdint>

#include "aiofiber/exceptions.h"
#include "aiofiber/runtime/engine/static_program.h"
#include "core/text.h"

namespace aiofiber::detail {
namespace {

// libidn2's functions. Its header is not needed: these have not changed since its first release.
struct LibIdn2 {
  int (*lookup)(const std::uint8_t* name, std::uint8_t** ascii, int flags) = nullptr;
  const char* (*text_of_error)(int code) = nullptr;
  void (*free)(void* memory) = nullptr;

  bool is_whole() const { return lookup != nullptr && text_of_error != nullptr && free != nullptr; }
};
constexpr int kNormalize = 1;        // IDN2_NFC_INPUT
constexpr int kNontransitional = 8;  // IDN2_NONTRANSITIONAL: "ß" is a letter of its own, as in browsers

LibIdn2 open_libidn2() {
  LibIdn2 functions;
  if (runtime::program_is_static()) return functions;
  void* const library = ::dlopen("libidn2.so.0", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (library == nullptr) return functions;
  const auto find = [library](const char* name, auto& function) {
    function = reinterpret_cast<std::decay_t<decltype(function)>>(::dlsym(library, name));
  };
  find("idn2_lookup_u8", functions.lookup);
  find("idn2_strerror", functions.text_of_error);
  find("idn2_free", functions.free);
  return functions;
}

bool is_ascii(const std::string& text) {
  return std::all_of(text.begin(), text.end(),
                     [](char letter) { return static_cast<unsigned char>(letter) < 0x80; });
}

}  // namespace

std::string host_in_ascii(std::string host) {
  if (is_ascii(host)) return host;
  // Opened each time: the loader counts, and who installs libidn2 need not start the program again.
  const LibIdn2 idn2 = open_libidn2();
  if (!idn2.is_whole())
    throw ValueError(absl::StrCat("the name of a host ", quote(host),
                                  " is not ASCII: give its form 'xn--...', or install libidn2 (Debian: "
                                  "libidn2-0), which a static program cannot use"));
  // libidn2 would take the part before it: another host.
  if (host.find('\0') != std::string::npos)
    throw ValueError(absl::StrCat(quote(host), " is no name of a host: embedded null character"));
  std::uint8_t* ascii = nullptr;
  const int code =
      idn2.lookup(reinterpret_cast<const std::uint8_t*>(host.c_str()), &ascii, kNormalize | kNontransitional);
  if (code != 0)
    throw ValueError(absl::StrCat(quote(host), " is no name of a host: ", idn2.text_of_error(code)));
  const absl::Cleanup free_it = [&] { idn2.free(ascii); };
  return reinterpret_cast<const char*>(ascii);
}

}  // namespace aiofiber::detail
