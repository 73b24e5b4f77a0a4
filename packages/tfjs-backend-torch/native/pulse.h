#pragma once
// A pulse by which each process knows that the others live, and that what its device waits for still comes.

#include <algorithm>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "collectives.h"
#include "meeting-place.h"
#include "peer-loss.h"

namespace plumbline {

/** The collective that a device is at. */
struct DeviceWork {
  Collective collective;
  Clock::time_point since;
};

/** Whom the pulse asks and tells, on its own thread. */
struct Watched {
  /** Asked at every beat; nothing where there is no device, or it is through all collectives that were queued. */
  std::function<std::optional<DeviceWork>()> device;
  /** Called once, with what ended the others' work. */
  std::function<void(const std::string&)> whenBroken;
};

/** Tells the others every second that this process lives, whatever its main thread does, and hears of them. */
class Pulse {
 public:
  static constexpr auto kBeat = std::chrono::milliseconds(500);
  static constexpr auto kSilence = std::chrono::seconds(8);
  /** All processes have heard of a failure by then. */
  static constexpr auto kTelling = 4 * kBeat;

  /** @param collectives outlives it */
  Pulse(Place store, const Membership& own, Collectives& collectives, Watched watched)
      : store_(std::move(store)),
        rank_(own.rank),
        patience_(own.patience),
        collectives_(collectives),
        peers_(own.size),
        watched_(std::move(watched)),
        thread_([this] { Run(); }) {}

  ~Pulse() {
    {
      const std::lock_guard lock(mutex_);
      ends_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  /** What ended the others' work; empty as long as nothing did. */
  std::string Fault() {
    const std::lock_guard lock(mutex_);
    return fault_;
  }

  /** This process has found out by itself. */
  void Break(const std::string& fault) {
    {
      const std::lock_guard lock(mutex_);
      if (fault_.empty()) fault_ = fault;
    }
    changed_.notify_all();
  }

 private:
  struct Peer {
    int64_t beats = 0;
    Clock::time_point heard = Clock::now();
  };

  void Run() {
    std::unique_lock lock(mutex_);
    while (!ends_ && fault_.empty()) {
      lock.unlock();
      auto fault = Beat();
      lock.lock();
      if (fault_.empty()) fault_ = std::move(fault);
      changed_.wait_for(lock, kBeat, [this] { return ends_ || !fault_.empty(); });
    }
    const auto fault = fault_;
    lock.unlock();
    if (!fault.empty()) watched_.whenBroken(fault);
  }

  std::string Beat() {
    try {
      store_->add(Named("pulse", rank_), 1);
      if (store_->check({"failed"})) return TextAt(*store_, "failed");
      for (int rank = 0; rank < Size(); rank++) {
        auto& peer = peers_[rank];
        const auto beats = store_->add(Named("pulse", rank), 0);
        if (beats != peer.beats) peer = {beats, Clock::now()};
        if (beats > 0 && Clock::now() - peer.heard > kSilence && !HasLeft(rank)) {
          return Process(rank) + " has died: it was not heard of for " + SecondsText(kSilence);
        }
      }
      store_->set(Named("at", rank_), BytesOf(collectives_.Last()));
      auto found = Parted();
      if (found.empty()) found = LateForDevice();
      return found.empty() ? "" : TellFailure(*store_, found);
    } catch (const std::exception&) {
      return "the process where the others meet is gone";
    }
  }

  /** What is wrong where this process made other collectives than process 0, or where this is process 0, than any other. */
  std::string Parted() {
    for (int rank = 0; rank < Size(); rank++) {
      if ((rank == 0) == (rank_ == 0)) continue;
      const auto other = MilestoneAt(rank);
      if (!collectives_.PartsFrom(other)) continue;
      const auto own = collectives_.Last();
      return rank_ == 0 ? PartingText(own, other, rank) : PartingText(other, own, rank_);
    }
    return "";
  }

  /** Why this process's device need not wait any longer; empty where it need, or does not wait. */
  std::string LateForDevice() {
    const auto work = watched_.device();
    if (!work) return "";
    const auto waited = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - work->since);
    const auto who = waited > kSilence ? Departed() : -1;
    if (waited < patience_ && who < 0) return "";
    const auto text = TextOf(work->collective);
    const auto absent = who < 0 ? Absent(work->collective) : Process(who) + " has ended and does not come to " + text;
    return absent + ", where the device of process " + std::to_string(rank_) + " has waited for " + SecondsText(waited);
  }

  /** A process that left; -1 where there is none. What it was part of is over soon after that. */
  int Departed() {
    for (int rank = 0; rank < Size(); rank++) {
      if (rank != rank_ && HasLeft(rank)) return rank;
    }
    return -1;
  }

  /** Who has not come to what this process's device is at. */
  std::string Absent(const Collective& collective) {
    std::string behind;
    for (int rank = 0; rank < Size(); rank++) {
      if (MilestoneAt(rank).number < collective.number) behind += (behind.empty() ? "process " : ", ") + std::to_string(rank);
    }
    const auto text = TextOf(collective);
    if (behind.empty()) return "the devices do not get through " + text;
    return behind + " of " + std::to_string(Size()) + " did not come to " + text;
  }

  /** How far a process had come when its heart last beat. */
  Milestone MilestoneAt(int rank) {
    return store_->check({Named("at", rank)}) ? MilestoneOf(store_->get(Named("at", rank))) : Milestone();
  }

  static std::string Process(int rank) { return "process " + std::to_string(rank); }

  bool HasLeft(int rank) { return store_->check({Named("left", rank)}); }

  int Size() const { return static_cast<int>(peers_.size()); }

  Place store_;
  int rank_;
  std::chrono::milliseconds patience_;
  Collectives& collectives_;
  std::vector<Peer> peers_;
  Watched watched_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string fault_;
  bool ends_ = false;
  std::thread thread_;
};

}  // namespace plumbline
