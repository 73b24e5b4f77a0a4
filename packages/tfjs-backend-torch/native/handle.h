#pragma once
// Tensor handles: numbers that JavaScript holds for tensors in a table of this side.

#include <ATen/core/Tensor.h>
#include <napi.h>

#include <algorithm>
#include <deque>
#include <unordered_map>
#include <vector>

#include "errors.h"

namespace plumbline {

struct Slot {
  at::Tensor tensor;
  int64_t bytes = 0;
  /** Bytes that the garbage collector counts. */
  int64_t told = 0;
  /** How many tensors the slot has had: a handle is of one of them. */
  uint64_t generation = 0;
};

/** The tensors of a thread. They stay where they are while others come and go. */
struct Table {
  std::deque<Slot> slots;
  std::vector<uint32_t> free;
  /** Bytes that the garbage collector counts of memory whose own tensor was freed, while views of it are left. */
  std::unordered_map<const void*, int64_t> left;
};

/** Never destroyed: what is still in it is freed before the process ends, while devices still answer. */
inline Table& TableOf() {
  static thread_local auto* table = new Table;
  return *table;
}

/**
 * A handle is (generation · 2⁶ + facts) · 2²⁴ + slot, which a double holds exactly. The facts, which JavaScript reads off it
 * (handle-facts.ts), are the scalar type in five bits and whether its numbers lie in the order of its axes.
 */
constexpr uint64_t kSlots = 1 << 24;
constexpr uint64_t kFacts = 1 << 6;
constexpr uint64_t kGenerations = 1 << 23;

inline uint64_t FactsOf(const at::Tensor& tensor) {
  const auto type = static_cast<uint64_t>(tensor.scalar_type());
  if (type >= kFacts / 2) throw ArgumentError("tensors of this type cannot be passed");
  return type + (tensor.is_contiguous() ? kFacts / 2 : 0);
}

struct Ledger {
  int64_t handles = 0;
  int64_t bytes = 0;
  /** Bytes that the garbage collector is to count, and those it has not been told of yet. */
  int64_t told = 0;
  int64_t untold = 0;
};

/** Of a thread, as the garbage collector is that is told. */
inline Ledger& LedgerOf() {
  static thread_local Ledger ledger;
  return ledger;
}

inline void FreeTableAtEnd(napi_env env) {
  napi_add_env_cleanup_hook(
      env, [](void*) { TableOf() = Table{}; }, nullptr);
}

/** The part of device memory that the garbage collector counts: more than 64 MiB of it set off a collection, 16 GiB of a card. */
constexpr int64_t kDeviceShare = 256;

/** Each telling costs more than an operator, so there is one for 16 MiB, or a quarter of what there is. */
inline int64_t LeastTold() { return std::max<int64_t>(16 << 20, LedgerOf().told / 4); }

inline void TellAll(Napi::Env env) {
  Napi::MemoryManagement::AdjustExternalMemory(env, LedgerOf().untold);
  LedgerOf().untold = 0;
}

/**
 * Tells the garbage collector of memory that was taken or freed by hand. Of the latter it hears once three quarters of what it
 * knows of are gone: a training step takes and frees the same gigabytes each time, and each time they would be new to it and
 * reason for a collection. What has no memory of its own, a view or the tensor that an operator wrote into, counts nothing: the
 * transposed output matrix of a language model would set off a whole collection at every token. Memory that outlives its own
 * tensor in views counts until the last of them is freed.
 */
inline void Tell(Napi::Env env, int64_t bytes) {
  auto& ledger = LedgerOf();
  ledger.told += bytes;
  ledger.untold += bytes;
  const int64_t known = ledger.told - ledger.untold;
  if (ledger.untold > LeastTold() || -ledger.untold > std::max(LeastTold(), known / 4 * 3)) TellAll(env);
}

/** The same of what was freed as it found nothing that leads there: it hears of that soon, as what it asked for. */
inline void TellOfCollected(Napi::Env env) {
  if (-LedgerOf().untold > LeastTold()) TellAll(env);
}

inline bool HasOwnMemory(const at::Tensor& tensor, size_t references) {
  return tensor.use_count() <= references && (!tensor.has_storage() || tensor.storage().use_count() == 1);
}

inline Slot& NewSlot(uint64_t* place) {
  auto& slots = TableOf().slots;
  auto& free = TableOf().free;
  if (free.empty()) {
    if (slots.size() >= kSlots) throw ArgumentError("there are too many tensors");
    *place = slots.size();
    return slots.emplace_back();
  }
  *place = free.back();
  free.pop_back();
  return slots[*place];
}

/** @param references to the tensor there are, this one included, if nobody else knows it */
inline double NewHandle(Napi::Env env, at::Tensor tensor, size_t references = 1) {
  const uint64_t facts = FactsOf(tensor);
  uint64_t place = 0;
  auto& slot = NewSlot(&place);
  slot.generation = slot.generation % (kGenerations - 1) + 1;
  slot.bytes = static_cast<int64_t>(tensor.nbytes());
  slot.told = !HasOwnMemory(tensor, references) ? 0 : tensor.is_cpu() ? slot.bytes : slot.bytes / kDeviceShare;
  slot.tensor = std::move(tensor);
  LedgerOf().handles += 1;
  LedgerOf().bytes += slot.bytes;
  Tell(env, slot.told);
  return static_cast<double>((slot.generation * kFacts + facts) * kSlots + place);
}

/** The same as JavaScript holds it; null for an undefined tensor. */
inline Napi::Value Wrap(Napi::Env env, at::Tensor tensor, size_t references = 1) {
  if (!tensor.defined()) return env.Null();
  return Napi::Number::New(env, NewHandle(env, std::move(tensor), references));
}

/** The slot of a handle, null where its tensor was freed. */
inline Slot* SlotOf(double number, uint64_t* place) {
  if (!(number >= kSlots * kFacts && number < 9.1e15)) throw ArgumentError("expected a tensor handle");
  const auto handle = static_cast<uint64_t>(number);
  *place = handle % kSlots;
  auto& slots = TableOf().slots;
  if (*place >= slots.size()) return nullptr;
  auto& slot = slots[*place];
  return slot.generation == handle / (kSlots * kFacts) && slot.tensor.defined() ? &slot : nullptr;
}

inline at::Tensor& TensorOf(double handle) {
  uint64_t place = 0;
  auto* slot = SlotOf(handle, &place);
  if (slot == nullptr) throw ArgumentError("the tensor was disposed");
  return slot->tensor;
}

inline double HandleOf(napi_env env, napi_value value) {
  double number = 0;
  if (napi_get_value_double(env, value, &number) != napi_ok) throw ArgumentError("expected a tensor handle");
  return number;
}

inline at::Tensor& TensorOf(napi_env env, napi_value value) { return TensorOf(HandleOf(env, value)); }

/** What the garbage collector counts less once the slot's tensor is freed. */
inline int64_t NoLongerCounted(const Slot& slot) {
  const auto& tensor = slot.tensor;
  if (!tensor.has_storage()) return slot.told;
  auto& left = TableOf().left;
  const void* memory = tensor.storage().unsafeGetStorageImpl();
  if (tensor.use_count() > 1 || tensor.storage().use_count() > 1) {
    if (slot.told > 0) left[memory] += slot.told;
    return 0;
  }
  const auto found = left.empty() ? left.end() : left.find(memory);
  if (found == left.end()) return slot.told;
  const auto bytes = slot.told + found->second;
  left.erase(found);
  return bytes;
}

/** Frees the handle's tensor, if that is still there. */
inline void Release(Napi::Env env, double handle) {
  uint64_t place = 0;
  auto* slot = SlotOf(handle, &place);
  if (slot == nullptr) return;
  Tell(env, -NoLongerCounted(*slot));
  LedgerOf().handles -= 1;
  LedgerOf().bytes -= slot->bytes;
  slot->tensor.reset();
  TableOf().free.push_back(static_cast<uint32_t>(place));
}

}  // namespace plumbline
