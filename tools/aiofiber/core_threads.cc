// SPDX-License-Identifier: Apache-2.0
//
// aiofiber core-threads: a copy of a core in which each suspended task is a thread. Any debugger shows all of
// them (`thread apply all bt`) without knowing aiofiber.
//
// A thread of a core is a note with its registers. The copy has all bytes of the core, then a longer segment
// of notes, and one entry of the segment table points to that segment. The thread of task N has the number
// 10^9 + N.
#include <elf.h>
#include <fcntl.h>
#include <sys/procfs.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <vector>

#include "commands.h"
#include "failure.h"

namespace aiofiber::tool {
namespace {

constexpr std::uint64_t kFirstThread = 1'000'000'000;

class File {
 public:
  File(const std::string& path, int flags) : path_(path), fd_(open(path.c_str(), flags | O_CLOEXEC, 0600)) {
    if (fd_ < 0) throw error();
  }
  ~File() { close(fd_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  void read(std::uint64_t offset, void* into, std::size_t bytes) const {
    if (pread(fd_, into, bytes, static_cast<off_t>(offset)) != static_cast<ssize_t>(bytes)) throw truncated();
  }
  // The sizes that a file names may be wrong.
  std::vector<char> read(std::uint64_t offset, std::uint64_t bytes) const {
    const std::uint64_t size = this->size();
    if (offset > size || bytes > size - offset) throw truncated();
    std::vector<char> all(bytes);
    read(offset, all.data(), all.size());
    return all;
  }
  void write(std::uint64_t offset, const void* from, std::size_t bytes) const {
    const auto* next = static_cast<const char*>(from);
    while (bytes > 0) {
      const ssize_t put = pwrite(fd_, next, bytes, static_cast<off_t>(offset));
      if (put <= 0) throw error();
      next += put;
      offset += static_cast<std::uint64_t>(put);
      bytes -= static_cast<std::size_t>(put);
    }
  }
  std::uint64_t copy_from(const File& other) const {
    const auto size = static_cast<off_t>(other.size());
    off_t at = 0;
    while (at < size) {
      const ssize_t put = sendfile(fd_, other.fd_, &at, static_cast<std::size_t>(size - at));
      if (put <= 0) throw error();
    }
    return static_cast<std::uint64_t>(size);
  }

 private:
  std::uint64_t size() const {
    struct stat status {};
    if (fstat(fd_, &status) != 0) throw error();
    return static_cast<std::uint64_t>(status.st_size);
  }
  Failure truncated() const { return {Exit::kCore, path_ + ": truncated: its notes cannot be read"}; }
  Failure error() const { return {Exit::kCore, path_ + ": " + std::strerror(errno)}; }

  std::string path_;
  int fd_;
};

void append_note(std::vector<char>& notes, const TaskSnapshot& task) {
  struct {
    Elf64_Nhdr header{5, sizeof(elf_prstatus), NT_PRSTATUS};
    char owner[8] = "CORE";
  } start;
  elf_prstatus status{};
  status.pr_pid = static_cast<pid_t>(kFirstThread + task.record.id % kFirstThread);
  const user_regs_struct registers = runtime::arch::to_user(task.registers);
  static_assert(sizeof registers == sizeof status.pr_reg);
  std::memcpy(&status.pr_reg, &registers, sizeof registers);
  const auto* bytes = reinterpret_cast<const char*>(&start);
  notes.insert(notes.end(), bytes, bytes + sizeof start);
  bytes = reinterpret_cast<const char*>(&status);
  notes.insert(notes.end(), bytes, bytes + sizeof status);
}

}  // namespace

void core_threads(Inspection& inspection, const Options& options, std::ostream& out) {
  const File core(options.core, O_RDONLY);
  Elf64_Ehdr header{};
  core.read(0, &header, sizeof header);
  // A core whose number of segments does not fit the field has that number in section 0. Its notes come first
  // in both cases.
  const std::size_t count = header.e_phnum == PN_XNUM ? 1 : header.e_phnum;
  std::vector<Elf64_Phdr> segments(count);
  core.read(header.e_phoff, segments.data(), count * sizeof(Elf64_Phdr));
  std::size_t at = 0;
  while (at < count && segments[at].p_type != PT_NOTE) ++at;
  if (at == count) throw Failure(Exit::kCore, options.core + ": it has no notes");
  Elf64_Phdr& segment = segments[at];
  std::vector<char> notes = core.read(segment.p_offset, segment.p_filesz);

  std::size_t threads = 0;
  for (const TaskSnapshot* task : chosen_tasks(inspection.snapshot(), options)) {
    if (!task->has_stack || task->exact_pc) continue;  // not started, or already a thread
    append_note(notes, *task);
    ++threads;
  }
  const File copy(options.output, O_RDWR | O_CREAT | O_EXCL);
  const std::uint64_t end = (copy.copy_from(core) + 7) / 8 * 8;
  copy.write(end, notes.data(), notes.size());
  segment.p_offset = end;
  segment.p_filesz = notes.size();
  copy.write(header.e_phoff + at * sizeof segment, &segment, sizeof segment);
  out << "wrote " << options.output << ": " << threads << " suspended tasks as threads; task N is LWP "
      << kFirstThread << " + N\n";
}

}  // namespace aiofiber::tool
