// SPDX-License-Identifier: Apache-2.0
//
// The command line as a table: commands, options, exit codes, each with its words. `aiofiber --help`, the man
// page and the completions of the shells (help/) are made from it, so that they say the same.
//
// It knows nothing of what the commands do: main.cc, trace_command.cc and hooks_check.cc read the command
// line.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace aiofiber::tool {

// What a word of the command line is, for completions.
enum class WordKind { kNothing, kProcess, kFile, kProcessOrFile, kNumber };

struct CommandHelp {
  std::string_view
      form;  // "trace PID": its first word is the command's name. A command may have several forms
  std::string_view about;  // a few words, for completions
  std::string_view text;   // whole sentences, but for the capital letter at the beginning
  WordKind subject;        // the word after the name
};

struct OptionHelp {
  std::string_view short_name;  // "-o", or empty
  std::string_view name;        // "--output"
  std::string_view argument;    // "OUT", "CORE [EXE]", or empty
  WordKind argument_kind;
  std::string_view commands;  // those that heed it, with spaces between; empty: it needs no command
  std::string_view about;
  std::string_view text;
};

struct ExitHelp {
  int code;
  std::string_view text;
};

std::span<const std::string_view> usage_forms();  // each behind the name of the command
std::span<const CommandHelp> commands_help();
std::span<const OptionHelp> options_help();
std::span<const ExitHelp> exits_help();

// The first word of a form.
std::string_view command_name(const CommandHelp& command);
// Whether `command` heeds the option.
bool belongs_to(const OptionHelp& option, std::string_view command);

// What `aiofiber --help` prints.
std::string help_text();

}  // namespace aiofiber::tool
