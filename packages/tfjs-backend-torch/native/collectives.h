#pragma once
// What processes that compute together come to together, in one order.

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <string>
#include <vector>

#include "peer-loss.h"

namespace plumbline {

/** An exchange of all processes. */
struct Collective {
  /** Counted from 1; the same in all processes. */
  uint32_t number = 0;
  /** What each of them gives; 0 where that may be any number of them. */
  uint64_t bytes = 0;
  /** Lives as long as the process. */
  const char* kind = "";
};

/** "gather 57 of 4194304 bytes" */
inline std::string TextOf(const Collective& collective) {
  const auto text = std::string(collective.kind) + " " + std::to_string(collective.number);
  return collective.bytes == 0 ? text : text + " of " + std::to_string(collective.bytes) + " bytes";
}

/** How far a process has come, and a digest of all that it came by. As it is sent to the others. */
struct Milestone {
  uint64_t digest = 0xcbf29ce484222325;
  uint32_t number = 0;
  char text[52] = {};
};

inline std::vector<uint8_t> BytesOf(const Milestone& milestone) {
  std::vector<uint8_t> bytes(sizeof(Milestone));
  std::memcpy(bytes.data(), &milestone, sizeof(Milestone));
  return bytes;
}

/** @param bytes those of a milestone, and whatever follows it */
inline Milestone MilestoneOf(const std::vector<uint8_t>& bytes) {
  Milestone milestone;
  if (bytes.size() < sizeof(Milestone)) throw PeerError("the processes are of different versions");
  std::memcpy(&milestone, bytes.data(), sizeof(Milestone));
  return milestone;
}

/** What is wrong with two processes of which one made other collectives than the other. */
inline std::string PartingText(const Milestone& first, const Milestone& other, int rank) {
  const bool hidden = std::strcmp(first.text, other.text) == 0;
  return "they do not make the same passes: process 0 is at " + std::string(first.text) + ", process " +
         std::to_string(rank) + " at " + other.text + (hidden ? ", after others than process 0" : "");
}

/** The collectives of this process so far; any thread may ask for them. */
class Collectives {
 public:
  /** The process comes to the next one. */
  Collective Note(const char* kind, uint64_t bytes) {
    const std::lock_guard lock(mutex_);
    const Collective noted{++last_.number, bytes, kind};
    const auto text = TextOf(noted);
    // FNV-1a
    for (const char letter : text) last_.digest = (last_.digest ^ static_cast<uint8_t>(letter)) * 0x100000001b3;
    std::snprintf(last_.text, sizeof(last_.text), "%s", text.c_str());
    digests_[noted.number % kRemembered] = last_.digest;
    return noted;
  }

  Milestone Last() {
    const std::lock_guard lock(mutex_);
    return last_;
  }

  /** Whether another process came there by other collectives. One that is ahead, or far behind, nothing is known of. */
  bool PartsFrom(const Milestone& other) {
    const std::lock_guard lock(mutex_);
    const uint32_t since = last_.number - other.number;
    if (other.number == 0 || since >= kRemembered) return false;
    return digests_[other.number % kRemembered] != other.digest;
  }

 private:
  static constexpr uint32_t kRemembered = 1 << 16;

  std::mutex mutex_;
  Milestone last_;
  std::array<uint64_t, kRemembered> digests_{};
};

}  // namespace plumbline
