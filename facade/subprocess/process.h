// SPDX-License-Identifier: Apache-2.0
//
// ProcessState: what the program's handles of a child share: the child and its streams.
//
// The loop does not refer to it. So stdin is closed when the program drops its last handle, while the loop
// goes on watching the Child. Pipes that are read stay open up to their ends, as transports do.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "aiofiber/subprocess.h"
#include "subprocess/child.h"

namespace aiofiber::detail {

struct ProcessState final : Counted<ProcessState> {
  explicit ProcessState(runtime::Ref<Child> its_child) noexcept : child(std::move(its_child)) {}
  ~ProcessState();

  // Errors: those of create_subprocess_exec().
  static runtime::Ref<ProcessState> start(const std::vector<std::string>& argv,
                                          const SubprocessOptions& options);
  static Coro<std::pair<std::string, std::string>> communicate(runtime::Ref<ProcessState> process,
                                                               std::optional<std::string> input);

  const runtime::Ref<Child> child;
  std::optional<StreamWriter> stdin_;
  std::optional<StreamReader> stdout_;
  std::optional<StreamReader> stderr_;
};

}  // namespace aiofiber::detail
