// SPDX-License-Identifier: Apache-2.0
//
// Syncs, room, power cuts.
#include "simulation/disk.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

#include "aiofiber/runtime/engine/fiber.h"
#include "simulation/host.h"
#include "simulation/real_calls.h"
#include "simulation/world.h"

namespace aiofiber::testing::detail {

namespace files = std::filesystem;

namespace {

std::optional<std::string> content_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(file), {});
}

std::string path_of(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

}  // namespace

Disk::~Disk() {
  std::error_code ignored;
  if (!folder_.empty()) files::remove_all(folder_, ignored);
}

const std::string& Disk::folder() {
  const runtime::HooksOff hooks_off;
  if (folder_.empty()) {
    std::string pattern = (files::temp_directory_path() / "aiofiber_node_XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr)
      throw std::system_error(errno, std::generic_category(), "mkdtemp");
    folder_ = files::canonical(pattern).string();
  }
  return folder_;
}

bool Disk::is_in_folder(int fd) const {
  if (folder_.empty()) return false;
  std::error_code error;
  const std::string path = files::read_symlink(path_of(fd), error).string();
  return !error && path.size() > folder_.size() && path.compare(0, folder_.size(), folder_) == 0 &&
         path[folder_.size()] == '/';
}

runtime::Nanoseconds Disk::sync_length() { return options_ ? host_.world().draw(options_->sync) : 0; }

std::optional<Disk::Status> Disk::status(int fd, const char* path) noexcept {
  struct ::statx found;
  if (real::file_status(fd, path, found) != 0 || !S_ISREG(found.stx_mode)) return std::nullopt;
  const std::uint64_t device = std::uint64_t{found.stx_dev_major} << 32 | found.stx_dev_minor;
  const std::int64_t made = (found.stx_mask & STATX_BTIME) == 0
                                ? 0
                                : found.stx_btime.tv_sec * 1'000'000'000 + found.stx_btime.tv_nsec;
  return Status{{device, found.stx_ino, made}, static_cast<off_t>(found.stx_size)};
}

// 0, or -1 with errno.
int Disk::end_sync(int fd) {
  const runtime::HooksOff hooks_off;  // reading the file suspends nobody
  const std::optional<Status> found = status(fd, nullptr);
  World& world = host_.world();
  const bool fails = options_ && world.happens(options_->sync_failure);
  if (fails) world.trace().event("fails to sync a file", &host_.name());
  if (found && is_in_folder(fd)) {
    std::optional<std::string> content = content_of(path_of(fd));
    if (!content) return -1;
    File& file = files_[found->id];
    if (fails) {
      file.at_failure = std::move(content);
    } else if (!file.at_failure) {
      file.saved = std::move(*content);
    } else {
      // What is unchanged since the failure is believed to be saved, and is not.
      file.saved.resize(content->size());
      for (std::size_t i = 0; i < content->size(); ++i) {
        if (i >= file.at_failure->size() || (*content)[i] != (*file.at_failure)[i])
          file.saved[i] = (*content)[i];
      }
      for (const Range& range : file.written) {
        const auto end = std::min<off_t>(range.end, static_cast<off_t>(content->size()));
        for (off_t i = range.begin; i < end; ++i)
          file.saved[static_cast<std::size_t>(i)] = (*content)[static_cast<std::size_t>(i)];
      }
      *file.at_failure = std::move(*content);
    }
    file.written.clear();
  }
  if (!fails) return 0;
  errno = EIO;
  return -1;
}

std::optional<Disk::Place> Disk::place(int fd, off_t position, std::size_t bytes) noexcept {
  const std::optional<Status> found = status(fd, nullptr);
  if (!found) return std::nullopt;
  if (position < 0) {
    const bool appends = (::fcntl(fd, F_GETFL) & O_APPEND) != 0;
    position = appends ? found->size : ::lseek(fd, 0, SEEK_CUR);
  }
  if (position < 0) return std::nullopt;
  const off_t left = std::max<off_t>(found->size - position, 0);
  return Place{found->id, position, std::min(bytes, static_cast<std::size_t>(left))};
}

std::size_t Disk::room(int fd, off_t position, std::size_t bytes) noexcept {
  const std::optional<Place> to = place(fd, position, bytes);
  if (!to || bytes - to->inside <= room_) return bytes;
  const std::size_t room = to->inside + room_;
  if (room == 0) host_.world().trace().event("has no room on its disk", &host_.name());
  return room;
}

void Disk::take(int fd, off_t position, std::size_t bytes) noexcept {
  const std::optional<Place> to = place(fd, position, bytes);
  if (!to) return;
  if (room_ != SIZE_MAX) room_ -= bytes - to->inside;
  const auto known = files_.find(to->id);
  if (known != files_.end() && known->second.at_failure)
    known->second.written.push_back({to->begin, to->begin + static_cast<off_t>(bytes)});
}

void Disk::lose_what_is_not_synced() {
  if (folder_.empty()) return;
  std::vector<std::string> paths;
  for (const files::directory_entry& entry : files::recursive_directory_iterator(folder_)) {
    if (entry.is_regular_file() && !entry.is_symlink()) paths.push_back(entry.path().string());
  }
  std::sort(paths.begin(), paths.end());
  for (const std::string& path : paths) {
    const std::optional<Status> found = status(-1, path.c_str());
    if (!found) continue;
    File& file = files_[found->id];
    file.at_failure.reset();
    file.written.clear();
    if (content_of(path) == file.saved) continue;
    host_.world().trace().event("loses what was not synced of", &host_.name(),
                                std::string_view(path).substr(folder_.size() + 1));
    std::ofstream(path, std::ios::binary | std::ios::trunc) << file.saved;
  }
}

}  // namespace aiofiber::testing::detail
