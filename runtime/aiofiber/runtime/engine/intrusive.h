// SPDX-License-Identifier: Apache-2.0
//
// Containers whose links live in the elements, and the reference count of shared objects.
//
// Nothing here allocates, so finishing, cancelling and waking never allocate. An element is in at most one
// container per link member; the containers never own.
// Not thread-safe: reference counts are plain integers, because all users live on one loop's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "aiofiber/runtime/engine/assert.h"

namespace aiofiber::runtime {

// A link of a doubly linked, circular list. Unlinked: both pointers are null.
struct ListNode {
  ListNode* prev = nullptr;
  ListNode* next = nullptr;

  bool linked() const noexcept { return next != nullptr; }
  void unlink() noexcept {
    prev->next = next;
    next->prev = prev;
    prev = next = nullptr;
  }
};

// A doubly linked list of T, where T derives from ListNode. All operations are O(1); the size is not kept.
template <class T>
class List {
 public:
  List() noexcept { head_.prev = head_.next = &head_; }
  List(const List&) = delete;
  List& operator=(const List&) = delete;

  bool empty() const noexcept { return head_.next == &head_; }
  T* front() noexcept { return empty() ? nullptr : static_cast<T*>(head_.next); }
  const T* front() const noexcept { return empty() ? nullptr : static_cast<const T*>(head_.next); }
  T* back() noexcept { return empty() ? nullptr : static_cast<T*>(head_.prev); }
  T* after(T& element) noexcept {
    ListNode& node = element;
    return node.next == &head_ ? nullptr : static_cast<T*>(node.next);
  }
  const T* after(const T& element) const noexcept {
    const ListNode& node = element;
    return node.next == &head_ ? nullptr : static_cast<const T*>(node.next);
  }

  void push_back(T& element) noexcept {
    ListNode& node = element;
    AIOFIBER_ASSERT(!node.linked());
    node.prev = head_.prev;
    node.next = &head_;
    head_.prev->next = &node;
    head_.prev = &node;
  }
  T* pop_front() noexcept {
    T* element = front();
    if (element != nullptr) static_cast<ListNode*>(element)->unlink();
    return element;
  }

 private:
  ListNode head_;
};

// A FIFO of T through its member `next`.
template <class T>
class Queue {
 public:
  bool empty() const noexcept { return head_ == nullptr; }
  T* front() const noexcept { return head_; }
  void push(T& element) noexcept {
    element.next = nullptr;
    if (head_ == nullptr) {
      head_ = tail_ = &element;
    } else {
      tail_->next = &element;
      tail_ = &element;
    }
  }
  void push_front(T& element) noexcept {
    element.next = head_;
    if (head_ == nullptr) tail_ = &element;
    head_ = &element;
  }
  T* pop() noexcept {
    T* element = head_;
    head_ = static_cast<T*>(element->next);
    return element;
  }
  // Moves the element with this index to the front: as many steps as it is away. There must be one.
  void move_to_front(std::size_t index) noexcept {
    if (index == 0) return;
    T* before = head_;
    while (--index > 0) before = static_cast<T*>(before->next);
    T* const element = static_cast<T*>(before->next);
    before->next = element->next;
    if (element == tail_) tail_ = before;
    push_front(*element);
  }

 private:
  T* head_ = nullptr;
  T* tail_ = nullptr;  // valid only while head_ is not null
};

// A counted reference to a T that offers retain() and release().
template <class T>
class Ref {
 public:
  Ref() noexcept = default;
  Ref(std::nullptr_t) noexcept {}
  explicit Ref(T* object) noexcept : object_(object) {
    if (object_ != nullptr) object_->retain();
  }
  Ref(const Ref& other) noexcept : Ref(other.object_) {}
  Ref(Ref&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  template <class U>
  requires(!std::is_same_v<U, T> && std::is_convertible_v<U*, T*>) Ref(const Ref<U>& other)
  noexcept : Ref(other.get()) {}
  template <class U>
  requires(!std::is_same_v<U, T> && std::is_convertible_v<U*, T*>) Ref(Ref<U>&& other)
  noexcept : object_(other.detach()) {}
  ~Ref() {
    if (object_ != nullptr) object_->release();
  }
  Ref& operator=(Ref other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }

  // Takes over a reference that is already counted.
  static Ref adopt(T* object) noexcept {
    Ref ref;
    ref.object_ = object;
    return ref;
  }
  T* detach() noexcept { return std::exchange(object_, nullptr); }

  T* get() const noexcept { return object_; }
  T* operator->() const noexcept { return object_; }
  T& operator*() const noexcept { return *object_; }
  explicit operator bool() const noexcept { return object_ != nullptr; }
  friend bool operator==(const Ref& a, const Ref& b) noexcept { return a.object_ == b.object_; }

 private:
  T* object_ = nullptr;
};

}  // namespace aiofiber::runtime
