// SPDX-License-Identifier: Apache-2.0
//
// A form of the table becomes macros by what its words look like: options begin with a hyphen, arguments are
// in capitals.
#include "manual.h"

#include <array>
#include <charconv>
#include <stdexcept>

#include "../command_line.h"

namespace aiofiber::tool {
namespace {

bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }

// "--output" as mdoc has it: Fl writes the first hyphen.
std::string flag(std::string_view option) { return " Fl " + std::string(option.substr(1)); }

// The words of a form as macros: "[-o FILE]" becomes "Oo Fl o Ar FILE Oc".
std::string macros(std::string_view form, bool begins_with_command) {
  std::string out;
  bool first = begins_with_command;
  while (!form.empty()) {
    std::string_view word = form.substr(0, form.find(' '));
    form.remove_prefix(word.size() + (form.size() > word.size() ? 1 : 0));
    const bool opens = word.starts_with('['), closes = word.ends_with(']');
    if (opens) word.remove_prefix(1);
    if (closes) word.remove_suffix(1);
    if (opens) out += " Oo";
    if (word.starts_with('-')) {
      out += flag(word);
    } else if (first && !is_upper(word.front())) {
      out.append(" Ic ").append(word);
    } else if (const std::size_t bar = word.find('|'); bar != std::string_view::npos) {
      out.append(" Ar ").append(word.substr(0, bar)).append(" Ns | Ns Ar ").append(word.substr(bar + 1));
    } else if (word.ends_with("...")) {
      out.append(" Ar ").append(word.substr(0, word.size() - 3)).append(" ...");
    } else {
      out.append(" Ar ").append(word);
    }
    if (closes) out += " Oc";
    first = false;
  }
  return out;
}

// A sentence of the table as text of the page: hyphens of options stay hyphens, and each sentence has its
// line.
std::string prose(std::string_view text) {
  std::string out;
  bool in_option = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const char before = i == 0 ? ' ' : text[i - 1];
    if (before == ' ') in_option = c == '-';
    if (c == '-' && in_option) {
      out += "\\-";
    } else if (c == ' ' && before == '.') {
      out += '\n';
    } else {
      out += i == 0 && c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    }
  }
  return out + (text.ends_with('.') ? "\n" : ".\n");
}

std::string forms() {
  std::string out;
  for (const std::string_view form : usage_forms()) out += ".Nm\n." + macros(form, true).substr(1) + '\n';
  return out;
}

std::string command_section() {
  std::string out = ".Bl -tag -width Ds\n";
  for (const CommandHelp& command : commands_help())
    out += ".It" + macros(command.form, true) + '\n' + prose(command.text);
  return out + ".El\n";
}

std::string options() {
  std::string out = ".Bl -tag -width Ds\n";
  for (const OptionHelp& option : options_help()) {
    out += ".It";
    if (!option.short_name.empty()) out += flag(option.short_name) + " ,";
    out += flag(option.name) + macros(option.argument, false) + '\n' + prose(option.text);
  }
  return out + ".El\n";
}

std::string exits() {
  std::string out = ".Bl -tag -width Ds\n";
  for (const ExitHelp& exit : exits_help())
    out += ".It " + std::to_string(exit.code) + '\n' + prose(exit.text);
  return out + ".El\n";
}

int number(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return -1;
  return value;
}

std::string long_date(std::string_view date) {
  constexpr std::array<std::string_view, 12> kMonths = {"January",   "February", "March",    "April",
                                                        "May",       "June",     "July",     "August",
                                                        "September", "October",  "November", "December"};
  const bool has_form = date.size() == 10 && date[4] == '-' && date[7] == '-';
  const int month = has_form ? number(date.substr(5, 2)) : -1, day = has_form ? number(date.substr(8)) : -1;
  if (month < 1 || month > 12 || day < 1 || day > 31 || number(date.substr(0, 4)) < 0) {
    throw std::runtime_error("a date is YYYY-MM-DD, not '" + std::string(date) + "'");
  }
  return std::string(kMonths[static_cast<std::size_t>(month - 1)]) + ' ' + std::to_string(day) + ", " +
         std::string(date.substr(0, 4));
}

std::string section(std::string_view line) {
  if (line == "@forms@") return forms();
  if (line == "@commands@") return command_section();
  if (line == "@options@") return options();
  if (line == "@exits@") return exits();
  throw std::runtime_error("a page has no part '" + std::string(line) + "'");
}

void replace(std::string& text, std::string_view word, std::string_view by) {
  for (std::size_t at = 0; (at = text.find(word, at)) != std::string::npos; at += by.size())
    text.replace(at, word.size(), by);
}

}  // namespace

std::string manual(std::string_view page, std::string_view version, std::string_view date) {
  std::string out;
  while (!page.empty()) {
    const std::string_view line = page.substr(0, page.find('\n'));
    page.remove_prefix(line.size() + (page.size() > line.size() ? 1 : 0));
    out += line.starts_with('@') ? section(line) : std::string(line) + '\n';
  }
  replace(out, "@version@", version);
  replace(out, "@date@", long_date(date));
  return out;
}

}  // namespace aiofiber::tool
