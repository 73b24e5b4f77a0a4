#pragma once
// Recording traces and running them; see trace.h.

#include <napi.h>

#include <utility>
#include <vector>

#include "call.h"
#include "recording.h"
#include "trace.h"

namespace plumbline {

/** Null for an input that is absent. */
inline std::vector<at::Tensor> TensorsOf(Napi::Env env, Napi::Value value) {
  std::vector<at::Tensor> tensors;
  ForEach(env, value, {Kind::Tensors, false, std::nullopt, "tensors"}, [&](napi_value element) {
    tensors.push_back(IsAbsent(env, element) ? at::Tensor() : TensorOf(env, element));
  });
  return tensors;
}

inline Layout LayoutOf(const std::vector<at::Tensor>& tensors) {
  Layout layout;
  layout.reserve(8 * tensors.size());
  for (const auto& tensor : tensors) {
    if (!tensor.defined()) {
      layout.push_back(-1);
      continue;
    }
    layout.push_back(static_cast<int64_t>(tensor.scalar_type()));
    layout.push_back(static_cast<int64_t>(tensor.device().type()));
    layout.push_back(tensor.dim());
    layout.insert(layout.end(), tensor.sizes().begin(), tensor.sizes().end());
    layout.insert(layout.end(), tensor.strides().begin(), tensor.strides().end());
  }
  return layout;
}

inline torch::jit::Stack Filled(const Step& step, const std::vector<at::Tensor>& tensors) {
  torch::jit::Stack stack = step.arguments;
  for (const auto& [argument, element, tensor] : step.holes) {
    if (!element) {
      stack[argument] = tensors[tensor];
      continue;
    }
    if (*element == 0) stack[argument] = c10::List<at::Tensor>();
    stack[argument].toTensorList().push_back(tensors[tensor]);
  }
  return stack;
}

/** The outputs of a program, after the other tensors it made are gone. */
inline std::vector<at::Tensor> RunProgram(const Program& program, std::vector<at::Tensor> tensors) {
  for (const auto& step : program.steps) {
    CurrentActivity().operation = step.op->name;
    auto stack = Filled(step, tensors);
    try {
      Run(*step.op, stack);
    } catch (...) {
      CurrentActivity().shapes = Describe(Filled(step, tensors));
      throw;
    }
    if (step.op->writes) continue;
    for (auto& result : Tracing::TensorsOf(stack)) tensors.push_back(std::move(result));
  }
  std::vector<at::Tensor> outputs;
  for (const auto output : program.outputs) outputs.push_back(tensors[output]);
  return outputs;
}

inline Trace& TraceOf(napi_env env, napi_value value) {
  void* data = nullptr;
  if (napi_get_value_external(env, value, &data) != napi_ok || data == nullptr) throw ArgumentError("expected a trace");
  return *static_cast<Trace*>(data);
}

/** traceNew(): an empty trace. */
inline Napi::Value TraceNew(const Napi::CallbackInfo& info) {
  return Napi::External<Trace>::New(info.Env(), new Trace, [](Napi::Env, Trace* collected) { delete collected; });
}

/** traceRun(trace, tensors): its outputs; undefined where there is no trace of such tensors, null where there can be none. */
inline Napi::Value TraceRun(const Napi::CallbackInfo& info) {
  const auto env = info.Env();
  CurrentActivity() = {"trace", ""};
  return Guarded(env, [&]() -> Napi::Value {
    // every operator is to be seen by what records a whole step
    if (CurrentRecording() != nullptr) return env.Null();
    auto tensors = TensorsOf(env, info[1]);
    const auto& programs = TraceOf(env, info[0]).programs;
    const auto found = programs.find(LayoutOf(tensors));
    if (found == programs.end()) return env.Undefined();
    if (found->second == nullptr) return env.Null();
    c10::InferenceMode inference;
    auto outputs = RunProgram(*found->second, std::move(tensors));
    auto handles = Napi::Array::New(env, outputs.size());
    for (uint32_t i = 0; i < outputs.size(); i++) handles.Set(i, Wrap(env, std::move(outputs[i])));
    return handles;
  });
}

/** traceBegin(trace, tensors): what is called from here on is recorded, until traceEnd. */
inline Napi::Value TraceBegin(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"trace", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    const auto tensors = TensorsOf(info.Env(), info[1]);
    TraceUnderWay() = std::make_unique<Tracing>(&TraceOf(info.Env(), info[0]), LayoutOf(tensors), tensors);
    return info.Env().Undefined();
  });
}

/** traceEnd(outputs): keeps the recording; drops it where there are none. */
inline Napi::Value TraceEnd(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"trace", ""};
  const auto tracing = std::exchange(TraceUnderWay(), nullptr);
  return Guarded(info.Env(), [&]() -> Napi::Value {
    if (tracing != nullptr && info[0].IsArray()) tracing->End(TensorsOf(info.Env(), info[0]));
    return info.Env().Undefined();
  });
}

}  // namespace plumbline
