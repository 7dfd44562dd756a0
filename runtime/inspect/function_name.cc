// SPDX-License-Identifier: Apache-2.0
//
// A demangled name is [return type] scopes::name[<...>][(parameters) qualifiers], and scopes may be functions
// too (lambdas, local classes). One scan drops the text in parentheses and the text before a blank.
//
// The aiofiber command is built with this file too: it uses nothing else of the runtime.
#include "aiofiber/runtime/inspect/function_name.h"

#include <absl/strings/str_cat.h>
#include <cxxabi.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>

namespace aiofiber::runtime {
namespace {

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '$';
}

// The position after the bracket that closes the one at `open`; the end of the text if there is none. Angle
// brackets count only if `open` is one. Operators with < or > in their name are not expected in brackets; at
// worst they end the search early.
std::size_t skip_brackets(std::string_view text, std::size_t open) {
  int depth = 0;
  for (std::size_t i = open; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '>' && i > 0 && text[i - 1] == '-') continue;  // ->
    if (c == '(' || c == '<' || c == '{' || c == '[') ++depth;
    if (c == ')' || c == '>' || c == '}' || c == ']') --depth;
    if (depth == 0) return i + 1;
  }
  return text.size();
}

// The length of the operator name at the start of `text`, `operator` included; 0 if there is none. Does not
// cover `operator int` and so on: their names look like any other.
std::size_t operator_length(std::string_view text) {
  constexpr std::string_view kOperator = "operator";
  if (!text.starts_with(kOperator)) return 0;
  std::size_t length = kOperator.size();
  if (length < text.size() && is_name_character(text[length])) return 0;
  for (const std::string_view word :
       {"()", "[]", " new[]", " delete[]", " new", " delete", " co_await", "\"\" "}) {
    if (text.substr(length).starts_with(word)) return length + word.size();
  }
  if (length < text.size() && text[length] == ' ') return length + 1;  // a conversion
  while (length < text.size() && std::strchr("<>=-+*/%^&|~!,", text[length])) ++length;
  return length;
}

constexpr std::string_view kLambda = "{lambda}";

// The length of the closure type name at the start of `text`, else 0: `{lambda(int)#1}` in mangled names,
// `<lambda(int)>` in g++'s debug information, `$_0` of clang, `'lambda'(int)` of LLVM's demangler. `before`
// is the character before it, '\0' for none.
std::size_t lambda_length(std::string_view text, char before) {
  if (text.starts_with("{lambda") || text.starts_with("<lambda(")) return skip_brackets(text, 0);
  if (text.starts_with("'lambda")) {
    const std::size_t quote = text.find_first_not_of("0123456789", 7);
    if (quote == std::string_view::npos || text[quote] != '\'') return 0;
    const bool has_parameters = quote + 1 < text.size() && text[quote + 1] == '(';
    return has_parameters ? skip_brackets(text, quote + 1) : quote + 1;
  }
  if (!text.starts_with("$_") || is_name_character(before)) return 0;
  const std::size_t end = std::min(text.find_first_not_of("0123456789", 2), text.size());
  return end > 2 && (end == text.size() || !is_name_character(text[end])) ? end : 0;
}

// The length of the member function qualifiers at the start of `text`.
std::size_t qualifiers_length(std::string_view text) {
  std::size_t length = 0;
  for (bool found = true; found;) {
    found = false;
    for (const std::string_view word : {" const", " volatile", " &&", " &", " noexcept"}) {
      if (!text.substr(length).starts_with(word)) continue;
      length += word.size();
      found = true;
    }
  }
  return length;
}

// The length of the closure call at the start of `text`, with template arguments and parameters; else 0. A
// closure without captures is also called through a function pointer: `_FUN` of g++, `__invoke` of clang.
std::size_t closure_call_length(std::string_view text) {
  for (const std::string_view call : {"::operator()", "::_FUN", "::__invoke"}) {
    if (!text.starts_with(call)) continue;
    std::size_t length = call.size();
    if (length < text.size() && is_name_character(text[length])) continue;
    if (length < text.size() && text[length] == '<') length += skip_brackets(text.substr(length), 0);
    if (length < text.size() && text[length] == '(') {
      length += skip_brackets(text.substr(length), 0);
      length += qualifiers_length(text.substr(length));
    }
    return length;
  }
  return 0;
}

// The length of the parameters of an enclosing function, `(int) const` before `::`; 0 for other parentheses.
std::size_t scope_parameters_length(std::string_view text, std::string_view before) {
  if (text.starts_with("(anonymous namespace)") || before.empty() || before.ends_with("decltype") ||
      before.ends_with("operator")) {
    return 0;
  }
  const std::size_t length = skip_brackets(text, 0);
  const std::size_t end = length + qualifiers_length(text.substr(length));
  return text.substr(end).starts_with("::") ? end : 0;
}

// Returns `main::{lambda}` for `main()::{lambda()#2}::operator()() const::{lambda(int)#1}::operator()`. The
// line number, shown elsewhere, tells lambdas apart.
std::string without_calls_of_lambdas(std::string_view text) {
  std::string name;
  for (std::size_t i = 0; i < text.size();) {
    const std::string_view rest = text.substr(i);
    if (const std::size_t length = lambda_length(rest, i > 0 ? text[i - 1] : '\0'); length > 0) {
      name += kLambda;
      i += length;
      i += closure_call_length(text.substr(i));
      if (text.substr(i).starts_with(" >")) ++i;  // "> >" was written for a bracket that was removed
      constexpr std::string_view kTwice = "{lambda}::{lambda}";
      if (name.ends_with(kTwice)) name.resize(name.size() - (kTwice.size() - kLambda.size()));
    } else if (const std::size_t parameters = text[i] == '(' ? scope_parameters_length(rest, name) : 0;
               parameters > 0) {
      i += parameters;
    } else {
      name += text[i++];
    }
  }
  return name;
}

// Drops one template argument if it is the standard library's default and the last of its list. Then the
// argument before it may be one too. Returns whether it dropped one.
bool drop_default_argument(std::string& display) {
  for (const std::string_view argument : {", std::allocator<", ", std::less<", ", std::equal_to<",
                                          ", std::hash<", ", std::default_delete<", ", std::char_traits<"}) {
    for (std::size_t at = 0; (at = display.find(argument, at)) != std::string::npos; ++at) {
      const std::size_t end = skip_brackets(display, at + argument.size() - 1);
      const bool blank = display.compare(end, 2, " >") == 0;
      if (!blank && display.compare(end, 1, ">") != 0 && end != display.size()) continue;
      display.erase(at, end - at);
      // "> >" was written for two brackets; one of them was removed.
      if (blank && at > 0 && display[at - 1] != '>') display.erase(at, 1);
      return true;
    }
  }
  return false;
}

bool is_own_header(std::string_view file) {
  const std::size_t slash = file.rfind('/');
  if (slash == std::string_view::npos || !file.ends_with(".h")) return false;
  const std::string_view folder = file.substr(0, slash + 1);
  return folder.ends_with("/aiofiber/") || folder.find("/aiofiber/runtime/") != std::string_view::npos;
}

// libstdc++'s headers that call callables.
bool calls_callables(std::string_view file) {
  if (file.find("/c++/") == std::string_view::npos) return false;
  for (const std::string_view header : {"/functional", "/tuple", "/bits/invoke.h", "/bits/std_function.h"}) {
    if (file.ends_with(header)) return true;
  }
  return false;
}

}  // namespace

std::string demangle(const char* mangled) {
  if (!mangled) return {};
  // Other text could be taken for a type: "f" is float.
  if (std::strncmp(mangled, "_Z", 2) != 0) return mangled;
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> name(abi::__cxa_demangle(mangled, nullptr, nullptr, &status),
                                                    std::free);
  return status == 0 && name ? name.get() : mangled;
}

std::string coroutine_of_actor(std::string_view symbol) {
  // The type of its frame is local to the coroutine, and is called like it: a length, then `_Z....Frame`.
  constexpr std::string_view kFrame = ".Frame";
  std::size_t end = std::string_view::npos;
  for (const std::string_view code : {".Frame.actor", ".Frame.destroy"}) {
    end = std::min(end, symbol.rfind(code));
  }
  if (end == std::string_view::npos) return {};
  for (std::size_t at = symbol.rfind("_Z", end); at != std::string_view::npos && at > 0;
       at = symbol.rfind("_Z", at - 1)) {
    const std::string length = std::to_string(end + kFrame.size() - at);
    if (symbol.substr(0, at).ends_with(length)) return std::string(symbol.substr(at, end - at));
  }
  return {};
}

std::string display_name(const std::string& demangled) {
  constexpr std::string_view kAnonymous = "(anonymous namespace)";
  const std::string_view text = demangled;
  std::string name;
  bool after_parameters = false;  // until the next :: only qualifiers follow
  bool in_conversion = false;     // the blanks in `operator unsigned int` are part of the name
  for (std::size_t i = 0; i < text.size();) {
    const char c = text[i];
    const bool starts_word = i == 0 || !is_name_character(text[i - 1]);
    if (after_parameters) {
      if (c == '(' || c == '[') {  // noexcept(...), [clone .cold]
        i = skip_brackets(text, i);
      } else if (text.substr(i).starts_with("::")) {
        after_parameters = false;
      } else {
        ++i;
      }
    } else if (const std::size_t length = starts_word ? operator_length(text.substr(i)) : 0; length > 0) {
      name += text.substr(i, length);
      in_conversion = text.substr(i, length) == "operator ";
      i += length;
      if (text.substr(i).starts_with(" <")) ++i;  // operator<< <char>: a blank before template arguments
    } else if (text.substr(i).starts_with(kAnonymous)) {
      name += kAnonymous;
      i += kAnonymous.size();
    } else if (c == '(') {
      i = skip_brackets(text, i);
      after_parameters = !name.empty();
      in_conversion = false;
    } else if (c == '<' || c == '{' || c == '[') {
      const std::size_t end = skip_brackets(text, i);
      name += text.substr(i, end - i);
      i = end;
    } else if (c == ' ' && !in_conversion) {  // the return type stood before it
      name.clear();
      ++i;
    } else {
      name += c;
      ++i;
    }
  }
  return name.empty() ? demangled : name;
}

std::string abridge(std::string display) {
  display = without_calls_of_lambdas(display);
  // Inline namespaces.
  for (const std::string_view name : {"std::__cxx11::", "std::__1::", "std::__n4861::"}) {
    for (std::size_t at = 0; (at = display.find(name, at)) != std::string::npos;)
      display.replace(at, name.size(), "std::");
  }
  while (drop_default_argument(display)) {
  }
  constexpr std::string_view kAbi = "[abi:cxx11]";
  for (std::size_t at = 0; (at = display.find(kAbi, at)) != std::string::npos;)
    display.erase(at, kAbi.size());
  constexpr std::pair<std::string_view, std::string_view> kAliases[] = {
      {"std::basic_string<char>", "std::string"},           {"std::basic_string<wchar_t>", "std::wstring"},
      {"std::basic_string_view<char>", "std::string_view"}, {"std::basic_istream<char>", "std::istream"},
      {"std::basic_ostream<char>", "std::ostream"},         {"std::basic_iostream<char>", "std::iostream"}};
  for (const auto& [name, alias] : kAliases) {
    for (std::size_t at = 0; (at = display.find(name, at)) != std::string::npos;) {
      display.replace(at, name.size(), alias);
      at += alias.size();
      if (display.compare(at, 2, " >") == 0) display.erase(at, 1);
    }
  }
  return display;
}

std::string called_function(const std::string& function, const std::string& file, int line) {
  if (!function.ends_with(kLambda)) return function + "()";
  if (line <= 0) return function;
  return absl::StrCat(function, " (", file.substr(file.rfind('/') + 1), ":", line, ")");
}

void place_in_file(std::string file, std::string& known) {
  const auto base = [](std::string_view path) { return path.substr(path.rfind('/') + 1); };
  if (!file.empty() && base(file) != base(known)) known = std::move(file);
}

bool is_hook(std::string_view file) noexcept {
  constexpr std::string_view kFolder = "runtime/hooks/", kTests = "tests/";
  const std::size_t at = file.rfind(kFolder);
  return at != std::string_view::npos && !file.substr(0, at).ends_with(kTests);
}

bool is_library_code(std::string_view file, std::string_view module) noexcept {
  const auto in_file = [file](std::string_view part) { return file.find(part) != std::string_view::npos; };
  if (is_hook(file) || in_file("/usr/include/")) return true;
  if (module.empty()) return true;  // usually called through a wild pointer: the caller is more useful
  const std::string_view name = module.substr(module.rfind('/') + 1);
  static constexpr std::string_view kLibraries[] = {"libc.so",      "libm.so",   "libpthread.so",
                                                    "libstdc++.so", "libc++.so", "libgcc_s.so"};
  const auto is_of = [name](std::string_view library) { return name.starts_with(library); };
  return std::any_of(std::begin(kLibraries), std::end(kLibraries), is_of);
}

bool is_plumbing(std::string_view function, std::string_view linkage_name, std::string_view file,
                 bool inlined) noexcept {
  static constexpr std::string_view kLinkage[] = {
      "_ZN8aiofiber",   "_ZNK8aiofiber",   "_ZZN8aiofiber",   "_ZZNK8aiofiber", "_ZSt8__invoke",
      "_ZSt13__invoke", "_ZSt6invoke",     "_ZSt12__apply",   "_ZSt14__apply",  "_ZSt5apply",
      "_ZSt10__apply",  "_ZNSt13__invoke", "_ZNKSt8function", "_ZN9__gnu_cxx",  "_ZNSt17_Function_handler",
      "aiofiber_",      "jump_fcontext",   "make_fcontext"};
  static constexpr std::string_view kDisplay[] = {
      "aiofiber::",        "aiofiber_",  "std::__invoke",         "std::invoke",
      "std::__apply_impl", "std::apply", "std::coroutine_handle<"};
  for (const std::string_view prefix : kLinkage) {
    if (linkage_name.starts_with(prefix)) return true;
  }
  for (const std::string_view prefix : kDisplay) {
    if (function.starts_with(prefix)) return true;
  }
  if (!inlined) return false;
  // clang -g1 names inlined functions without their scopes.
  const bool has_scope = function.substr(0, function.find('<')).find("::") != std::string_view::npos;
  if (!has_scope && (is_own_header(file) || calls_callables(file))) return true;
  // For hooks, the libc name (`poll`) tells what the program called; their inlined helpers do not.
  return is_hook(file);
}

}  // namespace aiofiber::runtime
