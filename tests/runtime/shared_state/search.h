// SPDX-License-Identifier: Apache-2.0
//
// For tests of the search for shared state: runs functions as tasks and gives the reports.
#pragma once

#include <cstddef>
#include <functional>
#include <iterator>
#include <string>
#include <vector>

#include "aiofiber/runtime/shared_state/shared_state.h"
#include "support/fiber_loop.h"
#include "support/fibers.h"

namespace aiofiber::shared_state_test {

inline std::vector<std::string>* reports = nullptr;

// Runs the functions as tasks 'one', 'two' and so on, all at once; gives the reports. The clock is virtual,
// so the order of the tasks is always the same.
inline std::vector<std::string> search(const std::vector<std::function<void()>>& functions,
                                       runtime::shared_state::Options options = {}) {
  std::vector<std::string> found;
  reports = &found;
  options.report = [](const std::string& text) noexcept { reports->push_back(text); };
  runtime::shared_state::start(options);
  {
    runtime::Loop loop;
    loop.clock().set_may_block(true);  // child processes
    const char* const names[] = {"one", "two", "three", "four"};
    for (std::size_t i = 0; i < functions.size(); ++i) {
      auto& fiber = loop.spawn(functions[i]);
      if (i < std::size(names)) fiber.set_name(names[i]);
    }
    loop.run();
  }
  runtime::shared_state::stop();
  return found;
}

inline bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

inline std::string joined(const std::vector<std::string>& texts) {
  std::string all;
  for (const std::string& text : texts) all += text + "\n\n";
  return all;
}

}  // namespace aiofiber::shared_state_test
