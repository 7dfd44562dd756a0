// SPDX-License-Identifier: Apache-2.0
//
// ServerGroupState and GroupSeat: listening sockets that servers in several loops share.
//
// Each server has a seat in its group, and duplicates of the group's sockets. The server of one seat, the
// acceptor, watches its sockets, accepts, and gives each connection to the next serving seat in turn: the
// descriptor waits in that seat's list, and the seat's node is posted to its loop. The node is a part of the
// seat, so that passing on the acceptor's part, and all that happens at an end, allocates nothing. A seat
// serves only while its loop can take posts.
// Not for users. Threads: those of the servers' loops.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "aiofiber/loop_core.h"
#include "aiofiber/server.h"
#include "aiofiber/socket.h"

namespace aiofiber::detail {

// A server, as its seat sees it.
class SeatedServer {
 public:
  // On its loop's thread: there may be connections, or its part may have changed.
  virtual void seat_called() noexcept = 0;

 protected:
  ~SeatedServer() = default;
};

class ServerGroupState : public std::enable_shared_from_this<ServerGroupState> {
 public:
  ServerGroupState() = default;
  ~ServerGroupState();
  ServerGroupState(const ServerGroupState&) = delete;
  ServerGroupState& operator=(const ServerGroupState&) = delete;

  // A seat for a server of this loop, and what it listens on: what `make` gives if the group has no sockets.
  // std::system_error: no descriptors; what `make` throws.
  std::shared_ptr<GroupSeat> take_seat(LoopCore& loop, const std::function<ListeningSockets()>& make,
                                       ListeningSockets& listening);

 private:
  friend class GroupSeat;
  class Guard;
  struct Node;

  std::shared_ptr<GroupSeat> add_seat(LoopCore& loop);
  // With the mutex:
  void remove(const Node& node) noexcept;
  Node* next_in_turn() noexcept;
  void pass_on_accepting() noexcept;

  std::mutex take_mutex_;           // one thread at a time makes sockets; taken before mutex_
  std::weak_ptr<SocketFile> file_;  // of the sockets; guarded by take_mutex_
  std::mutex mutex_;                // held for a few instructions, with the hooks off
  // Guarded by mutex_.
  std::vector<int> sockets_;                  // the group's own duplicates; they stay while there is a seat
  std::vector<std::shared_ptr<Node>> nodes_;  // of all seats that have not left
  Node* acceptor_ = nullptr;                  // serves; null: none does
  std::size_t turn_ = 0;                      // in nodes_
};

// The place of one server in its group. Threads: the loop's.
class GroupSeat {
 public:
  explicit GroupSeat(std::shared_ptr<ServerGroupState::Node> node) noexcept : node_(std::move(node)) {}
  ~GroupSeat() { leave(); }
  GroupSeat(const GroupSeat&) = delete;
  GroupSeat& operator=(const GroupSeat&) = delete;

  // Connections are given to the server from now on, up to rest() or leave(). RuntimeError: the loop closes.
  void serve(SeatedServer& server);
  // No more of them; those that were given stay in the list.
  void rest() noexcept;
  // The end. Connections that are in the list go to other servers; if there is none, they are closed.
  void leave() noexcept;

  // Whether this server is the one that accepts.
  bool accepts() const noexcept;
  // Gives the connection to the server whose turn it is. False: it is this one's turn, or there is no memory.
  bool give(int connection) const noexcept;
  // A connection that was given to this server; -1: there is none.
  int next_connection() const noexcept;

 private:
  const std::shared_ptr<ServerGroupState::Node> node_;
};

}  // namespace aiofiber::detail
