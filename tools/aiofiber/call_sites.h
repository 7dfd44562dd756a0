// SPDX-License-Identifier: Apache-2.0
//
// The places in a module's code that use an imported function, and the numbers in its calls of syscall(2).
//
// An import shows that some code in the module calls the function. For code with symbols of a processor that
// runtime/arch/ knows, this class finds the places: each call has a displacement to a stub or to the slot
// that the loader fills. It searches for such displacements without a disassembler. Bytes that match by
// chance count as a use. A function without a use is therefore certainly unused.
#pragma once

#include <absl/container/btree_map.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace aiofiber::tool {

// A slot that the loader fills with the address of an imported function.
struct ImportSlot {
  std::uint64_t address = 0;  // without the module's load bias
  std::string name;
};

// A segment of code, as in the file.
struct Code {
  std::uint64_t address = 0;
  const unsigned char* bytes = nullptr;
  std::size_t size = 0;
};

// The first address, and the address after the last byte.
using CodeRange = std::pair<std::uint64_t, std::uint64_t>;

class CallSites {
 public:
  // `functions`: the ranges of the module's own functions, sorted; code outside them may be stubs. The code
  // must outlive this object.
  CallSites(const std::vector<Code>& code, const std::vector<ImportSlot>& slots,
            const std::vector<CodeRange>& functions);

  // Addresses in the code, by the import that they use. An import without an entry is used only by data, or
  // in a way that this search does not see.
  const absl::btree_map<std::string, std::vector<std::uint64_t>>& places() const { return places_; }

  // The places where the code calls the module's own function at `address`, or takes its address.
  std::vector<std::uint64_t> users_of(std::uint64_t address) const;

  // For a call of syscall(): the number, and for futex the operation (-1: not seen).
  struct SystemCall {
    int number = -1;
    int operation = -1;
  };
  SystemCall system_call_at(std::uint64_t place) const;

 private:
  const std::vector<Code>& code_;
  absl::btree_map<std::string, std::vector<std::uint64_t>> places_;
};

// The range that contains an address; null: none.
const CodeRange* find_range(const std::vector<CodeRange>& sorted, std::uint64_t address);
inline bool contains(const std::vector<CodeRange>& sorted, std::uint64_t address) {
  return find_range(sorted, address) != nullptr;
}

}  // namespace aiofiber::tool
