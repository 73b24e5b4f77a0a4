#pragma once
// How far a device has come among the collectives that are queued on it, told without asking the driver: a call of it may
// itself be waiting for the device.

#include <c10/cuda/CUDAException.h>
#include <cuda_runtime_api.h>
#include <dlfcn.h>

#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <string>

#include "collectives.h"
#include "errors.h"
#include "pulse.h"

namespace plumbline {

/** cuStreamWriteValue32 of CUDA 12 and later. */
using WriteValue = int (*)(cudaStream_t stream, uint64_t address, uint32_t value, unsigned flags);

inline WriteValue WriteValueOf() {
  static const auto found = [] {
    void* driver = dlopen("libcuda.so.1", RTLD_NOW);
    void* function = driver == nullptr ? nullptr : dlsym(driver, "cuStreamWriteValue32_v2");
    if (function == nullptr) throw ArgumentError("this CUDA driver is too old for processes that work together (cuStreamWriteValue32)");
    return reinterpret_cast<WriteValue>(function);
  }();
  return found;
}

/**
 * Which of the queued collectives the device is through: after each it writes its number to the host, in the order of the stream.
 * A communicator does one at a time, so the device is at the next one, or on its way there: at work that was queued before
 * it, of which a device takes no more than some hundred kernels in advance.
 */
class DeviceProgress {
 public:
  DeviceProgress() {
    C10_CUDA_CHECK(cudaHostAlloc(reinterpret_cast<void**>(&done_), sizeof(uint32_t), cudaHostAllocMapped | cudaHostAllocPortable));
    *done_ = 0;
    void* address = nullptr;
    C10_CUDA_CHECK(cudaHostGetDevicePointer(&address, done_, 0));
    address_ = reinterpret_cast<uint64_t>(address);
  }

  // a stream may write there as long as the process lives
  ~DeviceProgress() = default;
  DeviceProgress(const DeviceProgress&) = delete;

  /** The collective is about to be queued, whatever comes of that. */
  void Begins(const Collective& collective) {
    const std::lock_guard lock(mutex_);
    DropDone();
    queued_.push_back(collective);
  }

  /** It is queued on the stream. */
  void Ends(const Collective& collective, cudaStream_t stream) {
    const int error = WriteValueOf()(stream, address_, collective.number, 0);
    if (error != 0) throw std::runtime_error("CUDA driver error: cuStreamWriteValue32 gave " + std::to_string(error));
  }

  /** Whether the device is through all that was queued. */
  bool IsThrough() {
    const std::lock_guard lock(mutex_);
    DropDone();
    return queued_.empty();
  }

  /** What the device is at; absent where it is through. Asked by one thread, again and again. */
  std::optional<DeviceWork> Now() {
    const std::lock_guard lock(mutex_);
    DropDone();
    if (queued_.empty()) return std::nullopt;
    const auto& first = queued_.front();
    if (first.number != seen_) since_ = Clock::now();
    seen_ = first.number;
    return DeviceWork{first, since_};
  }

 private:
  void DropDone() {
    const auto done = __atomic_load_n(done_, __ATOMIC_ACQUIRE);
    // numbers begin anew after 2^32
    while (!queued_.empty() && static_cast<int32_t>(queued_.front().number - done) <= 0) queued_.pop_front();
  }

  uint32_t* done_ = nullptr;
  uint64_t address_ = 0;
  std::mutex mutex_;
  std::deque<Collective> queued_;
  uint32_t seen_ = 0;
  Clock::time_point since_;
};

}  // namespace plumbline
