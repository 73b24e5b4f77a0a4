#pragma once
// Recording traces and running them; see trace.h.

#include <napi.h>

#include <utility>
#include <vector>

#include "call.h"
#include "joined.h"
#include "mailbox.h"
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

inline void RunKernel(const Step& step, const std::vector<at::Tensor>& tensors) {
  std::vector<at::Tensor> given;
  given.reserve(step.tensors.size());
  for (const auto place : step.tensors) given.push_back(place == kAbsent ? at::Tensor() : tensors[place]);
  CurrentActivity().operation = step.name;
  const Stopwatch stopwatch;
  step.kernel(given);
}

inline at::Tensor NewMemory(const Memory& memory) {
  CallsOf().views += 1;
  const Stopwatch stopwatch;
  try {
    return at::empty(memory.sizes, memory.options);
  } catch (...) {
    std::ostringstream text;
    text << c10::typeMetaToScalarType(memory.options.dtype()) << at::IntArrayRef(memory.sizes);
    CurrentActivity() = {"empty", text.str()};
    throw;
  }
}

inline void RunOperator(const Step& step, std::vector<at::Tensor>& tensors) {
  CurrentActivity().operation = step.op->name;
  auto stack = Filled(step, tensors);
  try {
    Run(*step.op, stack);
  } catch (...) {
    CurrentActivity().shapes = Describe(Filled(step, tensors));
    throw;
  }
  if (step.op->writes) return;
  for (auto& value : stack) {
    if (value.isTensor()) {
      tensors.push_back(std::move(value).toTensor());
    } else if (value.isTensorList()) {
      for (const at::Tensor& tensor : value.toTensorList()) tensors.push_back(tensor);
    }
  }
}

/** Whether tensors lie to each other as they did when it was recorded. */
inline bool RunJoining(const Step& step, std::vector<at::Tensor>& tensors) {
  CallsOf().views += 1;
  std::vector<at::Tensor> parts;
  parts.reserve(step.tensors.size());
  for (const auto place : step.tensors) parts.push_back(tensors[place]);
  auto whole = JoinedOf(parts, step.joining->axis);
  const bool alike = whole.defined() == step.joining->joined;
  tensors.push_back(std::move(whole));
  return alike;
}

/** The outputs of a program, after the other tensors it made are gone; nothing is done where tensors lie otherwise to each other. */
inline std::optional<std::vector<at::Tensor>> RunProgram(const Program& program, std::vector<at::Tensor> tensors) {
  for (const auto& step : program.steps) {
    if (step.op != nullptr) {
      RunOperator(step, tensors);
    } else if (step.memory) {
      tensors.push_back(NewMemory(*step.memory));
    } else if (step.view) {
      CallsOf().views += 1;
      tensors.push_back(ViewOf(tensors[step.view->base], *step.view));
    } else if (step.joining) {
      if (!RunJoining(step, tensors)) return std::nullopt;
    } else {
      RunKernel(step, tensors);
    }
  }
  std::vector<at::Tensor> outputs;
  outputs.reserve(program.outputs.size());
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
    if (!outputs) return env.Null();
    auto handles = Napi::Array::New(env, outputs->size());
    for (uint32_t i = 0; i < outputs->size(); i++) handles.Set(i, Wrap(env, std::move((*outputs)[i])));
    return handles;
  });
}

/** What the trace under way is to become a part of. */
struct Becoming {
  Trace* trace;
  Layout layout;
};

inline Becoming& TraceBeing() {
  static thread_local Becoming becoming;
  return becoming;
}

/** traceBegin(trace, tensors): what is called from here on is recorded, until traceEnd. */
inline Napi::Value TraceBegin(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"trace", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    const auto tensors = TensorsOf(info.Env(), info[1]);
    TraceBeing() = {&TraceOf(info.Env(), info[0]), LayoutOf(tensors)};
    TraceUnderWay() = std::make_unique<Tracing>(tensors);
    return info.Env().Undefined();
  });
}

/** traceEnd(outputs): keeps the recording; drops it where there are none. */
inline Napi::Value TraceEnd(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"trace", ""};
  const auto tracing = std::exchange(TraceUnderWay(), nullptr);
  return Guarded(info.Env(), [&]() -> Napi::Value {
    if (tracing == nullptr || !info[0].IsArray()) return info.Env().Undefined();
    auto& [trace, layout] = TraceBeing();
    if (trace->programs.size() >= Trace::kMost) trace->programs.clear();
    trace->programs[std::move(layout)] = tracing->End(TensorsOf(info.Env(), info[0]));
    return info.Env().Undefined();
  });
}

/** Programs that JavaScript finds by itself; those of numbers that were given back are null. */
struct Programs {
  std::vector<std::unique_ptr<Program>> all;
  std::vector<uint32_t> free;
};

inline Programs& ProgramsOf() {
  static thread_local auto* programs = new Programs;
  return *programs;
}

/** programBegin(tensors): what is called from here on is recorded, until programEnd. */
inline Napi::Value ProgramBegin(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"program", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    TraceUnderWay() = std::make_unique<Tracing>(TensorsOf(info.Env(), info[0]));
    return info.Env().Undefined();
  });
}

/** programEnd(outputs): the number of a program, or -1 where what was called cannot be called again or there are no outputs. */
inline Napi::Value ProgramEnd(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"program", ""};
  const auto tracing = std::exchange(TraceUnderWay(), nullptr);
  return Guarded(info.Env(), [&]() -> Napi::Value {
    auto program = tracing == nullptr || !info[0].IsArray() ? nullptr : tracing->End(TensorsOf(info.Env(), info[0]));
    if (program == nullptr || program->outputs.size() > kMostOperands) return Napi::Number::New(info.Env(), -1);
    auto& [all, free] = ProgramsOf();
    if (free.empty()) {
      free.push_back(static_cast<uint32_t>(all.size()));
      all.emplace_back();
    }
    const auto number = free.back();
    free.pop_back();
    all[number] = std::move(program);
    return Napi::Number::New(info.Env(), number);
  });
}

inline const Program& ProgramOf(const Napi::CallbackInfo& info) {
  const auto number = info[0].As<Napi::Number>().Uint32Value();
  const auto& all = ProgramsOf().all;
  if (number >= all.size() || all[number] == nullptr) throw ArgumentError("there is no such program");
  return *all[number];
}

/** programRun(number): runs it on the first operands; its outputs are put in their place. False where they lie otherwise to each other. */
inline Napi::Value ProgramRun(const Napi::CallbackInfo& info) {
  const auto env = info.Env();
  CurrentActivity() = {"program", ""};
  return Guarded(env, [&]() -> Napi::Value {
    const auto& program = ProgramOf(info);
    double* operands = MailboxOf().operands;
    std::vector<at::Tensor> tensors;
    tensors.reserve(program.inputs + 4 * program.steps.size());
    for (size_t i = 0; i < program.inputs; i++) tensors.push_back(TensorOf(operands[i]));
    c10::InferenceMode inference;
    auto outputs = RunProgram(program, std::move(tensors));
    if (!outputs) return Napi::Boolean::New(env, false);
    for (size_t i = 0; i < outputs->size(); i++) operands[i] = NewHandle(env, std::move((*outputs)[i]));
    return Napi::Boolean::New(env, true);
  });
}

/** programReset(number): frees it. */
inline Napi::Value ProgramReset(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"program", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    ProgramOf(info);
    const auto number = info[0].As<Napi::Number>().Uint32Value();
    ProgramsOf().all[number] = nullptr;
    ProgramsOf().free.push_back(number);
    return info.Env().Undefined();
  });
}

/** layout(handle): a number for the dtype, device, sizes and strides of its tensor. After very many it begins anew, with others. */
inline Napi::Value LayoutNumber(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"layout", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    constexpr size_t kMost = 1 << 16;
    static thread_local std::map<Layout, int64_t> numbers;
    static thread_local int64_t next = 1;
    if (numbers.size() >= kMost) numbers.clear();
    const auto [place, isNew] = numbers.emplace(LayoutOf({TensorOf(info.Env(), info[0])}), next);
    if (isNew) next += 1;
    return Napi::Number::New(info.Env(), static_cast<double>(place->second));
  });
}

}  // namespace plumbline
