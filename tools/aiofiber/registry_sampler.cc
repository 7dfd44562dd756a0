// SPDX-License-Identifier: Apache-2.0
//
// The sequence lock: a record is consistent if its count is the same before and after the read. An odd count
// means a task on the CPU; its other fields do not change while it runs. The copies of whole chunks only show
// which records to read again. Those are read with their counts, many in one system call.
#include "registry_sampler.h"

#include <algorithm>
#include <cstring>

#include "failure.h"
#include "snapshot.h"

namespace aiofiber::tool {

RegistrySampler::RegistrySampler(Target& target, std::uint64_t registry_address)
    : target_(target), registry_address_(registry_address), header_(read_registry(target, registry_address)) {
  bytes_.resize(std::size_t{header_.record_stride} * header_.chunk_records);
}

void RegistrySampler::find_chunks() {
  std::uint32_t count = 0;
  const std::uint64_t address = registry_address_ + offsetof(aiofiber_registry, chunk_count);
  char magic[8];
  if (!target_.read(registry_address_, magic, sizeof magic) ||
      std::memcmp(magic, AIOFIBER_REGISTRY_MAGIC, sizeof magic) != 0 ||
      !target_.read(address, &count, sizeof count)) {
    throw Failure(Exit::kNoProcess, target_.name() + " runs another program by now");
  }
  count = std::min<std::uint32_t>(count, AIOFIBER_REGISTRY_CHUNKS);
  if (count <= chunks_.size()) return;
  chunks_.resize(count);
  if (!target_.read(registry_address_ + offsetof(aiofiber_registry, chunks), chunks_.data(),
                    chunks_.size() * 8)) {
    throw Failure(Exit::kNoProcess, target_.name() + " runs another program by now");
  }
  if (chunks_.size() * header_.chunk_records > SnapshotWishes::kUsualBytes / sizeof(Known)) {
    throw Failure(
        Exit::kVersion,
        target_.name() + ": its registry is damaged: it says that it has more tasks than fit any program");
  }
  known_.resize(chunks_.size() * header_.chunk_records);
}

void RegistrySampler::compare(std::size_t chunk) {
  for (std::uint32_t i = 0; i < header_.chunk_records; ++i) {
    const unsigned char* const bytes = &bytes_[i * std::size_t{header_.record_stride}];
    std::uint64_t seq = 0;
    std::uint32_t state = 0;
    std::memcpy(&seq, bytes + offsetof(aiofiber_record, seq), sizeof seq);
    std::memcpy(&state, bytes + offsetof(aiofiber_record, state), sizeof state);
    const std::size_t place = chunk * header_.chunk_records + i;
    const Known& known = known_[place];
    const bool runs = seq % 2 == 1 && state == AIOFIBER_RUNNING;
    if (known.certain && seq == known.seq && state == known.state && !runs) continue;
    candidates_.push_back({place, chunks_[chunk] + i * std::uint64_t{header_.record_stride}, {}, 0});
  }
}

void RegistrySampler::check(Changed changed, Torn torn) {
  const std::size_t record_bytes = std::min<std::size_t>(sizeof(aiofiber_record), header_.record_size);
  ranges_.clear();
  for (Candidate& candidate : candidates_) {
    ranges_.push_back({candidate.address, &candidate.record, record_bytes, false});
    ranges_.push_back({candidate.address + offsetof(aiofiber_record, seq), &candidate.seq_after,
                       sizeof candidate.seq_after, false});
  }
  target_.read_in_order(ranges_, 2);
  for (std::size_t i = 0; i < candidates_.size(); ++i) {
    Candidate& candidate = candidates_[i];
    aiofiber_record& record = candidate.record;
    const bool stands_still = record.seq % 2 == 0 || record.state == AIOFIBER_RUNNING;
    Known& known = known_[candidate.place];
    known.certain = ranges_[2 * i].complete && ranges_[2 * i + 1].complete &&
                    candidate.seq_after == record.seq && stands_still;
    if (!known.certain) {
      torn(candidate.place);
      continue;
    }
    known.seq = record.seq;
    known.state = record.state;
    record.name[sizeof record.name - 1] = '\0';
    changed(candidate.place, record);
  }
}

void RegistrySampler::look(Changed changed, Torn torn) {
  find_chunks();
  for (std::size_t chunk = 0; chunk < chunks_.size(); ++chunk) {
    candidates_.clear();
    if (!target_.read(chunks_[chunk], bytes_.data(), bytes_.size())) {
      throw Failure(Exit::kNoProcess, target_.name() + " runs another program by now");
    }
    compare(chunk);
    if (!candidates_.empty()) check(changed, torn);
  }
}

}  // namespace aiofiber::tool
