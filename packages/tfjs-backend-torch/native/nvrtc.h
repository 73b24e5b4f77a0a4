#pragma once
// The NVRTC that ships with PyTorch and the driver, as kernels compiled at run time need them.

#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAFunctions.h>
#include <dlfcn.h>

#include <filesystem>
#include <string>
#include <vector>

#include "errors.h"

namespace plumbline {

/** The driver's CUlaunchConfig, whose one attribute lets a kernel be launched before the one before it has ended. */
struct LaunchAttribute {
  int id;
  char padding[4];
  union {
    char bytes[64];
    int flag;
  } value;
};

struct LaunchConfig {
  unsigned blocks[3];
  unsigned threads[3];
  unsigned sharedBytes;
  void* stream;
  LaunchAttribute* attributes;
  unsigned count;
};

constexpr int kProgrammaticStreamSerialization = 6;

/** What is used of NVRTC and the driver, found at run time: neither's headers come with every torch. */
struct Nvrtc {
  int (*version)(int* major, int* minor);
  int (*createProgram)(void** program, const char* source, const char* name, int, const char* const*, const char* const*);
  int (*compileProgram)(void* program, int options, const char* const* option);
  int (*destroyProgram)(void** program);
  int (*logSize)(void* program, size_t* size);
  int (*log)(void* program, char* log);
  int (*ptxSize)(void* program, size_t* size);
  int (*ptx)(void* program, char* ptx);
  int (*moduleLoad)(void** module, const void* image);
  int (*moduleFunction)(void** function, void* module, const char* name);
  int (*setAttribute)(void* function, int attribute, int value);
  int (*launch)(const LaunchConfig* config, void* function, void** arguments, void** extra);
  int (*errorText)(int error, const char** text);
};

inline void* OpenLibrary(const std::vector<std::string>& candidates) {
  for (const auto& path : candidates) {
    if (void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) return library;
  }
  throw ArgumentError("no " + candidates.back() + " was found beside torch or among the system's libraries");
}

/** PyTorch's own NVRTC lies beside its libraries or in the wheel it depends on. */
inline std::vector<std::string> NvrtcCandidates() {
  Dl_info place{};
  dladdr(reinterpret_cast<void*>(&c10::cuda::device_count), &place);
  const std::string library = place.dli_fname == nullptr ? "" : place.dli_fname;
  const auto folder = library.substr(0, library.rfind('/'));
  std::vector<std::string> candidates;
  for (const char* version : {"13", "12"}) {
    const auto name = std::string("libnvrtc.so.") + version;
    candidates.push_back(folder + "/" + name);
    candidates.push_back(folder + "/../../nvidia/cu" + version + "/lib/" + name);
    candidates.push_back(folder + "/../../nvidia/cuda_nvrtc/lib/" + name);
    candidates.push_back("/usr/local/cuda/lib64/" + name);
    candidates.push_back(name);
  }
  candidates.push_back("libnvrtc.so");
  return candidates;
}

/** NVRTC opens its built-ins by name alone; it finds them where they are loaded already. */
inline void OpenBuiltins(void* compiler) {
  Dl_info place{};
  dladdr(dlsym(compiler, "nvrtcCreateProgram"), &place);
  if (place.dli_fname == nullptr) return;
  std::error_code ignored;
  for (const auto& file : std::filesystem::directory_iterator(std::filesystem::path(place.dli_fname).parent_path(), ignored)) {
    if (file.path().filename().string().rfind("libnvrtc-builtins.so", 0) == 0) dlopen(file.path().c_str(), RTLD_NOW);
  }
}

inline const Nvrtc& NvrtcOf() {
  static const Nvrtc functions = [] {
    void* compiler = OpenLibrary(NvrtcCandidates());
    OpenBuiltins(compiler);
    void* driver = OpenLibrary({"libcuda.so.1", "libcuda.so"});
    Nvrtc found{};
    const auto find = [](void* library, const char* name, auto& function) {
      function = reinterpret_cast<std::decay_t<decltype(function)>>(dlsym(library, name));
      if (function == nullptr) throw ArgumentError(std::string("the CUDA libraries lack ") + name);
    };
    find(compiler, "nvrtcVersion", found.version);
    find(compiler, "nvrtcCreateProgram", found.createProgram);
    find(compiler, "nvrtcCompileProgram", found.compileProgram);
    find(compiler, "nvrtcDestroyProgram", found.destroyProgram);
    find(compiler, "nvrtcGetProgramLogSize", found.logSize);
    find(compiler, "nvrtcGetProgramLog", found.log);
    find(compiler, "nvrtcGetPTXSize", found.ptxSize);
    find(compiler, "nvrtcGetPTX", found.ptx);
    find(driver, "cuModuleLoadData", found.moduleLoad);
    find(driver, "cuModuleGetFunction", found.moduleFunction);
    find(driver, "cuFuncSetAttribute", found.setAttribute);
    find(driver, "cuLaunchKernelEx", found.launch);
    find(driver, "cuGetErrorString", found.errorText);
    return found;
  }();
  return functions;
}

inline void CheckDriver(int result, const char* what) {
  if (result == 0) return;
  const char* text = nullptr;
  NvrtcOf().errorText(result, &text);
  throw std::runtime_error(std::string("CUDA error: ") + what + ": " + (text == nullptr ? "unknown" : text));
}

inline int DeviceCapability() {
  const auto* properties = at::cuda::getCurrentDeviceProperties();
  return properties->major * 10 + properties->minor;
}

/** @param byBoxes whether it has what one generation alone has, which goes by a name of its own */
inline std::string Ptx(const std::string& source, bool byBoxes) {
  const auto& nvrtc = NvrtcOf();
  const auto architecture = "--gpu-architecture=compute_" + std::to_string(DeviceCapability()) + (byBoxes ? "a" : "");
  const char* const options[] = {architecture.c_str(), "--std=c++17", "-default-device"};
  void* program = nullptr;
  nvrtc.createProgram(&program, source.c_str(), nullptr, 0, nullptr, nullptr);
  const int compiled = nvrtc.compileProgram(program, 3, options);
  size_t length = 0;
  std::string text;
  if (compiled == 0) {
    nvrtc.ptxSize(program, &length);
    text.resize(length);
    nvrtc.ptx(program, text.data());
  } else {
    nvrtc.logSize(program, &length);
    text.resize(length);
    nvrtc.log(program, text.data());
  }
  nvrtc.destroyProgram(&program);
  if (compiled == 0) return text;
  for (auto& letter : text) letter = letter == '\n' ? ' ' : letter;
  throw ArgumentError("the kernel does not compile: " + text);
}

}  // namespace plumbline
