// SPDX-License-Identifier: Apache-2.0
//
// The command line of `aiofiber trace`. A number is a process; a file with such a name is ./NUMBER.
#include "trace_command.h"

#include <absl/strings/str_format.h>

#include <charconv>

#include "commands.h"
#include "failure.h"

namespace aiofiber::tool {
namespace {

[[noreturn]] void usage_error(const std::string& text) {
  throw Failure(Exit::kUsage, text + " (aiofiber --help shows what there is)");
}

double seconds_of(const std::string& option, const std::string& text, double least, double most) {
  double seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error != std::errc() || end != text.data() + text.size() || !(seconds >= least && seconds <= most)) {
    usage_error(absl::StrFormat("%s wants seconds, from %g to %g, not '%s'", option, least, most, text));
  }
  return seconds;
}

TraceOptions parse(const std::vector<std::string>& words) {
  TraceOptions options;
  std::vector<std::string> subjects;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    const auto value = [&](const char* what) -> const std::string& {
      if (++i == words.size()) usage_error(word + " wants " + what);
      return words[i];
    };
    if (word == "--seconds") {
      options.seconds = seconds_of(word, value("a number of seconds"), 0.001, 1e6);
    } else if (word == "--interval") {
      options.interval = seconds_of(word, value("a number of seconds"), 0.0005, 60);
    } else if (word == "-o" || word == "--output") {
      options.output = value("the name of a file");
    } else if (word == "--readable") {
      options.readable_by_all = true;
    } else if (word == "--json") {
      options.json = true;
    } else if (word == "-v" || word == "--verbose") {
      options.verbose = true;
    } else if (word == "--core") {
      usage_error("a core is a single moment, of which there is no timeline: see ps --core");
    } else if (word.size() > 1 && word[0] == '-') {
      usage_error("trace knows no option '" + word + "'");
    } else {
      subjects.push_back(word);
    }
  }
  if (subjects.empty()) usage_error("trace wants the id of a process, or a file that a trace was written to");
  if (subjects.size() > 1)
    usage_error("trace takes one process or one file; '" + subjects[1] + "' is too much");
  const std::string& subject = subjects[0];
  if (!is_number(subject)) {
    options.file = subject;
    if (options.seconds != 0 || options.interval != 0 || !options.output.empty() || options.readable_by_all) {
      usage_error("--seconds, --interval, --readable and --output are for recording a process; '" + subject +
                  "' is no id of one");
    }
    return options;
  }
  const auto [end, error] = std::from_chars(subject.data(), subject.data() + subject.size(), options.pid);
  if (error != std::errc() || options.pid <= 0) usage_error("'" + subject + "' is not the id of a process");
  if (options.json)
    usage_error("--json is for reading: record with -o FILE, then aiofiber trace FILE --json");
  if (options.output.empty()) options.output = "trace-" + subject + ".json";
  return options;
}

}  // namespace

void trace(const std::vector<std::string>& words, std::ostream& out) {
  const TraceOptions options = parse(words);
  options.pid != 0 ? record_trace(options, out) : report_trace(options, out);
}

}  // namespace aiofiber::tool
