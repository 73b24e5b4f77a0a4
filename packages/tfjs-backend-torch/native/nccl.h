#pragma once
// NCCL, which comes with every torch for CUDA, found at run time: its header does not.

#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAStream.h>
#include <dlfcn.h>

#include <atomic>
#include <cstring>
#include <mutex>
#include <string>
#include <vector>

#include "errors.h"
#include "meeting.h"

namespace plumbline {

/** As nccl.h has them since its version 2. */
struct NcclId {
  char bytes[128];
};

using NcclComm = void*;

constexpr int kNcclSum = 0;

struct Nccl {
  int (*getId)(NcclId* id);
  int (*join)(NcclComm* comm, int size, NcclId id, int rank);
  int (*allReduce)(const void* from, void* to, size_t count, int type, int op, NcclComm, cudaStream_t);
  int (*reduceScatter)(const void* from, void* to, size_t count, int type, int op, NcclComm, cudaStream_t);
  int (*allGather)(const void* from, void* to, size_t count, int type, NcclComm, cudaStream_t);
  int (*abort)(NcclComm);
  int (*destroy)(NcclComm);
  const char* (*errorText)(int error);
};

inline const Nccl& NcclOf() {
  static const Nccl nccl = [] {
    // libtorch_cuda has loaded it, or holds it itself
    void* library = dlopen("libnccl.so.2", RTLD_NOW | RTLD_NOLOAD);
    if (library == nullptr) library = RTLD_DEFAULT;
    const auto find = [&](const char* name) {
      void* function = dlsym(library, name);
      if (function == nullptr) throw ArgumentError("this torch comes without NCCL (" + std::string(name) + "), so its GPUs cannot work together");
      return function;
    };
    Nccl found;
    found.getId = reinterpret_cast<decltype(found.getId)>(find("ncclGetUniqueId"));
    found.join = reinterpret_cast<decltype(found.join)>(find("ncclCommInitRank"));
    found.allReduce = reinterpret_cast<decltype(found.allReduce)>(find("ncclAllReduce"));
    found.reduceScatter = reinterpret_cast<decltype(found.reduceScatter)>(find("ncclReduceScatter"));
    found.allGather = reinterpret_cast<decltype(found.allGather)>(find("ncclAllGather"));
    found.abort = reinterpret_cast<decltype(found.abort)>(find("ncclCommAbort"));
    found.destroy = reinterpret_cast<decltype(found.destroy)>(find("ncclCommDestroy"));
    found.errorText = reinterpret_cast<decltype(found.errorText)>(find("ncclGetErrorString"));
    return found;
  }();
  return nccl;
}

inline void CheckNccl(int error) {
  if (error != 0) throw PeerError(std::string("NCCL: ") + NcclOf().errorText(error));
}

inline int NcclType(const at::Tensor& tensor) {
  if (tensor.scalar_type() == at::kFloat) return 7;
  throw ArgumentError(std::string("processes do not add up ") + c10::toString(tensor.scalar_type()));
}

/** The devices of all processes. What is asked of them is queued on the current stream, as any kernel is. */
class Devices {
 public:
  Devices(Meeting& meeting, NcclId id) {
    const auto& own = meeting.Own();
    CheckNccl(NcclOf().join(&comm_, own.size, id, own.rank));
  }

  ~Devices() {
    const std::lock_guard lock(mutex_);
    if (comm_ != nullptr) NcclOf().destroy(comm_);
  }

  /** Ends what waits for a process that is gone. */
  void Abort() {
    const std::lock_guard lock(mutex_);
    if (comm_ == nullptr) return;
    NcclOf().abort(comm_);
    comm_ = nullptr;
  }

  void Sum(const at::Tensor& x) {
    Queue([&](NcclComm comm, cudaStream_t stream) {
      return NcclOf().allReduce(x.data_ptr(), x.data_ptr(), x.numel(), NcclType(x), kNcclSum, comm, stream);
    });
  }

  void SumPart(const at::Tensor& whole, const at::Tensor& part) {
    Queue([&](NcclComm comm, cudaStream_t stream) {
      return NcclOf().reduceScatter(whole.data_ptr(), part.data_ptr(), part.numel(), NcclType(whole), kNcclSum, comm, stream);
    });
  }

  void JoinParts(const at::Tensor& part, const at::Tensor& whole) {
    Queue([&](NcclComm comm, cudaStream_t stream) {
      return NcclOf().allGather(part.data_ptr(), whole.data_ptr(), part.numel(), NcclType(part), comm, stream);
    });
  }

 private:
  template <typename Body>
  void Queue(Body body) {
    const std::lock_guard lock(mutex_);
    if (comm_ == nullptr) throw PeerError("another process is gone");
    CheckNccl(body(comm_, c10::cuda::getCurrentCUDAStream().stream()));
  }

  std::mutex mutex_;
  NcclComm comm_ = nullptr;
};

}  // namespace plumbline
