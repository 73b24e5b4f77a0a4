#pragma once
// What was asked of libtorch and of the device since the process began.

#include <napi.h>

#include <chrono>

namespace plumbline {

struct Calls {
  /** ATen operators that computed something. */
  int64_t operators = 0;
  /** ATen operators that made a view or memory without values. */
  int64_t views = 0;
  /** CUDA kernels of ours. */
  int64_t kernels = 0;
  int64_t uploads = 0;
  int64_t reads = 0;
  /** Nanoseconds within operators and launches, apart from what the addon does around them. */
  int64_t nanoseconds = 0;
};

inline Calls& CallsOf() {
  static Calls calls;
  return calls;
}

/** Adds the time of its own life. */
class Stopwatch {
 public:
  ~Stopwatch() {
    using std::chrono::duration_cast;
    CallsOf().nanoseconds += duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - begun_).count();
  }

 private:
  std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
};

inline Napi::Value CallStatistics(const Napi::CallbackInfo& info) {
  const auto& calls = CallsOf();
  auto result = Napi::Object::New(info.Env());
  result.Set("operators", static_cast<double>(calls.operators));
  result.Set("views", static_cast<double>(calls.views));
  result.Set("kernels", static_cast<double>(calls.kernels));
  result.Set("uploads", static_cast<double>(calls.uploads));
  result.Set("reads", static_cast<double>(calls.reads));
  result.Set("seconds", static_cast<double>(calls.nanoseconds) * 1e-9);
  return result;
}

}  // namespace plumbline
