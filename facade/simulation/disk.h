// SPDX-License-Identifier: Apache-2.0
//
// The disk of a simulated machine: how long a sync takes, whether it fails, how much room there is, and what
// a power cut loses.
//
// Files are real ones. Their bytes are seen at once, as from a page cache. A power cut undoes, in the files
// of the machine's folder, what was not synced: a file gets the content again that its last fsync() has
// saved, or none. Names are not lost: a rename and a new file last at once. As in Linux, a failed sync is
// told once, and what it should have saved counts as saved in memory: only what is written after it is saved
// by the next one.
#pragma once

#include <sys/types.h>

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "aiofiber/runtime/engine/network.h"
#include "aiofiber/simulation.h"

namespace aiofiber::testing::detail {

class Host;

class Disk {
 public:
  explicit Disk(Host& host) noexcept : host_(host) {}
  ~Disk();
  Disk(const Disk&) = delete;
  Disk& operator=(const Disk&) = delete;

  // Made by the first call. std::system_error: it cannot be.
  const std::string& folder();
  void set(const DiskOptions& options) {
    options_ = options;
    room_ = options.space;
  }
  void lose_what_is_not_synced();

  // ---- of the programs (runtime/engine/network.h)
  bool is_simulated() const noexcept { return options_ || !folder_.empty(); }
  runtime::Nanoseconds sync_length();
  int end_sync(int fd);
  std::size_t room(int fd, off_t position, std::size_t bytes) noexcept;
  void take(int fd, off_t position, std::size_t bytes) noexcept;

 private:
  // The number of a deleted file is given to a new one, so the time of its making is a part.
  struct Id {
    std::uint64_t device;
    std::uint64_t number;
    std::int64_t made;  // ns since 1970; 0: the file system does not know
    auto operator<=>(const Id&) const = default;
  };
  struct Status {
    Id id;
    off_t size;
  };
  // Of a regular file, by its descriptor, or by its path (`fd` < 0); absent: it is none.
  static std::optional<Status> status(int fd, const char* path) noexcept;
  struct Range {
    off_t begin;
    off_t end;
  };
  struct File {
    std::string saved;
    // Since a sync has failed: the content then, and where the program has written since.
    std::optional<std::string> at_failure;
    std::vector<Range> written;
  };
  // Where a write of a file goes; absent: it is no file.
  struct Place {
    Id id;
    off_t begin;
    std::size_t inside;  // the bytes that do not make the file longer
  };
  static std::optional<Place> place(int fd, off_t position, std::size_t bytes) noexcept;
  bool is_in_folder(int fd) const;

  Host& host_;
  std::string folder_;
  std::optional<DiskOptions> options_;
  std::size_t room_ = SIZE_MAX;
  std::map<Id, File> files_;  // of the folder
};

}  // namespace aiofiber::testing::detail
