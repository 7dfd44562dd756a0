// SPDX-License-Identifier: Apache-2.0
//
// The trace, the loop whose clock gives the times, and the two places where the library itself writes to the
// trace: the exception handler and the log sink.
#include "conf.h"

#include <cstdio>
#include <cstdlib>

namespace conf {
namespace {

using Table = std::vector<std::pair<std::string, void (*)()>>;

Table& table() {
  static Table scenarios;
  return scenarios;
}

// What the trace shows of a loop.
struct Stamp {
  double time = 0;
  unsigned long long pass = 0;
  bool closed = false;
};

class TracedLoop;
TracedLoop* current = nullptr;  // null before the first loop, and when the last one was destroyed
bool any_loop_yet = false;
Stamp last;  // of the current loop, when it was destroyed

class TracedLoop : public TestLoop {
 public:
  TracedLoop() {
    current = this;
    any_loop_yet = true;
  }
  ~TracedLoop() override {
    if (current != this) return;
    last = stamp();
    current = nullptr;
  }
  Stamp stamp() const {
    return {std::chrono::duration<double>(time().time_since_epoch()).count(), iteration(), is_closed()};
  }
};

std::vector<std::unique_ptr<TracedLoop>>& kept_loops() {
  static std::vector<std::unique_ptr<TracedLoop>> loops;
  return loops;
}

Stamp stamp() { return current != nullptr ? current->stamp() : last; }

std::string level_name(asyncio::LogLevel level) {
  switch (level) {
    case asyncio::LogLevel::DEBUG:
      return "DEBUG";
    case asyncio::LogLevel::INFO:
      return "INFO";
    case asyncio::LogLevel::WARNING:
      return "WARNING";
    case asyncio::LogLevel::ERROR:
      return "ERROR";
    case asyncio::LogLevel::CRITICAL:
      return "CRITICAL";
  }
  return "?";
}

void tap(asyncio::LogLevel level, std::string_view text) {
  if (level < asyncio::LogLevel::INFO) return;
  const std::string message = scrub(std::string(text));
  const auto first_end = message.find('\n');
  const std::string first = message.substr(0, first_end);
  constexpr std::string_view kWarning = "RuntimeWarning: ";
  if (first.starts_with(kWarning)) {
    log("WARNING RuntimeWarning", first.substr(kWarning.size()));
    return;
  }
  log("LOG", level_name(level), first);
  for (auto start = first_end; start != std::string::npos && start + 1 < message.size();) {
    const auto end = message.find('\n', start + 1);
    const std::string line = message.substr(start + 1, end == std::string::npos ? end : end - start - 1);
    // The frames of a traceback are C++'s own, as they are Python's in the twin, which leaves them out too.
    if (line != "Traceback (most recent call last):" && !line.starts_with("  ")) log("LOG      |", line);
    start = end;
  }
}

}  // namespace

Registration::Registration(const char* name, void (*body)()) { table().emplace_back(name, body); }

const Table& scenarios() {
  std::sort(table().begin(), table().end());
  return table();
}

bool strict() {
  static const bool value = [] {
    const char* text = std::getenv("CONF_ITER");
    return text != nullptr && std::string_view(text) == "1";
  }();
  return value;
}

void emit(std::string_view line) {
  std::printf("%.*s\n", static_cast<int>(line.size()), line.data());
  std::fflush(stdout);
}

void trace(std::string_view event) {
  if (!any_loop_yet) {
    emit("-.--- " + std::string(event));
    return;
  }
  const Stamp now = stamp();
  char text[64];
  if (strict()) {
    std::snprintf(text, sizeof text, "%.3f #%llu ", now.time, now.pass);
  } else {
    std::snprintf(text, sizeof text, "%.3f ", now.time);
  }
  emit(text + std::string(event));
}

void ticks(int count) {
  for (int i = 0; i < count; ++i) asyncio::await(asyncio::sleep(0s));
}

int cancelling() { return asyncio::current_task()->cancelling(); }

namespace {
std::string scrub_addresses(const std::string& text) {
  constexpr std::string_view kHex = "0x";
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const auto found = text.find(kHex, at);
    if (found == std::string::npos) return out + text.substr(at);
    const auto end = std::min(text.find_first_not_of(kDigits, found + kHex.size()), text.size());
    out += text.substr(at, found - at) + (end > found + kHex.size() ? "0xADDR" : "0x");
    at = end;
  }
  return out;
}

// Where the line number of a source place ends, in a word that begins with the '/' of its path; 0: it is
// none.
std::size_t end_of_place(std::string_view word) {
  for (std::size_t colon = word.rfind(':'); colon != 0 && colon != word.npos;
       colon = word.rfind(':', colon - 1)) {
    const std::string_view path = word.substr(0, colon);
    const std::size_t digits = word.find_first_not_of("0123456789", colon + 1);
    const std::size_t end = digits == word.npos ? word.size() : digits;
    if ((path.ends_with(".cc") || path.ends_with(".h")) && end > colon + 1) return end;
  }
  return 0;
}

// A place in a source, like /tree/tests/x.cc:12, is "FILE:LINE" in the trace.
std::string scrub_places(std::string text) {
  for (std::size_t at = 0; (at = text.find('/', at)) != text.npos; ++at) {
    const std::string_view word = std::string_view(text).substr(at, text.find_first_of(" '\"", at) - at);
    if (const std::size_t end = end_of_place(word); end != 0) text.replace(at, end, "FILE:LINE");
  }
  return text;
}
}  // namespace

std::string scrub(const std::string& text) { return scrub_places(scrub_addresses(text)); }

void trace_handler(asyncio::EventLoop&, const asyncio::ExceptionContext& context) {
  std::string message = scrub(context.message);
  constexpr std::string_view kCallback = "Exception in callback";  // the callback's name is Python's only
  if (message.starts_with(kCallback)) message = kCallback;
  std::string keys;
  std::vector<std::string> sorted = context.keys();
  std::sort(sorted.begin(), sorted.end());
  for (const std::string& key : sorted) keys += (keys.empty() ? "" : ",") + key;
  log("HANDLER", py(message), "keys=" + keys, "exception=" + exc(context.exception));
}

void tap_logger() { asyncio::set_log_sink(&tap); }

TestLoop& new_loop() {
  kept_loops().push_back(std::make_unique<TracedLoop>());
  return *kept_loops().back();
}

void drop_loops() { kept_loops().clear(); }

std::unique_ptr<asyncio::EventLoop> make_loop() { return std::make_unique<TracedLoop>(); }

TestLoop& current_loop() { return *current; }

bool current_loop_is_closed() { return stamp().closed; }

void spin(asyncio::EventLoop& loop, int passes) {
  for (int i = 0; i < passes; ++i) {
    loop.call_soon([&loop] { loop.stop(); });
    loop.run_forever();
  }
}

TestLoop& begin_run(const RunOptions& options) {
  tap_logger();
  TestLoop& loop = new_loop();
  loop.set_debug(options.debug);
  if (options.handler) loop.set_exception_handler(&trace_handler);
  return loop;
}

void end_run(TestLoop& loop, const RunOptions& options) {
  if (options.drain) {
    const auto left = asyncio::all_tasks(&loop);
    if (!left.empty()) {
      std::string all;
      for (const std::string& name : names(left)) all += (all.empty() ? "" : ",") + name;
      log("left over:", all);
      for (auto task : left) task.cancel();
      try {
        loop.run_until_complete([&left] { asyncio::await(asyncio::wait(left)); });
      } catch (...) {
        log("drain raised", exc());
      }
    }
  }
  loop.close();
}

void ThreadEvent::set() {
  const std::scoped_lock lock(mutex_);
  set_ = true;
  changed_.notify_all();
}

void ThreadEvent::wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return set_; });
}

}  // namespace conf
