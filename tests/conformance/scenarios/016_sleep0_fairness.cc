// SPDX-License-Identifier: Apache-2.0
//
// sleep(0) tasks take turns; a nested await does not add passes.
// The twin of python/016_sleep0_fairness.py.
#include "../conf.h"

namespace conf::s016 {

static void leaf(const std::string& n, int i) {
  asyncio::await(asyncio::sleep(0s));
  log(n, i);
}

static void mid(const std::string& n, int i) {
  asyncio::await([&] { leaf(n, i); });
}

static std::string worker(std::string n, decltype(&leaf) fn) {
  for (int i = 0; i < 3; ++i) fn(n, i);
  log(n, "done");
  return n;
}

SCENARIO(016_sleep0_fairness) {
  run([] {
    auto a = asyncio::create_task([] { return worker("A", leaf); });
    auto b = asyncio::create_task([] { return worker("B", mid); });
    const std::string ra = asyncio::await(a);
    const std::string rb = asyncio::await(b);
    log("join", ra, rb);
  });
}

}  // namespace conf::s016
