#pragma once
// What the addon throws: JS Errors with the fields { kind, operator, shapes, bytesAsked, bytesFree }.

#include <c10/util/Exception.h>
#include <napi.h>

#include <cstdio>
#include <initializer_list>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>

#include "host-memory.h"
#include "peer-loss.h"

namespace plumbline {

/** A mistake of the JavaScript caller: a disposed handle, a wrong kind of argument. */
struct ArgumentError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/** What was being done when an exception came; the addon runs on one thread. */
struct Activity {
  /** Lives as long as the operator or kernel it names, or the whole process. */
  std::string_view operation;
  std::string shapes;
};

inline Activity& CurrentActivity() {
  static thread_local Activity activity;
  return activity;
}

/** Bytes free on the device in use, or -1 where that cannot be told: the host's until the CUDA part sets it. */
inline int64_t (*FreeDeviceBytes)() = FreeHostBytes;

inline std::string FirstLine(const std::string& text) {
  const auto end = text.find('\n');
  return end == std::string::npos ? text : text.substr(0, end);
}

inline bool Contains(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

/** Reads "tried to allocate 20.00 MiB" (CUDA) and "you tried to allocate 4096 bytes" (CPU). -1 where neither is there. */
inline double BytesAsked(const std::string& message) {
  auto at = message.find("ried to allocate ");
  if (at == std::string::npos) return -1;
  double amount = 0;
  char unit[8] = {};
  if (std::sscanf(message.c_str() + at + 17, "%lf %7s", &amount, unit) < 1) return -1;
  switch (unit[0]) {
    case 'K': return amount * 1024.0;
    case 'M': return amount * 1048576.0;
    case 'G': return amount * 1073741824.0;
    default: return amount;
  }
}

inline bool ContainsAny(const std::string& text, std::initializer_list<const char*> parts) {
  for (const char* part : parts) {
    if (Contains(text, part)) return true;
  }
  return false;
}

/** A call that CUDA refuses leaves the device as it was; any other of its errors stays until the process ends. */
inline const char* KindOf(const std::string& message) {
  if (ContainsAny(message, {"out of memory", "can't allocate memory", "ALLOC_FAILED"})) return "out-of-memory";
  if (!ContainsAny(message, {"CUDA error", "CUDA driver error", "cuDNN error", "NCCL error"})) return "operator";
  return ContainsAny(message, {"invalid argument", "invalid configuration", "invalid device function", "no kernel image",
                               "too many resources", "capturing", "NOT_SUPPORTED", "INVALID_VALUE", "BAD_PARAM"})
             ? "operator"
             : "device";
}

inline c10::WarningHandler* SilentWarnings() {
  struct Muted : c10::WarningHandler {
    void process(const c10::Warning&) override {}
  };
  static auto* muted = new Muted;
  return muted;
}

/** Once the device has failed, every destructor of libtorch's would warn of it again, a screenful at the process's end. */
inline void MuteWarnings() { c10::WarningUtils::set_warning_handler(SilentWarnings()); }

inline void Throw(Napi::Env env, const char* kind, const std::string& message) {
  if (std::string_view(kind) == "device") MuteWarnings();
  const auto& activity = CurrentActivity();
  const std::string operation(activity.operation);
  const auto line = FirstLine(message);
  auto text = operation.empty() ? line : operation + ": " + line;
  if (!activity.shapes.empty()) text += " (arguments " + activity.shapes + ")";
  auto error = Napi::Error::New(env, text);
  auto fields = error.Value();
  fields.Set("name", "TorchError");
  fields.Set("kind", kind);
  fields.Set("operator", operation);
  fields.Set("shapes", activity.shapes);
  const double asked = BytesAsked(message);
  const bool memory = std::string(kind) == "out-of-memory";
  fields.Set("bytesAsked", asked < 0 ? env.Null() : Napi::Number::New(env, asked));
  const double free = memory ? static_cast<double>(FreeDeviceBytes()) : -1;
  fields.Set("bytesFree", free < 0 ? env.Null() : Napi::Number::New(env, free));
  error.ThrowAsJavaScriptException();
}

/** What is wrong with a device that was made to stop in the middle of its work is the loss of the others. */
inline void ThrowOperator(Napi::Env env, const std::string& message) {
  const std::string_view kind = KindOf(message);
  if (kind != "device" || !PeerLossOf().IsKnown()) return Throw(env, kind.data(), message);
  Throw(env, "peer", PeerLossOf().Reason());
}

/** Frees what JavaScript has given up since the last call; see mailbox.h. */
inline void SettleDisposals(Napi::Env env);

/** Turns whatever `body` throws into a JS exception. */
template <typename Body>
Napi::Value Guarded(Napi::Env env, Body body) {
  try {
    SettleDisposals(env);
    return body();
  } catch (const Napi::Error& error) {
    Throw(env, "argument", error.Message());
  } catch (const ArgumentError& error) {
    Throw(env, "argument", error.what());
  } catch (const PeerError& error) {
    Throw(env, "peer", error.what());
  } catch (const c10::Error& error) {
    ThrowOperator(env, error.what_without_backtrace());
  } catch (const std::bad_alloc&) {
    Throw(env, "out-of-memory", "out of memory");
  } catch (const std::exception& error) {
    ThrowOperator(env, error.what());
  } catch (...) {
    Throw(env, "operator", "unknown exception");
  }
  return env.Undefined();
}

}  // namespace plumbline
