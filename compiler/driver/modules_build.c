// Modules are compiled by as many processes as there are cores, which take the next one in turn; see modules_build.h.
//
// What was compiled is kept in the user's cache ($XDG_CACHE_HOME/seer/kernels), by a hash of all that goes into it.
#include "compiler/driver/modules_build.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "codegen/cuda/cubin.h"
#include "codegen/cuda/nvrtc.h"
#include "compiler/base/hash.h"
#include "compiler/driver/compile.h"

enum { HASHES = 2 };

typedef struct ModulesBuild {
  Arena *arena;
  const Trainer *trainer;
  CudaModules *modules;
  const char *folder;
  Nvrtc *nvrtc;  // NULL: only the simulated GPU is asked for
  NvrtcHeader *headers;
  int header_count;
  const char *cache;        // folder; NULL: there is none
  uint64_t hashes[HASHES];  // of what all modules have in common
  _Atomic int *next;        // task, of all processes
  int tasks;                // module by module, its architectures one behind the other
  const char **refusal;     // where a refusal goes; NULL: it is an error
} ModulesBuild;

static const char *architecture_of(const ModulesBuild *build, int task) {
  return build->modules->architectures[task % build->modules->architecture_count];
}
static CudaModule *module_of(const ModulesBuild *build, int task) {
  return &build->modules->items[task / build->modules->architecture_count];
}
static const char *code_path(const ModulesBuild *build, int task) {
  return arena_printf(build->arena, "%s/%s", build->folder,
                      cuda_code_path(build->arena, module_of(build, task), architecture_of(build, task)));
}

// NULL: it cannot be read.
static char *file_read(Arena *arena, const char *path, size_t *size_bytes) {
  FILE *file = fopen(path, "rb");
  if (!file) return NULL;
  char *bytes = NULL;
  long size = fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
  rewind(file);
  if (size >= 0) bytes = arena_alloc(arena, (size_t)size + 1);
  if (bytes && fread(bytes, 1, (size_t)size, file) != (size_t)size) bytes = NULL;
  fclose(file);
  if (bytes) bytes[size] = '\0';
  *size_bytes = size >= 0 ? (size_t)size : 0;
  return bytes;
}

static bool file_write(const char *path, const void *bytes, size_t size_bytes) {
  FILE *file = fopen(path, "wb");
  bool good = file && fwrite(bytes, 1, size_bytes, file) == size_bytes;
  return file && fclose(file) == 0 && good;
}

// ---- the cache ----

// What all modules have in common, hashed; and the folder.
static void cache_open(ModulesBuild *build) {
  Arena *arena = build->arena;
  const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
  if (!cache || cache[0] != '/') cache = home && home[0] == '/' ? arena_printf(arena, "%s/.cache", home) : NULL;
  if (!cache) return;
  mkdir(cache, 0777);
  mkdir(arena_printf(arena, "%s/seer", cache), 0777);
  build->cache = arena_printf(arena, "%s/seer/kernels", cache);
  mkdir(build->cache, 0777);
  int major = 0, minor = 0;
  if (build->nvrtc) nvrtc_version(build->nvrtc, &major, &minor);
  for (int i = 0; i < HASHES; i++) {
    // From two beginnings, so that 128 bits would have to agree.
    build->hashes[i] = hash_text(HASH_START + (uint64_t)i, arena_printf(arena, "%d.%d\n", major, minor));
    for (int h = 0; h < build->header_count; h++)
      build->hashes[i] = hash_text(build->hashes[i], build->headers[h].text);
  }
}

// Where a module's code is kept; NULL: nowhere.
static const char *cache_path(const ModulesBuild *build, int task, const char *source) {
  uint64_t hashes[HASHES];
  if (!build->cache) return NULL;
  for (int i = 0; i < HASHES; i++)
    hashes[i] = hash_text(hash_text(hash_text(build->hashes[i], architecture_of(build, task)), "\n"), source);
  return arena_printf(build->arena, "%s/%016llx%016llx", build->cache, (unsigned long long)hashes[0],
                      (unsigned long long)hashes[1]);
}

// Complete or not there at all, whoever else writes it.
static void cache_put(Arena *arena, const char *path, const void *bytes, size_t size_bytes) {
  const char *other = path ? arena_printf(arena, "%s.%ld", path, (long)getpid()) : NULL;
  if (other && (!file_write(other, bytes, size_bytes) || rename(other, path) != 0)) unlink(other);
}

// ---- one module ----

// The text of a module with its own file as NVRTC and the cache see it.
static const char *module_text(const ModulesBuild *build, const CudaModule *module) {
  Writer out = {0};
  print_cuda_module(build->trainer, module, &out);
  const char *text = arena_string(build->arena, out.text, out.size);
  writer_release(&out);
  return text;
}

// What stopped a module: beside where its code would be.
static bool complain(const ModulesBuild *build, int task, const char *text) {
  file_write(arena_printf(build->arena, "%s.log", code_path(build, task)), text, strlen(text));
  return false;
}

// PTX is what the code of a GPU without a letter was made from: compute_80 comes with sm_80. -1: it has to be made.
static int source_of_ptx(const ModulesBuild *build, int task) {
  const CudaModules *modules = build->modules;
  const char *name = architecture_of(build, task);
  for (int a = 0; architecture_is_ptx(name) && a < modules->architecture_count; a++) {
    if (strncmp(modules->architectures[a], "sm_", 3) == 0 && strcmp(modules->architectures[a] + 3, name + 8) == 0)
      return task / modules->architecture_count * modules->architecture_count + a;
  }
  return -1;
}

static bool code_put(const ModulesBuild *build, int task, const void *code, size_t size) {
  if (file_write(code_path(build, task), code, size)) return true;
  return complain(build, task, arena_printf(build->arena, "it cannot be written: %s", strerror(errno)));
}

// Also from the cache.
static bool code_find(const ModulesBuild *build, int task, const char *source) {
  const char *cached = cache_path(build, task, source);
  size_t size = 0;
  const char *code = cached ? file_read(build->arena, cached, &size) : NULL;
  return code && code_put(build, task, code, size);
}

static bool ptx_put(const ModulesBuild *build, int task, const char *source, const char *ptx) {
  size_t size = strlen(ptx) + 1;  // the driver reads up to the zero
  cache_put(build->arena, cache_path(build, task, source), ptx, size);
  return code_put(build, task, ptx, size);
}

// A module for one architecture; of a GPU whose PTX is wanted, that too.
static bool compile_by_nvrtc(const ModulesBuild *build, int task, const char *source) {
  Arena *arena = build->arena;
  const CudaModules *modules = build->modules;
  int ptx_task = -1, first = task / modules->architecture_count * modules->architecture_count;
  for (int a = 0; a < modules->architecture_count; a++) {
    if (source_of_ptx(build, first + a) == task) ptx_task = first + a;
  }
  if (code_find(build, task, source) && (ptx_task < 0 || code_find(build, ptx_task, source))) return true;
  NvrtcKernel kernel = {arena_printf(arena, "%s.cu", module_of(build, task)->name),
                        source,
                        build->headers,
                        build->header_count,
                        architecture_of(build, task),
                        NULL,
                        0};
  NvrtcCode compiled;
  if (!nvrtc_compile(build->nvrtc, arena, &kernel, &compiled))
    return complain(build, task, *compiled.log ? compiled.log : "NVRTC does not say why");
  if (architecture_is_ptx(architecture_of(build, task))) return ptx_put(build, task, source, compiled.ptx);
  Cubin cubin;
  if (!cubin_read(arena, compiled.cubin, compiled.cubin_bytes, &cubin))
    return complain(build, task, "what was compiled cannot be read");
  const char *fault = cubin_fault(arena, &cubin, architecture_of(build, task), compiled.log);
  if (fault) return complain(build, task, fault);
  cache_put(arena, cache_path(build, task, source), compiled.cubin, compiled.cubin_bytes);
  if (!code_put(build, task, compiled.cubin, compiled.cubin_bytes)) return false;
  return ptx_task < 0 || ptx_put(build, ptx_task, source, compiled.ptx);
}

// As C++, in two commands, so that ccache knows the first; the functions of the simulated GPU are found when the
// driver's twin opens the module.
static bool compile_by_cxx(const ModulesBuild *build, int task) {
  Arena *arena = build->arena;
  const char *cxx = getenv("CXX"), *command = cxx && *cxx ? cxx : "c++", *path = code_path(build, task);
  bool by_warpgroups = strcmp(architecture_of(build, task), "simulated_sm_90a") == 0;
  char *const arguments[] = {
      "sh",
      "-c",
      arena_printf(arena,
                   "cd \"$0\" && { %s -x c++ -std=c++17 -O1 -fPIC -w -DSIMULATED_DEVICE%s -I. "
                   "-Ikernels/cuda -c modules/%s.cu -o \"$1.o\" && %s -shared \"$1.o\" -o \"$1\"; "
                   "} 2>\"$1.log\" && rm -f \"$1.o\" \"$1.log\"",
                   command, by_warpgroups ? " -DWARPGROUP_MULTIPLY" : "", module_of(build, task)->name, command),
      (char *)(uintptr_t)build->folder,
      (char *)(uintptr_t)path,
      NULL};
  pid_t child = fork();
  if (child == 0) {
    execv("/bin/sh", arguments);
    _exit(127);
  }
  int status = 1;
  if (child > 0) waitpid(child, &status, 0);
  return status == 0;
}

// Where a folder is built in again: since its text was last written.
static bool is_made(const ModulesBuild *build, int task) {
  struct stat text, code;
  if (!build->trainer->keep_same) return false;
  const char *path = arena_printf(build->arena, "%s/modules/%s.cu", build->folder, module_of(build, task)->name);
  if (stat(path, &text) != 0 || stat(code_path(build, task), &code) != 0) return false;
  struct timespec a = text.st_mtim, b = code.st_mtim;
  return b.tv_sec != a.tv_sec ? b.tv_sec > a.tv_sec : b.tv_nsec > a.tv_nsec;
}

static void work(const ModulesBuild *build) {
  for (int task; (task = atomic_fetch_add(build->next, 1)) < build->tasks;) {
    if (source_of_ptx(build, task) >= 0 || is_made(build, task)) continue;
    unlink(arena_printf(build->arena, "%s.log", code_path(build, task)));  // of an earlier build
    bool good = architecture_is_simulated(architecture_of(build, task))
                    ? compile_by_cxx(build, task)
                    : compile_by_nvrtc(build, task, module_text(build, module_of(build, task)));
    if (!good) _exit(1);
  }
}

// ---- all of them ----

static bool wants_nvrtc(const CudaModules *modules) {
  for (int a = 0; a < modules->architecture_count; a++) {
    if (!architecture_is_simulated(modules->architectures[a])) return true;
  }
  return false;
}

// By the names that modules and kernels include them by.
static void find_headers(ModulesBuild *build) {
  static const char folder[] = "kernels/cuda/";
  build->headers = arena_array(build->arena, NvrtcHeader, embedded_file_count);
  for (int i = 0; i < embedded_file_count; i++) {
    const EmbeddedFile *file = &embedded_files[i];
    if (strncmp(file->path, folder, sizeof folder - 1) != 0) continue;
    bool header = strcmp(file->path + strlen(file->path) - 2, ".h") == 0;
    build->headers[build->header_count++] =
        (NvrtcHeader){header ? file->path + sizeof folder - 1 : file->path, file->text};
  }
}

static bool workers_run(const ModulesBuild *build) {
  enum { WORKERS_MOST = 256 };
  long cores = sysconf(_SC_NPROCESSORS_ONLN);
  pid_t workers[WORKERS_MOST];
  int count = 0, wanted = cores < 1 ? 1 : cores > WORKERS_MOST ? WORKERS_MOST : (int)cores;
  bool good = true, terminal = isatty(STDERR_FILENO);
  fflush(NULL);
  for (; count < wanted && count < build->tasks; count++) {
    workers[count] = fork();
    if (workers[count] == 0) {
      work(build);
      _exit(0);
    }
    if (workers[count] < 0) break;
  }
  if (count == 0) work(build);
  for (int i = 0; i < count; i++) {
    int status;
    while (waitpid(workers[i], &status, WNOHANG) == 0) {
      int done = atomic_load(build->next) - count;
      if (terminal)
        fprintf(stderr, "\rkernels %d/%d ", done < 0 ? 0 : done > build->tasks ? build->tasks : done, build->tasks);
      usleep(50000);
    }
    if (status != 0) {
      good = false;
      atomic_store(build->next, build->tasks);  // the others stop, too
    }
  }
  if (terminal) fprintf(stderr, "\r%*s\r", 40, "");
  return good;
}

// What the GPU cannot run, or not well.
static int refuse(const ModulesBuild *build, int task, const char *why) {
  const char *what = arena_printf(build->arena, "module '%s' was not compiled for %s: %s", module_of(build, task)->name,
                                  architecture_of(build, task), why);
  if (build->refusal) *build->refusal = what;
  if (build->refusal) return EXIT_BUG;
  return driver_fail(EXIT_BUG, "compiler", what,
                     "this is a fault of seer or of the compiler; please report it with the spec");
}

static int tell_fault(const ModulesBuild *build) {
  for (int task = 0; task < build->tasks; task++) {
    size_t size;
    const char *log = file_read(build->arena, arena_printf(build->arena, "%s.log", code_path(build, task)), &size);
    if (!log || !size) continue;
    return refuse(build, task, log);
  }
  return driver_fail(EXIT_MACHINE, "compiler", "a compiler of GPU kernels did not run to its end",
                     "for the simulated GPU a C++ compiler is needed, c++ or $CXX");
}

// What the launches of a module's kernels ask for, and what their code is made of.
static bool read_kernels(const ModulesBuild *build, int architecture, size_t module, const char *code, size_t size) {
  CudaModules *modules = build->modules;
  Cubin cubin = {0};
  bool is_cubin = !architecture_is_ptx(modules->architectures[architecture]) &&
                  !architecture_is_simulated(modules->architectures[architecture]);
  if (is_cubin && !cubin_read(build->arena, code, size, &cubin)) return false;
  for (size_t k = 0; k < modules->kernels.count; k++) {
    const CudaKernel *kernel = &modules->kernels.items[k];
    uint32_t shape[2];
    if (kernel->module != (int)module) continue;
    const char *name = kernel_info(kernel->kernel)->name, *symbol = arena_printf(build->arena, "%s_shape", name);
    bool found = architecture_is_ptx(modules->architectures[architecture]) ? ptx_words(code, symbol, shape, 2)
                                                                           : cubin_words(code, size, symbol, shape, 2);
    if (!found) return false;
    modules->blocks[architecture][k] = (CudaBlock){(int)shape[0], (int)shape[1]};
    for (size_t i = 0; i < cubin.count; i++) {
      if (strcmp(cubin.items[i].name, name) == 0) modules->codes[architecture][k] = cubin.items[i];
    }
  }
  return true;
}

// What the tables of the trainer tell of compiled code.
static bool read_code(const ModulesBuild *build) {
  CudaModules *modules = build->modules;
  Arena *arena = build->arena;
  modules->code_bytes = arena_array(arena, size_t *, modules->architecture_count);
  modules->blocks = arena_array(arena, CudaBlock *, modules->architecture_count);
  modules->codes = arena_array(arena, CubinKernel *, modules->architecture_count);
  for (int a = 0; a < modules->architecture_count; a++) {
    modules->code_bytes[a] = arena_array(arena, size_t, modules->count);
    modules->blocks[a] = arena_array(arena, CudaBlock, modules->kernels.count);
    modules->codes[a] = arena_array(arena, CubinKernel, modules->kernels.count);
    for (size_t m = 0; m < modules->count; m++) {
      int task = (int)m * modules->architecture_count + a;
      const char *code = file_read(arena, code_path(build, task), &modules->code_bytes[a][m]);
      if (!code || !read_kernels(build, a, m, code, modules->code_bytes[a][m])) return false;
    }
  }
  return true;
}

// Shared memory of a block, beyond which a GPU of that kind refuses to load a kernel. 0: PTX, of whose GPU nothing is
// known.
static int shared_bytes_most(const char *architecture) {
  static const struct {
    const char *name;
    int kibibytes;
  } most[] = {{"sm_80", 163},  {"sm_87", 163},   {"simulated", 163},
              {"sm_90", 227},  {"sm_90a", 227},  {"simulated_sm_90a", 227},
              {"sm_100", 227}, {"sm_100a", 227}, {"sm_103", 227},
              {"sm_103a", 227}};
  if (architecture_is_ptx(architecture)) return 0;
  for (size_t i = 0; i < sizeof most / sizeof *most; i++) {
    if (strcmp(most[i].name, architecture) == 0) return most[i].kibibytes * 1024;
  }
  return 99 * 1024;
}

static int check_blocks(const ModulesBuild *build) {
  const CudaModules *modules = build->modules;
  for (int a = 0; a < modules->architecture_count; a++) {
    int most = shared_bytes_most(modules->architectures[a]);
    for (size_t k = 0; k < modules->kernels.count && most; k++) {
      int task = modules->kernels.items[k].module * modules->architecture_count + a;
      int bytes = modules->blocks[a][k].shared_bytes;
      if (bytes > most)
        return refuse(
            build, task,
            arena_printf(build->arena, "a block takes %d bytes of shared memory, and there are %d", bytes, most));
    }
  }
  return EXIT_DONE;
}

int modules_build(Invocation *invocation, const Trainer *trainer, const char *folder, const char **refusal) {
  CudaModules *modules = trainer->modules;
  Arena *arena = invocation->arena;
  ModulesBuild build = {.arena = arena,
                        .trainer = trainer,
                        .modules = modules,
                        .folder = folder,
                        .refusal = refusal,
                        .tasks = (int)modules->count * modules->architecture_count};
  const char *why = NULL;
  if (wants_nvrtc(modules) && !(build.nvrtc = nvrtc_open(arena, NULL, &why)))
    return driver_fail(EXIT_MACHINE, "nvrtc", why, NULL);
  if (folder[0] != '/') {
    char here[PATH_MAX];
    if (!getcwd(here, sizeof here)) return driver_fail(EXIT_MACHINE, "output", "the working folder is gone", NULL);
    build.folder = arena_printf(arena, "%s/%s", here, folder);
  }
  for (int a = 0; a < modules->architecture_count; a++)
    mkdir(arena_printf(arena, "%s/modules/%s", build.folder, modules->architectures[a]), 0777);
  find_headers(&build);
  cache_open(&build);
  build.next = mmap(NULL, sizeof *build.next, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (build.next == MAP_FAILED) return driver_fail(EXIT_MACHINE, "output", "out of memory", NULL);
  bool good = workers_run(&build);
  munmap((void *)build.next, sizeof *build.next);
  if (!good) return tell_fault(&build);
  if (!read_code(&build)) return driver_fail(EXIT_BUG, "compiler", "compiled kernels cannot be read", NULL);
  int code = check_blocks(&build);
  if (code != EXIT_DONE) return code;
  const char *error = trainer_emit_modules(trainer, arena, folder);
  return error ? driver_fail(EXIT_MACHINE, "output", error, NULL) : EXIT_DONE;
}
