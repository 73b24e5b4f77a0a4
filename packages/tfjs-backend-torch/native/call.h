#pragma once
// Calling an operator from JavaScript.

#include <c10/core/InferenceMode.h>
#include <napi.h>

#include "calls.h"
#include "operator.h"
#include "recording.h"
#include "trace.h"

namespace plumbline {

constexpr size_t kMostArguments = 32;

inline torch::jit::Stack StackOf(Napi::Env env, const Operator& op, const napi_value* values, size_t count) {
  if (count > op.parameters.size()) throw ArgumentError("too many arguments");
  torch::jit::Stack stack;
  stack.reserve(op.parameters.size());
  napi_value absent = env.Undefined();
  for (size_t i = 0; i < op.parameters.size(); i++) {
    stack.push_back(Argument(env, i < count ? values[i] : absent, op.parameters[i]));
  }
  return stack;
}

inline const void* MemoryOf(const torch::jit::Stack& stack) {
  if (stack.empty() || !stack[0].isTensor()) return nullptr;
  const auto& tensor = stack[0].toTensor();
  return tensor.defined() && tensor.has_storage() ? tensor.storage().unsafeGetStorageImpl() : nullptr;
}

/** Each tensor within, lists looked through, replaced by what `each` makes of it. */
template <typename Each>
c10::IValue MapTensors(const c10::IValue& value, Each each) {
  if (value.isTensor()) return each(value.toTensor());
  if (value.isTensorList()) {
    c10::List<at::Tensor> list;
    for (const at::Tensor& tensor : value.toTensorList()) list.push_back(each(tensor));
    return list;
  }
  if (value.isOptionalTensorList()) {
    c10::List<std::optional<at::Tensor>> list;
    for (const std::optional<at::Tensor>& tensor : value.toOptionalTensorList()) {
      list.push_back(tensor ? std::optional<at::Tensor>(each(*tensor)) : std::nullopt);
    }
    return list;
  }
  return value;
}

inline void UseArguments(torch::jit::Stack& stack) {
  for (auto& value : stack) value = MapTensors(value, Used);
}

/** Gives a tensor that steps hold the memory and the shape that the operator's result has this time. */
inline void Rebind(const at::Tensor& held, const at::Tensor& result) {
  if (held.unsafeGetTensorImpl() != result.unsafeGetTensorImpl()) {
    held.unsafeGetTensorImpl()->shallow_copy_from(result.getIntrusivePtr());
  }
}

inline void RebindResult(const c10::IValue& held, const c10::IValue& result) {
  if (held.isTensor() && held.toTensor().defined()) return Rebind(held.toTensor(), result.toTensor());
  if (!held.isTensorList()) return;
  const auto before = held.toTensorVector();
  const auto after = result.toTensorVector();
  for (size_t i = 0; i < before.size(); i++) Rebind(before[i], after[i]);
}

inline void Compute(const c10::OperatorHandle& handle, const Factors& factors, torch::jit::Stack& stack) {
  const OneThread alone(IsSmall(factors, stack));
  handle.callBoxed(stack);
}

/** What has just been run becomes a step. Memory without values is taken once and stays. */
inline void RecordOperator(const Operator& op, const torch::jit::Stack& arguments, const torch::jit::Stack& results, bool isView) {
  for (const auto& result : results) MapTensors(result, Made);
  if (op.isEmpty) return;
  CurrentRecording()->steps.push_back({op.name, [handle = op.handle, factors = op.factors, arguments, results] {
                                         auto stack = arguments;
                                         Compute(handle, factors, stack);
                                         for (size_t i = 0; i < results.size(); i++) RebindResult(results[i], stack[i]);
                                       }, isView});
}

/** Returns whether it looked at memory otherwise, or took some, and computed nothing. */
inline bool Run(const Operator& op, torch::jit::Stack& stack) {
  const void* memory = op.mayBeView ? MemoryOf(stack) : nullptr;
  {
    const Stopwatch stopwatch;
    Compute(op.handle, op.factors, stack);
  }
  const bool view = op.isEmpty || (memory != nullptr && MemoryOf(stack) == memory);
  (view ? CallsOf().views : CallsOf().operators) += 1;
  return view;
}

inline Napi::Value ResultOf(Napi::Env env, const torch::jit::Stack& stack) {
  if (stack.size() == 1) return Result(env, stack[0]);
  auto results = Napi::Array::New(env, stack.size());
  // numbers among them could not be told from handles
  for (uint32_t i = 0; i < stack.size(); i++) {
    const bool alone = stack[i].isInt() || stack[i].isDouble() || stack[i].isBool();
    results.Set(i, alone ? env.Null() : Result(env, stack[i]));
  }
  return results;
}

/**
 * call(operator, ...arguments): one result, or a list of them where the operator has several, null in place of numbers;
 * none where it writes into its arguments.
 */
inline Napi::Value CallOperator(const Napi::CallbackInfo& info) {
  const auto env = info.Env();
  const size_t count = info.Length();
  CurrentActivity() = {"call", ""};
  return Guarded(env, [&]() -> Napi::Value {
    void* data = nullptr;
    if (count == 0 || napi_get_value_external(env, info[0], &data) != napi_ok || data == nullptr ||
        static_cast<Operator*>(data)->tag != Operator::kTag) {
      throw ArgumentError("expected an operator");
    }
    const auto& op = *static_cast<Operator*>(data);
    CurrentActivity().operation = op.name;
    if (count > kMostArguments) throw ArgumentError("too many arguments");
    napi_value values[kMostArguments];
    for (size_t i = 1; i < count; i++) values[i - 1] = info[i];
    c10::InferenceMode inference;
    auto stack = StackOf(env, op, values, count - 1);
    const bool recording = CurrentRecording() != nullptr;
    if (recording) UseArguments(stack);
    const auto arguments = recording ? stack : torch::jit::Stack();
    auto* tracing = TraceUnderWay().get();
    if (tracing != nullptr) tracing->Arguments(op, stack);
    // The dispatcher takes the arguments off the stack, so a second copy is kept only where it fails.
    try {
      const bool isView = Run(op, stack);
      if (recording) RecordOperator(op, arguments, stack, isView);
    } catch (...) {
      CurrentActivity().shapes = Describe(StackOf(env, op, values, count - 1));
      throw;
    }
    if (op.writes) return env.Undefined();
    const auto result = ResultOf(env, stack);
    if (tracing != nullptr) tracing->Results(op, stack);
    return result;
  });
}

}  // namespace plumbline
