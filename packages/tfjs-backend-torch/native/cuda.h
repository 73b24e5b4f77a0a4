#pragma once
// CUDA: start-up, memory statistics, events, graphs with private pools, kernels compiled at run time.

#include <ATen/Context.h>
#include <ATen/cuda/CUDAContext.h>
#include <ATen/cuda/CUDAEvent.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/core/InferenceMode.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <napi.h>

#include <memory>
#include <optional>

#include "beside.h"
#include "handle.h"
#include "peer-loss.h"

namespace plumbline {

namespace allocator = c10::cuda::CUDACachingAllocator;

inline int64_t CudaFreeBytes() {
  size_t free = 0;
  size_t total = 0;
  return cudaMemGetInfo(&free, &total) == cudaSuccess ? static_cast<int64_t>(free) : -1;
}

/** cudaStart(index): name, memory and multiprocessors of the device, which becomes the current one. */
inline Napi::Value CudaStart(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"cuda", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    const int index = info[0].As<Napi::Number>().Int32Value();
    const int devices = c10::cuda::device_count();
    if (index >= devices) {
      throw ArgumentError("there is no CUDA device " + std::to_string(index) + "; this machine has " + std::to_string(devices));
    }
    at::globalContext().lazyInitDevice(c10::DeviceType::CUDA);
    c10::cuda::set_device(static_cast<c10::DeviceIndex>(index));
    FreeDeviceBytes = CudaFreeBytes;
    UploadAside = UploadBeside;
    const auto* properties = at::cuda::getDeviceProperties(index);
    auto result = Napi::Object::New(info.Env());
    result.Set("name", std::string(properties->name));
    result.Set("bytes", static_cast<double>(properties->totalGlobalMem));
    result.Set("multiprocessors", properties->multiProcessorCount);
    result.Set("capability", properties->major * 10 + properties->minor);
    return result;
  });
}

inline Napi::Value CudaSynchronize(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"synchronize", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    c10::cuda::device_synchronize();
    CheckPeers();
    return info.Env().Undefined();
  });
}

/** cudaSplitK(allowed): whether products of 16-bit numbers may be added up along their common axis in several pieces, as at first. */
inline Napi::Value CudaSplitK(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"splitK", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 11)
    const bool allowed = info[0].As<Napi::Boolean>().Value();
    // it warns that the choice of a library is experimental
    const c10::WarningUtils::WarningHandlerGuard quiet(SilentWarnings());
    auto& context = at::globalContext();
    // cuBLASLt alone can be forbidden to
    context.setBlasPreferredBackend(allowed ? at::BlasBackend::Default : at::BlasBackend::Cublaslt);
    context.setAllowBF16ReductionCuBLAS(/*allow_reduced_precision=*/allowed, /*allow_splitk=*/allowed);
#else
    throw ArgumentError("batch-invariant products need torch 2.11 or later; this is torch " TORCH_VERSION);
#endif
    return info.Env().Undefined();
  });
}

/** cudaMemory(resetPeaks): the caching allocator's figures for the current device, in bytes. */
inline Napi::Value CudaMemory(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"memory", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    const auto device = c10::cuda::current_device();
    const auto statistics = allocator::getDeviceStats(device);
    constexpr auto aggregate = 0;
    auto result = Napi::Object::New(info.Env());
    result.Set("allocated", static_cast<double>(statistics.allocated_bytes[aggregate].current));
    result.Set("peakAllocated", static_cast<double>(statistics.allocated_bytes[aggregate].peak));
    result.Set("reserved", static_cast<double>(statistics.reserved_bytes[aggregate].current));
    result.Set("peakReserved", static_cast<double>(statistics.reserved_bytes[aggregate].peak));
    result.Set("free", static_cast<double>(CudaFreeBytes()));
    if (info.Length() > 0 && info[0].ToBoolean()) allocator::resetPeakStats(device);
    return result;
  });
}

inline Napi::Value CudaEmptyCache(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"emptyCache", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    allocator::emptyCache();
    return info.Env().Undefined();
  });
}

/** eventRecord(): an event on the current stream. */
inline Napi::Value EventRecord(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"eventRecord", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    auto event = std::make_unique<at::cuda::CUDAEvent>(cudaEventDefault);
    event->record();
    return Napi::External<at::cuda::CUDAEvent>::New(info.Env(), event.release(),
                                                    [](Napi::Env, at::cuda::CUDAEvent* collected) { delete collected; });
  });
}

template <typename T>
T& ExternalOf(Napi::Value value, const char* expected) {
  if (!value.IsExternal()) throw ArgumentError(std::string("expected ") + expected);
  return *value.As<Napi::External<T>>().Data();
}

inline Napi::Value EventDone(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"eventDone", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    return Napi::Boolean::New(info.Env(), ExternalOf<at::cuda::CUDAEvent>(info[0], "an event").query());
  });
}

/** eventElapsed(from, to): milliseconds between two events; waits for the second. */
inline Napi::Value EventElapsed(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"eventElapsed", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    auto& to = ExternalOf<at::cuda::CUDAEvent>(info[1], "an event");
    to.synchronize();
    CheckPeers();
    return Napi::Number::New(info.Env(), ExternalOf<at::cuda::CUDAEvent>(info[0], "an event").elapsed_time(to));
  });
}

struct Graph {
  at::cuda::CUDAGraph graph;
  c10::cuda::CUDAStream stream = c10::cuda::getStreamFromPool();
  std::optional<c10::cuda::CUDAStreamGuard> guard;
};

/** graphBegin(): what is called from here on is recorded, its memory taken from a pool of the graph's own. */
inline Napi::Value GraphBegin(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"graphBegin", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    c10::cuda::device_synchronize();
    auto graph = std::make_unique<Graph>();
    graph->guard.emplace(graph->stream);
    graph->graph.capture_begin(at::cuda::graph_pool_handle());
    return Napi::External<Graph>::New(info.Env(), graph.release(), [](Napi::Env, Graph* collected) { delete collected; });
  });
}

inline Napi::Value GraphEnd(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"graphEnd", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    auto& graph = ExternalOf<Graph>(info[0], "a graph");
    try {
      graph.graph.capture_end();
    } catch (...) {
      graph.guard.reset();
      throw;
    }
    graph.guard.reset();
    return info.Env().Undefined();
  });
}

inline Napi::Value GraphReplay(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"graphReplay", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    ExternalOf<Graph>(info[0], "a graph").graph.replay();
    return info.Env().Undefined();
  });
}

/** Frees the graph and its pool now. */
inline Napi::Value GraphReset(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"graphReset", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    ExternalOf<Graph>(info[0], "a graph").graph.reset();
    return info.Env().Undefined();
  });
}

inline void ExportCuda(Napi::Env env, Napi::Object exports) {
  const auto add = [&](const char* name, Napi::Value (*f)(const Napi::CallbackInfo&)) {
    exports.Set(name, Napi::Function::New(env, f, name));
  };
  add("cudaStart", CudaStart);
  add("cudaSynchronize", CudaSynchronize);
  add("cudaSplitK", CudaSplitK);
  add("cudaMemory", CudaMemory);
  add("cudaEmptyCache", CudaEmptyCache);
  add("eventRecord", EventRecord);
  add("eventDone", EventDone);
  add("eventElapsed", EventElapsed);
  add("graphBegin", GraphBegin);
  add("graphEnd", GraphEnd);
  add("graphReplay", GraphReplay);
  add("graphReset", GraphReset);
}

}  // namespace plumbline
