#pragma once
// Operators that have too little to do for several threads.

#include <ATen/core/stack.h>

#include <cstdint>
#include <string_view>

#ifdef _OPENMP
#include <omp.h>

/** MKL's own number of threads, of this thread: 0 is the common one; returns what it was. Null where libtorch does not show it. */
extern "C" __attribute__((weak)) int MKL_Set_Num_Threads_Local(int);
#endif

namespace plumbline {

/** Two tensors among an operator's arguments, one behind the other: each number of the first meets so many of the second. */
struct Factors {
  /** Below 0 for an operator of which that is not known. */
  int first = -1;
  /** The axis of the second that is so long. */
  int64_t axis = -1;
};

inline Factors FactorsOf(std::string_view name) {
  if (name == "aten::mm" || name == "aten::matmul") return {0, -1};
  if (name == "aten::addmm_") return {1, -1};
  // queries and keys
  if (name == "aten::_scaled_dot_product_flash_attention_for_cpu") return {0, -2};
  if (name == "aten::_scaled_dot_product_flash_attention_for_cpu_backward") return {1, -2};
  return {};
}

/** Multiplications from which on several threads are quicker than one, which does not wait for others. */
constexpr int64_t kThreadedWork = 1 << 20;

/** Whether an operator on the CPU has less to do. */
inline bool IsSmall(const Factors& factors, const torch::jit::Stack& stack) {
  if (factors.first < 0) return false;
  const auto &a = stack[factors.first].toTensor(), &b = stack[factors.first + 1].toTensor();
  return a.is_cpu() && b.dim() >= -factors.axis && a.numel() * b.size(factors.axis) < kThreadedWork;
}

/** Has what this thread calls while it lives do without others, where that is wanted. */
class OneThread {
 public:
  explicit OneThread([[maybe_unused]] bool wanted) {
#ifdef _OPENMP
    if (!wanted) return;
    openmp_ = omp_get_max_threads();
    omp_set_num_threads(1);
    if (MKL_Set_Num_Threads_Local != nullptr) mkl_ = MKL_Set_Num_Threads_Local(1);
#endif
  }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;
  ~OneThread() {
#ifdef _OPENMP
    if (openmp_ == 0) return;
    omp_set_num_threads(openmp_);
    if (MKL_Set_Num_Threads_Local != nullptr) MKL_Set_Num_Threads_Local(mkl_);
#endif
  }

 private:
  int openmp_ = 0;
  int mkl_ = 0;
};

}  // namespace plumbline
