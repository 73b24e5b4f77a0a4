#pragma once
// Memory that JavaScript and this side share: what is written there costs no crossing.

#include <napi.h>

#include <cstring>

#include "handle.h"

namespace plumbline {

/** Of a thread. JavaScript keeps the arrays alive. */
struct Mailbox {
  /** How many handles follow whose tensors are to be freed. */
  double* disposals = nullptr;
  /** Handles that a program is given, and then those it gives. */
  double* operands = nullptr;
};

inline Mailbox& MailboxOf() {
  static thread_local Mailbox mailbox;
  return mailbox;
}

constexpr size_t kMostDisposals = 1023;
constexpr size_t kMostOperands = 64;

/** As if each had been freed when JavaScript wrote it: nothing of this side was called since. */
inline void SettleDisposals(Napi::Env env) {
  double* disposals = MailboxOf().disposals;
  if (disposals == nullptr || disposals[0] == 0) return;
  const auto count = static_cast<size_t>(disposals[0]);
  disposals[0] = 0;
  for (size_t i = 1; i <= std::min(count, kMostDisposals); i++) Release(env, disposals[i]);
}

/** A Float64Array of zeros that lives as long as the addon. */
inline double* ShareArray(Napi::Env env, Napi::Object exports, const char* name, size_t length) {
  auto array = Napi::Float64Array::New(env, length);
  exports.Set(name, array);
  auto held = Napi::Persistent(array.As<Napi::Object>());
  held.SuppressDestruct();
  return array.Data();
}

inline void ShareMailbox(Napi::Env env, Napi::Object exports) {
  MailboxOf().disposals = ShareArray(env, exports, "disposals", 1 + kMostDisposals);
  MailboxOf().operands = ShareArray(env, exports, "operands", kMostOperands);
  napi_add_env_cleanup_hook(
      env, [](void*) { MailboxOf() = Mailbox{}; }, nullptr);
}

}  // namespace plumbline
