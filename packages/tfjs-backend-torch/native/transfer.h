#pragma once
// Values between JavaScript's typed arrays and tensors, each way one copy; and what can be asked of a handle.

#include <ATen/Functions.h>
#include <napi.h>

#include "calls.h"
#include "handle.h"
#include "peer-loss.h"
#include "trace.h"
#include "pinned.h"
#include "recording.h"

namespace plumbline {

struct HostArray {
  void* data;
  size_t elements;
  at::ScalarType type;
};

inline HostArray HostArrayOf(napi_env env, napi_value value) {
  napi_typedarray_type type;
  HostArray array{};
  if (napi_get_typedarray_info(env, value, &type, &array.elements, &array.data, nullptr, nullptr) != napi_ok) {
    throw ArgumentError("expected a typed array");
  }
  switch (type) {
    case napi_float32_array: array.type = at::kFloat; break;
    case napi_float64_array: array.type = at::kDouble; break;
    case napi_int32_array: array.type = at::kInt; break;
    case napi_bigint64_array: array.type = at::kLong; break;
    case napi_int8_array: array.type = at::kChar; break;
    case napi_int16_array: array.type = at::kShort; break;
    case napi_uint16_array: array.type = at::kUInt16; break;
    case napi_uint8_array:
    case napi_uint8_clamped_array: array.type = at::kByte; break;
    default: throw ArgumentError("typed arrays of this kind cannot be passed");
  }
  return array;
}

inline std::vector<int64_t> ShapeOf(Napi::Value value) {
  const auto list = value.As<Napi::Array>();
  std::vector<int64_t> shape(list.Length());
  for (uint32_t i = 0; i < shape.size(); i++) shape[i] = list.Get(i).As<Napi::Number>().Int64Value();
  return shape;
}

/** Values of 16-bit floats travel in Uint16Arrays. */
inline at::Tensor Blob(const HostArray& array, const std::vector<int64_t>& shape, at::ScalarType target) {
  int64_t size = 1;
  for (const auto length : shape) size *= length;
  if (static_cast<size_t>(size) != array.elements) {
    std::ostringstream text;
    text << array.elements << " values for the shape " << at::IntArrayRef(shape);
    throw ArgumentError(text.str());
  }
  const bool raw = array.type == at::kUInt16 && (target == at::kBFloat16 || target == at::kHalf);
  return at::from_blob(array.data, shape, at::TensorOptions().dtype(raw ? target : array.type));
}

constexpr size_t kMostPinned = 16 << 20;

/** Fills a tensor on a device with values of the host and returns whether it could, see beside.h; set where there is CUDA. */
inline bool (*UploadAside)(const at::Tensor& values, const at::Tensor& to) = nullptr;

inline bool GoesPinned(const at::Tensor& blob, const c10::Device& device) {
  return device.is_cuda() && blob.nbytes() <= kMostPinned && blob.nbytes() > 0;
}

/** Fills a tensor. Small values go by way of pinned memory, so that nothing waits for what the device still has to do. */
inline void Fill(const at::Tensor& tensor, const at::Tensor& blob) {
  if (!GoesPinned(blob, tensor.device())) {
    tensor.copy_(blob);
  } else if (!UploadAside(blob, tensor)) {
    Pinned pinned(blob.sizes(), blob.options().dtype(tensor.scalar_type()));
    tensor.copy_(pinned.tensor().copy_(blob), true);
  }
}

inline at::Tensor Upload(const at::Tensor& blob, const c10::Device& device, at::ScalarType type) {
  if (!device.is_cuda()) return blob.to(device, type, false, true);
  const auto tensor = at::empty(blob.sizes(), at::TensorOptions().dtype(type).device(device));
  Fill(tensor, blob);
  return tensor;
}

/** fromHost(values, shape, scalarType, device) → handle */
inline Napi::Value FromHost(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"fromHost", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    c10::InferenceMode inference;
    CallsOf().uploads += 1;
    const auto type = static_cast<at::ScalarType>(info[2].As<Napi::Number>().Int32Value());
    const c10::Device device(info[3].As<Napi::String>().Utf8Value());
    const auto blob = Blob(HostArrayOf(info.Env(), info[0]), ShapeOf(info[1]), type);
    // a constant of what is recorded
    return Wrap(info.Env(), Made(Upload(blob, device, type)), 2);
  });
}

/** toDevice(handle, scalarType, device) → handle: the same of the values of a tensor on the host. */
inline Napi::Value ToDevice(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"toDevice", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    c10::InferenceMode inference;
    CallsOf().uploads += 1;
    const auto type = static_cast<at::ScalarType>(info[1].As<Napi::Number>().Int32Value());
    const c10::Device device(info[2].As<Napi::String>().Utf8Value());
    return Wrap(info.Env(), Made(Upload(TensorOf(info.Env(), info[0]), device, type)), 2);
  });
}

/** empty(shape, scalarType, index): memory without values, on that CUDA device or, below 0, on the host. */
inline Napi::Value Empty(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"empty", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    c10::InferenceMode inference;
    const auto type = static_cast<at::ScalarType>(info[1].As<Napi::Number>().Int32Value());
    const auto index = static_cast<c10::DeviceIndex>(info[2].As<Napi::Number>().Int32Value());
    const auto device = index < 0 ? c10::Device(c10::kCPU) : c10::Device(c10::kCUDA, index);
    const auto shape = ShapeOf(info[0]);
    CallsOf().views += 1;
    const Stopwatch stopwatch;
    try {
      return Wrap(info.Env(), TracedMemory(Made(at::empty(shape, at::TensorOptions().dtype(type).device(device)))), 2);
    } catch (...) {
      std::ostringstream text;
      text << type << at::IntArrayRef(shape);
      CurrentActivity().shapes = text.str();
      throw;
    }
  });
}

/** write(handle, values): fills the tensor with values of its own dtype; on a device, after what is queued there. */
inline Napi::Value Write(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"write", ""};
  ForbidTrace();
  return Guarded(info.Env(), [&]() -> Napi::Value {
    RefuseWhileRecording();
    c10::InferenceMode inference;
    auto& tensor = TensorOf(info.Env(), info[0]);
    const auto blob = Blob(HostArrayOf(info.Env(), info[1]), tensor.sizes().vec(), tensor.scalar_type());
    Fill(tensor, blob);
    return info.Env().Undefined();
  });
}

/** toHost(handle, values): fills the array, widening and gathering strides as it goes. */
inline Napi::Value ToHost(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"toHost", ""};
  ForbidTrace();
  return Guarded(info.Env(), [&]() -> Napi::Value {
    c10::InferenceMode inference;
    RefuseWhileRecording();
    CallsOf().reads += 1;
    const auto& tensor = TensorOf(info.Env(), info[0]);
    Blob(HostArrayOf(info.Env(), info[1]), tensor.sizes().vec(), tensor.scalar_type()).copy_(tensor);
    CheckPeers();
    return info[1];
  });
}

inline Napi::Value Sizes(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"shape", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    const auto sizes = TensorOf(info.Env(), info[0]).sizes();
    auto shape = Napi::Array::New(info.Env(), sizes.size());
    for (uint32_t i = 0; i < sizes.size(); i++) shape.Set(i, static_cast<double>(sizes[i]));
    return shape;
  });
}

inline Napi::Value Strides(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"strides", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    const auto steps = TensorOf(info.Env(), info[0]).strides();
    auto strides = Napi::Array::New(info.Env(), steps.size());
    for (uint32_t i = 0; i < steps.size(); i++) strides.Set(i, static_cast<double>(steps[i]));
    return strides;
  });
}

/** isShared(handle, …): whether another tensor lies in the memory of one of them, so that it must not be written in place. */
inline Napi::Value IsShared(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"isShared", ""};
  ForbidTrace();
  return Guarded(info.Env(), [&]() -> Napi::Value {
    bool shared = false;
    for (size_t i = 0; i < info.Length() && !shared; i++) {
      const auto& tensor = TensorOf(info.Env(), info[i]);
      shared = tensor.storage().use_count() > 1 || tensor.use_count() > 1;
    }
    return Napi::Boolean::New(info.Env(), shared);
  });
}

/** dispose(handles): frees what they hold now; a handle may come twice. */
inline Napi::Value Dispose(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"dispose", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    const auto list = info[0].As<Napi::Array>();
    for (uint32_t i = 0; i < list.Length(); i++) Release(info.Env(), HandleOf(info.Env(), list.Get(i)));
    return info.Env().Undefined();
  });
}

/** collected(): the garbage collector found nothing that leads to what was disposed of last. */
inline Napi::Value Collected(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"collected", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    TellOfCollected(info.Env());
    return info.Env().Undefined();
  });
}

}  // namespace plumbline
