#pragma once
// Once other processes can no longer be waited for, nothing that this one's device computes can be relied on.

#include <atomic>
#include <chrono>
#include <mutex>
#include <stdexcept>
#include <string>

namespace plumbline {

using Clock = std::chrono::steady_clock;

/** Another process is gone, or did not answer in time. */
struct PeerError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/** Of the process. Any thread may find out. */
class PeerLoss {
 public:
  bool IsKnown() const { return known_.load(); }

  /** What was found first counts. */
  void Declare(const std::string& reason) {
    const std::lock_guard lock(mutex_);
    if (known_.load()) return;
    reason_ = reason;
    since_ = Clock::now();
    known_.store(true);
  }

  void Forget() { known_.store(false); }

  std::string Reason() {
    const std::lock_guard lock(mutex_);
    return reason_;
  }

  Clock::time_point Since() {
    const std::lock_guard lock(mutex_);
    return since_;
  }

 private:
  std::mutex mutex_;
  std::atomic<bool> known_ = false;
  std::string reason_;
  Clock::time_point since_;
};

inline PeerLoss& PeerLossOf() {
  // threads may ask for it while the process ends
  static auto* loss = new PeerLoss;
  return *loss;
}

/** Whatever has waited for the device asks this before it hands over what it read. */
inline void CheckPeers() {
  if (PeerLossOf().IsKnown()) throw PeerError(PeerLossOf().Reason());
}

}  // namespace plumbline
