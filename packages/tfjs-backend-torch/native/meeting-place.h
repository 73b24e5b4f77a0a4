#pragma once
// Where processes that compute together meet: libtorch's TCPStore.

#include <c10/util/Logging.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <chrono>
#include <cstdlib>
#include <string>
#include <vector>

namespace plumbline {

struct Membership {
  int rank = 0;
  int size = 1;
  std::string host;
  uint16_t port = 0;
  /** Whether the others meet in this process; else in one started beforehand. */
  bool meetsHere = false;
  /** Keeps apart the attempts of a launcher that starts everyone again. */
  std::string prefix;
  /** How long one waits for the others, who may still be loading a model, and its device for theirs. */
  std::chrono::milliseconds patience{};
  /** CUDA device, or below 0 the host. */
  int device = -1;
};

/** c10d writes stacks of C++ frames to standard error for what is thrown, too. Who sets TORCH_CPP_LOG_LEVEL sees them. */
inline void QuietLog() {
  if (std::getenv("TORCH_CPP_LOG_LEVEL") == nullptr) FLAGS_caffe2_log_level = 3;
}

using Place = c10::intrusive_ptr<c10d::Store>;

inline Place OpenStore(const Membership& own, bool serves) {
  c10d::TCPStoreOptions options;
  options.port = own.port;
  options.isServer = serves;
  options.waitWorkers = false;
  options.timeout = own.patience;
  return c10::make_intrusive<c10d::PrefixStore>(own.prefix, c10::make_intrusive<c10d::TCPStore>(own.host, options));
}

inline std::string Named(const char* what, int rank) { return std::string(what) + "/" + std::to_string(rank); }

inline std::vector<uint8_t> BytesOf(const std::string& text) { return {text.begin(), text.end()}; }

inline std::string TextAt(c10d::Store& store, const std::string& key) {
  const auto bytes = store.get(key);
  return {bytes.begin(), bytes.end()};
}

/** Tells all why they need not wait any longer. @returns what counts: the reason that came first */
inline std::string TellFailure(c10d::Store& store, const std::string& reason) {
  try {
    const auto told = store.compareSet("failed", std::vector<uint8_t>{}, BytesOf(reason));
    return {told.begin(), told.end()};
  } catch (const std::exception&) {
    // the others are gone themselves
    return reason;
  }
}

inline std::string SecondsText(std::chrono::milliseconds time) {
  return std::to_string(std::chrono::duration_cast<std::chrono::seconds>(time).count()) + " s";
}

}  // namespace plumbline
