// SPDX-License-Identifier: Apache-2.0
//
// The table of waiters, one entry per descriptor.
#include "aiofiber/runtime/engine/reactor.h"

#include <absl/strings/str_cat.h>
#include <fcntl.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <string>
#include <system_error>

namespace aiofiber::runtime {

namespace {

// Counts the closes of each descriptor number in the process; large numbers share a counter.
constexpr std::size_t kCountedDescriptors = 65536;
std::atomic<std::uint32_t> close_counts[kCountedDescriptors];
constinit std::atomic<std::uint64_t> ended_by_close{0};

std::atomic<std::uint32_t>& close_count_of(int fd) noexcept {
  return close_counts[static_cast<std::size_t>(fd) % kCountedDescriptors];
}

}  // namespace

void Reactor::note_close(int fd) noexcept {
  if (fd >= 0) close_count_of(fd).fetch_add(1, std::memory_order_relaxed);
}

std::uint32_t Reactor::close_count(int fd) noexcept {
  return fd >= 0 ? close_count_of(fd).load(std::memory_order_relaxed) : 0;
}

std::uint64_t Reactor::waits_ended_by_close() noexcept {
  return ended_by_close.load(std::memory_order_relaxed);
}

Reactor::Descriptor* Reactor::find(int fd) noexcept {
  const auto index = static_cast<std::size_t>(fd);
  return fd >= 0 && index < descriptors_.size() ? descriptors_[index].get() : nullptr;
}

void Reactor::add(FdWaiter& waiter) {
  const int fd = waiter.fd;
  Descriptor* descriptor = find(fd);
  const bool idle = descriptor == nullptr || descriptor->waiters.empty();
  // A number without waiters may have been closed and opened again.
  const bool reopened = descriptor != nullptr && fd >= 0 &&
                        descriptor->close_count != close_count_of(fd).load(std::memory_order_relaxed);
  const bool revalidate = reopened || (idle && !closes_are_reported_);
  if (descriptor == nullptr || descriptor->watched == 0 || revalidate) {
    if (fd < 0 || ::fcntl(fd, F_GETFD) < 0) {
      throw std::system_error(EBADF, std::generic_category(),
                              absl::StrCat("cannot wait for file descriptor ", fd));
    }
  }
  if (descriptor == nullptr) {
    const auto index = static_cast<std::size_t>(fd);
    if (index >= descriptors_.size()) descriptors_.resize(std::max(index + 1, descriptors_.size() * 2));
    descriptors_[index] = std::make_unique<Descriptor>();
    descriptor = descriptors_[index].get();
  }
  const unsigned events = descriptor->watched | waiter.wanted;
  if (events != descriptor->watched || revalidate) {
    watch(fd, events);
    descriptor->watched = events;
    descriptor->close_count = close_count_of(fd).load(std::memory_order_relaxed);
  }
  descriptor->waiters.push_back(waiter);
}

void Reactor::remove(FdWaiter& waiter) noexcept {
  if (waiter.linked()) waiter.unlink();
}

bool Reactor::has_fd_waiters() const noexcept {
  return std::any_of(descriptors_.begin(), descriptors_.end(), [](const auto& descriptor) {
    return descriptor != nullptr && !descriptor->waiters.empty();
  });
}

std::size_t Reactor::fd_closing(int fd) noexcept {
  const std::size_t woken = fd_failed(fd, EBADF);
  if (woken != 0) ended_by_close.fetch_add(woken, std::memory_order_relaxed);
  return woken;
}

std::size_t Reactor::fd_failed(int fd, int error) noexcept {
  Descriptor* descriptor = find(fd);
  if (descriptor == nullptr) return 0;
  std::size_t woken = 0;
  for (FdWaiter* waiter = descriptor->waiters.front(); waiter != nullptr; ++woken) {
    waiter->unlink();
    waiter->failure = error;
    waiter->ready(*waiter, kClosed);
    waiter = descriptor->waiters.front();
  }
  if (descriptor->watched != 0) watch(fd, 0);
  descriptor->watched = 0;
  return woken;
}

void Reactor::fd_ready(int fd, unsigned events) noexcept {
  Descriptor* descriptor = find(fd);
  if (descriptor == nullptr) return;
  unsigned still_wanted = 0;
  for (const unsigned event : {kReadable, kWritable}) {
    FdWaiter* waiter = descriptor->waiters.front();
    while (waiter != nullptr) {
      FdWaiter* following = descriptor->waiters.after(*waiter);
      if ((waiter->wanted & event) != 0) {
        still_wanted |= event;
        if ((events & event) != 0) waiter->ready(*waiter, event);
      }
      waiter = following;
    }
  }
  // An event without a waiter would be reported in every poll: stop watching it.
  if ((events & ~still_wanted) != 0) {
    descriptor->watched &= still_wanted;
    watch(fd, descriptor->watched);
  }
}

}  // namespace aiofiber::runtime
