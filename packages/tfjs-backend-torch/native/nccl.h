#pragma once
// NCCL, which comes with every torch for CUDA, found at run time: its header does not.

#include <ATen/ATen.h>
#include <ATen/cuda/CUDAContext.h>
#include <ATen/cuda/CUDAEvent.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <dlfcn.h>

#include <atomic>
#include <chrono>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "collectives.h"
#include "device-progress.h"
#include "errors.h"
#include "meeting-place.h"
#include "peer-loss.h"
#include "pulse.h"

namespace plumbline {

/** As nccl.h has them since its version 2. */
struct NcclId {
  char bytes[128];
};

using NcclComm = void*;

constexpr int kNcclSum = 0;
constexpr int kNcclByte = 1;
constexpr int kNcclFloat = 7;

struct Nccl {
  int (*getId)(NcclId* id);
  int (*join)(NcclComm* comm, int size, NcclId id, int rank);
  int (*allReduce)(const void* from, void* to, size_t count, int type, int op, NcclComm, cudaStream_t);
  int (*send)(const void* from, size_t count, int type, int rank, NcclComm, cudaStream_t);
  int (*receive)(void* to, size_t count, int type, int rank, NcclComm, cudaStream_t);
  int (*groupStart)();
  int (*groupEnd)();
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
    found.send = reinterpret_cast<decltype(found.send)>(find("ncclSend"));
    found.receive = reinterpret_cast<decltype(found.receive)>(find("ncclRecv"));
    found.groupStart = reinterpret_cast<decltype(found.groupStart)>(find("ncclGroupStart"));
    found.groupEnd = reinterpret_cast<decltype(found.groupEnd)>(find("ncclGroupEnd"));
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

/**
 * The devices of all processes. What is asked of them is queued, as any kernel is: on the current stream, but for `SumPart`
 * and `Gather`, which go on beside it.
 */
class Devices {
 public:
  explicit Devices(const Membership& own) : rank_(own.rank), size_(own.size), side_(c10::cuda::getStreamFromPool(true)) {}

  void Join(NcclId id) {
    NcclComm comm = nullptr;
    CheckNccl(NcclOf().join(&comm, size_, id, rank_));
    comm_ = comm;
  }

  /** What the device is at; absent where it is through all that was queued. */
  std::optional<DeviceWork> Now() { return progress_.Now(); }

  /**
   * Ends what waits for processes that can no longer be waited for. Its kernels leave with whatever they have, so from here
   * on nothing is read from the device; see `CheckPeers`.
   */
  void Abort(const std::string& reason) {
    PeerLossOf().Declare(reason);
    // they may send others what they have, who are to know by then that it is nothing
    std::this_thread::sleep_until(PeerLossOf().Since() + Pulse::kTelling);
    // a call into NCCL that waits for the device, or for another process, ends by this alone
    const std::unique_lock lock(mutex_, kMostWaiting);
    if (const auto comm = comm_.exchange(nullptr)) NcclOf().abort(comm);
  }

  /** Once the device is through what was queued, or the others can no longer be waited for. */
  void Leave() {
    while (!progress_.IsThrough() && !PeerLossOf().IsKnown()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (PeerLossOf().IsKnown()) return Abort(PeerLossOf().Reason());
    const std::lock_guard lock(mutex_);
    if (const auto comm = comm_.exchange(nullptr)) NcclOf().destroy(comm);
  }

  /** Of float32. */
  void Sum(const Collective& collective, const at::Tensor& x) {
    AwaitSide();
    Queue(collective, [&](NcclComm comm, cudaStream_t stream) {
      return NcclOf().allReduce(x.data_ptr(), x.data_ptr(), x.numel(), kNcclFloat, kNcclSum, comm, stream);
    });
  }

  /**
   * Begins this process's part of a sum, in float32; what follows on the current stream does not wait for it before `Settle`.
   * Numbers travel as they are stored, and each process adds up what it is sent in the processes' order.
   */
  void SumPart(const Collective& collective, const at::Tensor& whole, const at::Tensor& part) {
    const auto current = c10::cuda::getCurrentCUDAStream();
    at::cuda::CUDAEvent made;
    made.record(current);
    made.block(side_);
    Pending begun{whole, part, {}};
    {
      const c10::cuda::CUDAStreamGuard guard(side_);
      auto dealt = at::empty({size_, part.numel()}, whole.options());
      Deal(collective, whole, dealt);
      at::sum_out(begun.part, dealt, at::IntArrayRef{0}, false, at::kFloat);
      begun.done.record(side_);
    }
    pendingBytes_ += whole.nbytes();
    pending_.push_back(std::move(begun));
    // memory of what is sent is free again where the current stream has waited for that
    while (pendingBytes_ > kMostPendingBytes) SettleOldest();
  }

  /** What follows on the current stream waits for the sums that were begun. */
  void Settle() {
    while (!pending_.empty()) SettleOldest();
  }

  /**
   * Begins to write the other processes' parts of some tensors beside this one's, which is there; what follows on the current
   * stream does not wait for it before `AwaitGathers`. Numbers of any type: they are only moved.
   *
   * @param wholes parts of `memory`, each with this process's part in its place
   */
  void Gather(const Collective& collective, const at::Tensor& memory, const std::vector<at::Tensor>& wholes) {
    const auto current = c10::cuda::getCurrentCUDAStream();
    // whatever lay in this memory is done with, and the own parts are there
    at::cuda::CUDAEvent made;
    made.record(current);
    made.block(side_);
    Gathering begun{memory, {}};
    {
      const c10::cuda::CUDAStreamGuard guard(side_);
      Queue(collective, [&](NcclComm comm, cudaStream_t stream) {
        const auto& nccl = NcclOf();
        CheckNccl(nccl.groupStart());
        int error = 0;
        for (size_t i = 0; i < wholes.size() && error == 0; i++) {
          const size_t bytes = wholes[i].nbytes() / size_;
          auto* whole = static_cast<char*>(wholes[i].data_ptr());
          error = nccl.allGather(whole + rank_ * bytes, whole, bytes, kNcclByte, comm, stream);
        }
        const int ended = nccl.groupEnd();
        return error != 0 ? error : ended;
      });
      begun.done.record(side_);
    }
    gathering_.push_back(std::move(begun));
  }

  /** What follows on the current stream waits for the gathers that were begun. */
  void AwaitGathers() {
    for (; !gathering_.empty(); gathering_.pop_front()) {
      gathering_.front().done.block(c10::cuda::getCurrentCUDAStream());
    }
  }

  /** Numbers of any type: they are only moved. */
  void JoinParts(const Collective& collective, const at::Tensor& part, const at::Tensor& whole) {
    AwaitSide();
    Queue(collective, [&](NcclComm comm, cudaStream_t stream) {
      return NcclOf().allGather(part.data_ptr(), whole.data_ptr(), part.nbytes(), kNcclByte, comm, stream);
    });
  }

 private:
  /** A sum that the side stream may still be at, and what must live until then. */
  struct Pending {
    at::Tensor whole;
    at::Tensor part;
    at::cuda::CUDAEvent done;
  };

  /** A gather that the side stream may still be at, and the memory that must live until then. */
  struct Gathering {
    at::Tensor memory;
    at::cuda::CUDAEvent done;
  };

  /** A communicator does one thing at a time, in the same order everywhere. */
  void AwaitSide() {
    Settle();
    AwaitGathers();
  }

  static constexpr size_t kMostPendingBytes = size_t{1} << 29;

  void SettleOldest() {
    auto& oldest = pending_.front();
    oldest.done.block(c10::cuda::getCurrentCUDAStream());
    pendingBytes_ -= oldest.whole.nbytes();
    pending_.pop_front();
  }

  /** Row r of `dealt` is what process r has for this one. */
  void Deal(const Collective& collective, const at::Tensor& whole, const at::Tensor& dealt) {
    const size_t bytes = whole.nbytes() / size_;
    Queue(collective, [&](NcclComm comm, cudaStream_t stream) {
      const auto& nccl = NcclOf();
      CheckNccl(nccl.groupStart());
      int error = 0;
      for (int rank = 0; rank < size_ && error == 0; rank++) {
        error = nccl.send(static_cast<char*>(whole.data_ptr()) + rank * bytes, bytes, kNcclByte, rank, comm, stream);
        if (error == 0) error = nccl.receive(static_cast<char*>(dealt.data_ptr()) + rank * bytes, bytes, kNcclByte, rank, comm, stream);
      }
      const int ended = nccl.groupEnd();
      return error != 0 ? error : ended;
    });
  }

  template <typename Body>
  void Queue(const Collective& collective, Body body) {
    const auto stream = c10::cuda::getCurrentCUDAStream().stream();
    // a replay would be another collective, of which nobody knows
    if (at::cuda::currentStreamCaptureStatusMayInitCtx() != at::cuda::CaptureStatus::None) {
      throw ArgumentError("what processes do together cannot be recorded");
    }
    const std::lock_guard lock(mutex_);
    CheckPeers();
    progress_.Begins(collective);
    const int error = body(comm_, stream);
    CheckPeers();
    CheckNccl(error);
    progress_.Ends(collective, stream);
  }

  static constexpr auto kMostWaiting = std::chrono::milliseconds(2000);

  std::timed_mutex mutex_;
  std::atomic<NcclComm> comm_ = nullptr;
  const int rank_;
  const int size_;
  const c10::cuda::CUDAStream side_;
  DeviceProgress progress_;
  std::deque<Pending> pending_;
  size_t pendingBytes_ = 0;
  std::deque<Gathering> gathering_;
};

}  // namespace plumbline
