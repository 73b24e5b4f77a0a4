#pragma once
// Processes that compute together. A process is in one group; without CUDA tensors go from host to host.

#include <c10/core/InferenceMode.h>
#include <napi.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "handle.h"
#include "meeting.h"
#include "peer-loss.h"
#ifdef PLUMBLINE_CUDA
#include "nccl.h"
#endif

namespace plumbline {

struct Group {
  std::unique_ptr<Meeting> meeting;
#ifdef PLUMBLINE_CUDA
  /** The pulse of the meeting knows them, too. */
  std::shared_ptr<Devices> devices;

  ~Group() {
    if (devices != nullptr) devices->Leave();
  }
#endif
};

inline std::unique_ptr<Group>& GroupOf() {
  static auto* group = new std::unique_ptr<Group>;
  return *group;
}

inline Group& JoinedGroup() {
  if (GroupOf() == nullptr) throw ArgumentError("this process has not joined others");
  return *GroupOf();
}

inline int SizeOf(const Group& group) { return group.meeting->Own().size; }

#ifdef PLUMBLINE_CUDA

/** The first process makes the id of the devices' communicator. */
inline void JoinDevices(Devices& devices, Meeting& meeting) {
  NcclId id{};
  std::vector<uint8_t> made;
  if (meeting.Own().rank == 0) {
    CheckNccl(NcclOf().getId(&id));
    made.assign(id.bytes, id.bytes + sizeof(id.bytes));
  }
  const auto all = meeting.Exchange(made);
  if (all[0].size() != sizeof(id.bytes)) throw PeerError("process 0 has no CUDA");
  std::memcpy(id.bytes, all[0].data(), sizeof(id.bytes));
  devices.Join(id);
}

inline std::unique_ptr<Group> Join(const Membership& own) {
  auto group = std::make_unique<Group>();
  PeerLossOf().Forget();
  std::shared_ptr<Devices> devices;
  if (own.device >= 0) {
    c10::cuda::set_device(static_cast<c10::DeviceIndex>(own.device));
    devices = std::make_shared<Devices>(own);
  }
  group->meeting = std::make_unique<Meeting>(
      own, Watched{[devices] { return devices == nullptr ? std::nullopt : devices->Now(); },
                   [devices](const std::string& reason) {
                     if (devices != nullptr) devices->Abort(reason);
                   }});
  group->devices = devices;
  group->meeting->Exchange({});
  if (devices != nullptr) JoinDevices(*devices, *group->meeting);
  return group;
}

#else

inline std::unique_ptr<Group> Join(const Membership& own) {
  auto group = std::make_unique<Group>();
  group->meeting = std::make_unique<Meeting>(own, Watched{[] { return std::nullopt; }, [](const std::string&) {}});
  group->meeting->Exchange({});
  return group;
}

#endif

/** Waits for the others beside the event loop. */
class JoinWorker : public Napi::AsyncWorker {
 public:
  JoinWorker(Napi::Env env, Membership own)
      : Napi::AsyncWorker(env), own_(std::move(own)), promise_(Napi::Promise::Deferred::New(env)) {}

  Napi::Promise Promise() const { return promise_.Promise(); }

  void Execute() override {
    try {
      joined_ = Join(own_);
    } catch (const c10::Error& error) {
      SetError(FirstLine(error.what_without_backtrace()));
    } catch (const std::exception& error) {
      SetError(FirstLine(error.what()));
    }
  }

  void OnOK() override {
    GroupOf() = std::move(joined_);
    promise_.Resolve(Env().Undefined());
  }

  void OnError(const Napi::Error& error) override { promise_.Reject(error.Value()); }

 private:
  Membership own_;
  std::unique_ptr<Group> joined_;
  Napi::Promise::Deferred promise_;
};

/** groupJoin({ rank, size, host, port, meetsHere, prefix, patience, device }): resolves once all have come. */
inline Napi::Value GroupJoin(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"groupJoin", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    if (GroupOf() != nullptr) throw ArgumentError("this process has joined others already");
    const auto given = info[0].As<Napi::Object>();
    QuietLog();
    Membership own;
    own.rank = given.Get("rank").As<Napi::Number>().Int32Value();
    own.size = given.Get("size").As<Napi::Number>().Int32Value();
    own.host = given.Get("host").As<Napi::String>().Utf8Value();
    own.port = static_cast<uint16_t>(given.Get("port").As<Napi::Number>().Uint32Value());
    own.meetsHere = given.Get("meetsHere").As<Napi::Boolean>().Value();
    own.prefix = given.Get("prefix").As<Napi::String>().Utf8Value();
    own.patience = std::chrono::milliseconds(given.Get("patience").As<Napi::Number>().Int64Value());
    own.device = given.Get("device").As<Napi::Number>().Int32Value();
    auto* worker = new JoinWorker(info.Env(), std::move(own));
    const auto promise = worker->Promise();
    worker->Queue();
    return promise;
  });
}

inline Napi::Value GroupLeave(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"groupLeave", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    GroupOf().reset();
    return info.Env().Undefined();
  });
}

/** groupFail(reason): the others' next or present wait ends with it. */
inline Napi::Value GroupFail(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"groupFail", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    JoinedGroup().meeting->Fail(info[0].As<Napi::String>().Utf8Value());
    return info.Env().Undefined();
  });
}

/** groupFault(): why the others can no longer be waited for; empty as long as they can. */
inline Napi::Value GroupFault(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"groupFault", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    return Napi::String::New(info.Env(), JoinedGroup().meeting->Fault());
  });
}

inline std::vector<uint8_t> BytesFrom(const Napi::Value& value) {
  const auto bytes = value.As<Napi::Uint8Array>();
  return {bytes.Data(), bytes.Data() + bytes.ByteLength()};
}

inline Napi::Value ArraysOf(Napi::Env env, const std::vector<std::vector<uint8_t>>& all) {
  auto result = Napi::Array::New(env, all.size());
  for (size_t rank = 0; rank < all.size(); rank++) {
    auto bytes = Napi::Uint8Array::New(env, all[rank].size());
    std::memcpy(bytes.Data(), all[rank].data(), all[rank].size());
    result.Set(static_cast<uint32_t>(rank), bytes);
  }
  return result;
}

/** groupExchange(bytes): every process's bytes, in their order; any numbers of them. */
inline Napi::Value GroupExchange(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"groupExchange", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    auto& meeting = *JoinedGroup().meeting;
    meeting.Note("exchange", 0);
    return ArraysOf(info.Env(), meeting.Exchange(BytesFrom(info[0])));
  });
}

inline std::vector<uint8_t> BytesOfTensor(const at::Tensor& x) {
  const auto* bytes = static_cast<const uint8_t*>(x.data_ptr());
  return {bytes, bytes + x.nbytes()};
}

/** Everyone's tensors on the host. Sums of them are made in the processes' order, so all get the same bits. */
inline std::vector<at::Tensor> HostTensors(Group& group, const at::Tensor& own) {
  std::vector<at::Tensor> all;
  for (const auto& bytes : group.meeting->Exchange(BytesOfTensor(own))) {
    if (bytes.size() != own.nbytes()) throw PeerError("the processes' tensors differ in size");
    auto tensor = at::empty_like(own);
    std::memcpy(tensor.data_ptr(), bytes.data(), bytes.size());
    all.push_back(std::move(tensor));
  }
  return all;
}

/** In float32. */
inline at::Tensor SumOf(const std::vector<at::Tensor>& tensors, int64_t from, int64_t count) {
  auto sum = tensors[0].narrow(0, from, count).to(at::kFloat, false, true);
  for (size_t i = 1; i < tensors.size(); i++) sum.add_(tensors[i].narrow(0, from, count));
  return sum;
}

/** groupSum(handle): a new tensor, all processes' added up. */
inline Napi::Value GroupSum(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"groupSum", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    c10::InferenceMode inference;
    const auto& own = TensorOf(info.Env(), info[0]);
    auto sum = own.clone(at::MemoryFormat::Contiguous);
    auto& group = JoinedGroup();
    const auto collective = group.meeting->Note("sum", sum.nbytes());
#ifdef PLUMBLINE_CUDA
    if (group.devices != nullptr) {
      group.devices->Sum(collective, sum);
      return Wrap(info.Env(), std::move(sum));
    }
#endif
    const auto all = HostTensors(group, sum.view(-1));
    return Wrap(info.Env(), SumOf(all, 0, sum.numel()).view(sum.sizes()));
  });
}

/**
 * groupSumPart(handle): this process's part of the sum, one of as many equal ones as there are processes; flat, float32. Begun: it
 * is there after groupSettle.
 */
inline Napi::Value GroupSumPart(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"groupSumPart", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    c10::InferenceMode inference;
    const auto whole = TensorOf(info.Env(), info[0]).contiguous().view(-1);
    auto& group = JoinedGroup();
    const auto count = whole.numel() / SizeOf(group);
    const auto collective = group.meeting->Note("partial sum", whole.nbytes());
#ifdef PLUMBLINE_CUDA
    if (group.devices != nullptr) {
      auto part = at::empty({count}, whole.options().dtype(at::kFloat));
      group.devices->SumPart(collective, whole, part);
      return Wrap(info.Env(), std::move(part));
    }
#endif
    return Wrap(info.Env(), SumOf(HostTensors(group, whole), group.meeting->Own().rank * count, count));
  });
}

/** groupSettle(): what is queued from here on finds the parts of sums that were begun. */
inline Napi::Value GroupSettle(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"groupSettle", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
#ifdef PLUMBLINE_CUDA
    if (JoinedGroup().devices != nullptr) JoinedGroup().devices->Settle();
#endif
    return info.Env().Undefined();
  });
}

/** groupJoinParts(part, whole): writes every process's part into its place of the whole, a contiguous tensor. */
inline Napi::Value GroupJoinParts(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"groupJoinParts", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    c10::InferenceMode inference;
    const auto part = TensorOf(info.Env(), info[0]).contiguous().view(-1);
    auto whole = TensorOf(info.Env(), info[1]).view(-1);
    auto& group = JoinedGroup();
    const auto collective = group.meeting->Note("join", part.nbytes());
#ifdef PLUMBLINE_CUDA
    if (group.devices != nullptr) {
      group.devices->JoinParts(collective, part, whole);
      return info.Env().Undefined();
    }
#endif
    const auto all = HostTensors(group, part);
    for (size_t rank = 0; rank < all.size(); rank++) {
      whole.narrow(0, static_cast<int64_t>(rank) * part.numel(), part.numel()).copy_(all[rank]);
    }
    return info.Env().Undefined();
  });
}

/** The processes' parts of some tensors, each laid end to end by `own`, into their places of the wholes. */
inline void PlaceParts(const std::vector<at::Tensor>& all, const std::vector<at::Tensor>& wholes) {
  const auto size = static_cast<int64_t>(all.size());
  for (int64_t rank = 0; rank < size; rank++) {
    int64_t from = 0;
    for (const auto& whole : wholes) {
      const auto count = whole.numel() / size;
      whole.narrow(0, rank * count, count).copy_(all[rank].narrow(0, from, count));
      from += count;
    }
  }
}

/** @param wholes parts of `memory`, which is all of them */
inline void GatherInto(
    Group& group, const at::Tensor& memory, const std::vector<at::Tensor>& parts, const std::vector<at::Tensor>& wholes) {
  const auto collective = group.meeting->Note("gather", memory.nbytes() / SizeOf(group));
#ifdef PLUMBLINE_CUDA
  if (group.devices != nullptr) {
    const auto rank = group.meeting->Own().rank;
    for (size_t i = 0; i < parts.size(); i++) {
      const auto count = parts[i].numel();
      wholes[i].narrow(0, rank * count, count).copy_(parts[i]);
    }
    return group.devices->Gather(collective, memory, wholes);
  }
#endif
  std::vector<at::Tensor> own;
  for (const auto& part : parts) own.push_back(part.to(memory.scalar_type()));
  PlaceParts(HostTensors(group, at::cat(own)), wholes);
}

/**
 * groupGather(parts, dtype): a new tensor for each part, flat, of that dtype and as many times as long as there are processes: all
 * of them, in their order. They lie end to end in one memory. Begun: they are there after groupAwait.
 */
inline Napi::Value GroupGather(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"groupGather", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    c10::InferenceMode inference;
    const auto given = info[0].As<Napi::Array>();
    const auto type = static_cast<at::ScalarType>(info[1].As<Napi::Number>().Int32Value());
    auto& group = JoinedGroup();
    const auto size = SizeOf(group);
    std::vector<at::Tensor> parts;
    int64_t total = 0;
    for (uint32_t i = 0; i < given.Length(); i++) {
      parts.push_back(TensorOf(info.Env(), given.Get(i)).contiguous().view(-1));
      total += parts.back().numel();
    }
    const auto memory = at::empty({total * size}, parts.at(0).options().dtype(type));
    std::vector<at::Tensor> wholes;
    int64_t from = 0;
    for (const auto& part : parts) {
      const auto count = part.numel();
      wholes.push_back(memory.narrow(0, from, count * size));
      from += count * size;
    }
    GatherInto(group, memory, parts, wholes);
    auto result = Napi::Array::New(info.Env(), wholes.size());
    for (uint32_t i = 0; i < wholes.size(); i++) result.Set(i, Wrap(info.Env(), std::move(wholes[i])));
    return result;
  });
}

/** groupAwait(): what is queued from here on finds the gathers that were begun. */
inline Napi::Value GroupAwait(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"groupAwait", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
#ifdef PLUMBLINE_CUDA
    if (JoinedGroup().devices != nullptr) JoinedGroup().devices->AwaitGathers();
#endif
    return info.Env().Undefined();
  });
}

}  // namespace plumbline
