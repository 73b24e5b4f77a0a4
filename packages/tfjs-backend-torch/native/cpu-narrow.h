#pragma once
// Numbers of 16 bits on the CPU.

#include <ATen/core/dispatch/Dispatcher.h>
#include <napi.h>

#include "errors.h"

namespace plumbline {

/** multipliesNarrow(scalarType): whether libtorch has products of such numbers here that are not made number by number. */
inline Napi::Value MultipliesNarrow(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"multipliesNarrow", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    const auto type = static_cast<at::ScalarType>(info[0].As<Napi::Number>().Int32Value());
    const char* name = type == at::kBFloat16 ? "mkldnn::_is_mkldnn_bf16_supported"
                       : type == at::kHalf   ? "mkldnn::_is_mkldnn_fp16_supported"
                                             : nullptr;
    if (name == nullptr) return Napi::Boolean::New(info.Env(), true);
    // a libtorch without oneDNN has no such operator
    const auto op = c10::Dispatcher::singleton().findSchema({name, ""});
    torch::jit::Stack stack;
    if (op) op->callBoxed(stack);
    return Napi::Boolean::New(info.Env(), op && stack.back().toBool());
  });
}

}  // namespace plumbline
