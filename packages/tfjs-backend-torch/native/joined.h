#pragma once
// Tensors that lie side by side in one memory, as one.

#include <ATen/Functions.h>
#include <c10/core/InferenceMode.h>
#include <napi.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "handle.h"
#include "recording.h"

namespace plumbline {

/** Whether `next` begins where `before` ends along `axis`, in the same memory and with the same strides. */
inline bool Follows(const at::Tensor& before, const at::Tensor& next, int64_t axis) {
  if (before.storage().unsafeGetStorageImpl() != next.storage().unsafeGetStorageImpl()) return false;
  if (before.dim() != next.dim() || before.dtype() != next.dtype() || before.strides() != next.strides()) return false;
  for (int64_t i = 0; i < before.dim(); i++) {
    if (i != axis && before.size(i) != next.size(i)) return false;
  }
  return next.storage_offset() == before.storage_offset() + before.size(axis) * before.stride(axis);
}

/** One tensor over all; undefined where they do not lie side by side along `axis`. */
inline at::Tensor JoinedOf(const std::vector<at::Tensor>& parts, int64_t axis) {
  const auto& first = parts.at(0);
  if (axis < 0 || axis >= first.dim()) throw ArgumentError("there is no such axis");
  auto sizes = first.sizes().vec();
  for (size_t i = 1; i < parts.size(); i++) {
    if (!Follows(parts[i - 1], parts[i], axis)) return {};
    sizes[axis] += parts[i].size(axis);
  }
  return first.as_strided(sizes, first.strides(), first.storage_offset());
}

/** joined(handles, axis): one tensor over all of them where they lie side by side along `axis`; else null. */
inline Napi::Value Joined(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"joined", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    c10::InferenceMode inference;
    const auto list = info[0].As<Napi::Array>();
    const auto axis = info[1].As<Napi::Number>().Int64Value();
    std::vector<at::Tensor> parts;
    parts.reserve(list.Length());
    for (uint32_t i = 0; i < list.Length(); i++) parts.push_back(TensorOf(info.Env(), list.Get(i)));
    // a recorded tensor's memory is another in each replay
    if (std::any_of(parts.begin(), parts.end(), IsOfRecording)) return info.Env().Null();
    const auto whole = JoinedOf(parts, axis);
    if (TraceUnderWay() != nullptr) TraceUnderWay()->Join(parts, axis, whole);
    return Wrap(info.Env(), whole, 2);
  });
}

}  // namespace plumbline
