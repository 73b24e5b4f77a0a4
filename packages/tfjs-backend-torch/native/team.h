#pragma once
// Threads that stay together for several kernels on the CPU.

#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <thread>
#include <utility>

namespace plumbline {

/** Tells the processor that this thread waits for another. */
inline void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/**
 * Returns when `word` is no longer `old`: looks for some 20 µs, then lets others run that want to for a millisecond or so,
 * then sleeps.
 */
inline void AwaitChange(const std::atomic<int>& word, int old) {
  constexpr int kLooks = 400, kYields = 2000;
  for (int i = 0; i < kLooks + kYields; i++) {
    if (word.load(std::memory_order_acquire) != old) return;
    if (i < kLooks) Pause();
    else std::this_thread::yield();
  }
  word.wait(old, std::memory_order_acquire);
}

/**
 * The library's threads in one parallel region, for many kernels one after the other. Between regions of their own they
 * would fall asleep, and wake too late for kernels of some 100 µs. The thread that leads shares out each kernel's parts; one
 * that comes too late finds that its part was taken by the lead, who so never waits for a thread that does not run.
 */
class Team {
 public:
  /** Calls `lead` here while the others are there for what it shares out. */
  static void Gather(const std::function<void()>& lead) {
    const int size = at::get_num_threads();
    Team team(size);
    std::exception_ptr error;
    at::parallel_for(0, size, 1, [&](int64_t from, int64_t) {
      if (from > 0) return team.Follow(static_cast<int>(from));
      Current() = &team;
      try {
        lead();
      } catch (...) {
        error = std::current_exception();
      }
      Current() = nullptr;
      team.Publish(kEnd);
    });
    if (error) std::rethrow_exception(error);
  }

  /** The one that this thread leads. */
  static Team*& Current() {
    static thread_local Team* current = nullptr;
    return current;
  }

  int size() const { return size_; }

  /** Calls `part` with 0 to size() - 1, each on a thread. It may not share out anything itself. */
  void Share(const std::function<void(int)>& part) {
    Current() = nullptr;
    part_ = &part;
    error_ = nullptr;
    hasFailed_.clear();
    finished_.store(0, std::memory_order_relaxed);
    const int round = round_.load(std::memory_order_relaxed) + 1;
    Publish(round);
    Run(0);
    int others = 0;
    for (int member = 1; member < size_; member++) {
      if (Takes(member, round)) Run(member);
      else others += 1;
    }
    for (int done; (done = finished_.load(std::memory_order_acquire)) != others;) AwaitChange(finished_, done);
    Current() = this;
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  }

 private:
  static constexpr int kEnd = -1;

  /** On a line of the cache of its own, as each is written by its member. */
  struct alignas(64) Taken {
    std::atomic<int> round{0};
  };

  explicit Team(int size) : size_(size), taken_(new Taken[size]) {}

  void Publish(int round) {
    round_.store(round, std::memory_order_release);
    round_.notify_all();
  }

  /** Whether the part of `member` in this round is the caller's, as nobody took it before. */
  bool Takes(int member, int round) {
    auto& taken = taken_[member].round;
    int last = taken.load(std::memory_order_relaxed);
    while (last < round) {
      if (taken.compare_exchange_weak(last, round, std::memory_order_acq_rel)) return true;
    }
    return false;
  }

  void Run(int member) {
    try {
      (*part_)(member);
    } catch (...) {
      if (!hasFailed_.test_and_set()) error_ = std::current_exception();
    }
  }

  void Follow(int member) {
    for (int seen = 0;;) {
      AwaitChange(round_, seen);
      seen = round_.load(std::memory_order_acquire);
      if (seen == kEnd) return;
      // the round cannot end, nor the next begin, before a part that was taken is finished
      if (!Takes(member, seen)) continue;
      Run(member);
      finished_.fetch_add(1, std::memory_order_release);
      finished_.notify_one();
    }
  }

  const int size_;
  const std::unique_ptr<Taken[]> taken_;
  alignas(64) std::atomic<int> round_{0};
  alignas(64) std::atomic<int> finished_{0};
  const std::function<void(int)>* part_ = nullptr;
  std::atomic_flag hasFailed_;
  std::exception_ptr error_;
};

/** at::parallel_for, by the team that this thread leads where there is one; the parts are the same. */
template <typename Part>
void ParallelFor(int64_t begin, int64_t end, int64_t grain, const Part& part) {
  Team* team = Team::Current();
  if (team == nullptr || end - begin <= grain) return at::parallel_for(begin, end, grain, part);
  const auto shared = [](int64_t all, int64_t parts) { return (all + parts - 1) / parts; };
  const int64_t each = shared(end - begin, std::min<int64_t>(team->size(), shared(end - begin, grain)));
  team->Share([&](int member) {
    const int64_t from = begin + member * each;
    if (from < end) part(from, std::min(end, from + each));
  });
}

}  // namespace plumbline
