#pragma once
// Traces: operators as they were called once for tensors of some layout, called again for such tensors in one crossing.

#include <napi.h>

#include <map>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "operator.h"

namespace plumbline {

/** Where among a step's arguments a tensor belongs: the argument itself, or an element of a list. */
struct Hole {
  size_t argument;
  std::optional<size_t> element;
  /** Tensors of a program are numbered: its inputs first, then results in their order. */
  size_t tensor;
};

struct Step {
  const Operator* op;
  /** With empty places where tensors go. */
  torch::jit::Stack arguments;
  std::vector<Hole> holes;
};

struct Program {
  std::vector<Step> steps;
  size_t inputs = 0;
  std::vector<size_t> outputs;
};

/** Dtypes, devices, sizes and strides. */
using Layout = std::vector<int64_t>;

/** Programs by the layout of their inputs; none where what was called cannot be called again like that. */
struct Trace {
  static constexpr size_t kMost = 256;
  std::map<Layout, std::unique_ptr<Program>> programs;
};

/** What is called while a trace is recorded. */
class Tracing {
 public:
  Tracing(Trace* trace, Layout layout, const std::vector<at::Tensor>& inputs)
      : trace_(trace), layout_(std::move(layout)), program_(std::make_unique<Program>()) {
    program_->inputs = inputs.size();
    for (const auto& input : inputs) Number(input);
  }

  /** Something is done that depends on more than layouts, or that is no operator. */
  void Forbid() {
    program_ = nullptr;
    numbers_.clear();
    held_.clear();
  }

  void Arguments(const Operator& op, const torch::jit::Stack& stack) {
    if (program_ == nullptr) return;
    Step step{&op, stack, {}};
    bool known = true;
    for (size_t i = 0; i < stack.size(); i++) {
      const auto& value = stack[i];
      if (value.isTensor() && value.toTensor().defined()) {
        known &= Punch(step, {i, std::nullopt, 0}, value.toTensor());
        step.arguments[i] = at::Tensor();
      } else if (value.isTensorList()) {
        const auto list = value.toTensorVector();
        for (size_t j = 0; j < list.size(); j++) known &= Punch(step, {i, j, 0}, list[j]);
        step.arguments[i] = std::vector<at::Tensor>(list.size());
      } else if (value.isList() && value.toListRef().size() > 0 && HasTensors(value.toListRef())) {
        known = false;
      }
    }
    if (known) {
      program_->steps.push_back(std::move(step));
    } else {
      Forbid();
    }
  }

  void Results(const Operator& op, const torch::jit::Stack& stack) {
    if (program_ == nullptr || op.writes) return;
    for (const auto& tensor : TensorsOf(stack)) Number(tensor);
  }

  void End(const std::vector<at::Tensor>& outputs) {
    for (const auto& output : outputs) {
      const auto found = numbers_.find(output.unsafeGetTensorImpl());
      if (program_ == nullptr || found == numbers_.end() || found->second < program_->inputs) {
        Forbid();
        break;
      }
      program_->outputs.push_back(found->second);
    }
    if (trace_->programs.size() >= Trace::kMost) trace_->programs.clear();
    trace_->programs[std::move(layout_)] = std::move(program_);
  }

  static std::vector<at::Tensor> TensorsOf(const torch::jit::Stack& stack) {
    std::vector<at::Tensor> tensors;
    for (const auto& value : stack) {
      if (value.isTensor()) {
        tensors.push_back(value.toTensor());
      } else if (value.isTensorList()) {
        for (const at::Tensor& tensor : value.toTensorList()) tensors.push_back(tensor);
      }
    }
    return tensors;
  }

 private:
  static bool HasTensors(c10::ArrayRef<c10::IValue> values) {
    for (const auto& value : values) {
      if (value.isTensor()) return true;
    }
    return false;
  }

  bool Punch(Step& step, Hole hole, const at::Tensor& tensor) {
    const auto found = numbers_.find(tensor.unsafeGetTensorImpl());
    if (found == numbers_.end()) return false;
    hole.tensor = found->second;
    step.holes.push_back(hole);
    return true;
  }

  void Number(const at::Tensor& tensor) {
    if (tensor.defined()) numbers_.emplace(tensor.unsafeGetTensorImpl(), held_.size());
    held_.push_back(tensor);
  }

  Trace* trace_;
  Layout layout_;
  std::unique_ptr<Program> program_;
  /** Alive until the end, so that no other comes to lie where one was. */
  std::vector<at::Tensor> held_;
  std::unordered_map<const c10::TensorImpl*, size_t> numbers_;
};

/** The one under way. */
inline std::unique_ptr<Tracing>& TraceUnderWay() {
  static thread_local std::unique_ptr<Tracing> tracing;
  return tracing;
}

inline void ForbidTraceUnderWay() {
  if (TraceUnderWay() != nullptr) TraceUnderWay()->Forbid();
}

}  // namespace plumbline
