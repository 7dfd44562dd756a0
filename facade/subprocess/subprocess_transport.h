// SPDX-License-Identifier: Apache-2.0
//
// SubprocessTransportState: ties a Child and its PipeTransports to a SubprocessProtocol.
//
// It counts what is still to come: the end of the child and of each pipe. With the last one it calls
// connection_lost() and lets go of everything. Until then the loop's list keeps it. Source: asyncio's
// BaseSubprocessTransport. Threads: the loop's.
#pragma once

#include <array>
#include <exception>
#include <memory>
#include <string_view>

#include "aiofiber/subprocess_protocol.h"
#include "streams/pipe_transport.h"
#include "subprocess/child.h"

namespace aiofiber::detail {

class SubprocessTransportState final : public Counted<SubprocessTransportState>, public OpenObject {
 public:
  SubprocessTransportState(LoopCore& loop, std::shared_ptr<SubprocessProtocol> protocol);

  // Starts the child. connection_made() follows by start().
  void open(const std::vector<std::string>& argv, const SubprocessOptions& options);
  void start();

  Child& child() const noexcept { return *child_; }
  Transport pipe(int fd) const;
  void close();
  bool is_closing() const noexcept { return closing_; }

  // ---- for the protocols of the pipes
  void pipe_data_received(int fd, std::string_view data);
  void pipe_connection_lost(int fd, std::exception_ptr error);
  void pause_writing();
  void resume_writing();

 private:
  friend class Counted<SubprocessTransportState>;
  ~SubprocessTransportState();

  void child_ended();
  void try_finish();
  // Calls a function of the protocol, and reports its exception.
  template <class Call>
  void call_protocol(const char* function, Call call);
  void loop_closes() noexcept override;
  void let_go() noexcept;

  const runtime::Ref<LoopCore> loop_;
  const runtime::Ref<Child> child_;
  std::shared_ptr<SubprocessProtocol> protocol_;
  std::array<runtime::Ref<PipeTransport>, 3> pipes_;
  std::array<bool, 3> pipe_is_open_{};
  runtime::Ref<HandleBase> ended_call_;
  runtime::Ref<SubprocessTransportState> by_the_list_;  // set while it is in the loop's list
  bool started_ = false;                                // connection_made() was called
  bool closing_ = false;
  bool exited_ = false;  // process_exited() was called
};

}  // namespace aiofiber::detail
