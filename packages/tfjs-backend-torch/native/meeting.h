#pragma once
// Where processes that compute together meet: libtorch's TCPStore, and a pulse by which each knows that the others live.

#include <c10/util/Logging.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "errors.h"

namespace plumbline {

using Clock = std::chrono::steady_clock;

struct Membership {
  int rank = 0;
  int size = 1;
  std::string host;
  uint16_t port = 0;
  /** Whether the others meet in this process; else in one started beforehand. */
  bool meetsHere = false;
  /** Keeps apart the attempts of a launcher that starts everyone again. */
  std::string prefix;
  /** How long one waits for the others, who may still be loading a model. */
  std::chrono::milliseconds patience{};
  /** CUDA device, or below 0 the host. */
  int device = -1;
};

/** c10d writes stacks of C++ frames to standard error for what is thrown, too. Who sets TORCH_CPP_LOG_LEVEL sees them. */
inline void QuietLog() {
  if (std::getenv("TORCH_CPP_LOG_LEVEL") == nullptr) FLAGS_caffe2_log_level = 3;
}

inline c10::intrusive_ptr<c10d::Store> OpenStore(const Membership& own, bool serves) {
  c10d::TCPStoreOptions options;
  options.port = own.port;
  options.isServer = serves;
  options.waitWorkers = false;
  options.timeout = own.patience;
  return c10::make_intrusive<c10d::PrefixStore>(own.prefix, c10::make_intrusive<c10d::TCPStore>(own.host, options));
}

inline std::string Named(const char* what, int rank) { return std::string(what) + "/" + std::to_string(rank); }

inline std::vector<uint8_t> BytesOf(const std::string& text) { return {text.begin(), text.end()}; }

/** Tells the others every second that this process lives, whatever its main thread does, and hears of them. */
class Pulse {
 public:
  static constexpr auto kBeat = std::chrono::milliseconds(500);
  static constexpr auto kSilence = std::chrono::seconds(8);

  /** @param whenBroken called once, on the pulse's thread */
  Pulse(c10::intrusive_ptr<c10d::Store> store, int rank, int size, std::function<void()> whenBroken)
      : store_(std::move(store)), rank_(rank), peers_(size), whenBroken_(std::move(whenBroken)), thread_([this] { Run(); }) {}

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
      fault_ = std::move(fault);
      changed_.wait_for(lock, kBeat, [this] { return ends_; });
    }
    const bool broken = !fault_.empty() && !ends_;
    lock.unlock();
    if (broken) whenBroken_();
  }

  std::string Beat() {
    try {
      store_->add(Named("pulse", rank_), 1);
      if (store_->check({"failed"})) {
        const auto said = store_->get("failed");
        return {said.begin(), said.end()};
      }
      for (int rank = 0; rank < static_cast<int>(peers_.size()); rank++) {
        auto& peer = peers_[rank];
        const auto beats = store_->add(Named("pulse", rank), 0);
        if (beats != peer.beats) peer = {beats, Clock::now()};
        if (beats > 0 && Clock::now() - peer.heard > kSilence && !store_->check({Named("left", rank)})) {
          return "process " + std::to_string(rank) + " has died: it was not heard of for " +
                 std::to_string(kSilence.count()) + " s";
        }
      }
      return "";
    } catch (const std::exception&) {
      return "the process where the others meet is gone";
    }
  }

  c10::intrusive_ptr<c10d::Store> store_;
  int rank_;
  std::vector<Peer> peers_;
  std::function<void()> whenBroken_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string fault_;
  bool ends_ = false;
  std::thread thread_;
};

/** What processes tell one another through the store. */
class Meeting {
 public:
  Meeting(const Membership& own, std::function<void()> whenBroken)
      : own_(own),
        store_(OpenStore(own, own.meetsHere)),
        pulse_(OpenStore(own, false), own.rank, own.size, std::move(whenBroken)) {}

  /** The server ends with its process, so the process that has it goes last. */
  ~Meeting() {
    try {
      store_->set(Named("left", own_.rank), BytesOf("1"));
      if (!own_.meetsHere || !pulse_.Fault().empty()) return;
      Await(KeysOf("left"));
    } catch (const std::exception&) {
      // who is gone needs no farewell
    }
  }

  const Membership& Own() const { return own_; }

  /** Everyone's bytes, by rank; in as many rounds as the longest needs. */
  std::vector<std::vector<uint8_t>> Exchange(const std::vector<uint8_t>& bytes) {
    return Talking([&] {
      std::vector<std::vector<uint8_t>> all(own_.size);
      for (size_t begun = 0;; begun += kPiece) {
        bool goesOn = false;
        const auto pieces = Round(PieceOf(bytes, begun));
        for (int rank = 0; rank < own_.size; rank++) goesOn = Append(pieces[rank], all[rank]) || goesOn;
        if (!goesOn) return all;
      }
    });
  }

  /** Tells the others why they need not wait any longer. */
  void Fail(const std::string& reason) {
    try {
      store_->set("failed", BytesOf(reason));
    } catch (const std::exception&) {
      // they are gone themselves
    }
  }

  std::string Fault() { return pulse_.Fault(); }

 private:
  /** libtorch's store takes 8 MiB at a time. */
  static constexpr size_t kPiece = 4 << 20;

  /** A piece of the bytes behind a byte that says whether more follows. */
  static std::vector<uint8_t> PieceOf(const std::vector<uint8_t>& bytes, size_t begun) {
    const auto from = std::min(begun, bytes.size());
    const auto count = std::min(kPiece, bytes.size() - from);
    std::vector<uint8_t> piece;
    piece.reserve(count + 1);
    piece.push_back(from + count < bytes.size() ? 1 : 0);
    piece.insert(piece.end(), bytes.begin() + from, bytes.begin() + from + count);
    return piece;
  }

  /** Whether more follows. */
  static bool Append(const std::vector<uint8_t>& piece, std::vector<uint8_t>& bytes) {
    bytes.insert(bytes.end(), piece.begin() + 1, piece.end());
    return piece.at(0) != 0;
  }

  std::vector<std::vector<uint8_t>> Round(const std::vector<uint8_t>& piece) {
    const auto keys = KeysOf("round/" + std::to_string(++rounds_));
    store_->set(keys[own_.rank], piece);
    Await(keys);
    auto all = store_->multiGet(keys);
    // whoever is in this round has read the one before it
    if (rounds_ > 1) store_->deleteKey(KeysOf("round/" + std::to_string(rounds_ - 1))[own_.rank]);
    return all;
  }

  std::vector<std::string> KeysOf(const std::string& what) const {
    std::vector<std::string> keys;
    for (int rank = 0; rank < own_.size; rank++) keys.push_back(Named(what.c_str(), rank));
    return keys;
  }

  /** @param keys one of each process */
  void Await(const std::vector<std::string>& keys) {
    const auto begun = Clock::now();
    while (true) {
      try {
        return store_->wait(keys, std::chrono::milliseconds(1000));
      } catch (const c10::DistStoreError&) {
        const auto fault = pulse_.Fault();
        if (!fault.empty()) throw PeerError(fault);
        const auto departed = Departed(keys);
        if (departed >= 0) throw PeerError("process " + std::to_string(departed) + " has ended already");
        if (Clock::now() - begun < own_.patience) continue;
        throw PeerError(Missing(keys) + " did not come within " + std::to_string(own_.patience.count() / 1000) + " s");
      }
    }
  }

  /** A process that left without what it is waited for; -1 where there is none. What it set, it set before it left. */
  int Departed(const std::vector<std::string>& keys) {
    for (int rank = 0; rank < own_.size; rank++) {
      if (store_->check({Named("left", rank)}) && !store_->check({keys[rank]})) return rank;
    }
    return -1;
  }

  std::string Missing(const std::vector<std::string>& keys) {
    std::string missing;
    for (int rank = 0; rank < own_.size; rank++) {
      if (!store_->check({keys[rank]})) missing += (missing.empty() ? "process " : ", ") + std::to_string(rank);
    }
    return missing + " of " + std::to_string(own_.size);
  }

  template <typename Body>
  auto Talking(Body body) -> decltype(body()) {
    try {
      return body();
    } catch (const PeerError&) {
      throw;
    } catch (const std::exception& error) {
      const auto fault = pulse_.Fault();
      throw PeerError(fault.empty() ? "the process where the others meet is gone: " + FirstLine(error.what()) : fault);
    }
  }

  Membership own_;
  c10::intrusive_ptr<c10d::Store> store_;
  Pulse pulse_;
  uint64_t rounds_ = 0;
};

}  // namespace plumbline
