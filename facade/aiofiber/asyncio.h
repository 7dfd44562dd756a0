// SPDX-License-Identifier: Apache-2.0
//
// Everything, under the name that Python programmers know: asyncio::gather, asyncio::run.
// This header has only includes and one namespace alias.
// Include the single headers to save compile time.
#pragma once

#include "aiofiber/as_completed.h"
#include "aiofiber/async_generator.h"
#include "aiofiber/await.h"
#include "aiofiber/awaitable.h"
#include "aiofiber/barrier.h"
#include "aiofiber/co_await.h"
#include "aiofiber/concurrent.h"
#include "aiofiber/condition.h"
#include "aiofiber/context.h"
#include "aiofiber/coro.h"
#include "aiofiber/coroutine.h"
#include "aiofiber/debug.h"
#include "aiofiber/duration.h"
#include "aiofiber/event.h"
#include "aiofiber/event_loop.h"
#include "aiofiber/exception_context.h"
#include "aiofiber/exception_group.h"
#include "aiofiber/exceptions.h"
#include "aiofiber/executor.h"
#include "aiofiber/future.h"
#include "aiofiber/gather.h"
#include "aiofiber/handle.h"
#include "aiofiber/lock.h"
#include "aiofiber/log.h"
#include "aiofiber/queue.h"
#include "aiofiber/repr.h"
#include "aiofiber/result.h"
#include "aiofiber/runner.h"
#include "aiofiber/semaphore.h"
#include "aiofiber/shield.h"
#include "aiofiber/sleep.h"
#include "aiofiber/stacks.h"
#include "aiofiber/task.h"
#include "aiofiber/task_group.h"
#include "aiofiber/task_local.h"
#include "aiofiber/threads.h"
#include "aiofiber/timeout.h"
#include "aiofiber/wait.h"
#include "aiofiber/wait_for.h"

namespace asyncio = aiofiber;
