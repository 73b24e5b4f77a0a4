#pragma once
// Work on the CPU that is done again without JavaScript: the counterpart of a CUDA graph.

#include <ATen/Functions.h>
#include <ATen/core/Tensor.h>
#include <c10/core/InferenceMode.h>
#include <napi.h>

#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

#include "calls.h"
#include "handle.h"
#include "team.h"
#include "trace.h"

namespace plumbline {

/**
 * What was called while it was the current one, in order. A tensor that one of the calls made is the same object in all
 * replays: its values, or its memory, are new. A tensor that was there before is seen through an alias that owns nothing, so
 * that recording it does not make its memory shared.
 */
struct Recording {
  struct Step {
    std::string name;
    std::function<void()> run;
    /** Whether a team may run it: it shares out its work by ParallelFor or has none. Libtorch's operators would have one thread. */
    bool fitsTeam;
  };

  /** The tensor that steps use in place of another; the weak reference keeps the other's address from being used anew. */
  struct Known {
    at::Tensor tensor;
    c10::weak_intrusive_ptr<c10::TensorImpl> original;
  };

  std::vector<Step> steps;
  std::unordered_map<const c10::TensorImpl*, Known> known;
  /** Memory of what was there before. */
  std::vector<c10::weak_intrusive_ptr<c10::StorageImpl>> borrowed;
};

inline Recording*& CurrentRecording() {
  static thread_local Recording* current = nullptr;
  return current;
}

inline void Remember(const at::Tensor& original, const at::Tensor& tensor) {
  const auto weak = [](const at::Tensor& t) { return c10::weak_intrusive_ptr<c10::TensorImpl>(t.getIntrusivePtr()); };
  auto& known = CurrentRecording()->known;
  known.insert_or_assign(tensor.unsafeGetTensorImpl(), Recording::Known{tensor, weak(tensor)});
  known.insert_or_assign(original.unsafeGetTensorImpl(), Recording::Known{tensor, weak(original)});
}

/** The tensor as a step is to hold it: itself, unless work is being recorded and it was there before. */
inline at::Tensor Used(const at::Tensor& tensor) {
  auto* recording = CurrentRecording();
  if (recording == nullptr || !tensor.defined()) return tensor;
  const auto found = recording->known.find(tensor.unsafeGetTensorImpl());
  if (found != recording->known.end()) return found->second.tensor;
  const auto alias = at::from_blob(tensor.data_ptr(), tensor.sizes(), tensor.strides(), tensor.options());
  recording->borrowed.emplace_back(tensor.storage().getWeakStorageImpl());
  Remember(tensor, alias);
  return alias;
}

/** Whether the recording under way made the tensor. */
inline bool IsOfRecording(const at::Tensor& tensor) {
  const auto* recording = CurrentRecording();
  if (recording == nullptr) return false;
  const auto found = recording->known.find(tensor.unsafeGetTensorImpl());
  return found != recording->known.end() && found->second.tensor.is_same(tensor);
}

/** Has the recording, where there is one, keep a tensor that is made while it is current. */
inline const at::Tensor& Made(const at::Tensor& tensor) {
  auto* recording = CurrentRecording();
  if (recording != nullptr && tensor.defined() && recording->known.count(tensor.unsafeGetTensorImpl()) == 0) {
    Remember(tensor, tensor);
  }
  return tensor;
}

/**
 * Runs `kernel` on tensors, as `Used` gives them, and in each replay and by each trace again. It knows no others, and of
 * those only what their layouts say.
 */
template <typename Kernel>
void Do(std::vector<at::Tensor> tensors, Kernel kernel) {
  if (TraceUnderWay() != nullptr) TraceUnderWay()->Kernel(CurrentActivity().operation, tensors, kernel);
  {
    const Stopwatch stopwatch;
    kernel(tensors);
  }
  if (CurrentRecording() == nullptr) return;
  auto step = [tensors = std::move(tensors), kernel = std::move(kernel)] { kernel(tensors); };
  CurrentRecording()->steps.push_back({std::string(CurrentActivity().operation), std::move(step), true});
}

/** The same of what traces cannot do again. */
template <typename Step>
void Do(Step step) {
  ForbidTrace();
  Do({}, [step = std::move(step)](const std::vector<at::Tensor>&) { step(); });
}

inline void RefuseWhileRecording() {
  if (CurrentRecording() != nullptr) throw ArgumentError("values cannot pass to or from the host while work is recorded");
}

inline Recording* RecordingOf(const Napi::CallbackInfo& info) {
  return info[0].As<Napi::External<Recording>>().Data();
}

inline Napi::Value RecordBegin(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"recordBegin", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    if (CurrentRecording() != nullptr) throw ArgumentError("work is being recorded already");
    auto* recording = new Recording();
    CurrentRecording() = recording;
    return Napi::External<Recording>::New(info.Env(), recording, [](Napi::Env, Recording* collected) {
      if (CurrentRecording() == collected) CurrentRecording() = nullptr;
      delete collected;
    });
  });
}

inline Napi::Value RecordEnd(const Napi::CallbackInfo& info) {
  CurrentRecording() = nullptr;
  return info.Env().Undefined();
}

/** Steps in a row that fit a team have one. */
inline void Replay(const Recording& recording) {
  const auto& steps = recording.steps;
  const auto run = [&](size_t from, size_t to) {
    for (size_t i = from; i < to; i++) {
      CurrentActivity().operation = steps[i].name;
      steps[i].run();
    }
  };
  for (size_t from = 0, to; from < steps.size(); from = to) {
    for (to = from; to < steps.size() && steps[to].fitsTeam;) to += 1;
    if (to - from > 1) Team::Gather([&] { run(from, to); });
    else run(from, to = from + 1);
  }
}

/** recordReplay(recording): false, and nothing done, where memory that it reads and has not made is gone. */
inline Napi::Value RecordReplay(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"recordReplay", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    const auto* recording = RecordingOf(info);
    if (CurrentRecording() != nullptr) throw ArgumentError("work is being recorded");
    for (const auto& memory : recording->borrowed) {
      if (memory.expired()) return Napi::Boolean::New(info.Env(), false);
    }
    c10::InferenceMode inference;
    const Stopwatch stopwatch;
    CallsOf().operators += static_cast<int64_t>(recording->steps.size());
    Replay(*recording);
    return Napi::Boolean::New(info.Env(), true);
  });
}

/** Frees what it keeps; it cannot be replayed any more. */
inline Napi::Value RecordReset(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"recordReset", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    auto* recording = RecordingOf(info);
    recording->steps.clear();
    recording->known.clear();
    recording->borrowed.clear();
    return info.Env().Undefined();
  });
}

}  // namespace plumbline
