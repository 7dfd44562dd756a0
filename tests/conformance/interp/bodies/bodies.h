// SPDX-License-Identifier: Apache-2.0
//
// The sources in this folder are compiled twice, and define both overloads of what may wait: first as
// ordinary functions, which wait on a fiber's stack; then, in ../coroutine_bodies.cc, as C++20 coroutines. So
// an instruction is written once, and the two styles cannot drift apart.
//
//   Style      the first parameter: Fibers | Coroutines
//   Body<T>    the result:          T | Coro<T>
//   AWAIT(x)   waits for an awaitable: asyncio::await(x) | co_await x
//   CALL(x)    calls a function that returns Body<T>
//   RETURN     return | co_return
//
// g++ 12 miscompiles an aggregate or a braced list in an expression with co_await. So options are named
// variables.
#pragma once

#include "../../conf_coro.h"
#include "../machine.h"

namespace conf {

#ifdef CONF_COROUTINES
#define AWAIT(...) (co_await (__VA_ARGS__))
#define CALL(...) (co_await (__VA_ARGS__))
#define RETURN co_return
using Style = Coroutines;
template <class T = void>
using Body = asyncio::Coro<T>;
#else
#define AWAIT(...) asyncio::await(__VA_ARGS__)
#define CALL(...) (__VA_ARGS__)
#define RETURN return
using Style = Fibers;
template <class T = void>
using Body = T;
#endif

}  // namespace conf
