// SPDX-License-Identifier: Apache-2.0
//
// Three scripts of one kind: the fixed text of each, with names, options and patterns from the table in
// between.
#include "completions.h"

#include <vector>

#include "../command_line.h"

namespace aiofiber::tool {
namespace {

constexpr std::string_view kNotice = " of the command aiofiber. Generated from the table of its --help.\n";

// The commands, each once.
std::vector<const CommandHelp*> commands() {
  std::vector<const CommandHelp*> found;
  for (const CommandHelp& command : commands_help())
    if (found.empty() || command_name(*found.back()) != command_name(command)) found.push_back(&command);
  return found;
}

std::string names_of(const OptionHelp& option) {
  std::string names(option.short_name);
  return names.append(names.empty() ? "" : " ").append(option.name);
}

// The text in single quotes, as each of the three shells reads it.
std::string quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

// Commands with that subject, or options with that argument, as a pattern of `case`.
std::string either(std::string pattern, std::string_view name) {
  return pattern.append(pattern.empty() ? "" : "|").append(name);
}
std::string options_with(WordKind kind) {
  std::string pattern;
  for (const OptionHelp& option : options_help()) {
    if (option.argument.empty() || option.argument_kind != kind) continue;
    if (!option.short_name.empty()) pattern = either(pattern, option.short_name);
    pattern = either(pattern, option.name);
  }
  return pattern;
}
std::string commands_with(WordKind kind) {
  std::string pattern;
  for (const CommandHelp* command : commands())
    if (command->subject == kind) pattern = either(pattern, command_name(*command));
  return pattern;
}

std::string zsh_action(WordKind kind) {
  switch (kind) {
    case WordKind::kProcess:
      return "_aiofiber_processes";
    case WordKind::kFile:
      return "_files";
    case WordKind::kProcessOrFile:
      return "_aiofiber_processes_or_files";
    case WordKind::kNothing:
    case WordKind::kNumber:
      break;
  }
  return " ";
}

// What _arguments of zsh reads as syntax.
std::string zsh_text(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '[' || c == ']' || c == ':' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

std::string zsh_option(const OptionHelp& option, std::string_view name) {
  std::string spec;
  if (!option.short_name.empty()) spec.append("(").append(names_of(option)).append(")");
  spec.append(name).append("[").append(zsh_text(option.about)).append("]");
  if (!option.argument.empty()) {
    const std::string_view argument = option.argument.substr(0, option.argument.find(' '));
    spec.append(":").append(argument).append(":").append(zsh_action(option.argument_kind));
  }
  return quoted(spec);
}

std::string zsh_options_of(std::string_view command) {
  std::string out;
  for (const OptionHelp& option : options_help()) {
    if (!belongs_to(option, command)) continue;
    if (!option.short_name.empty()) out += " \\\n        " + zsh_option(option, option.short_name);
    out += " \\\n        " + zsh_option(option, option.name);
  }
  return out;
}

}  // namespace

std::string bash_completion() {
  std::string names;
  for (const CommandHelp* command : commands()) names.append(command_name(*command)).append(" ");
  std::string lone, cases;
  for (const OptionHelp& option : options_help())
    if (option.commands.empty()) lone.append(names_of(option)).append(" ");
  for (const CommandHelp* command : commands()) {
    cases.append("    ").append(command_name(*command)).append(") options='");
    for (const OptionHelp& option : options_help())
      if (belongs_to(option, command_name(*command))) cases.append(names_of(option)).append(" ");
    cases.back() = '\'';
    cases += " ;;\n";
  }
  names.pop_back();
  lone.pop_back();
  return "# Completion for bash" + std::string(kNotice) +
         R"(
_aiofiber_files() {
  compopt -o filenames 2>/dev/null
  mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$1")
}

_aiofiber_processes() {
  local folders=(/proc/[0-9]*)
  mapfile -t COMPREPLY < <(compgen -W "${folders[*]#/proc/}" -- "$1")
}

_aiofiber() {
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} options=
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    mapfile -t COMPREPLY < <(compgen -W ')" +
         names + ' ' + lone + R"(' -- "$word")
    return
  fi
  case $before in
    )" + options_with(WordKind::kFile) +
         R"() _aiofiber_files "$word"; return ;;
    )" + options_with(WordKind::kNumber) +
         R"() return ;;
  esac
  case ${COMP_WORDS[1]} in
)" + cases +
         R"(    *) return ;;
  esac
  if [[ $word == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
    return
  fi
  case ${COMP_WORDS[1]} in
    )" + commands_with(WordKind::kProcess) +
         R"() _aiofiber_processes "$word" ;;
    )" + commands_with(WordKind::kProcessOrFile) +
         R"() _aiofiber_processes "$word"; _aiofiber_files "$word" ;;
  esac
}

complete -F _aiofiber aiofiber
)";
}

std::string zsh_completion() {
  std::string names, lone, cases;
  for (const CommandHelp* command : commands()) {
    const std::string_view name = command_name(*command);
    names.append("        ").append(quoted(std::string(name) + ':' + zsh_text(command->about))).append("\n");
    cases.append("        ").append(name).append(")\n          _arguments").append(zsh_options_of(name));
    cases.append(" \\\n        ").append(quoted("1:subject:" + zsh_action(command->subject)));
    cases.append(" \\\n        '*:task: ' ;;\n");
  }
  for (const OptionHelp& option : options_help()) {
    if (!option.commands.empty()) continue;
    for (const std::string_view name : {option.short_name, option.name})
      if (!name.empty())
        lone.append(" \\\n    ")
            .append(quoted("(- *)" + std::string(name) + '[' + zsh_text(option.about) + ']'));
  }
  return "#compdef aiofiber\n# Completion for zsh" + std::string(kNotice) + R"(
_aiofiber_processes() {
  local expl
  local -a processes=(/proc/<->(N:t))  # _pids would offer those of this terminal only
  _wanted processes expl process compadd -a processes
}

_aiofiber_processes_or_files() { _alternative 'processes:process:_aiofiber_processes' 'files:file:_files'; }

_aiofiber() {
  local context state state_descr line
  local -A opt_args
  _arguments -C)" +
         lone + R"( \
    '1:command:->command' '*:: :->argument'
  case $state in
    command)
      local -a commands=(
)" + names +
         R"(      )
      _describe command commands ;;
    argument)
      case $line[1] in
)" + cases +
         R"(      esac ;;
  esac
}

_aiofiber "$@"
)";
}

std::string fish_completion() {
  std::string out = "# Completion for fish" + std::string(kNotice) + "\ncomplete -c aiofiber -f\n";
  const auto line = [&](std::string_view condition, const std::string& rest, std::string_view about) {
    out.append("complete -c aiofiber -n ").append(quoted(condition)).append(rest);
    if (!about.empty()) out.append(" -d ").append(quoted(about));
    out += '\n';
  };
  for (const CommandHelp* command : commands()) {
    line("__fish_use_subcommand", " -a " + std::string(command_name(*command)), command->about);
  }
  for (const OptionHelp& option : options_help()) {
    std::string rest;
    if (!option.short_name.empty()) rest.append(" -s ").append(option.short_name.substr(1));
    rest.append(" -l ").append(option.name.substr(2));
    if (!option.argument.empty()) rest += option.argument_kind == WordKind::kFile ? " -r -F" : " -x";
    const std::string condition = "__fish_seen_subcommand_from " + std::string(option.commands);
    line(option.commands.empty() ? "__fish_use_subcommand" : condition, rest, option.about);
  }
  for (const CommandHelp* command : commands()) {
    const std::string condition = "__fish_seen_subcommand_from " + std::string(command_name(*command));
    if (command->subject == WordKind::kProcess || command->subject == WordKind::kProcessOrFile)
      line(condition, " -a '(__fish_complete_pids)'", "");
    if (command->subject == WordKind::kProcessOrFile) line(condition, " -F", "");
  }
  return out;
}

}  // namespace aiofiber::tool
