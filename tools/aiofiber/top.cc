// SPDX-License-Identifier: Apache-2.0
//
// aiofiber top: a refreshing view of the tasks: the busiest, the longest waiting, those with the largest
// stack.
//
// On a terminal it is a screen with keys. Otherwise, and with --once, it prints one table of two snapshots,
// so that the output can be piped.
#include <absl/strings/str_cat.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iterator>
#include <sstream>

#include "columns.h"
#include "commands.h"
#include "terminal.h"
#include "top_screen.h"
#include "top_table.h"

namespace aiofiber::tool {
namespace {

using Clock = std::chrono::steady_clock;
using Kind = TerminalEvent::Kind;
using std::chrono::milliseconds;

constexpr std::size_t kHeadingLines = 3;  // with the titles
constexpr std::size_t kFooterLines = 1;
constexpr milliseconds kFirstInterval{200};  // the first rates come soon
constexpr char kReverse[] = "\x1b[7m", kPlain[] = "\x1b[0m";

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

// The view of the user, and its choices.
class TopView {
 public:
  TopView(Inspection& inspection, const Options& options, Terminal& terminal)
      : inspection_(inspection), options_(options), terminal_(terminal) {}

  // Runs until the user quits. Returns the signal that ends this program, or 0.
  int run() {
    Clock::time_point due = Clock::now();
    for (int refreshes = 0;;) {
      if (!paused_ && Clock::now() >= due) {
        const auto started = Clock::now();
        if (refreshes++ > 0) inspection_.refresh();
        table_.update(inspection_, started);
        draw();
        cost_ms_ = std::chrono::duration<double, std::milli>(Clock::now() - started).count();
        due = started + (refreshes == 1 ? std::min(kFirstInterval, interval()) : interval());
      } else {
        draw();
      }
      const auto left = std::chrono::ceil<milliseconds>(due - Clock::now()).count();
      const TerminalEvent event =
          terminal_.wait(paused_ ? -1 : static_cast<int>(std::max<std::int64_t>(left, 0)));
      if (event.kind == Kind::kSignal) return event.value;
      if (event.kind == Kind::kClosed || !handle(event)) return 0;
    }
  }

 private:
  milliseconds interval() const { return milliseconds(options_.interval_ms); }

  // False: quit.
  bool handle(const TerminalEvent& event) {
    std::size_t& place = opened_ != 0 ? scroll_ : selected_;
    const std::size_t page = std::max<std::size_t>(visible(), 1);
    bool moved = true;
    switch (event.kind) {
      case Kind::kUp:
        place -= std::min<std::size_t>(place, 1);
        break;
      case Kind::kDown:
        ++place;
        break;
      case Kind::kPageUp:
        place -= std::min(place, page);
        break;
      case Kind::kPageDown:
        place += page;
        break;
      case Kind::kHome:
        place = 0;
        break;
      case Kind::kEnd:
        place = opened_ != 0 ? most_scroll_ : table_.rows().size();
        break;
      default:
        moved = false;
    }
    if (moved) {
      if (opened_ == 0) follow(selected_);
      return true;
    }
    if (event.kind == Kind::kEnter) return open();
    if (event.kind == Kind::kEscape) return back(false);
    if (event.kind != Kind::kCharacter) return true;
    switch (event.value) {
      case 'q':
        return back(true);
      case ' ':
        paused_ = !paused_;
        break;
      case 's':
        return order(TopOrder::kSwitches);
      case 'w':
        return order(TopOrder::kWaiting);
      case 'k':
        return order(TopOrder::kStack);
      default:
        break;
    }
    return true;
  }

  bool order(TopOrder wanted) {
    order_ = wanted;
    selected_ = 0;
    selected_id_ = 0;  // the first task, whichever it is: a new order is chosen to see its first tasks
    return true;
  }

  bool open() {
    if (opened_ == 0 && selected_ < table_.rows().size()) {
      opened_ = table_.rows()[selected_].task->record.id;
      scroll_ = 0;
    } else {
      opened_ = 0;
    }
    return true;
  }

  // Leaves the stack view, or the program.
  bool back(bool may_end) {
    const bool goes_on = opened_ != 0 || !may_end;
    opened_ = 0;
    return goes_on;
  }

  // From here on the selection follows the task at this place.
  void follow(std::size_t place) {
    const auto& rows = table_.rows();
    selected_ = rows.empty() ? 0 : std::min(place, rows.size() - 1);
    selected_id_ = rows.empty() || selected_ == 0 ? 0 : rows[selected_].task->record.id;
  }

  std::size_t visible() const {
    const std::size_t rows = terminal_.size().rows;
    return rows > kHeadingLines + kFooterLines ? rows - kHeadingLines - kFooterLines : 0;
  }

  void draw() {
    table_.sort(order_);
    if (selected_id_ != 0) selected_ = table_.find(selected_id_).value_or(selected_);
    if (!table_.rows().empty()) selected_ = std::min(selected_, table_.rows().size() - 1);
    std::vector<std::string> lines = top_heading(inspection_, table_, cost_ms_);
    if (opened_ != 0) {
      add_stack(lines);
    } else {
      add_table(lines);
    }
    const Terminal::Size size = terminal_.size();
    const std::size_t above = size.rows - std::min<std::size_t>(size.rows, kFooterLines);
    lines.resize(above);
    lines.push_back(footer());
    std::string screen;
    for (std::size_t i = size.rows < lines.size() ? 1 : 0; i < lines.size(); ++i) {
      // A reversed line contains its own control sequences, which take no width.
      const bool reverse = lines[i].starts_with(kReverse);
      const std::string text = cut(reverse ? lines[i].substr(sizeof kReverse - 1) : lines[i], size.columns);
      screen += (reverse ? kReverse + text + kPlain : text) + "\n";
    }
    terminal_.show(screen);
  }

  void add_table(std::vector<std::string>& lines) {
    const std::size_t count = table_.rows().size();
    const std::size_t room = visible();
    if (selected_ < first_) first_ = selected_;
    if (selected_ >= first_ + room) first_ = selected_ + 1 - std::min(room, selected_ + 1);
    first_ = std::min(first_, count - std::min(count, room));
    std::vector<std::string> rows = top_rows(inspection_, table_, first_, std::min(count, first_ + room));
    if (count != 0 && selected_ - first_ + 1 < rows.size()) rows[selected_ - first_ + 1].insert(0, kReverse);
    lines.insert(lines.end(), std::make_move_iterator(rows.begin()), std::make_move_iterator(rows.end()));
    if (count == 0) lines.push_back("(no tasks)");
  }

  void add_stack(std::vector<std::string>& lines) {
    const TaskSnapshot* task = inspection_.snapshot().find(opened_);
    lines.emplace_back();
    if (task == nullptr) {
      lines.push_back(absl::StrCat("Task ", opened_, " has ended."));
      return;
    }
    std::ostringstream text;
    print_stack(inspection_, *task, options_.verbose, text);
    const std::vector<std::string> stack = lines_of(text.str());
    most_scroll_ = stack.size() - std::min(stack.size(), visible());
    scroll_ = std::min(scroll_, most_scroll_);
    for (std::size_t i = scroll_; i < stack.size(); ++i) lines.push_back(printable(stack[i]));
  }

  std::string footer() const {
    const std::string pause = paused_ ? "space goes on (paused)" : "space pauses";
    if (opened_ != 0) return "up/down scroll   " + pause + "   q back";
    const auto mark = [this](TopOrder order) { return order_ == order ? "*" : ""; };
    return std::string("sort: s switches") + mark(TopOrder::kSwitches) + ", w waiting" +
           mark(TopOrder::kWaiting) + ", k stack" + mark(TopOrder::kStack) +
           "   up/down choose, Enter opens   " + pause + "   q quits";
  }

  Inspection& inspection_;
  const Options& options_;
  Terminal& terminal_;
  TopTable table_;
  TopOrder order_ = TopOrder::kSwitches;
  double cost_ms_ = 0;
  bool paused_ = false;
  std::size_t first_ = 0;          // the uppermost row that is shown
  std::size_t selected_ = 0;       // the row
  std::uint64_t selected_id_ = 0;  // the task that it follows; 0: whichever is first
  std::uint64_t opened_ = 0;       // the task whose stack is shown; 0: none
  std::size_t scroll_ = 0, most_scroll_ = 0;
};

void write_top(Inspection& inspection, const TopTable& table, double cost_ms, std::ostream& out) {
  const TopSummary& summary = table.summary();
  JsonWriter json(out);
  begin_report(json, inspection);
  json.member("loops", summary.loops);
  json.member("on_cpu", summary.on_cpu);
  json.member("ready", summary.ready);
  json.member("waiting", summary.waiting);
  json.member("new", summary.not_started);
  json.member("switches_per_s", std::llround(summary.switches_per_s));
  json.member("refresh_us", std::llround(cost_ms * 1000));
  std::vector<const TaskSnapshot*> tasks;
  for (const TopRow& row : table.rows()) tasks.push_back(row.task);
  write_tasks(json, inspection, tasks, [&](std::size_t i) {
    json.member("switches_per_s", std::llround(table.rows()[i].switches_per_s));
    write_place(json, inspection, *tasks[i]);
  });
  json.end_object();
  out.flush();
}

// Without a terminal: all tasks, busiest first, after two snapshots; as JSON, once or as long as the output
// is read.
void print_reports(Inspection& inspection, const Options& options, std::ostream& out) {
  TopTable table;
  table.update(inspection, Clock::now());
  const bool once = options.once || !options.json;
  do {
    poll(nullptr, 0, options.interval_ms);
    const auto started = Clock::now();
    inspection.refresh();
    table.update(inspection, started);
    table.sort(TopOrder::kSwitches);
    std::vector<std::string> rows;
    if (!options.json) rows = top_rows(inspection, table, 0, table.rows().size());
    const double cost_ms = std::chrono::duration<double, std::milli>(Clock::now() - started).count();
    if (options.json) {
      write_top(inspection, table, cost_ms, out);
      continue;
    }
    for (const std::string& line : top_heading(inspection, table, cost_ms)) out << line << '\n';
    for (const std::string& line : rows) out << line << '\n';
    if (table.rows().empty()) out << "(no tasks)\n";
  } while (!once && out);
}

}  // namespace

void top(Inspection& inspection, const Options& options, std::ostream& out) {
  if (options.json || options.once || !is_terminal()) {
    print_reports(inspection, options, out);
    return;
  }
  int signal = 0;
  {
    Terminal terminal;
    signal = TopView(inspection, options, terminal).run();
  }
  // Ctrl-C quits normally. For other signals the exit status must show the signal.
  if (signal != 0 && signal != SIGINT) {
    ::signal(signal, SIG_DFL);
    raise(signal);
  }
}

}  // namespace aiofiber::tool
