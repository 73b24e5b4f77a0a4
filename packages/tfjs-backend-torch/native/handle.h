#pragma once
// Tensor handles: JS externals that own one reference to an at::Tensor.

#include <ATen/core/Tensor.h>
#include <napi.h>

#include "errors.h"

namespace plumbline {

struct Handle {
  static constexpr uint64_t kTag = 0x506c756d626c696eULL;
  uint64_t tag = kTag;
  at::Tensor tensor;
  int64_t bytes = 0;
  /** Bytes that the garbage collector counts. */
  int64_t told = 0;
};

struct Ledger {
  int64_t handles = 0;
  int64_t bytes = 0;
  /** Bytes that the garbage collector is to count, and those it has not been told of yet. */
  int64_t told = 0;
  int64_t untold = 0;
};

inline Ledger& LedgerOf() {
  static Ledger ledger;
  return ledger;
}

/**
 * Tells the garbage collector, in steps of 16 MiB: each telling costs more than an operator. Device memory counts for a
 * 1024th, or a training step's activations, all freed by hand, would set off a collection every few operators. What has no
 * memory of its own, a view or the tensor that an operator wrote into, counts nothing: the transposed output matrix
 * of a language model would set off a whole collection at every token.
 */
inline void Tell(Napi::Env env, int64_t bytes) {
  LedgerOf().told += bytes;
  auto& untold = LedgerOf().untold;
  untold += bytes;
  if (untold > (16 << 20) || untold < -(16 << 20)) {
    Napi::MemoryManagement::AdjustExternalMemory(env, untold);
    untold = 0;
  }
}

inline bool HasOwnMemory(const at::Tensor& tensor, size_t references) {
  return tensor.use_count() <= references && (!tensor.has_storage() || tensor.storage().use_count() == 1);
}

inline void Release(Napi::Env env, Handle* handle) {
  if (!handle->tensor.defined()) return;
  Tell(env, -handle->told);
  LedgerOf().handles -= 1;
  LedgerOf().bytes -= handle->bytes;
  handle->tensor.reset();
}

/** @param references to the tensor there are, this one included, if nobody else knows it */
inline Napi::Value Wrap(Napi::Env env, at::Tensor tensor, size_t references = 1) {
  if (!tensor.defined()) return env.Null();
  const auto bytes = static_cast<int64_t>(tensor.nbytes());
  const auto told = !HasOwnMemory(tensor, references) ? 0 : tensor.is_cpu() ? bytes : bytes / 1024;
  auto* handle = new Handle{Handle::kTag, std::move(tensor), bytes, told};
  LedgerOf().handles += 1;
  LedgerOf().bytes += bytes;
  Tell(env, told);
  return Napi::External<Handle>::New(env, handle, [](Napi::Env environment, Handle* collected) {
    Release(environment, collected);
    delete collected;
  });
}

inline Handle* HandleOf(napi_env env, napi_value value) {
  void* data = nullptr;
  if (napi_get_value_external(env, value, &data) != napi_ok || data == nullptr ||
      static_cast<Handle*>(data)->tag != Handle::kTag) {
    throw ArgumentError("expected a tensor handle");
  }
  return static_cast<Handle*>(data);
}

inline at::Tensor& TensorOf(napi_env env, napi_value value) {
  auto& tensor = HandleOf(env, value)->tensor;
  if (!tensor.defined()) throw ArgumentError("the tensor was disposed");
  return tensor;
}

}  // namespace plumbline
