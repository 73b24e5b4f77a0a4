#pragma once
// What the host has left for this process.

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>

/** Node's own, which knows of containers; its header does not come with Node-API's. */
extern "C" uint64_t uv_get_available_memory(void);

namespace plumbline {

/** Bytes that a limit leaves over what is in use. */
inline int64_t LeftOf(int resource, int64_t used) {
  rlimit limit{};
  if (getrlimit(resource, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return INT64_MAX;
  return std::max<int64_t>(0, static_cast<int64_t>(limit.rlim_cur) - used);
}

/** Bytes of the machine or container that are free, or what the limits of the process leave where that is less. */
inline int64_t FreeHostBytes() {
  const auto free = static_cast<int64_t>(uv_get_available_memory());
  long long size = 0;
  long long data = 0;
  auto* file = std::fopen("/proc/self/statm", "r");
  if (file == nullptr) return free;
  const bool read = std::fscanf(file, "%lld %*d %*d %*d %*d %lld", &size, &data) == 2;
  std::fclose(file);
  if (!read) return free;
  const int64_t page = sysconf(_SC_PAGESIZE);
  return std::min({free, LeftOf(RLIMIT_AS, size * page), LeftOf(RLIMIT_DATA, data * page)});
}

}  // namespace plumbline
