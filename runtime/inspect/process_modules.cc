// SPDX-License-Identifier: Apache-2.0
//
// One pass over the mappings, in the order of their addresses.
#include "inspect/process_modules.h"

#include <absl/strings/str_cat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <fstream>

#include "inspect/libdw.h"

namespace aiofiber::runtime {

namespace {

struct Mapping {
  std::uint64_t low = 0, high = 0, offset = 0, inode = 0;
  bool executable = false;
  std::string device, name;
};

// low-high rwxp offset device inode   name
bool parse(const std::string& line, Mapping& mapping) {
  unsigned long long low = 0, high = 0, offset = 0, inode = 0;
  char rights[8] = "", device[32] = "";
  int name_at = 0;
  if (std::sscanf(line.c_str(), "%llx-%llx %7s %llx %31s %llu %n", &low, &high, rights, &offset, device,
                  &inode, &name_at) != 6)
    return false;
  mapping = {
      low, high, offset, inode, rights[2] == 'x', device, line.substr(static_cast<std::size_t>(name_at))};
  return true;
}

class Reader {
 public:
  void add(const Mapping& mapping) {
    if (mapping.name == "[vdso]") {
      end();
      modules_.push_back({mapping.name, mapping.low, mapping.high});
      return;
    }
    // Gaps between the parts of a module, and its zero-initialised variables, have no name.
    if (mapping.inode == 0 || mapping.name.empty() || mapping.name[0] != '/') return;
    const bool same_file = !current_.name.empty() && mapping.name == current_.name &&
                           mapping.device == last_.device && mapping.inode == last_.inode;
    const bool goes_on =
        same_file && (mapping.offset != 0 ? mapping.offset >= last_.offset : shares_first_page(mapping));
    if (!goes_on) {
      end();
      current_ = {mapping.name, mapping.low, mapping.high};
      begins_file_ = mapping.offset == 0;
    }
    current_.high = mapping.high;
    executable_ = executable_ || mapping.executable;
    last_ = mapping;
  }
  std::vector<ProcessModule> finish() {
    end();
    return std::move(modules_);
  }

 private:
  // lld and mold put segments behind each other in the file. In a small library several of them share the
  // file's first page, and each maps it. A file that is mapped whole is longer than a page.
  bool shares_first_page(const Mapping& mapping) const {
    return last_.offset == 0 && is_one_page(last_) && mapping.low == last_.high &&
           (mapping.executable || is_one_page(mapping));
  }
  bool is_one_page(const Mapping& mapping) const { return mapping.high - mapping.low == page_size_; }

  void end() {
    if (executable_ && begins_file_) modules_.push_back(current_);
    current_ = {};
    executable_ = false;
  }

  std::vector<ProcessModule> modules_;
  ProcessModule current_;
  Mapping last_;
  bool executable_ = false, begins_file_ = false;
  const std::uint64_t page_size_ = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
};

}  // namespace

std::vector<ProcessModule> read_modules(std::istream& maps) {
  Reader reader;
  Mapping mapping;
  for (std::string line; std::getline(maps, line);) {
    if (parse(line, mapping)) reader.add(mapping);
  }
  return reader.finish();
}

int report_process_modules(Dwfl* dwfl, pid_t pid) {
  errno = 0;
  std::ifstream maps(absl::StrCat("/proc/", pid, "/maps"));
  if (!maps) return errno != 0 ? errno : EIO;
  errno = 0;
  const std::vector<ProcessModule> modules = read_modules(maps);
  if (modules.empty()) return errno != 0 ? errno : ENOENT;
  for (const ProcessModule& module : modules) {
    // This name tells libdwfl that there is no file, so it reads the memory.
    const std::string name = module.name == "[vdso]" ? absl::StrCat("[vdso: ", pid, "]") : module.name;
    libdw().dwfl_report_module(dwfl, name.c_str(), module.low, module.high);
  }
  return 0;
}

}  // namespace aiofiber::runtime
