// SPDX-License-Identifier: Apache-2.0
//
// aiofiber_run(): asyncio's run() with a CTask as the main task.
#include "aiofiber/runner.h"
#include "aiofiber/task.h"
#include "c/call.h"
#include "c/start.h"

namespace aiofiber::detail {

// The part of Runner::run() that needs no type of the main function.
struct RunC {
  static int run(void* (*function)(void*), void* argument, const TaskOptions& options, void** result) {
    Runner runner;
    LoopCore& loop = runner.get_loop().core();
    runner.runs_once_ = true;
    const runtime::Ref<CTask> main(new CTask(loop, function, argument));
    main->start(options, main->entry_of_function());
    launch_task(loop, *main, false);
    int error = c_call([&]() -> int {
      runner.run_main(AnyTask(runtime::Ref<FutureBase>(main.get())));
      return 0;
    });
    const int closing_error = c_call([&]() -> int {
      runner.close();
      return 0;
    });
    const int outcome = main->done() ? outcome_of(*main, result) : AIOFIBER_INTERRUPTED;
    if (error == 0) error = closing_error;
    return error != 0 ? error : outcome;
  }
};

}  // namespace aiofiber::detail

using namespace aiofiber::detail;

int aiofiber_run(void* (*function)(void*), void* argument, const aiofiber_task_options* options,
                 void** result) noexcept {
  return c_call([&]() -> int {
    if (result != nullptr) *result = nullptr;
    if (function == nullptr) return AIOFIBER_INVALID;
    if (aiofiber::runtime::Scheduler::current() != nullptr) return AIOFIBER_BUSY;
    aiofiber::TaskOptions task_options;
    if (const int error = read_options(options, task_options); error != 0) return error;
    return RunC::run(function, argument, task_options, result);
  });
}
