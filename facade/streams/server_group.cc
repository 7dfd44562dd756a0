// SPDX-License-Identifier: Apache-2.0
//
// Who accepts, whose turn it is, and what becomes of connections when a server ends.
#include "streams/server_group.h"

#include <algorithm>
#include <cerrno>
#include <deque>
#include <new>
#include <system_error>
#include <utility>

#include "aiofiber/exceptions.h"
#include "aiofiber/runtime/engine/at_fork.h"
#include "aiofiber/runtime/engine/fiber.h"
#include "aiofiber/runtime/engine/process_syscall.h"
#include "aiofiber/runtime/engine/scheduler.h"

namespace aiofiber {

ServerGroup::ServerGroup() : state_(std::make_shared<detail::ServerGroupState>()) {}

namespace detail {

namespace sys = runtime::sys;

class ServerGroupState::Guard {
 public:
  explicit Guard(ServerGroupState& group) noexcept : lock_(group.mutex_) {}

 private:
  [[no_unique_address]] runtime::HooksOff hooks_off_;
  std::lock_guard<std::mutex> lock_;
};

// What is posted to the loop of a seat. It refers to the group, which lists it until the seat leaves.
struct ServerGroupState::Node final : CallbackNode, std::enable_shared_from_this<Node> {
  Node(std::shared_ptr<ServerGroupState> its_group, LoopCore& its_loop)
      : CallbackNode(run_node), group(std::move(its_group)), loop(its_loop) {}

  static void run_node(Runnable& runnable) {
    const std::shared_ptr<Node> node = static_cast<Node&>(runnable).end_post();
    if (node->server != nullptr) node->server->seat_called();
  }
  void drop() noexcept override { static_cast<void>(end_post()); }
  std::shared_ptr<Node> end_post() noexcept {
    const Guard guard(*group);
    return std::exchange(posted, nullptr);
  }
  // With the mutex.
  void call() noexcept {
    if (posted != nullptr) return;
    posted = shared_from_this();
    loop.scheduler().post(*this);
  }
  // In a forked child the mutex may be locked for ever, and the loops of other threads are not there.
  bool is_from_parent_process() const noexcept { return fork_generation != runtime::fork_generation(); }

  const std::shared_ptr<ServerGroupState> group;
  LoopCore& loop;
  const std::uint32_t fork_generation = runtime::fork_generation();
  SeatedServer* server = nullptr;  // only the loop's thread
  // Guarded by the group's mutex.
  bool serves = false;
  std::shared_ptr<Node> posted;  // itself, while the loop's queue has it
  std::deque<int> connections;
};

// ---- sockets ----------------------------------------------------------------------------------------------

namespace {

int duplicate(int fd) {
  const int copy = sys::duplicate(fd, 0);
  if (copy < 0) throw std::system_error(errno, std::generic_category(), "cannot share a listening socket");
  return copy;
}

void close_all(std::vector<int>& descriptors) noexcept {
  for (const int fd : descriptors) sys::close(fd);
  descriptors.clear();
}

}  // namespace

ServerGroupState::~ServerGroupState() { close_all(sockets_); }

std::shared_ptr<GroupSeat> ServerGroupState::take_seat(LoopCore& loop,
                                                       const std::function<ListeningSockets()>& make,
                                                       ListeningSockets& listening) {
  const runtime::HooksOff hooks_off;
  const std::lock_guard taking(take_mutex_);
  // While the group has this seat, its sockets stay. On an error the seat leaves.
  std::shared_ptr<GroupSeat> seat = add_seat(loop);
  if (!sockets_.empty()) {
    for (const int fd : sockets_) listening.sockets.push_back(Socket::adopt(duplicate(fd)));
    listening.file = file_.lock();
    return seat;
  }
  listening = make();
  std::vector<int> copies;
  copies.reserve(listening.sockets.size());
  try {
    for (const Socket& socket : listening.sockets) copies.push_back(duplicate(socket.fd()));
  } catch (...) {
    close_all(copies);
    throw;
  }
  file_ = listening.file;
  const Guard guard(*this);
  sockets_.swap(copies);
  return seat;
}

std::shared_ptr<GroupSeat> ServerGroupState::add_seat(LoopCore& loop) {
  auto node = std::make_shared<Node>(shared_from_this(), loop);
  auto seat = std::make_shared<GroupSeat>(node);
  const Guard guard(*this);
  nodes_.push_back(std::move(node));
  return seat;
}

void ServerGroupState::remove(const Node& node) noexcept {
  const auto found =
      std::find_if(nodes_.begin(), nodes_.end(), [&node](const auto& each) { return each.get() == &node; });
  if (found == nodes_.end()) return;
  if (static_cast<std::size_t>(found - nodes_.begin()) < turn_) --turn_;
  nodes_.erase(found);
  if (nodes_.empty()) close_all(sockets_);
}

// ---- turns ------------------------------------------------------------------------------------------------

ServerGroupState::Node* ServerGroupState::next_in_turn() noexcept {
  for (std::size_t tried = 0; tried < nodes_.size(); ++tried) {
    if (turn_ >= nodes_.size()) turn_ = 0;
    Node* const node = nodes_[turn_++].get();
    if (node->serves) return node;
  }
  return nullptr;
}

void ServerGroupState::pass_on_accepting() noexcept {
  const auto next = std::find_if(nodes_.begin(), nodes_.end(), [](const auto& node) { return node->serves; });
  acceptor_ = next != nodes_.end() ? next->get() : nullptr;
  if (acceptor_ != nullptr) acceptor_->call();
}

void GroupSeat::serve(SeatedServer& server) {
  if (node_->loop.closed() || node_->loop.closing()) throw RuntimeError("Event loop is closed");
  node_->server = &server;
  const ServerGroupState::Guard guard(*node_->group);
  node_->serves = true;
  if (node_->group->acceptor_ == nullptr) node_->group->acceptor_ = node_.get();
}

void GroupSeat::rest() noexcept {
  if (node_->is_from_parent_process()) return;
  const ServerGroupState::Guard guard(*node_->group);
  node_->serves = false;
  if (node_->group->acceptor_ == node_.get()) node_->group->pass_on_accepting();
}

void GroupSeat::leave() noexcept {
  node_->server = nullptr;
  if (node_->is_from_parent_process()) return;
  rest();
  ServerGroupState& group = *node_->group;
  for (int connection = next_connection(); connection >= 0; connection = next_connection()) {
    if (!give(connection)) sys::close(connection);
  }
  const ServerGroupState::Guard guard(group);
  group.remove(*node_);
}

bool GroupSeat::accepts() const noexcept {
  const ServerGroupState::Guard guard(*node_->group);
  return node_->group->acceptor_ == node_.get();
}

bool GroupSeat::give(int connection) const noexcept {
  const ServerGroupState::Guard guard(*node_->group);
  ServerGroupState::Node* const to = node_->group->next_in_turn();
  if (to == nullptr || to == node_.get()) return false;
  try {
    to->connections.push_back(connection);
  } catch (const std::bad_alloc&) {
    return false;
  }
  to->call();
  return true;
}

int GroupSeat::next_connection() const noexcept {
  const ServerGroupState::Guard guard(*node_->group);
  if (node_->connections.empty()) return -1;
  const int connection = node_->connections.front();
  node_->connections.pop_front();
  return connection;
}

}  // namespace detail
}  // namespace aiofiber
