// SPDX-License-Identifier: Apache-2.0
//
// ThreadGate: how other threads reach the futures of a loop that may be closed at any moment.
//
// Futures are counted with plain integers, so another thread must not even drop one. The gate therefore owns
// a Link for each action on the loop's thread, and other threads know only its number. Posting a number to a
// closed gate, or after its link is gone, does nothing.
// post() on thread X happens before arrive() on the loop's thread L: L sees the writes of X before post().
// Not for users.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "aiofiber/loop_core.h"

namespace aiofiber::detail {

class ThreadGate : public std::enable_shared_from_this<ThreadGate> {
 public:
  // An action on the loop's thread. It runs once, when another thread posts it.
  class Link : public CallbackNode {
   public:
    Link() noexcept : CallbackNode(run_node) {}
    virtual ~Link() = default;
    Link(const Link&) = delete;
    Link& operator=(const Link&) = delete;

   protected:
    virtual void arrive() = 0;
    // Called instead of arrive(): the loop was closed first.
    virtual void loop_closed() noexcept {}

   private:
    friend class ThreadGate;
    static void run_node(Runnable& node);
    void drop() noexcept final;

    std::shared_ptr<ThreadGate> gate_;
    std::uint64_t id_ = 0;
    bool expected_ = true;
    bool posted_ = false;  // guarded by the gate's mutex_; once true, the queue's node is in use until it ran
  };

  explicit ThreadGate(LoopCore& core) noexcept;
  ~ThreadGate();
  // The loop's gate. Loop's thread.
  static ThreadGate& of(LoopCore& core);

  // Loop's thread. The number is not used again after the link is gone. `expected`: a loop on virtual time
  // does not let it jump while it waits for the post.
  std::uint64_t add(std::unique_ptr<Link> link, bool expected = true);
  // Loop's thread: destroys the link, unless it is posted: then it arrives first.
  void remove(std::uint64_t id) noexcept;
  // Any thread: lets the link arrive in the loop's next pass. False: the loop is closed, or the link is gone
  // or posted.
  bool post(std::uint64_t id) noexcept;
  // Loop's thread: post() fails from now on.
  void shut() noexcept;
  // As shut(), and also calls loop_closed() of all links and destroys them. Links that are posted are
  // destroyed when the loop drops them.
  void close() noexcept;

 private:
  std::unique_ptr<Link> take(std::uint64_t id) noexcept;
  void expect(std::ptrdiff_t change) noexcept;

  std::mutex mutex_;
  LoopCore* core_;  // guarded by mutex_, as all below; null once shut
  std::uint64_t last_id_ = 0;
  std::ptrdiff_t expected_ = 0;  // number of links that are expected
  std::unordered_map<std::uint64_t, std::unique_ptr<Link>> links_;
};

}  // namespace aiofiber::detail
