#pragma once
// CUDA kernels compiled at run time, and their launches.

#include <c10/cuda/CUDAStream.h>
#include <napi.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "calls.h"
#include "cuda.h"
#include "handle.h"
#include "nvrtc.h"
#include "recording.h"
#include "tiles.h"

namespace plumbline {

/** Bytes that a kernel may be given as arguments. */
constexpr size_t kMostArgumentBytes = 4096;

inline size_t BytesOfKind(char kind) { return kind == 'i' || kind == 'f' ? 4 : 8; }

/** How the members of a struct lie that a kernel is given an array of. */
struct ItemLayout {
  /** As a signature's letters; empty for a kernel without such an array. */
  std::string members;
  std::vector<size_t> offsets;
  size_t bytes = 0;
};

inline ItemLayout ItemLayoutOf(const std::string& members) {
  ItemLayout layout{members, {}, 0};
  for (const char kind : members) {
    const size_t size = BytesOfKind(kind);
    layout.offsets.push_back((layout.bytes + size - 1) / size * size);
    layout.bytes = layout.offsets.back() + size;
  }
  layout.bytes = (layout.bytes + 7) / 8 * 8;
  return layout;
}

struct CudaKernel {
  void* function = nullptr;
  std::string name;
  /** One letter an argument: p tensor (null where absent), s tensor of any strides, t matrix in boxes, i int32, l int64, f float32. */
  std::string signature;
  /** Bytes of shared memory that it is launched with. */
  unsigned sharedBytes = 0;
  /** Of the array that is its first argument, by value. */
  ItemLayout items;
  /** Whether it may be launched before the one before it has ended, for which it waits itself. */
  bool early = false;
};

/**
 * kernelCompile(source, name, signature, early, sharedBytes) → kernel, for the current device. It is never unloaded. A signature
 * that begins with letters in brackets is that of a kernel whose first argument is an array of structs of such members.
 */
inline Napi::Value KernelCompile(const Napi::CallbackInfo& info) {
  const auto name = info[1].As<Napi::String>().Utf8Value();
  CurrentActivity() = {name, ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    const auto& nvrtc = NvrtcOf();
    auto kernel = std::make_unique<CudaKernel>();
    kernel->name = name;
    const auto signature = info[2].As<Napi::String>().Utf8Value();
    const auto itemsEnd = signature.find(')');
    if (itemsEnd != std::string::npos) kernel->items = ItemLayoutOf(signature.substr(1, itemsEnd - 1));
    kernel->signature = itemsEnd == std::string::npos ? signature : signature.substr(itemsEnd + 1);
    kernel->early = info[3].ToBoolean();
    const auto ptx = Ptx(info[0].As<Napi::String>().Utf8Value(), kernel->signature.find('t') != std::string::npos);
    void* module = nullptr;
    CheckDriver(nvrtc.moduleLoad(&module, ptx.c_str()), "loading a kernel");
    CheckDriver(nvrtc.moduleFunction(&kernel->function, module, name.c_str()), "finding a kernel");
    kernel->sharedBytes = info[4].As<Napi::Number>().Uint32Value();
    constexpr int kMostSharedBytes = 8;
    if (kernel->sharedBytes > 0) {
      CheckDriver(nvrtc.setAttribute(kernel->function, kMostSharedBytes, kernel->sharedBytes), "giving a kernel shared memory");
    }
    return Napi::External<CudaKernel>::New(info.Env(), kernel.release(),
                                           [](Napi::Env, CudaKernel* collected) { delete collected; });
  });
}

union KernelArgument {
  void* pointer;
  int32_t narrow;
  int64_t wide;
  float real;
};

constexpr size_t kMostKernelArguments = 24;
constexpr size_t kMostTensorMaps = 6;

inline bool IsTensorKind(char kind) { return kind == 'p' || kind == 's' || kind == 't'; }

/** A kernel's tensor argument. */
inline at::Tensor KernelTensorOf(char kind, const at::Tensor& tensor) {
  if (!tensor.is_cuda()) throw ArgumentError("a kernel takes tensors on its device");
  if (kind == 'p' && !tensor.is_contiguous()) throw ArgumentError("a kernel takes contiguous tensors");
  return tensor;
}

inline KernelArgument KernelNumberOf(char kind, double value) {
  KernelArgument argument{};
  switch (kind) {
    case 'i': argument.narrow = static_cast<int32_t>(value); return argument;
    case 'l': argument.wide = static_cast<int64_t>(value); return argument;
    case 'f': argument.real = static_cast<float>(value); return argument;
    default: throw ArgumentError(std::string("no kernel argument is of kind ") + kind);
  }
}

/** A kernel with all its arguments but the tensors. Kernels are never unloaded, and JavaScript keeps them. */
struct KernelCall {
  const CudaKernel* kernel;
  unsigned blocks;
  unsigned threads;
  /** In place of a matrix in boxes, their rows. */
  std::array<KernelArgument, kMostKernelArguments> values;
  /** The items' bytes, and where among them the first tensors' addresses go. */
  std::vector<char> items;
  std::vector<size_t> places;
};

/** Items are rows of numbers, one a member; of a tensor its handle, 0 where it is absent. */
inline void TakeItems(KernelCall& call, Napi::Value value, std::vector<at::Tensor>& tensors) {
  const auto& [members, offsets, bytes] = call.kernel->items;
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_float64_array) {
    throw ArgumentError("the kernel takes its items as numbers");
  }
  const auto rows = value.As<Napi::Float64Array>();
  const size_t count = rows.ElementLength() / members.size();
  if (count * members.size() != rows.ElementLength() || count * bytes > kMostArgumentBytes) {
    throw ArgumentError("the kernel takes other items");
  }
  // as many bytes as the kernel may read, whatever the length of its array
  call.items.assign(kMostArgumentBytes, 0);
  for (size_t i = 0; i < rows.ElementLength(); i++) {
    const char kind = members[i % members.size()];
    const size_t place = i / members.size() * bytes + offsets[i % members.size()];
    if (!IsTensorKind(kind)) {
      const auto number = KernelNumberOf(kind, rows[i]);
      std::memcpy(call.items.data() + place, &number, BytesOfKind(kind));
    } else if (rows[i] != 0) {
      tensors.push_back(KernelTensorOf(kind, TensorOf(rows[i])));
      call.places.push_back(place);
    }
  }
}

/** On the current stream. */
inline void Launch(KernelCall call, const std::vector<at::Tensor>& tensors) {
  const auto& signature = call.kernel->signature;
  void* addresses[kMostKernelArguments + 1];
  size_t next = 0;
  size_t count = 0;
  for (const auto place : call.places) {
    const void* address = tensors[next++].data_ptr();
    std::memcpy(call.items.data() + place, &address, sizeof(address));
  }
  if (!call.items.empty()) addresses[count++] = call.items.data();
  std::array<TensorMap, kMostTensorMaps> maps;
  size_t mapped = 0;
  for (size_t i = 0; i < signature.size(); i++) {
    if (signature[i] == 't') {
      maps[mapped] = TensorMapOf(tensors[next++], call.values[i].narrow);
      addresses[count++] = &maps[mapped++];
      continue;
    }
    if (IsTensorKind(signature[i])) {
      const auto& tensor = tensors[next++];
      call.values[i].pointer = tensor.defined() ? tensor.data_ptr() : nullptr;
    }
    addresses[count++] = &call.values[i];
  }
  LaunchAttribute attribute{kProgrammaticStreamSerialization, {}, {}};
  attribute.value.flag = 1;
  const auto stream = c10::cuda::getCurrentCUDAStream().stream();
  LaunchConfig config{{call.blocks, 1, 1}, {call.threads, 1, 1}, call.kernel->sharedBytes, stream, nullptr, 0};
  if (call.kernel->early) {
    config.attributes = &attribute;
    config.count = 1;
  }
  CallsOf().kernels += 1;
  CheckDriver(NvrtcOf().launch(&config, call.kernel->function, addresses, nullptr), "launching a kernel");
}

/** kernelLaunch(kernel, blocks, threads, …arguments), of which the first are the items of a kernel that takes some. */
inline Napi::Value KernelLaunch(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"kernel", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    const auto& kernel = ExternalOf<CudaKernel>(info[0], "a kernel");
    CurrentActivity().operation = kernel.name;
    const size_t count = kernel.signature.size();
    const size_t first = kernel.items.members.empty() ? 3 : 4;
    const size_t boxed = std::count(kernel.signature.begin(), kernel.signature.end(), 't');
    if (count > kMostKernelArguments || boxed > kMostTensorMaps || info.Length() != count + first) throw ArgumentError("the kernel takes other arguments");
    KernelCall call{&kernel, info[1].As<Napi::Number>().Uint32Value(), info[2].As<Napi::Number>().Uint32Value(), {}, {}, {}};
    std::vector<at::Tensor> tensors;
    tensors.reserve(count);
    if (first == 4) TakeItems(call, info[3], tensors);
    for (size_t i = 0; i < count; i++) {
      const char kind = kernel.signature[i];
      if (kind == 't') {
        const auto boxes = info[i + first].As<Napi::Array>();
        tensors.push_back(KernelTensorOf(kind, TensorOf(info.Env(), boxes.Get(0u))));
        call.values[i] = KernelNumberOf('i', boxes.Get(1u).As<Napi::Number>().DoubleValue());
      } else if (IsTensorKind(kind)) {
        const bool absent = kind == 'p' && info[i + first].IsNull();
        tensors.push_back(absent ? at::Tensor() : KernelTensorOf(kind, TensorOf(info.Env(), info[i + first])));
      } else {
        call.values[i] = KernelNumberOf(kind, info[i + first].As<Napi::Number>().DoubleValue());
      }
    }
    if (call.blocks > 0) {
      Do(std::move(tensors), [call](const std::vector<at::Tensor>& given) { Launch(call, given); });
    }
    return info.Env().Undefined();
  });
}

/** kernelsCopyBoxes(): whether kernels may take matrices in boxes: on compute capability 9.0, with CUDA 12 or later. */
inline Napi::Value KernelsCopyBoxes(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"kernel", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    int major = 0, minor = 0;
    if (DeviceCapability() == 90) NvrtcOf().version(&major, &minor);
    return Napi::Boolean::New(info.Env(), major >= 12 && EncoderOf() != nullptr);
  });
}

inline void ExportKernels(Napi::Env env, Napi::Object exports) {
  exports.Set("kernelCompile", Napi::Function::New(env, KernelCompile, "kernelCompile"));
  exports.Set("kernelsCopyBoxes", Napi::Function::New(env, KernelsCopyBoxes, "kernelsCopyBoxes"));
  exports.Set("kernelLaunch", Napi::Function::New(env, KernelLaunch, "kernelLaunch"));
}

}  // namespace plumbline
