#pragma once
// Small copies between host and device on streams of their own. Among the kernels of the work each would hold the device up for
// the 7 µs that it takes to turn to its copy engines, and as long to turn back.

#include <ATen/Functions.h>
#include <ATen/cuda/CUDAEvent.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGraphsC10Utils.h>
#include <c10/cuda/CUDAStream.h>

#include <array>
#include <map>
#include <utility>

namespace plumbline {

/**
 * Room that values pass through on their way to a device: page-locked, and as much there. The work takes them on by a copy on the
 * device, in its order. Half of the room is used anew when the work has come past the last copy out of it.
 */
class UploadRing {
 public:
  /** Bytes of values that go this way. */
  static constexpr size_t kMost = 512 << 10;

  explicit UploadRing(c10::cuda::CUDAStream work)
      : work_(work),
        host_(at::empty({2 * kHalf}, at::TensorOptions().dtype(at::kByte).pinned_memory(true))),
        device_(at::empty({2 * kHalf}, at::TensorOptions().dtype(at::kByte).device(work.device()))) {}

  /** Fills `to`, which is dense, with `values` in its type. */
  void Copy(const at::Tensor& values, const at::Tensor& to) {
    const size_t at = Take(to.nbytes());
    auto* host = host_.data_ptr<uint8_t>() + at;
    auto* device = device_.data_ptr<uint8_t>() + at;
    at::from_blob(host, to.sizes(), at::TensorOptions().dtype(to.scalar_type())).copy_(values);
    C10_CUDA_CHECK(cudaMemcpyAsync(device, host, to.nbytes(), cudaMemcpyHostToDevice, stream_));
    arrived_.record(stream_);
    arrived_.block(work_);
    C10_CUDA_CHECK(cudaMemcpyAsync(to.data_ptr(), device, to.nbytes(), cudaMemcpyDeviceToDevice, work_));
  }

 private:
  static constexpr int64_t kHalf = 2 << 20;
  static constexpr size_t kLine = 256;

  size_t Take(size_t bytes) {
    if (next_ + bytes > (half_ + 1) * kHalf) {
      left_[half_].record(work_);
      half_ = 1 - half_;
      left_[half_].synchronize();
      next_ = half_ * kHalf;
    }
    const size_t at = next_;
    next_ += (bytes + kLine - 1) / kLine * kLine;
    return at;
  }

  c10::cuda::CUDAStream work_;
  c10::cuda::CUDAStream stream_ = c10::cuda::getStreamFromPool(false, work_.device_index());
  at::Tensor host_;
  at::Tensor device_;
  at::cuda::CUDAEvent arrived_{cudaEventDisableTiming};
  /** When the work came past what lay in each half. */
  std::array<at::cuda::CUDAEvent, 2> left_{at::cuda::CUDAEvent(cudaEventDisableTiming), at::cuda::CUDAEvent(cudaEventDisableTiming)};
  size_t half_ = 0;
  size_t next_ = 0;
};

/** Fills `to` so, in order with the work on its device; false, and nothing done, where it has to be copied otherwise. */
inline bool UploadBeside(const at::Tensor& values, const at::Tensor& to) {
  if (to.nbytes() > UploadRing::kMost || !to.is_contiguous()) return false;
  if (c10::cuda::currentStreamCaptureStatusMayInitCtx() != c10::cuda::CaptureStatus::None) return false;
  // never ended: at the process's end there may be no device any more
  static thread_local auto* rings = new std::map<std::pair<c10::DeviceIndex, c10::StreamId>, UploadRing>();
  const auto work = c10::cuda::getCurrentCUDAStream(to.device().index());
  rings->try_emplace({work.device_index(), work.id()}, work).first->second.Copy(values, to);
  return true;
}

/** A stream for copies to the host, of this thread and the current device, and an event to say how far the work has come. */
struct Beside {
  c10::cuda::CUDAStream stream = c10::cuda::getStreamFromPool();
  at::cuda::CUDAEvent reached{cudaEventDisableTiming};
};

inline Beside& BesideOf() {
  static thread_local auto* all = new std::map<c10::DeviceIndex, Beside>();
  return (*all)[c10::cuda::current_device()];
}

}  // namespace plumbline
