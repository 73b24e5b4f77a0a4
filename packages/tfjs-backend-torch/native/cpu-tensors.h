#pragma once
// What CPU kernels share: tensors as they take them.

#include <ATen/core/Tensor.h>
#include <napi.h>

#include <algorithm>
#include <initializer_list>
#include <vector>

#include "cpu-loops.h"
#include "operator.h"
#include "recording.h"
#include "team.h"

namespace plumbline {

/** Numbers that one thread takes at a time; sums are added up in this grain whatever the number of threads. */
constexpr int64_t kGrain = 1 << 15;

/** A tensor in memory order on the CPU, as steps are to hold it. */
inline at::Tensor Dense(const at::Tensor& tensor, at::ScalarType type = at::kFloat) {
  if (!tensor.is_cpu() || tensor.scalar_type() != type || !tensor.is_contiguous()) {
    throw ArgumentError("a CPU kernel takes contiguous tensors of float32, and indices of int32");
  }
  return Used(tensor);
}

/** Argument i, likewise. */
inline at::Tensor Dense(const Napi::CallbackInfo& info, size_t i, at::ScalarType type = at::kFloat) {
  return Dense(TensorOf(info.Env(), info[i]), type);
}

/** The same, or an undefined tensor where the argument is null. */
inline at::Tensor DenseOrNone(const Napi::CallbackInfo& info, size_t i, at::ScalarType type = at::kFloat) {
  return info[i].IsNull() ? at::Tensor() : Dense(info, i, type);
}

inline void CheckSizes(const at::Tensor& like, std::initializer_list<at::Tensor> others) {
  for (const auto& other : others) {
    if (other.numel() != like.numel()) throw ArgumentError("a CPU kernel takes tensors of one size");
  }
}

/** A new tensor of the recording, if there is one; where there is no room for it, the error tells of the inputs. */
template <typename Make>
at::Tensor OutputOf(std::initializer_list<at::Tensor> inputs, Make make) {
  try {
    return Made(make());
  } catch (...) {
    CurrentActivity().shapes = Describe({inputs.begin(), inputs.end()});
    throw;
  }
}

/** The same of float32 or bfloat16. */
inline at::Tensor DenseFloat(const at::Tensor& tensor) {
  return Dense(tensor, tensor.scalar_type() == at::kBFloat16 ? at::kBFloat16 : at::kFloat);
}

/** Argument i: rows [M, V] at any distance of each other, of float32 or bfloat16. */
inline at::Tensor RowsOf(const Napi::CallbackInfo& info, size_t i) {
  const auto rows = TensorOf(info.Env(), info[i]);
  const auto type = rows.scalar_type();
  if (!rows.is_cpu() || rows.dim() != 2 || rows.stride(1) != 1 || (type != at::kFloat && type != at::kBFloat16)) {
    throw ArgumentError("a CPU kernel of rows takes a matrix of float32 or bfloat16 whose rows lie in order");
  }
  return Used(rows);
}

/** Null where there is no tensor. */
template <typename T>
T* DataOf(const at::Tensor& tensor) {
  return tensor.defined() ? static_cast<T*>(tensor.data_ptr()) : nullptr;
}

inline float* Data(const at::Tensor& tensor) { return tensor.defined() ? tensor.data_ptr<float>() : nullptr; }

/** Numbers in float32: as they lie, or a copy in `room`. */
inline const float* WideOf(const float* x, int64_t, std::vector<float>&) { return x; }
inline const float* WideOf(const Bfloat16* x, int64_t count, std::vector<float>& room) {
  room.resize(std::max<size_t>(room.size(), count));
  CpuLoops().widen(x, room.data(), count);
  return room.data();
}

/** Calls `use` with a null pointer to what a tensor holds: float32 or bfloat16. */
template <typename Use>
void WithTypeOf(const at::Tensor& tensor, Use use) {
  if (tensor.scalar_type() == at::kBFloat16) use(static_cast<Bfloat16*>(nullptr));
  else use(static_cast<float*>(nullptr));
}

}  // namespace plumbline
