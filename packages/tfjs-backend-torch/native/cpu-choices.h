#pragma once
// Which products the processor and the libraries make quicker.

#include <ATen/core/dispatch/Dispatcher.h>
#include <napi.h>

#include "errors.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define PLUMBLINE_X86
#include <cpuid.h>
#endif

namespace plumbline {

/**
 * Whether the processor multiplies pairs of bfloat16 quicker than float32. Intel's do by their matrix tiles (AMX) alone: their
 * vectors take such pairs at half of float32's rate.
 */
inline bool BfloatPays() {
#ifdef PLUMBLINE_X86
  if (!__builtin_cpu_is("intel")) return true;
  unsigned a = 0, b = 0, c = 0, d = 0;
  constexpr unsigned kTiles = 1u << 22, kSaved = 1u << 27;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & kTiles) == 0) return false;
  // the system has to keep tiles, too
  if (!__get_cpuid(1, &a, &b, &c, &d) || (c & kSaved) == 0) return false;
  unsigned low = 0, high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  constexpr unsigned kTileState = 3u << 17;
  return (low & kTileState) == kTileState;
#else
  return true;
#endif
}

/**
 * Whether oneDNN multiplies float32 quicker than MKL, which uses AVX-512 on Intel's processors alone. Products of few numbers
 * are MKL's anyway.
 */
inline bool OneDnnPays() {
#ifdef PLUMBLINE_X86
  return !__builtin_cpu_is("intel") && __builtin_cpu_supports("avx512f");
#else
  return false;
#endif
}

/** onednnMultiplies(): whether float32 products are quicker by oneDNN here, and this libtorch has it. */
inline Napi::Value OneDnnMultiplies(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"onednnMultiplies", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    const auto op = c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""});
    return Napi::Boolean::New(info.Env(), op && OneDnnPays());
  });
}

/**
 * multipliesNarrow(scalarType): whether libtorch has products of such numbers here that are not made number by number, and at
 * no lower rate than those of float32.
 */
inline Napi::Value MultipliesNarrow(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"multipliesNarrow", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    const auto type = static_cast<at::ScalarType>(info[0].As<Napi::Number>().Int32Value());
    const char* name = type == at::kBFloat16 ? "mkldnn::_is_mkldnn_bf16_supported"
                       : type == at::kHalf   ? "mkldnn::_is_mkldnn_fp16_supported"
                                             : nullptr;
    if (name == nullptr) return Napi::Boolean::New(info.Env(), true);
    static const bool pays = BfloatPays();
    if (type == at::kBFloat16 && !pays) return Napi::Boolean::New(info.Env(), false);
    // a libtorch without oneDNN has no such operator
    const auto op = c10::Dispatcher::singleton().findSchema({name, ""});
    torch::jit::Stack stack;
    if (op) op->callBoxed(stack);
    return Napi::Boolean::New(info.Env(), op && stack.back().toBool());
  });
}

}  // namespace plumbline
