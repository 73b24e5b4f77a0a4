// The addon is one translation unit: nearly all of its compile time is ATen's headers.

#include <torch/version.h>
#include <napi.h>

#include <cstdlib>
#ifdef __GLIBC__
#include <malloc.h>

#include <climits>
#endif

#include "call.h"
#include "calls.h"
#include "cpu-choices.h"
#include "cpu-decode.h"
#include "cpu-kernels.h"
#include "cpu-memory.h"
#include "cpu-products.h"
#include "cpu-prompts.h"
#include "cpu-ranking.h"
#include "cpu-sampling.h"
#include "cpu-training.h"
#include "device.h"
#include "group.h"
#include "handle.h"
#include "mailbox.h"
#include "operator.h"
#include "recording.h"
#include "replay.h"
#include "transfer.h"

#ifdef PLUMBLINE_CUDA
#include "cuda.h"
#include "device-read.h"
#include "kernel-launch.h"
#endif

/**
 * A step frees and takes again the same large blocks. Kept in the process, also those of more than glibc's 32 MiB, and in
 * huge pages where Linux offers them, they are not cleared by the kernel each time: a training step on the CPU takes a
 * fifth less.
 */
static void KeepMemory() {
  setenv("THP_MEM_ALLOC_ENABLE", "1", 0);
#ifdef __GLIBC__
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, INT_MAX);
  mallopt(M_TOP_PAD, 64 << 20);
#endif
}

static Napi::Object Initialise(Napi::Env env, Napi::Object exports) {
  using namespace plumbline;
  KeepMemory();
  ForgetUnusableNnpack();
  CountHostMemory();
  FreeTableAtEnd(env);
  ShareMailbox(env, exports);
  const auto add = [&](const char* name, Napi::Value (*f)(const Napi::CallbackInfo&)) {
    exports.Set(name, Napi::Function::New(env, f, name));
  };
  add("operator", FindOperator);
  add("call", CallOperator);
  add("traceNew", TraceNew);
  add("traceRun", TraceRun);
  add("traceBegin", TraceBegin);
  add("traceEnd", TraceEnd);
  add("programBegin", ProgramBegin);
  add("programEnd", ProgramEnd);
  add("programRun", ProgramRun);
  add("programReset", ProgramReset);
  add("layout", LayoutNumber);
  add("fromHost", FromHost);
  add("toDevice", ToDevice);
  add("empty", Empty);
  add("toHost", ToHost);
  add("write", Write);
  add("shape", Sizes);
  add("strides", Strides);
  add("joined", Joined);
  add("squareSum", SquareSum);
  add("logitRows", LogitRows);
  add("adamw", Adamw);
  add("turnHeads", TurnHeads);
  add("siluGate", SiluGate);
  add("siluGateGradient", SiluGateGradient);
  add("multipliesNarrow", MultipliesNarrow);
  add("onednnMultiplies", OneDnnMultiplies);
  add("rowProduct", RowProduct);
  add("rmsNorm", RmsNorm);
  add("cacheHeads", CacheHeads);
  add("pagedDecode", PagedDecode);
  add("pagedPrompts", PagedPrompts);
  add("sampleTokens", SampleTokens);
  add("topLogProbs", TopLogProbs);
  add("recordBegin", RecordBegin);
  add("recordEnd", RecordEnd);
  add("recordReplay", RecordReplay);
  add("recordReset", RecordReset);
  add("isShared", IsShared);
  add("dispose", Dispose);
  add("collected", Collected);
  add("seed", SetSeed);
  add("threads", SetThreads);
  add("deterministic", SetDeterministic);
  add("groupJoin", GroupJoin);
  add("groupLeave", GroupLeave);
  add("groupFail", GroupFail);
  add("groupFault", GroupFault);
  add("groupSum", GroupSum);
  add("groupSumPart", GroupSumPart);
  add("groupSettle", GroupSettle);
  add("groupJoinParts", GroupJoinParts);
  add("groupGather", GroupGather);
  add("groupAwait", GroupAwait);
  add("groupExchange", GroupExchange);
  add("handleStatistics", HandleStatistics);
  add("hostMemory", HostMemory);
  add("callStatistics", CallStatistics);
  exports.Set("torchVersion", TORCH_VERSION);
  exports.Set("libraryVersion", LibraryVersion());
#ifdef PLUMBLINE_SOURCES
  exports.Set("sources", PLUMBLINE_SOURCES);
#endif
#ifdef PLUMBLINE_CUDA
  ExportCuda(env, exports);
  ExportDeviceRead(env, exports);
  ExportKernels(env, exports);
#endif
  return exports;
}

NODE_API_MODULE(plumbline_torch, Initialise)
