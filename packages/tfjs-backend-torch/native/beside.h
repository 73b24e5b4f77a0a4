#pragma once
// Small copies between host and device on streams of their own. Among the kernels of the work each would hold the device up for
// the 7 µs that it takes to turn to its copy engines, and as long to turn back.

#include <ATen/Functions.h>
#include <ATen/cuda/CUDAContext.h>
#include <ATen/cuda/CUDAEvent.h>
#include <c10/cuda/CUDAGraphsC10Utils.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <map>

#include "transfer.h"

namespace plumbline {

/** A stream beside the one that the work is on, and an event to say when one has come as far as the other needs. */
struct Beside {
  c10::cuda::CUDAStream stream = c10::cuda::getStreamFromPool();
  at::cuda::CUDAEvent event{cudaEventDisableTiming};
};

enum class Direction { kToDevice, kToHost };

/** Of this thread and the current device; never ended. */
inline Beside& BesideOf(Direction direction) {
  static thread_local auto* all = new std::map<std::pair<Direction, c10::DeviceIndex>, Beside>();
  return (*all)[{direction, c10::cuda::current_device()}];
}

/** On the device by the time the work gets there, without a copy in it. */
inline at::Tensor UploadBeside(const at::Tensor& pinned, const c10::Device& device) {
  const auto type = pinned.scalar_type();
  if (c10::cuda::currentStreamCaptureStatusMayInitCtx() != c10::cuda::CaptureStatus::None) {
    return pinned.to(device, type, true, true);
  }
  const c10::cuda::CUDAGuard there(device);
  const auto work = c10::cuda::getCurrentCUDAStream();
  auto& [stream, event] = BesideOf(Direction::kToDevice);
  at::Tensor copy;
  {
    const c10::cuda::CUDAStreamGuard guard(stream);
    copy = pinned.to(device, type, true, true);
  }
  event.record(stream);
  event.block(work);
  copy.record_stream(work.unwrap());
  return copy;
}

}  // namespace plumbline
