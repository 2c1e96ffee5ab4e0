// See nvrtc.h.
#include "codegen/cuda/nvrtc.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/base/bug.h"

// NVRTC's interface, so far as it is used: a result of 0 is success.
typedef struct NvrtcProgram *NvrtcProgramHandle;
#define NVRTC_CALLS(X)                                                                               \
  X(Version, (int *major, int *minor))                                                               \
  X(CreateProgram, (NvrtcProgramHandle * program, const char *source, const char *name, int headers, \
                    const char *const *texts, const char *const *names))                             \
  X(DestroyProgram, (NvrtcProgramHandle * program))                                                  \
  X(CompileProgram, (NvrtcProgramHandle program, int options, const char *const *option))            \
  X(GetProgramLogSize, (NvrtcProgramHandle program, size_t * bytes))                                 \
  X(GetProgramLog, (NvrtcProgramHandle program, char *log))                                          \
  X(GetCUBINSize, (NvrtcProgramHandle program, size_t * bytes))                                      \
  X(GetCUBIN, (NvrtcProgramHandle program, char *cubin))                                             \
  X(GetPTXSize, (NvrtcProgramHandle program, size_t * bytes))                                        \
  X(GetPTX, (NvrtcProgramHandle program, char *ptx))

struct Nvrtc {
  void *library;
#define NVRTC_FIELD(name, parameters) int(*name) parameters;
  NVRTC_CALLS(NVRTC_FIELD)
#undef NVRTC_FIELD
};

// Never closed: what the library has allocated lives as long as the process.
static void *library_find(const char *path) {
  static const char *const places[] = {"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so",
                                       "/usr/local/cuda/lib64/libnvrtc.so"};
  if (!path) path = getenv("SEER_NVRTC");
  if (path) return dlopen(path, RTLD_NOW | RTLD_LOCAL);
  for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
    void *library = dlopen(places[i], RTLD_NOW | RTLD_LOCAL);
    if (library) return library;
  }
  return NULL;
}

Nvrtc *nvrtc_open(Arena *arena, const char *path, const char **why) {
  void *library = library_find(path);
  if (!library) {
    *why =
        arena_printf(arena,
                     "NVRTC, which compiles for GPUs, is not here: %s; it comes with the CUDA toolkit (12.3 or newer), "
                     "or as the Python package nvidia-cuda-nvrtc; name its library in SEER_NVRTC",
                     dlerror());
    return NULL;
  }
  Nvrtc *nvrtc = arena_new(arena, Nvrtc);
  nvrtc->library = library;
  const char *missing = NULL;
#define NVRTC_FIND(name, parameters)              \
  {                                               \
    void *symbol = dlsym(library, "nvrtc" #name); \
    if (!symbol) missing = "nvrtc" #name;         \
    memcpy(&nvrtc->name, &symbol, sizeof symbol); \
  }
  NVRTC_CALLS(NVRTC_FIND)
#undef NVRTC_FIND
  if (missing) {
    *why = arena_printf(arena, "NVRTC here is too old: it has no %s; CUDA 12.3 or newer has", missing);
    return NULL;
  }
  return nvrtc;
}

void nvrtc_version(const Nvrtc *nvrtc, int *major, int *minor) {
  if (nvrtc->Version(major, minor) != 0) BUG("NVRTC does not tell its version");
}

typedef int NvrtcSize(NvrtcProgramHandle program, size_t *bytes);
typedef int NvrtcGet(NvrtcProgramHandle program, char *to);

// What `get` gives, with a zero after it; NULL where there is nothing.
static const char *fetch(Arena *arena, NvrtcProgramHandle program, NvrtcSize *size, NvrtcGet *get, size_t *bytes) {
  size_t length = 0;
  if (size(program, &length) != 0 || length == 0) return NULL;
  char *text = arena_alloc(arena, length + 1);
  if (get(program, text) != 0) return NULL;
  if (bytes) *bytes = length;
  return text;
}

bool nvrtc_compile(const Nvrtc *nvrtc, Arena *arena, const NvrtcKernel *kernel, NvrtcCode *code) {
  const char **names = arena_array(arena, const char *, kernel->header_count + 1);
  const char **texts = arena_array(arena, const char *, kernel->header_count + 1);
  for (int i = 0; i < kernel->header_count; i++) names[i] = kernel->headers[i].name, texts[i] = kernel->headers[i].text;
  NvrtcProgramHandle program = NULL;
  if (nvrtc->CreateProgram(&program, kernel->source, kernel->name, kernel->header_count, texts, names) != 0)
    BUG("NVRTC makes no program");
  int count = 0;
  const char **options = arena_array(arena, const char *, kernel->option_count + 4);
  options[count++] = arena_printf(arena, "--gpu-architecture=%s", kernel->architecture);
  options[count++] = "--std=c++17";
  options[count++] = "--ptxas-options=-v";  // the log then tells of registers and spills
  for (int i = 0; i < kernel->option_count; i++) options[count++] = kernel->options[i];
  int result = nvrtc->CompileProgram(program, count, options);
  const char *log = fetch(arena, program, nvrtc->GetProgramLogSize, nvrtc->GetProgramLog, NULL);
  *code = (NvrtcCode){.log = log ? log : ""};
  if (result == 0) {
    code->cubin = fetch(arena, program, nvrtc->GetCUBINSize, nvrtc->GetCUBIN, &code->cubin_bytes);
    code->ptx = fetch(arena, program, nvrtc->GetPTXSize, nvrtc->GetPTX, NULL);
  }
  nvrtc->DestroyProgram(&program);
  bool virtual = strncmp(kernel->architecture, "compute_", 8) == 0;
  return result == 0 && (virtual ? code->ptx != NULL : code->cubin != NULL);
}
