// SPDX-License-Identifier: Apache-2.0
//
// Who in a module's code uses an imported function, and with which number it calls syscall(2).
//
// An import says that something in the module calls it. Where the processor's code is known (runtime/arch/)
// and still has its symbols, more can be told: each call leads by a displacement to a stub or to the slot
// that the loader fills, so the places are found by looking for such displacements, without a disassembler.
// Bytes that only look so count as a use too: what is left out is certainly unused.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace aiofiber::tool {

// A place that the loader fills with the address of an imported function.
struct ImportSlot {
  std::uint64_t address = 0;  // before the module's load bias is added
  std::string name;
};

// A segment of code, as it is in the file.
struct Code {
  std::uint64_t address = 0;
  const unsigned char* bytes = nullptr;
  std::size_t size = 0;
};

// From its first byte to behind its last one.
using CodeRange = std::pair<std::uint64_t, std::uint64_t>;

class CallSites {
 public:
  // `functions`: where the module's own functions are, sorted; what lies outside may be stubs. The code must
  // outlive this.
  CallSites(const std::vector<Code>& code, const std::vector<ImportSlot>& slots,
            const std::vector<CodeRange>& functions);

  // Addresses in the code, by the import that they use. An import that is not here is used by data only, or
  // not so that it can be seen.
  const std::map<std::string, std::vector<std::uint64_t>>& places() const { return places_; }

  // Where the code calls the module's own function at `address`, or takes that.
  std::vector<std::uint64_t> users_of(std::uint64_t address) const;

  // Of a place that calls syscall(): the number, and for futex what is done with it (-1: not seen).
  struct SystemCall {
    int number = -1;
    int operation = -1;
  };
  SystemCall system_call_at(std::uint64_t place) const;

 private:
  const std::vector<Code>& code_;
  std::map<std::string, std::vector<std::uint64_t>> places_;
};

// The range that an address lies in; null: none.
const CodeRange* find_range(const std::vector<CodeRange>& sorted, std::uint64_t address);
inline bool contains(const std::vector<CodeRange>& sorted, std::uint64_t address) {
  return find_range(sorted, address) != nullptr;
}

}  // namespace aiofiber::tool
