// SPDX-License-Identifier: Apache-2.0
//
// The command line and the two forms of the report. Functions with the same advice share a line.
#include "hooks_check.h"

#include <absl/container/btree_map.h>
#include <absl/strings/str_join.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "commands.h"
#include "failure.h"
#include "hooks_subject.h"
#include "inspect/debug_info.h"
#include "inspect/utf8.h"
#include "json.h"

namespace aiofiber::tool {
namespace {

struct Request {
  std::string subject;
  bool json = false;
  bool verbose = false;
};

Request parse(const std::vector<std::string>& words) {
  Request request;
  bool check = false;
  for (const std::string& word : words) {
    if (word == "--check") {
      check = true;
    } else if (word == "--json") {
      request.json = true;
    } else if (word == "-v" || word == "--verbose") {
      request.verbose = true;
    } else if (word.size() > 1 && word[0] == '-') {
      throw Failure(Exit::kUsage,
                    "unknown option '" + word + "' of hooks (aiofiber --help shows what there is)");
    } else if (request.subject.empty()) {
      request.subject = word;
    } else {
      throw Failure(Exit::kUsage, "hooks --check looks at one program at a time: what is '" + word + "'?");
    }
  }
  if (!check || request.subject.empty())
    throw Failure(Exit::kUsage, "hooks wants --check and a program, a shared library or the id of a process");
  return request;
}

const char* word_of(Certainty certainty) {
  switch (certainty) {
    case Certainty::kByName:
      return "known by name";
    case Certainty::kImported:
      return "imports it";
    case Certainty::kDirect:
      return "calls it directly";
    case Certainty::kBypassed:
      return "bound past the hooks";
    case Certainty::kUnknown:
      break;
  }
  return "cannot know";
}

std::string hooks_text(const Subject& subject) {
  switch (subject.hooks) {
    case HooksPlace::kAct:
      return "the hooks are in " + subject.hooks_module + (subject.stdio_suspends ? ", stdio suspends" : "");
    case HooksPlace::kBehindLibc:
      return "the hooks in " + subject.hooks_module +
             " come behind libc and never act: link aiofiber::hooks before other libraries, or set "
             "LD_PRELOAD=" +
             subject.hooks_module;
    case HooksPlace::kNone:
      break;
  }
  return "it has no hooks: link aiofiber::hooks, or set LD_PRELOAD=libaiofiber_hooks.so (what follows "
         "assumes that)";
}

const char* word_of(Rank rank) {
  static constexpr const char* kWords[] = {"socket or lock", "other", "file", "unknown"};
  return kWords[static_cast<int>(rank)];
}

bool is_shown(const Finding& finding, const Request& request) {
  return request.verbose || !finding.sometimes;
}

// For people: without parameters, and without the number that the compiler gave a static variable of a
// function of C, or a version. Names come from files that may be a stranger's.
std::string shown_name(const std::string& name) {
  const std::string plain = name.substr(0, name.find('@'));
  if (plain.starts_with("_Z")) return runtime::printable(runtime::name_of_symbol(plain.c_str()).display);
  return runtime::printable(plain.substr(0, plain.find('.', 1)));
}

void print_module(const CheckedModule& module, const Request& request, std::ostream& out) {
  // Rank, certainty and advice -> functions.
  absl::btree_map<std::tuple<Rank, Certainty, std::string>, std::string> lines;
  for (const Finding& finding : module.findings) {
    if (!is_shown(finding, request)) continue;
    std::string& names = lines[{finding.rank, finding.certainty, finding.advice}];
    names += (names.empty() ? "" : ", ") + shown_name(finding.function);
  }
  if (lines.empty()) return;
  out << runtime::printable(module.elf.name()) << (module.opened_late ? " (opened at run time)" : "") << '\n';
  for (const auto& [line, names] : lines)
    out << "  " << names << "\n      " << word_of(std::get<Certainty>(line)) << ": "
        << runtime::printable(std::get<std::string>(line)) << '\n';
}

std::string text_of(const SharedVariable& variable) {
  const std::string function = shown_name(variable.function), call = shown_name(variable.call);
  switch (variable.how) {
    case SharedVariable::How::kAcrossWait:
      return function + " sets it, waits in " + call + ", and uses it";
    case SharedVariable::How::kReadAcrossWait:
      return function + " reads it, waits in " + call + ", and sets it";
    case SharedVariable::How::kAddressAcrossWait:
      return function + " takes its address, and waits in " + call;
    case SharedVariable::How::kFarAcrossWait:
      return function + " waits in " + call + ", and calls functions before and after it that set and use it";
    case SharedVariable::How::kMadeOnce:
      return function + " makes it once and waits in " + call + "; nothing else is seen to set it";
    case SharedVariable::How::kAddressOfTable:
      return function + " takes its address and waits in " + call + "; nothing is seen to set it";
    case SharedVariable::How::kByFunctions:
      break;
  }
  return function + " sets it; " + shown_name(variable.used_in) + " uses it and waits in " + call;
}

constexpr std::size_t kVariablesShown = 12;

std::string few_of(const std::vector<std::string>& functions) {
  constexpr std::size_t kShown = 4;
  std::string text;
  for (std::size_t i = 0; i < functions.size() && i < kShown; ++i)
    text += (i == 0 ? "" : ", ") + shown_name(functions[i]);
  if (functions.size() > kShown) text += " and " + std::to_string(functions.size() - kShown) + " more";
  return text;
}

void print_shared(const CheckedModule& module, const Request& request, std::ostream& out) {
  if (module.shared_variables.empty() && module.shared_calls.empty()) return;
  out << runtime::printable(module.elf.name()) << ": what its tasks would share\n";
  std::size_t shown = 0;
  for (const SharedVariable& variable : module.shared_variables) {
    const bool is_shown = variable.is_suspicious() && shown < kVariablesShown;
    if (!is_shown && !request.verbose) continue;
    ++shown;
    out << "  " << shown_name(variable.name)
        << (variable.file.empty() ? "" : " in " + runtime::printable(variable.file)) << ", " << variable.size
        << (variable.size == 1 ? " byte" : " bytes") << "\n      " << text_of(variable) << '\n';
  }
  if (shown > 0)
    out << "  Give each task its own (hooks::per_task(), AIOFIBER_PER_TASK), or hold a lock from the setting "
           "to the "
           "last use.\n";
  if (const std::size_t rest = module.shared_variables.size() - shown; rest > 0) {
    out << "  " << rest
        << (rest == 1 ? " more variable is less suspicious (-v shows it)\n"
                      : " more variables are less suspicious (-v shows them)\n");
  }
  for (const SharedCalls& calls : module.shared_calls) {
    out << "  " << runtime::printable(absl::StrJoin(calls.names, ", "))
        << "\n      imports it: " << calls.advice << '\n';
    if (!calls.callers.empty()) out << "      called in " << few_of(calls.callers) << '\n';
  }
}

// Modules that wait for sockets and locks come first. Otherwise modules keep the loader's order.
std::vector<const CheckedModule*> by_rank(const Subject& subject, const Request& request) {
  const auto rank_of = [&](const CheckedModule* module) {
    int rank = static_cast<int>(Rank::kUnknown) + 1;
    for (const Finding& finding : module->findings) {
      if (is_shown(finding, request)) rank = std::min(rank, static_cast<int>(finding.rank));
    }
    return rank;
  };
  std::vector<const CheckedModule*> modules;
  for (const CheckedModule& module : subject.modules) modules.push_back(&module);
  std::stable_sort(modules.begin(), modules.end(),
                   [&](const CheckedModule* a, const CheckedModule* b) { return rank_of(a) < rank_of(b); });
  return modules;
}

void print(const Subject& subject, const Request& request, std::ostream& out) {
  out << runtime::printable(subject.name) << ": " << subject.modules.size()
      << (subject.modules.size() == 1 ? " module; " : " modules; ") << hooks_text(subject) << '\n';
  std::size_t sure = 0, known = 0, unknown = 0, rare = 0;
  int hooked = 0;
  for (const CheckedModule& module : subject.modules) print_shared(module, request, out);
  for (const CheckedModule* const checked : by_rank(subject, request)) {
    const CheckedModule& module = *checked;
    print_module(module, request, out);
    for (const Finding& finding : module.findings) {
      ++(!is_shown(finding, request)                ? rare
         : finding.certainty == Certainty::kByName  ? known
         : finding.certainty == Certainty::kUnknown ? unknown
                                                    : sure);
    }
    hooked += module.hooked_imports;
  }
  for (const std::string& name : subject.missing)
    out << runtime::printable(name) << ": not found, not looked at\n";
  if (sure == 0) {
    out << "nothing is known to block the thread";
  } else {
    out << sure << (sure == 1 ? " function would block the thread" : " functions would block the thread");
  }
  out << "; " << hooked << (hooked == 1 ? " import is hooked" : " imports are hooked");
  if (known > 0) out << "; " << known << (known == 1 ? " library is" : " libraries are") << " known by name";
  if (unknown > 0) out << "; " << unknown << " cannot be judged";
  if (rare > 0)
    out << "; " << rare << (rare == 1 ? " blocks rarely (-v shows it)" : " block rarely (-v shows them)");
  out << '\n';
}

void write_json(const Subject& subject, std::ostream& out) {
  JsonWriter json(out);
  json.begin_object();
  json.member("target", subject.name);
  json.member("pid", subject.pid);
  json.key("hooks");
  json.begin_object();
  static constexpr const char* kPlaces[] = {"none", "act", "behind libc"};
  json.member("place", kPlaces[static_cast<int>(subject.hooks)]);
  json.member("module", subject.hooks_module);
  json.member("stdio_suspends", subject.stdio_suspends);
  json.end_object();
  json.key("modules");
  json.begin_array();
  for (const CheckedModule& module : subject.modules) {
    json.begin_object();
    json.member("name", module.elf.name());
    json.member("path", module.elf.path);
    json.member("libc", module.is_libc);
    json.member("aiofibers_own", module.is_own);
    json.member("opened_at_run_time", module.opened_late);
    json.member("hooked_imports", module.hooked_imports);
    json.key("shared_variables");
    json.begin_array();
    for (const SharedVariable& variable : module.shared_variables) {
      json.begin_object();
      json.member("name", shown_name(variable.name));
      json.member("file", variable.file);
      json.member("bytes", variable.size);
      json.member("why", text_of(variable));
      json.member("suspicious", variable.is_suspicious());
      json.end_object();
    }
    json.end_array();
    json.key("shared_calls");
    json.begin_array();
    for (const SharedCalls& calls : module.shared_calls) {
      for (const std::string& name : calls.names) {
        json.begin_object();
        json.member("function", name);
        json.member("advice", calls.advice);
        json.key("called_in");
        json.begin_array();
        for (const std::string& caller : calls.callers) json.value(shown_name(caller));
        json.end_array();
        json.end_object();
      }
    }
    json.end_array();
    json.key("findings");
    json.begin_array();
    for (const Finding& finding : module.findings) {
      json.begin_object();
      json.member("function", finding.function);
      json.member("certainty", word_of(finding.certainty));
      json.member("rarely", finding.sometimes);
      json.member("advice", finding.advice);
      json.member("waits_for", word_of(finding.rank));
      json.end_object();
    }
    json.end_array();
    json.end_object();
  }
  json.end_array();
  json.key("missing");
  json.begin_array();
  for (const std::string& name : subject.missing) json.value(name);
  json.end_array();
  json.end_object();
}

}  // namespace

void hooks(const std::vector<std::string>& words, std::ostream& out) {
  const Request request = parse(words);
  const Subject subject = is_number(request.subject) && request.subject.size() < 10
                              ? check_process(static_cast<pid_t>(std::stol(request.subject)))
                              : check_program(request.subject);
  if (request.json) {
    write_json(subject, out);
  } else {
    print(subject, request, out);
  }
}

}  // namespace aiofiber::tool
