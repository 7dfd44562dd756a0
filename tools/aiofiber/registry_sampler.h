// SPDX-License-Identifier: Apache-2.0
//
// Samples the registry of a running process. The cost grows with the number of changed records.
//
// A sample copies the records, in some microseconds for a chunk of 512. It compares each sequence count and
// state with the sample before. Only changed records are checked and passed on. A record that changes while
// it is copied is left for the next sample.
#pragma once

#include <absl/functional/function_ref.h>

#include <cstdint>
#include <vector>

#include "aiofiber/runtime/inspect/registry_abi.h"
#include "target.h"

namespace aiofiber::tool {

class RegistrySampler {
 public:
  // Errors: as find_registry() and take_snapshot().
  RegistrySampler(Target& target, std::uint64_t registry_address);

  // Calls changed(place, record) for each record that differs from the sample before (its state may be FREE),
  // and for each that runs; `place` identifies the record. Calls torn(place) for records that changed while
  // they were copied: the next sample tries again. Errors: kNoProcess when the process has ended, or runs
  // another program now.
  using Changed = absl::FunctionRef<void(std::size_t place, const aiofiber_record& record)>;
  using Torn = absl::FunctionRef<void(std::size_t place)>;
  void look(Changed changed, Torn torn);

 private:
  struct Known {
    std::uint64_t seq = 0;
    std::uint32_t state = AIOFIBER_FREE;
    bool certain = true;
  };
  struct Candidate {
    std::size_t place;
    std::uint64_t address;
    aiofiber_record record;
    std::uint64_t seq_after;
  };

  void find_chunks();
  void compare(std::size_t chunk);
  void check(Changed changed, Torn torn);

  Target& target_;
  const std::uint64_t registry_address_;
  aiofiber_registry header_;  // without its chunks
  std::vector<std::uint64_t> chunks_;
  std::vector<Known> known_;  // by place
  std::vector<unsigned char> bytes_;
  std::vector<Candidate> candidates_;
  std::vector<Range> ranges_;
};

}  // namespace aiofiber::tool
