// SPDX-License-Identifier: Apache-2.0
//
// A demangled name is [return type] scopes::name[<...>][(parameters) qualifiers], and scopes may be functions
// themselves (lambdas, local classes). One scan drops what is in parentheses and what stands before a blank.
#include "function_name.h"

#include <cxxabi.h>

#include <cctype>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>

namespace aiofiber::tool {
namespace {

constexpr std::string_view kAnonymous = "(anonymous namespace)";

bool in_name(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '$'; }

// Behind the bracket that closes the one at `open`; the end when none does.
std::size_t behind_bracket(std::string_view text, std::size_t open) {
  int depth = 0;
  for (std::size_t i = open; i < text.size(); ++i) {
    if (text[i] == '>' && text[i - 1] == '-') continue;  // ->
    if (std::strchr("(<{[", text[i]) != nullptr) ++depth;
    if (std::strchr(")>}]", text[i]) != nullptr && --depth == 0) return i + 1;
  }
  return text.size();
}

// The length of `operator` and its symbol at the text's start: operator(), operator<<, operator new; else 0.
std::size_t operator_length(std::string_view text) {
  constexpr std::string_view kOperator = "operator";
  if (!text.starts_with(kOperator) || (text.size() > kOperator.size() && in_name(text[kOperator.size()]))) {
    return 0;
  }
  std::size_t length = kOperator.size();
  if (text.substr(length).starts_with("()") || text.substr(length).starts_with("[]")) return length + 2;
  if (text.substr(length).starts_with(" ")) {  // new, delete, a conversion: up to the parameters
    const std::size_t end = text.find('(', length);
    return end == std::string_view::npos ? text.size() : end;
  }
  while (length < text.size() && std::strchr("<>=-+*/%^&|~!,", text[length]) != nullptr) ++length;
  return length;
}

}  // namespace

std::string demangle(const char* mangled) {
  if (mangled == nullptr) return {};
  if (std::strncmp(mangled, "_Z", 2) != 0) return mangled;  // "f" would be taken for float
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> name(abi::__cxa_demangle(mangled, nullptr, nullptr, &status),
                                                    std::free);
  return status == 0 && name != nullptr ? name.get() : mangled;
}

std::string display_name(const std::string& demangled) {
  const std::string_view text = demangled;
  std::string name;
  bool behind_parameters = false;  // there stand qualifiers, up to the next scope
  for (std::size_t i = 0; i < text.size();) {
    const bool starts_word = i == 0 || !in_name(text[i - 1]);
    const std::size_t length = starts_word ? operator_length(text.substr(i)) : 0;
    if (behind_parameters && text[i] != ':') {
      i = text[i] == '(' || text[i] == '[' ? behind_bracket(text, i) : i + 1;
    } else if (length > 0) {
      name += text.substr(i, length);
      i += length;
    } else if (text.substr(i).starts_with(kAnonymous)) {
      name += kAnonymous;
      i += kAnonymous.size();
    } else if (text[i] == '(') {
      i = behind_bracket(text, i);
      behind_parameters = !name.empty();
    } else if (text[i] == '<' || text[i] == '{' || text[i] == '[') {
      const std::size_t end = behind_bracket(text, i);
      name += text.substr(i, end - i);
      i = end;
    } else if (text[i] == ' ') {
      name.clear();  // it was the return type
      ++i;
    } else {
      behind_parameters = false;
      name += text[i++];
    }
  }
  return name.empty() ? demangled : name;
}

}  // namespace aiofiber::tool
