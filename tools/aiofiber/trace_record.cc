// SPDX-License-Identifier: Apache-2.0
//
// aiofiber trace PID: samples the registry of a running process at a steady rate and writes a timeline.
//
// The process is not stopped and runs no code for the command; it only shares the cache lines that are read.
// This program uses at most a tenth of a CPU: if a sample takes longer than a tenth of the interval
// (thousands of tasks), the interval grows, and the file says so. The file is complete however the recording
// ends (Ctrl-C, the time, the end of the process).
#include <absl/strings/str_format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

#include "failure.h"
#include "inspect/output_file.h"
#include "inspection.h"
#include "registry_sampler.h"
#include "sampled_timeline.h"
#include "snapshot.h"
#include "trace_command.h"

namespace aiofiber::tool {
namespace {

constexpr double kDefaultInterval = 0.001;
constexpr std::int64_t kMostShare = 10;  // a sample may take this part of the interval: a tenth
constexpr std::size_t kWriteBytes = 1 << 18;

class OutputFile {
 public:
  OutputFile(const std::string& path, unsigned permissions) : path_(path) {
    fd_ = runtime::open_output_file(path, runtime::OldContent::kReplace, permissions);
    if (fd_ < 0)
      throw Failure(Exit::kUsage, "cannot write '" + path + "': " + runtime::output_file_error(errno) +
                                      " (-o names another file)");
  }
  ~OutputFile() { close(fd_); }
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void write(std::string& text) {
    for (std::size_t done = 0; done < text.size();) {
      const ssize_t wrote = ::write(fd_, text.data() + done, text.size() - done);
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote < 0)
        throw Failure(Exit::kInternal,
                      "cannot write to '" + path_ + "': " + std::strerror(errno) + "; the trace ends here");
      done += static_cast<std::size_t>(wrote);
    }
    text.clear();
  }

 private:
  const std::string path_;
  int fd_ = -1;
};

// SIGINT, SIGTERM and SIGHUP end the recording, not the program.
class EndSignals {
 public:
  EndSignals() {
    sigemptyset(&set_);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&set_, signal);
    sigprocmask(SIG_BLOCK, &set_, &before_);
  }
  ~EndSignals() { sigprocmask(SIG_SETMASK, &before_, nullptr); }
  EndSignals(const EndSignals&) = delete;
  EndSignals& operator=(const EndSignals&) = delete;

  // True: a signal came within the time.
  bool wait(std::int64_t ns) const {
    const timespec time{ns / 1'000'000'000, ns % 1'000'000'000};
    return sigtimedwait(&set_, nullptr, &time) > 0;
  }

 private:
  sigset_t set_, before_;
};

class Recording {
 public:
  Recording(Target& target, const TraceOptions& options)
      : target_(target),
        sampler_(target, find_registry(target)),
        interval_(
            static_cast<std::int64_t>((options.interval > 0 ? options.interval : kDefaultInterval) * 1e9)),
        length_(static_cast<std::int64_t>(options.seconds * 1e9)),
        file_(options.output, options.readable_by_all ? 0644 : runtime::kOwnerOnly),
        start_(now()),
        timeline_(static_cast<std::uint32_t>(target.pid()), start_) {}

  // Returns the reason of the end.
  std::string run(const EndSignals& signals) {
    timeline_.begin(target_.thread_name(static_cast<std::uint32_t>(target_.pid())), interval_);
    std::string why;
    for (std::int64_t due = start_; why.empty();) {
      if (length_ > 0 && due - start_ > length_) {
        why = "the time is over";
        if (signals.wait(std::max<std::int64_t>(start_ + length_ - now(), 0))) why = "stopped";
        break;
      }
      if (signals.wait(std::max<std::int64_t>(due - now(), 0))) return finish("stopped");
      try {
        look();
      } catch (const Failure& failure) {
        if (failure.code != Exit::kNoProcess) throw;
        why = "the process has ended";
      }
      if (timeline_.text().size() >= kWriteBytes) file_.write(timeline_.text());
      due = std::max(due + interval_, last_ + cost_ * kMostShare);
    }
    return finish(why);
  }

  void print(const std::string& why, const std::string& path, std::ostream& out) const {
    const std::string rate = absl::StrFormat("%.3g ms apart", static_cast<double>(mean_interval()) / 1e6);
    out << "wrote " << path << ": " << duration_text(last_ - start_) << ", " << timeline_.tasks()
        << " tasks, " << looks_ << " looks " << rate << " (" << why << ")\n"
        << "ran " << timeline_.runs() << " times; " << timeline_.waits_drawn()
        << " waits are drawn: what was shorter than the time between two "
        << "looks is counted, not drawn\n";
    if (mean_interval() > interval_ + interval_ / 2) {
      out << "looks were to be " << static_cast<double>(interval_) / 1e6
          << " ms apart, but so many tasks take longer to look at than a tenth of that\n";
    }
  }

 private:
  std::int64_t now() const { return target_.now_ns(0); }
  std::int64_t mean_interval() const {
    return looks_ > 1 ? (last_ - start_) / static_cast<std::int64_t>(looks_ - 1) : interval_;
  }

  void look() {
    const std::int64_t began = now();
    timeline_.begin_look(began);
    sampler_.look([this](std::size_t place, const aiofiber_record& record) { timeline_.see(place, record); },
                  [this](std::size_t place) { timeline_.miss(place); });
    ++looks_;
    last_ = began;
    cost_ = now() - began;
  }

  std::string finish(std::string why) {
    timeline_.end(mean_interval(), std::max(last_, start_));
    file_.write(timeline_.text());
    return why;
  }

  Target& target_;
  RegistrySampler sampler_;
  const std::int64_t interval_, length_;
  OutputFile file_;
  const std::int64_t start_;
  SampledTimeline timeline_;
  std::int64_t last_ = 0, cost_ = 0;
  std::uint64_t looks_ = 0;
};

}  // namespace

void record_trace(const TraceOptions& options, std::ostream& out) {
  const auto target = open_process(options.pid);
  prctl(PR_SET_TIMERSLACK, 1);  // otherwise each sample comes 50 us late
  const EndSignals signals;
  Recording recording(*target, options);
  std::fprintf(stderr, "aiofiber: recording process %d to %s%s\n", static_cast<int>(options.pid),
               options.output.c_str(), options.seconds > 0 ? "" : "; Ctrl-C ends it");
  const std::string why = recording.run(signals);
  recording.print(why, options.output, out);
}

}  // namespace aiofiber::tool
