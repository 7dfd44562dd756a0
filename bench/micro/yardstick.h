// SPDX-License-Identifier: Apache-2.0
//
// The yardstick of the benchmarks: one resume, i.e. one switch, of Boost's own fiber. Include it once in a
// program, which then has BM_BoostFiberResume.
#pragma once

#include <benchmark/benchmark.h>

#include <boost/context/fiber.hpp>
#include <cstdint>
#include <utility>

namespace {

void BM_BoostFiberResume(benchmark::State& state) {
  bool stop = false;
  boost::context::fiber fiber([&](boost::context::fiber&& caller) {
    while (!stop) caller = std::move(caller).resume();
    return std::move(caller);
  });
  for (auto _ : state) fiber = std::move(fiber).resume();
  state.SetItemsProcessed(2 * static_cast<std::int64_t>(state.iterations()));
  stop = true;
  fiber = std::move(fiber).resume();
}
BENCHMARK(BM_BoostFiberResume);

}  // namespace
