#pragma once
// Devices: memory, synchronisation, seeds, threads. CUDA's share is in cuda.h.

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <ATen/ops/_nnpack_available.h>
#include <c10/util/Logging.h>
#include <napi.h>

#include <string>

#include "handle.h"

namespace plumbline {

/** Release of the library in use, which need not be that of the headers; empty where it does not say. */
inline std::string LibraryVersion() {
  static const std::string name = "TORCH_VERSION=";
  const auto text = at::show_config();
  const auto found = text.find(name);
  if (found == std::string::npos) return "";
  const auto from = found + name.size();
  return text.substr(from, text.find_first_of(", \n", from) - from);
}

/** Where NNPACK does not know the processor, libtorch would say so on standard error at each convolution it might be for. */
inline void ForgetUnusableNnpack() {
  const auto level = FLAGS_caffe2_log_level;
  FLAGS_caffe2_log_level = 2;  // errors, no warnings
  if (!at::_nnpack_available()) at::globalContext().setUserEnabledNNPACK(false);
  FLAGS_caffe2_log_level = level;
}

inline Napi::Value SetSeed(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"seed", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    at::manual_seed(static_cast<uint64_t>(info[0].As<Napi::Number>().Int64Value()));
    return info.Env().Undefined();
  });
}

inline Napi::Value SetThreads(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"threads", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    if (info.Length() > 0 && info[0].IsNumber()) at::set_num_threads(info[0].As<Napi::Number>().Int32Value());
    return Napi::Number::New(info.Env(), at::get_num_threads());
  });
}

/** deterministic(flag): the same sums in the same order on every run; an operator that has none such is refused. */
inline Napi::Value SetDeterministic(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"deterministic", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    const bool flag = info[0].ToBoolean();
    // cuBLAS takes this at its start: with less memory of its own no product is split differently from run to run
    if (flag) setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", 0);
    at::globalContext().setDeterministicAlgorithms(flag, false);
    at::globalContext().setDeterministicFillUninitializedMemory(false);
    return info.Env().Undefined();
  });
}

/** Live handles and the bytes they refer to; views count as what they show. */
inline Napi::Value HandleStatistics(const Napi::CallbackInfo& info) {
  SettleDisposals(info.Env());
  auto result = Napi::Object::New(info.Env());
  result.Set("handles", static_cast<double>(LedgerOf().handles));
  result.Set("bytes", static_cast<double>(LedgerOf().bytes));
  result.Set("collectableBytes", static_cast<double>(LedgerOf().told));
  result.Set("toldBytes", static_cast<double>(LedgerOf().told - LedgerOf().untold));
  return result;
}

}  // namespace plumbline
