#pragma once
// Page-locked host memory, which a device copies to and from while the host goes on.

#include <ATen/Functions.h>

#include <utility>

namespace plumbline {

/**
 * A tensor in page-locked memory. Freeing it records an event on the device, which throws where the device has failed; inside
 * a tensor's destructor that would end the process. Here the memory is given up instead, and the next call says what happened.
 */
class Pinned {
 public:
  Pinned(at::IntArrayRef sizes, at::TensorOptions options)
      : tensor_(at::empty(sizes, options.device(at::kCPU).pinned_memory(true))) {}
  Pinned(Pinned&&) = default;
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;

  ~Pinned() {
    if (!tensor_.defined()) return;
    auto memory = tensor_.storage().unsafeGetStorageImpl()->set_data_ptr(at::DataPtr());
    const auto free = memory.get_deleter();
    void* context = memory.release_context();
    if (free == nullptr || context == nullptr) return;
    try {
      free(context);
    } catch (...) {
    }
  }

  at::Tensor& tensor() { return tensor_; }

 private:
  at::Tensor tensor_;
};

}  // namespace plumbline
