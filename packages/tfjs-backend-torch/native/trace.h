#pragma once
// Traces: operators and kernels as they were called once for tensors of some layout, called again for such tensors in one
// crossing.

#include <ATen/Functions.h>
#include <napi.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
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

/** A kernel of ours, on the tensors it was given when it was recorded or others of their layouts. */
using OwnKernel = std::function<void(const std::vector<at::Tensor>&)>;

/** Memory without values. */
struct Memory {
  std::vector<int64_t> sizes;
  at::TensorOptions options;
};

/** A tensor on another's memory: how it lies, and from how far behind the other's beginning on. */
struct View {
  size_t base;
  std::vector<int64_t> sizes;
  std::vector<int64_t> strides;
  int64_t distance;
};

/** Without the dispatcher, which takes longer than the view itself. */
inline at::Tensor ViewOf(const at::Tensor& base, const View& view) {
  auto made = at::detail::make_tensor<c10::TensorImpl>(c10::TensorImpl::VIEW, c10::Storage(base.storage()),
                                                       base.key_set(), base.dtype());
  made.unsafeGetTensorImpl()->set_sizes_and_strides(view.sizes, view.strides, base.storage_offset() + view.distance);
  return made;
}

/** Tensors that were asked whether they lie side by side along an axis, and what the answer was. */
struct Joining {
  int64_t axis;
  bool joined;
};

/** The call of an operator, or of a kernel of ours, or a tensor: one that those fill, a view, one over others beside each other. */
struct Step {
  const Operator* op = nullptr;
  /** With empty places where tensors go. */
  torch::jit::Stack arguments;
  std::vector<Hole> holes;
  OwnKernel kernel;
  /** What the kernel is called, and which tensors it is given. */
  std::string_view name;
  std::vector<size_t> tensors;
  std::optional<Memory> memory;
  std::optional<View> view;
  std::optional<Joining> joining;
};

/** Of a kernel's tensors: one that is absent. */
constexpr size_t kAbsent = SIZE_MAX;

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

/** What is called while a program is recorded. */
class Tracing {
 public:
  explicit Tracing(const std::vector<at::Tensor>& inputs) : program_(std::make_unique<Program>()) {
    program_->inputs = inputs.size();
    for (const auto& input : inputs) Number(input);
    // what is done with one tensor twice says nothing of two
    size_t known = 0;
    for (const auto& input : inputs) known += input.defined();
    if (numbers_.size() < known) Forbid();
  }

  /** Something is done that depends on more than layouts, or that is no operator. */
  void Forbid() {
    program_ = nullptr;
    numbers_.clear();
    held_.clear();
  }

  void Arguments(const Operator& op, const torch::jit::Stack& stack) {
    if (program_ == nullptr) return;
    wrote_ |= op.writes;
    Step step;
    step.op = &op;
    step.arguments = stack;
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
    if (op.mayBeView) NoteView(stack);
    for (const auto& tensor : TensorsOf(stack)) Number(tensor);
  }

  /** A kernel of ours is called; undefined tensors are absent. */
  void Kernel(std::string_view name, const std::vector<at::Tensor>& tensors, OwnKernel kernel) {
    if (program_ == nullptr) return;
    wrote_ = true;
    Step step;
    step.name = name;
    step.kernel = std::move(kernel);
    for (const auto& tensor : tensors) {
      const auto found = tensor.defined() ? numbers_.find(tensor.unsafeGetTensorImpl()) : numbers_.end();
      if (tensor.defined() && found == numbers_.end()) return Forbid();
      step.tensors.push_back(tensor.defined() ? found->second : kAbsent);
    }
    program_->steps.push_back(std::move(step));
  }

  /** Memory without values is made. */
  void Memory(const at::Tensor& tensor) {
    if (program_ == nullptr) return;
    Step step;
    step.memory = {tensor.sizes().vec(), tensor.options()};
    program_->steps.push_back(std::move(step));
    Number(tensor);
  }

  /**
   * Tensors are asked whether they are one, `whole`. A replay asks again, and goes on where the answer is the same; so nothing
   * may have been written before.
   */
  void Join(const std::vector<at::Tensor>& parts, int64_t axis, const at::Tensor& whole) {
    if (program_ == nullptr) return;
    Step step;
    step.joining = {axis, whole.defined()};
    for (const auto& part : parts) {
      const auto found = numbers_.find(part.unsafeGetTensorImpl());
      if (wrote_ || found == numbers_.end()) return Forbid();
      step.tensors.push_back(found->second);
    }
    program_->steps.push_back(std::move(step));
    Number(whole);
  }

  /** The program, null where what was called cannot be called again. */
  std::unique_ptr<Program> End(const std::vector<at::Tensor>& outputs) {
    for (const auto& output : outputs) {
      const auto found = numbers_.find(output.unsafeGetTensorImpl());
      if (program_ == nullptr || found == numbers_.end() || found->second < program_->inputs) return nullptr;
      program_->outputs.push_back(found->second);
    }
    return std::move(program_);
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
  /** Where the last step gave a view of its first tensor, and nothing else, the view is all that is kept of it. */
  void NoteView(const torch::jit::Stack& results) {
    const auto& holes = program_->steps.back().holes;
    if (results.size() != 1 || !results[0].isTensor() || holes.empty() || holes[0].argument != 0 || holes[0].element) return;
    const auto& result = results[0].toTensor();
    const auto& base = held_[holes[0].tensor];
    if (!result.defined() || !result.is_alias_of(base) || result.dtype() != base.dtype()) return;
    Step step;
    const auto distance = result.storage_offset() - base.storage_offset();
    step.view = {holes[0].tensor, result.sizes().vec(), result.strides().vec(), distance};
    program_->steps.back() = std::move(step);
  }

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

  std::unique_ptr<Program> program_;
  /** Alive until the end, so that no other comes to lie where one was. */
  std::vector<at::Tensor> held_;
  std::unordered_map<const c10::TensorImpl*, size_t> numbers_;
  /** Whether a tensor may have been written that is seen outside. */
  bool wrote_ = false;
};

/** The one under way. */
inline std::unique_ptr<Tracing>& TraceUnderWay() {
  static thread_local std::unique_ptr<Tracing> tracing;
  return tracing;
}

/** Something is done that depends on more than layouts, or that cannot be done again. */
inline void ForbidTrace() {
  if (TraceUnderWay() != nullptr) TraceUnderWay()->Forbid();
}

/** Has the trace under way, where there is one, know memory that was made. */
inline const at::Tensor& TracedMemory(const at::Tensor& tensor) {
  if (TraceUnderWay() != nullptr) TraceUnderWay()->Memory(tensor);
  return tensor;
}

}  // namespace plumbline
