#pragma once
// The host's share of the memory statistics: an allocator over libtorch's own that counts.

#include <c10/core/CPUAllocator.h>
#include <napi.h>

#ifdef __GLIBC__
#include <malloc.h>
#include <sys/mman.h>
#endif

#include <atomic>
#include <cstdint>

#include "errors.h"

namespace plumbline {

/** Bytes of the blocks that tensors and temporaries of operators have, and the most they were. */
struct HostBytes {
  std::atomic<int64_t> allocated{0};
  std::atomic<int64_t> peak{0};
};

inline HostBytes& HostBytesOf() {
  static HostBytes bytes;
  return bytes;
}

#ifdef __GLIBC__

inline void CountHostBytes(int64_t change) {
  auto& bytes = HostBytesOf();
  const auto now = bytes.allocated.fetch_add(change, std::memory_order_relaxed) + change;
  auto peak = bytes.peak.load(std::memory_order_relaxed);
  while (now > peak && !bytes.peak.compare_exchange_weak(peak, now, std::memory_order_relaxed)) {
  }
}

constexpr uintptr_t kHugePage = uintptr_t{1} << 21;

/**
 * Asks for huge pages where the block fills them: a caller that reads weights and caches once a token else waits as much for
 * the places of 4096-byte pages as for what is on them. A hint; where there are no such pages it does nothing.
 */
inline void AskForHugePages(void* data, size_t size) {
  const auto begin = reinterpret_cast<uintptr_t>(data);
  const auto first = (begin + kHugePage - 1) / kHugePage * kHugePage, last = (begin + size) / kHugePage * kHugePage;
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
}

class CountingAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t size) override {
    auto block = Own()->allocate(size);
    void* data = block.release_context();
    if (size >= kHugePage) AskForHugePages(data, size);
    CountHostBytes(static_cast<int64_t>(malloc_usable_size(data)));
    return {data, data, &Free, c10::Device(c10::DeviceType::CPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &Free; }
  void copy_data(void* to, const void* from, std::size_t count) const override { Own()->copy_data(to, from, count); }

 private:
  static c10::Allocator* Own() { return c10::GetDefaultCPUAllocator(); }
  static void Free(void* data) {
    CountHostBytes(-static_cast<int64_t>(malloc_usable_size(data)));
    Own()->raw_deleter()(data);
  }
};

/** Lives as long as the process: tensors may be freed at its very end. */
inline void CountHostMemory() { c10::SetCPUAllocator(new CountingAllocator, 1); }

#else

inline void CountHostMemory() {}

#endif

/** hostMemory(resetPeak): what libtorch's allocator has given out on the host, in bytes; zeros where it is not counted. */
inline Napi::Value HostMemory(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"memory", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    auto& bytes = HostBytesOf();
    auto result = Napi::Object::New(info.Env());
    result.Set("allocated", static_cast<double>(bytes.allocated.load()));
    result.Set("peakAllocated", static_cast<double>(bytes.peak.load()));
    if (info.Length() > 0 && info[0].ToBoolean()) bytes.peak.store(bytes.allocated.load());
    return result;
  });
}

}  // namespace plumbline
