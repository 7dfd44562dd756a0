// SPDX-License-Identifier: Apache-2.0
//
// What the child and its pipes tell is passed on to the program's protocol.
#include "subprocess/subprocess_transport.h"

#include <absl/strings/str_cat.h>
#include <signal.h>

#include <utility>

#include "aiofiber/exception_context.h"
#include "aiofiber/future.h"

namespace aiofiber {

using runtime::Ref;

void SubprocessProtocol::connection_made(SubprocessTransport) {}
void SubprocessProtocol::pipe_data_received(int, std::string_view) {}
void SubprocessProtocol::pipe_connection_lost(int, std::exception_ptr) {}
void SubprocessProtocol::connection_lost(std::exception_ptr) {}

namespace detail {

namespace {

// The protocol of one pipe.
class PipeProtocol final : public Protocol {
 public:
  PipeProtocol(Ref<SubprocessTransportState> owner, int fd) noexcept : owner_(std::move(owner)), fd_(fd) {}
  void data_received(std::string_view data) override { owner_->pipe_data_received(fd_, data); }
  void connection_lost(std::exception_ptr error) override { owner_->pipe_connection_lost(fd_, error); }
  void pause_writing() override { owner_->pause_writing(); }
  void resume_writing() override { owner_->resume_writing(); }

 private:
  const Ref<SubprocessTransportState> owner_;
  const int fd_;
};

}  // namespace

SubprocessTransportState::SubprocessTransportState(LoopCore& loop,
                                                   std::shared_ptr<SubprocessProtocol> protocol)
    : loop_(&loop), child_(new Child(loop)), protocol_(std::move(protocol)) {
  if (protocol_ == nullptr) throw TypeError("the protocol factory gave a null pointer");
}

void SubprocessTransportState::open(const std::vector<std::string>& argv, const SubprocessOptions& options) {
  const Ref<SubprocessTransportState> self(this);
  std::array<std::shared_ptr<PipeProtocol>, 3> protocols;
  for (int fd = 0; fd < 3; ++fd)
    protocols[static_cast<std::size_t>(fd)] = std::make_shared<PipeProtocol>(self, fd);
  ended_call_ = Ref<HandleBase>(
      new MemberHandle<SubprocessTransportState, &SubprocessTransportState::child_ended>(*loop_, *this));
  Spawned spawned = spawn(argv, options);
  child_->adopt(spawned.pid, std::move(spawned.pidfd));
  by_the_list_ = self;
  loop_->open_objects.push_back(*this);
  child_->call_at_end(ended_call_);
  Descriptor* const ends[] = {&spawned.stdin_, &spawned.stdout_, &spawned.stderr_};
  try {
    for (std::size_t i = 0; i < 3; ++i) {
      if (ends[i]->fd() < 0) continue;
      const auto direction = i == 0 ? PipeTransport::Direction::kWrite : PipeTransport::Direction::kRead;
      pipes_[i] = PipeTransport::open(*loop_, direction, std::move(*ends[i]), std::move(protocols[i]));
      pipe_is_open_[i] = true;
    }
  } catch (...) {
    protocol_ = nullptr;  // it never hears of this child
    close();
    throw;
  }
}

SubprocessTransportState::~SubprocessTransportState() {
  if (ended_call_) ended_call_->cancel();
  if (linked()) unlink();
}

// The pipes come first: what they have to tell waits for the next pass.
void SubprocessTransportState::start() {
  if (closing_) return;
  started_ = true;
  for (const Ref<PipeTransport>& pipe : pipes_) {
    if (pipe) pipe->start();
  }
  call_protocol("connection_made", [this] {
    protocol_->connection_made(SubprocessTransport(Ref<SubprocessTransportState>(this)));
  });
}

Transport SubprocessTransportState::pipe(int fd) const {
  if (fd < 0 || fd > 2 || !pipes_[static_cast<std::size_t>(fd)]) return Transport();
  return Transport(Ref<TransportState>(pipes_[static_cast<std::size_t>(fd)]));
}

void SubprocessTransportState::close() {
  if (std::exchange(closing_, true)) return;
  for (std::size_t i = 0; i < 3; ++i) {
    if (!pipe_is_open_[i]) continue;
    pipes_[i]->close();
    if (!started_) pipe_is_open_[i] = false;  // it will tell nothing
  }
  child_->kill_quietly();
}

template <class Call>
void SubprocessTransportState::call_protocol(const char* function, Call call) {
  const std::shared_ptr<SubprocessProtocol> keep = protocol_;
  if (keep == nullptr) return;
  try {
    call();
  } catch (...) {
    const std::exception_ptr error = std::current_exception();
    if (leaves_the_loop(error)) throw;
    ExceptionContext report;
    report.message = absl::StrCat("Exception in SubprocessProtocol.", function, "()");
    report.exception = error;
    report.extra.emplace_back("process", child_->text());
    loop_->report(report);
  }
}

void SubprocessTransportState::pipe_data_received(int fd, std::string_view data) {
  call_protocol("pipe_data_received", [&] { protocol_->pipe_data_received(fd, data); });
}
void SubprocessTransportState::pause_writing() {
  call_protocol("pause_writing", [&] { protocol_->pause_writing(); });
}
void SubprocessTransportState::resume_writing() {
  call_protocol("resume_writing", [&] { protocol_->resume_writing(); });
}

void SubprocessTransportState::pipe_connection_lost(int fd, std::exception_ptr error) {
  const Ref<SubprocessTransportState> keep(this);
  pipe_is_open_[static_cast<std::size_t>(fd)] = false;
  call_protocol("pipe_connection_lost", [&] { protocol_->pipe_connection_lost(fd, error); });
  try_finish();
}

void SubprocessTransportState::child_ended() {
  const Ref<SubprocessTransportState> keep(this);
  exited_ = true;
  if (started_) call_protocol("process_exited", [&] { protocol_->process_exited(); });
  try_finish();
}

void SubprocessTransportState::try_finish() {
  if (!exited_ || pipe_is_open_[0] || pipe_is_open_[1] || pipe_is_open_[2] || !linked()) return;
  const Ref<SubprocessTransportState> keep = std::move(by_the_list_);
  closing_ = true;
  unlink();
  if (started_) call_protocol("connection_lost", [&] { protocol_->connection_lost(nullptr); });
  let_go();
}

void SubprocessTransportState::let_go() noexcept {
  for (Ref<PipeTransport>& pipe : pipes_) pipe = nullptr;
  const std::shared_ptr<SubprocessProtocol> protocol = std::exchange(protocol_, nullptr);
}

// The child and the pipes are in the same list, and close themselves.
void SubprocessTransportState::loop_closes() noexcept {
  const Ref<SubprocessTransportState> keep = std::move(by_the_list_);
  closing_ = true;
  pipe_is_open_ = {};
  let_go();
}

Coro<SubprocessTransport> open_subprocess(std::shared_ptr<SubprocessProtocol> protocol,
                                          std::vector<std::string> argv,
                                          std::shared_ptr<const SubprocessOptions> options) {
  LoopCore& loop = get_running_loop().core();
  Future<void> made = loop.facade().create_future<void>();
  const Ref<SubprocessTransportState> state(new SubprocessTransportState(loop, std::move(protocol)));
  state->open(argv, *options);
  try {
    make_handle(loop, [state, made] {
      state->start();
      if (!made.done()) made.set_result();
    })->schedule_soon();
    co_await made;
  } catch (...) {
    state->close();
    throw;
  }
  co_return SubprocessTransport(state);
}

SubprocessOptions all_pipes() {
  return {.stdin_ = subprocess::PIPE, .stdout_ = subprocess::PIPE, .stderr_ = subprocess::PIPE};
}

}  // namespace detail

SubprocessTransport::SubprocessTransport() noexcept = default;
SubprocessTransport::SubprocessTransport(Ref<detail::SubprocessTransportState> state) noexcept
    : state_(std::move(state)) {}
SubprocessTransport::SubprocessTransport(const SubprocessTransport& other) noexcept = default;
SubprocessTransport::SubprocessTransport(SubprocessTransport&& other) noexcept = default;
SubprocessTransport& SubprocessTransport::operator=(const SubprocessTransport& other) noexcept = default;
SubprocessTransport& SubprocessTransport::operator=(SubprocessTransport&& other) noexcept = default;
SubprocessTransport::~SubprocessTransport() = default;

detail::SubprocessTransportState& SubprocessTransport::state() const {
  if (!state_) throw RuntimeError("this transport handle is empty: it was default-constructed or moved from");
  return *state_;
}

pid_t SubprocessTransport::get_pid() const { return state().child().pid(); }
std::optional<int> SubprocessTransport::get_returncode() const { return state().child().returncode(); }
Transport SubprocessTransport::get_pipe_transport(int fd) const { return state().pipe(fd); }
void SubprocessTransport::send_signal(int signo) const { state().child().send_signal(signo); }
void SubprocessTransport::terminate() const { send_signal(SIGTERM); }
void SubprocessTransport::kill() const { send_signal(SIGKILL); }
void SubprocessTransport::close() const { state().close(); }
bool SubprocessTransport::is_closing() const { return state().is_closing(); }

}  // namespace aiofiber
