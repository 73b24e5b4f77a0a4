#pragma once
// Reading tensors while the device goes on: copies into pinned memory beside its work, and an event that says when they are there.

#include <ATen/Functions.h>
#include <ATen/cuda/CUDAEvent.h>
#include <napi.h>

#include <memory>
#include <vector>

#include "beside.h"
#include "cuda.h"
#include "peer-loss.h"
#include "pinned.h"
#include "transfer.h"

namespace plumbline {

struct DeviceRead {
  std::vector<Pinned> copies;
  at::cuda::CUDAEvent done;
};

/**
 * readBegin(handles) → a read of what they hold once all that is queued now is done; they may be freed at once, and are not to be
 * written before it has ended.
 */
inline Napi::Value ReadBegin(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"readBegin", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    c10::InferenceMode inference;
    const auto list = info[0].As<Napi::Array>();
    std::vector<at::Tensor> tensors;
    for (uint32_t i = 0; i < list.Length(); i++) tensors.push_back(TensorOf(info.Env(), list.Get(i)).contiguous());
    auto read = std::make_unique<DeviceRead>();
    auto& [stream, reached] = BesideOf();
    reached.record();
    reached.block(stream);
    const c10::cuda::CUDAStreamGuard guard(stream);
    for (const auto& tensor : tensors) {
      read->copies.emplace_back(tensor.sizes(), tensor.options()).tensor().copy_(tensor, true);
      if (tensor.is_cuda()) tensor.record_stream(stream.unwrap());
    }
    read->done.record();
    return Napi::External<DeviceRead>::New(info.Env(), read.release(),
                                           [](Napi::Env, DeviceRead* collected) { delete collected; });
  });
}

/** readEnd(read, arrays): waits for the read and fills the arrays, one a tensor. */
inline Napi::Value ReadEnd(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"readEnd", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    c10::InferenceMode inference;
    CallsOf().reads += 1;
    auto& read = ExternalOf<DeviceRead>(info[0], "a read");
    read.done.synchronize();
    CheckPeers();
    const auto arrays = info[1].As<Napi::Array>();
    for (uint32_t i = 0; i < read.copies.size(); i++) {
      const auto& copy = read.copies[i].tensor();
      Blob(HostArrayOf(info.Env(), arrays.Get(i)), copy.sizes().vec(), copy.scalar_type()).copy_(copy);
    }
    read.copies.clear();
    return arrays;
  });
}

inline void ExportDeviceRead(Napi::Env env, Napi::Object exports) {
  exports.Set("readBegin", Napi::Function::New(env, ReadBegin, "readBegin"));
  exports.Set("readEnd", Napi::Function::New(env, ReadEnd, "readEnd"));
}

}  // namespace plumbline
