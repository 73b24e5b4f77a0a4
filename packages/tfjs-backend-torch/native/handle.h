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
};

struct Ledger {
  int64_t handles = 0;
  int64_t bytes = 0;
  /** Bytes the garbage collector has not been told of yet. */
  int64_t untold = 0;
};

inline Ledger& LedgerOf() {
  static Ledger ledger;
  return ledger;
}

/**
 * Tells the garbage collector, in steps of 16 MiB: each telling costs more than an operator. Device memory counts for a
 * 1024th, or a training step's activations, all freed by hand, would set off a collection every few operators.
 */
inline void Account(Napi::Env env, int64_t bytes, bool onDevice) {
  auto& ledger = LedgerOf();
  ledger.bytes += bytes;
  ledger.untold += onDevice ? bytes / 1024 : bytes;
  if (ledger.untold > (16 << 20) || ledger.untold < -(16 << 20)) {
    Napi::MemoryManagement::AdjustExternalMemory(env, ledger.untold);
    ledger.untold = 0;
  }
}

inline void Release(Napi::Env env, Handle* handle) {
  if (!handle->tensor.defined()) return;
  Account(env, -handle->bytes, !handle->tensor.is_cpu());
  LedgerOf().handles -= 1;
  handle->tensor.reset();
}

inline Napi::Value Wrap(Napi::Env env, at::Tensor tensor) {
  if (!tensor.defined()) return env.Null();
  auto* handle = new Handle{Handle::kTag, std::move(tensor), 0};
  handle->bytes = static_cast<int64_t>(handle->tensor.nbytes());
  LedgerOf().handles += 1;
  Account(env, handle->bytes, !handle->tensor.is_cpu());
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
