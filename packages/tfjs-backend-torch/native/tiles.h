#pragma once
// Matrices as a GPU's copy engines read and write them, box by box (compute capability 9.0).

#include <ATen/core/Tensor.h>
#include <dlfcn.h>

#include <cstdint>
#include <string>

#include "errors.h"

namespace plumbline {

/** The driver's CUtensorMap. */
struct alignas(64) TensorMap {
  uint64_t bits[16];
};

/** Columns of a box: a row of it fills the 128 bytes that lie swizzled in shared memory. */
constexpr uint32_t kBoxColumns = 64;

using EncodeTensorMap = int (*)(TensorMap*, int type, uint32_t rank, void* address, const uint64_t* sizes, const uint64_t* steps,
                                const uint32_t* box, const uint32_t* stride, int interleave, int swizzle, int promotion, int fill);

/** Null where the driver is too old. */
inline EncodeTensorMap EncoderOf() {
  static const auto encode = [] {
    void* driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    return driver == nullptr ? nullptr : reinterpret_cast<EncodeTensorMap>(dlsym(driver, "cuTensorMapEncodeTiled"));
  }();
  return encode;
}

/**
 * A bfloat16 matrix whose rows are whole 16 bytes apart, in boxes of so many of them. What a box has outside of the matrix reads as
 * 0 and is not written.
 */
inline TensorMap TensorMapOf(const at::Tensor& matrix, uint32_t boxRows) {
  const bool fits = matrix.dim() == 2 && matrix.scalar_type() == at::kBFloat16 && matrix.stride(1) == 1 &&
                    matrix.stride(0) % 8 == 0 && reinterpret_cast<uintptr_t>(matrix.data_ptr()) % 16 == 0;
  if (!fits || EncoderOf() == nullptr) throw ArgumentError("a kernel takes a matrix of bfloat16 in rows of whole 16 bytes");
  constexpr int kBfloat16 = 9, kNoInterleave = 0, kSwizzle128 = 3, kPromote256 = 3, kZeros = 0;
  const uint64_t sizes[] = {static_cast<uint64_t>(matrix.size(1)), static_cast<uint64_t>(matrix.size(0))};
  const uint64_t steps[] = {static_cast<uint64_t>(matrix.stride(0)) * matrix.element_size()};
  const uint32_t boxes[] = {kBoxColumns, boxRows}, ones[] = {1, 1};
  TensorMap map;
  const int result = EncoderOf()(&map, kBfloat16, 2, matrix.data_ptr(), sizes, steps, boxes, ones, kNoInterleave, kSwizzle128,
                                 kPromote256, kZeros);
  if (result != 0) throw ArgumentError("the driver does not copy such a matrix by boxes: error " + std::to_string(result));
  return map;
}

}  // namespace plumbline
