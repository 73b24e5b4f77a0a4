#pragma once
// What processes that compute together tell one another.

#include <algorithm>
#include <string>
#include <vector>

#include "collectives.h"
#include "errors.h"
#include "meeting-place.h"
#include "pulse.h"

namespace plumbline {

/** What processes tell one another through the store. */
class Meeting {
 public:
  Meeting(const Membership& own, Watched watched)
      : own_(own),
        store_(OpenStore(own, own.meetsHere)),
        pulse_(OpenStore(own, false), own, collectives_, std::move(watched)) {}

  /** The server ends with its process, so the process that has it goes last; after a failure, once the others may know of it. */
  ~Meeting() {
    try {
      store_->set(Named("left", own_.rank), BytesOf("1"));
      if (!own_.meetsHere) return;
      if (pulse_.Fault().empty()) {
        Await(KeysOf("left"), "leave");
      } else {
        store_->wait(KeysOf("left"), Pulse::kTelling);
      }
    } catch (const std::exception&) {
      // who is gone needs no farewell
    }
  }

  const Membership& Own() const { return own_; }

  /** This process is about to do something together with the others. @param bytes 0 where each may give as many as it likes */
  Collective Note(const char* kind, uint64_t bytes) { return collectives_.Note(kind, bytes); }

  /**
   * Everyone's bytes, by rank; in as many rounds as the longest needs. Fails where one of them has noted anything else before
   * than the others.
   */
  std::vector<std::vector<uint8_t>> Exchange(const std::vector<uint8_t>& bytes) {
    return Talking([&] {
      // who was told to break off is not to meet those who were not told yet
      if (const auto fault = pulse_.Fault(); !fault.empty()) throw PeerError(fault);
      std::vector<std::vector<uint8_t>> all(own_.size);
      const auto milestone = collectives_.Last();
      for (size_t begun = 0;; begun += kPiece) {
        bool goesOn = false;
        const auto pieces = Round(PieceOf(milestone, bytes, begun));
        CheckSame(pieces);
        for (int rank = 0; rank < own_.size; rank++) goesOn = Append(pieces[rank], all[rank]) || goesOn;
        if (!goesOn) return all;
      }
    });
  }

  /** Tells the others why they need not wait any longer. @returns what counts: the reason that came first */
  std::string Fail(const std::string& reason) {
    const auto told = TellFailure(*store_, reason);
    pulse_.Break(told);
    return told;
  }

  std::string Fault() { return pulse_.Fault(); }

 private:
  /** libtorch's store takes 8 MiB at a time. */
  static constexpr size_t kPiece = 4 << 20;

  /** In front of a piece: how far its process has come, and a byte that says whether more pieces follow. */
  static constexpr size_t kHead = sizeof(Milestone) + 1;

  static std::vector<uint8_t> PieceOf(const Milestone& milestone, const std::vector<uint8_t>& bytes, size_t begun) {
    const auto from = std::min(begun, bytes.size());
    const auto count = std::min(kPiece, bytes.size() - from);
    auto piece = BytesOf(milestone);
    piece.reserve(count + kHead);
    piece.push_back(from + count < bytes.size() ? 1 : 0);
    piece.insert(piece.end(), bytes.begin() + from, bytes.begin() + from + count);
    return piece;
  }

  /** Whether more follows. */
  static bool Append(const std::vector<uint8_t>& piece, std::vector<uint8_t>& bytes) {
    bytes.insert(bytes.end(), piece.begin() + kHead, piece.end());
    return piece.at(kHead - 1) != 0;
  }

  /** Everyone finds the same, so all end with it. */
  void CheckSame(const std::vector<std::vector<uint8_t>>& pieces) {
    const auto first = MilestoneOf(pieces[0]);
    for (int rank = 1; rank < own_.size; rank++) {
      const auto other = MilestoneOf(pieces[rank]);
      if (other.digest != first.digest) throw PeerError(Fail(PartingText(first, other, rank)));
    }
  }

  std::vector<std::vector<uint8_t>> Round(const std::vector<uint8_t>& piece) {
    const auto keys = KeysOf("round/" + std::to_string(++rounds_));
    store_->set(keys[own_.rank], piece);
    const std::string at = collectives_.Last().text;
    Await(keys, at.empty() ? "come" : "come to " + at);
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

  /** @param keys one of each process @param what each of them does thereby */
  void Await(const std::vector<std::string>& keys, const std::string& what) {
    const auto begun = Clock::now();
    while (true) {
      try {
        return store_->wait(keys, std::chrono::milliseconds(1000));
      } catch (const c10::DistStoreError&) {
        const auto fault = pulse_.Fault();
        if (!fault.empty()) throw PeerError(fault);
        const auto departed = Departed(keys);
        if (departed >= 0) throw PeerError(Fail("process " + std::to_string(departed) + " has ended already"));
        if (Clock::now() - begun < own_.patience) continue;
        throw PeerError(Fail(Missing(keys) + " did not " + what + " within " + SecondsText(own_.patience)));
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
  Place store_;
  Collectives collectives_;
  Pulse pulse_;
  uint64_t rounds_ = 0;
};

}  // namespace plumbline
