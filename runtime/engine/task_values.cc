// SPDX-License-Identifier: Apache-2.0
//
// The table of the variables, the blocks of their values, and who may use them now.
//
// A block has a place for each variable, in the order of registration. `resident` is the block whose values
// are in the variables themselves; its own copy is old. A registration enlarges every block that exists, so
// that a switch never allocates.
//
// The thread that runs the loop uses all of this without a lock. Other threads may do so only while no loop
// runs, under the mutex. So the mutex is taken to begin and to end a loop, and by everything that is not done
// by the running loop's own thread.
#include "aiofiber/runtime/engine/task_values.h"

#include <absl/strings/str_cat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <system_error>
#include <utility>

#include "aiofiber/runtime/engine/assert.h"
#include "aiofiber/runtime/engine/at_fork.h"
#include "aiofiber/runtime/engine/fiber.h"
#include "aiofiber/runtime/inspect/registry.h"
#include "aiofiber/runtime/inspect/symbolize.h"
#include "inspect/static_variable.h"

namespace aiofiber::runtime {

namespace {

using OwnedBytes = std::unique_ptr<unsigned char[]>;

struct Variable {
  unsigned char* address;
  std::size_t bytes;
  std::size_t offset;  // of its value in a block
  TaskVariableOptions options;
  OwnedBytes at_registration;  // the value, if `from_registration`
  std::string name;            // may be empty
};

struct TaskValues : FiberLocals {
  constexpr TaskValues() noexcept;
  OwnedBytes data;
  std::size_t bytes = 0;
  std::size_t bytes_at_creation = 0;  // later variables got their value from the registration
  bool ended = false;                 // `release` has been called
};

void release_on_fiber(Fiber& fiber) noexcept;
constexpr TaskValues::TaskValues() noexcept : FiberLocals{release_on_fiber, Until::kFreed} {}

// Never destroyed: tasks may switch until the very end of the program.
struct State {
  std::vector<Variable> variables;
  TaskValues outside;
};
union StateOfProcess {
  constexpr StateOfProcess() noexcept : state() {}
  ~StateOfProcess() {}
  State state;
};
constinit StateOfProcess of_process;
constinit std::vector<Variable>& variables = of_process.state.variables;
constinit TaskValues& outside = of_process.state.outside;

constinit std::mutex mutex;
constinit std::size_t total_bytes = 0;
constinit int loops_running = 0;  // on threads that take part
constinit TaskValues* resident = &of_process.state.outside;

#define AIOFIBER_PER_THREAD constinit thread_local __attribute__((tls_model("initial-exec")))
AIOFIBER_PER_THREAD bool loop_runs_here = false;
AIOFIBER_PER_THREAD bool values_here = false;  // this thread may switch values without the mutex
AIOFIBER_PER_THREAD bool in_init = false;      // an `init` runs

// In the child no loop runs, and what the forking thread saw in the variables is the outside value.
constinit ForkHandler values_at_fork{ForkStep::kTaskValues,
                                     {.prepare = []() noexcept { mutex.lock(); },
                                      .parent = []() noexcept { mutex.unlock(); },
                                      .child =
                                          []() noexcept {
                                            loops_running = 0;
                                            loop_runs_here = values_here = false;
                                            resident = &outside;
                                            mutex.unlock();
                                          }}};

[[noreturn]] void refuse(int error, const std::string& why) {
  throw std::system_error(error, std::generic_category(), why);
}

std::string name_of(const Variable& variable) {
  if (!variable.name.empty()) return variable.name;
  std::string symbol = data_symbol(reinterpret_cast<std::uintptr_t>(variable.address));
  return !symbol.empty() ? symbol : absl::StrCat("0x", absl::Hex(variable.address));
}

[[noreturn]] void refuse_second_loop() {
  std::string names;
  for (const Variable& variable : variables) {
    if (!names.empty()) absl::StrAppend(&names, ", ");
    if (names.size() > 100) {
      absl::StrAppend(&names, "...");
      break;
    }
    absl::StrAppend(&names, name_of(variable));
  }
  refuse(EBUSY, absl::StrCat("variables with a value per task (", names,
                             ") are used by the loop of another thread, and they cannot have the values of "
                             "two threads at once. Run that code in one loop, and call "
                             "hooks::set_per_task_on_this_thread(false) in threads that do not run it"));
}

void refuse_in_init() {
  if (in_init) refuse(EDEADLK, "an init function of a variable per task may not register or create tasks");
}

// Variables of the program may lie beside memory that AddressSanitizer guards, and a range may contain such.
#if AIOFIBER_ASAN
__attribute__((no_sanitize("address"))) void copy(unsigned char* to, const unsigned char* from,
                                                  std::size_t bytes) noexcept {
  for (volatile unsigned char* at = to; bytes > 0; --bytes) *at++ = *from++;
}
#else
inline void copy(unsigned char* to, const unsigned char* from, std::size_t bytes) noexcept {
  std::memcpy(to, from, bytes);
}
#endif

// Saves the bytes of a variable and gives it the next ones. Most variables are a few words: for these, two
// calls of memcpy would take longer than the work.
template <std::size_t kPiece>
inline void exchange_piece(unsigned char*& saved, unsigned char*& variable, const unsigned char*& next,
                           std::size_t& bytes) noexcept {
  unsigned char piece[kPiece];
  std::memcpy(piece, variable, kPiece);
  std::memcpy(variable, next, kPiece);
  std::memcpy(saved, piece, kPiece);
  saved += kPiece;
  variable += kPiece;
  next += kPiece;
  bytes -= kPiece;
}
inline void exchange(unsigned char* saved, unsigned char* variable, const unsigned char* next,
                     std::size_t bytes) noexcept {
  constexpr std::size_t kFewBytes = 256;
  if (AIOFIBER_ASAN != 0 || bytes > kFewBytes) {
    copy(saved, variable, bytes);
    copy(variable, next, bytes);
    return;
  }
  while (bytes >= 16) exchange_piece<16>(saved, variable, next, bytes);
  if (bytes >= 8) exchange_piece<8>(saved, variable, next, bytes);
  if (bytes >= 4) exchange_piece<4>(saved, variable, next, bytes);
  while (bytes > 0) exchange_piece<1>(saved, variable, next, bytes);
}

// The block for what runs on this thread in `fiber`; the loop itself has no scheduler.
TaskValues& values_of(const Fiber* fiber) noexcept {
  if (fiber != nullptr && fiber->scheduler == nullptr) fiber = current_step_slot;
  return fiber != nullptr && fiber->keeps_values ? *static_cast<TaskValues*>(fiber->locals) : outside;
}

inline void make_resident(TaskValues& next) noexcept {
  if (resident == &next) return;
  const std::size_t both = std::min(resident->bytes, next.bytes);
  for (const Variable& variable : variables) {
    if (variable.offset + variable.bytes > both) break;  // registered while the block was made
    exchange(resident->data.get() + variable.offset, variable.address, next.data.get() + variable.offset,
             variable.bytes);
  }
  resident = &next;
}

void release_values(TaskValues& values) noexcept {
  if (std::exchange(values.ended, true)) return;
  const HooksOff hooks_off;
  const bool in_place = values_here && resident == &values;
  for (const Variable& variable : variables) {
    if (variable.offset >= values.bytes_at_creation) break;
    if (variable.options.release == nullptr) continue;
    variable.options.release(in_place ? variable.address : values.data.get() + variable.offset,
                             variable.bytes, variable.options.argument);
  }
}

void release_on_fiber(Fiber& fiber) noexcept { release_values(static_cast<TaskValues&>(*fiber.locals)); }

// With the values that exist, and `bytes` in all.
OwnedBytes enlarged(const TaskValues& values, std::size_t bytes) {
  OwnedBytes data(new unsigned char[bytes]);
  if (values.bytes > 0) std::memcpy(data.get(), values.data.get(), values.bytes);
  return data;
}

// A fiber that exists at a registration, with its new block.
struct Growth {
  Fiber* fiber;
  std::unique_ptr<TaskValues> values;  // null: it has some
  OwnedBytes data;
};

// Reads the records of other threads' loops too. No loop that takes part runs there; the others' fibers are
// told by their flag, and what changes at the moment by its odd sequence number.
__attribute__((no_sanitize("thread"))) std::vector<Growth> prepare_growth(std::size_t bytes) {
  const auto own_thread = static_cast<std::uint32_t>(::syscall(SYS_gettid));
  std::vector<Growth> growth;
  RecordSlab::for_each([&](aiofiber_record & record) __attribute__((no_sanitize("thread"))) {
    if (__atomic_load_n(&record.state, __ATOMIC_RELAXED) == AIOFIBER_FREE) return;
    Fiber& fiber = static_cast<Fiber&>(record);
    const bool changes = (__atomic_load_n(&record.seq, __ATOMIC_ACQUIRE) & 1) != 0;
    if ((changes && fiber.tid != own_thread) || fiber.without_values) return;
    Growth& added = growth.emplace_back(Growth{&fiber, nullptr, nullptr});
    if (fiber.keeps_values) {
      added.data = enlarged(static_cast<TaskValues&>(*fiber.locals), bytes);
    } else {
      added.values = std::make_unique<TaskValues>();
      added.data.reset(new unsigned char[bytes]);
    }
  });
  return growth;
}

void install(TaskValues& values, OwnedBytes data, const Variable& variable) noexcept {
  copy(data.get() + variable.offset, variable.address, variable.bytes);
  values.data = std::move(data);
  values.bytes = variable.offset + variable.bytes;
}

void check_range(void* begin, std::size_t bytes, std::string_view name, const TaskVariableOptions& options) {
  const std::string shown = name.empty() ? absl::StrCat("0x", absl::Hex(begin)) : std::string(name);
  if (begin == nullptr || bytes == 0)
    refuse(EINVAL, absl::StrCat("'", shown, "' cannot have a value per task: it has no bytes"));
  if (options.release != nullptr && options.init == nullptr)
    refuse(EINVAL,
           absl::StrCat("'", shown, "': `release` needs `init`, because a copied value owns nothing"));
  if (on_current_stack(begin))
    refuse(EINVAL, absl::StrCat("'", shown, "' cannot have a value per task: it is a local variable"));
  if (bytes > kMostTaskValueBytes)
    refuse(E2BIG, absl::StrCat("'", shown, "' has ", bytes, " bytes; the values of a task may have ",
                               kMostTaskValueBytes, " in all, because each switch copies them"));
  if (const MemoryRefusal refusal = refuse_as_variable(begin, bytes); refusal.error != 0)
    refuse(refusal.error, absl::StrCat("'", shown, "' cannot have a value per task: ", refusal.why));
}

}  // namespace

AIOFIBER_PER_THREAD bool no_task_values_here = false;
#undef AIOFIBER_PER_THREAD

// ---- registering

void add_task_variable(void* begin, std::size_t bytes, std::string_view name,
                       const TaskVariableOptions& options) {
  const HooksOff hooks_off;
  refuse_in_init();
  check_range(begin, bytes, name, options);
  Variable added{static_cast<unsigned char*>(begin), bytes, 0, options, nullptr, std::string(name)};
  // Before the mutex: both take locks under which others take the mutex (at a fork; a library that registers
  // when it is loaded).
  at_fork(values_at_fork);
  keep_module_loaded(begin);
  const std::lock_guard lock(mutex);
  for (const Variable& known : variables) {
    if (known.address == added.address && known.bytes == bytes && known.options == options) return;
    if (known.address < added.address + bytes && added.address < known.address + known.bytes)
      refuse(EEXIST, absl::StrCat("'", name_of(added), "' (", bytes, " bytes) overlaps '", name_of(known),
                                  "' (", known.bytes, " bytes), or has other options"));
  }
  if (loops_running > (loop_runs_here ? 1 : 0))
    refuse(EBUSY, absl::StrCat("'", name_of(added),
                               "' cannot get a value per task now: another thread runs a loop. Register it "
                               "before that, or on that thread while it runs only one loop"));
  added.offset = (total_bytes + 15) / 16 * 16;
  const std::size_t total = added.offset + bytes;
  if (total > kMostTaskValueBytes)
    refuse(E2BIG, absl::StrCat("'", name_of(added), "' has ", bytes, " bytes; the values of a task may have ",
                               kMostTaskValueBytes, " in all, and ", total_bytes, " are taken"));
  if (options.from_registration) {
    added.at_registration.reset(new unsigned char[bytes]);
    copy(added.at_registration.get(), added.address, bytes);
  }
  OwnedBytes outside_data = enlarged(outside, total);
  std::vector<Growth> growth = prepare_growth(total);
  variables.reserve(variables.size() + 1);

  // Nothing fails from here on.
  install(outside, std::move(outside_data), added);
  for (Growth& of : growth) {
    if (of.values != nullptr) {
      of.values->next = std::exchange(of.fiber->locals, nullptr);
      of.fiber->locals = of.values.release();
      of.fiber->keeps_values = true;
    }
    install(static_cast<TaskValues&>(*of.fiber->locals), std::move(of.data), added);
  }
  variables.push_back(std::move(added));
  total_bytes = total;
  if (loop_runs_here && !std::exchange(values_here, true)) resident = &values_of(current_fiber_or_step());
  set_watches(SwitchWatcher::kTaskValues, true);
}

void add_task_variable_named(std::string_view name, const TaskVariableOptions& options) {
  const HooksOff hooks_off;
  const StaticVariable found = find_static_variable(name);
  add_task_variable(reinterpret_cast<void*>(found.address), found.bytes, name, options);
}

std::vector<TaskVariable> task_variables() {
  const HooksOff hooks_off;
  const std::lock_guard lock(mutex);
  std::vector<TaskVariable> all;
  for (const Variable& variable : variables)
    all.push_back({name_of(variable), variable.address, variable.bytes});
  return all;
}

void set_task_values_here(bool wanted) {
  if (loop_runs_here || current_fiber_or_step() != nullptr)
    refuse(EBUSY, "whether a thread has variables per task is decided before its loop runs");
  no_task_values_here = !wanted;
}

bool overlaps_task_variable(const void* begin, std::size_t bytes) noexcept {
  if (!values_here) return false;
  const auto low = reinterpret_cast<std::uintptr_t>(begin);
  return std::any_of(variables.begin(), variables.end(), [=](const Variable& variable) {
    const auto start = reinterpret_cast<std::uintptr_t>(variable.address);
    return low < start + variable.bytes && start < low + bytes;
  });
}

bool leads_to_task_variable(const void* object, std::size_t bytes) noexcept {
  for (std::size_t at = 0; at + sizeof(void*) <= bytes; at += alignof(void*)) {
    void* word = nullptr;
    std::memcpy(&word, static_cast<const char*>(object) + at, sizeof word);
    if (overlaps_task_variable(word, 1)) return true;
  }
  return false;
}

// ---- for the scheduler

FiberLocals* make_task_values() {
  if (no_task_values_here) return nullptr;
  const HooksOff hooks_off;
  refuse_in_init();
  std::unique_lock lock(mutex, std::defer_lock);
  if (!values_here) {
    lock.lock();
    if (loops_running > 0) refuse_second_loop();
  }
  auto values = std::make_unique<TaskValues>();
  values->data.reset(new unsigned char[total_bytes]);
  values->bytes = values->bytes_at_creation = total_bytes;
  in_init = true;
  for (const Variable& variable : variables) {
    unsigned char* const value = values->data.get() + variable.offset;
    const TaskVariableOptions& options = variable.options;
    copy(value, options.from_registration ? variable.at_registration.get() : variable.address,
         variable.bytes);
    if (options.init != nullptr) options.init(value, variable.bytes, options.argument);
  }
  in_init = false;
  return values.release();
}

void drop_task_values(FiberLocals* values) noexcept {
  auto* const of_task = static_cast<TaskValues*>(values);
  AIOFIBER_ASSERT(resident != of_task);
  release_values(*of_task);
  delete of_task;
}

void free_task_values(Fiber& fiber) noexcept {
  FiberLocals* const values = fiber.locals;
  fiber.locals = values->next;
  fiber.keeps_values = false;
  drop_task_values(values);
}

void switch_task_values(const Fiber& to) noexcept {
  if (values_here) make_resident(values_of(&to));
}

TaskValuesOfLoop::TaskValuesOfLoop() {
  if (no_task_values_here) return;
  const HooksOff hooks_off;
  at_fork(values_at_fork);
  const std::lock_guard lock(mutex);
  if (loops_running > 0 && !variables.empty()) refuse_second_loop();
  ++loops_running;
  loop_runs_here = entered_ = true;
  values_here = !variables.empty();
}

TaskValuesOfLoop::~TaskValuesOfLoop() {
  if (!entered_) return;
  const HooksOff hooks_off;
  const std::lock_guard lock(mutex);
  if (values_here) make_resident(outside);
  loop_runs_here = values_here = false;
  --loops_running;
}

TaskValuesOfUnwinding::TaskValuesOfUnwinding() noexcept {
  if (!watches(SwitchWatcher::kTaskValues) || no_task_values_here) return;
  if (values_here) {
    before_ = resident;
    return;
  }
  const HooksOff hooks_off;
  const std::lock_guard lock(mutex);
  if (loops_running > 0) {
    std::fprintf(stderr,
                 "aiofiber: a loop closes while another thread runs one: its tasks find that one's values "
                 "of the variables per task\n");
    return;
  }
  before_ = resident;
  ++loops_running;
  values_here = entered_ = true;
}

TaskValuesOfUnwinding::~TaskValuesOfUnwinding() {
  if (before_ == nullptr) return;
  make_resident(static_cast<TaskValues&>(*before_));
  if (!entered_) return;
  const HooksOff hooks_off;
  const std::lock_guard lock(mutex);
  values_here = false;
  --loops_running;
}

}  // namespace aiofiber::runtime
