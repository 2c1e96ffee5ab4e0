// Opens the CUDA driver, and what its results mean for the one who runs a trainer.
#include "runtime/device/driver.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/device/symbol.h"

static const char usual_file[] = "libcuda.so.1", container_file[] = "/usr/local/nvidia/lib64/libcuda.so.1";

// ---- opening ----

static void *library_open(const char *file) {
  return dlopen(file, RTLD_NOW | RTLD_GLOBAL);  // kernels of the simulated GPU look for its symbols, hence global
}

static SeerStatus library_find(void **library, const char **file) {
  const char *named = getenv("SEER_LIBCUDA");
  if (named && *named) {
    *file = named;
    *library = library_open(named);
    if (*library) return SEER_OK;
    const char *reason = dlerror();
    return seer_fail(SEER_MACHINE,
                     "cannot open the CUDA driver that SEER_LIBCUDA names, '%s': %s\nnote: unset SEER_LIBCUDA to use "
                     "that of the system",
                     named, reason ? reason : "unknown reason");
  }
  *file = usual_file;
  *library = library_open(usual_file);
  if (*library) return SEER_OK;
  char reason[512] = "unknown reason";
  const char *told = dlerror();
  if (told) snprintf(reason, sizeof reason, "%s", told);
  *file = container_file;
  *library = library_open(container_file);
  if (*library) return SEER_OK;
  return seer_fail(
      SEER_MACHINE,
      "this trainer needs an NVIDIA GPU, and no CUDA driver can be opened: %s; nor is there '%s'\nnote: "
      "install NVIDIA's driver (`nvidia-smi` must list a GPU); in a container, start it with `--gpus all`; "
      "a driver elsewhere can be named in SEER_LIBCUDA",
      reason, container_file);
}

static void version_print(int version, char *text, size_t bytes) {
  snprintf(text, bytes, "%d.%d", version / 1000, version % 1000 / 10);
}

static SeerStatus functions_find(void *library, const char *file, SeerDriver *driver) {
  const char *missing = NULL;
  int since = 0;
#define FUNCTION(field, symbol, version, parameters)                                          \
  if (!seer_symbol_find(library, symbol, &driver->field, sizeof driver->field) && !missing) { \
    missing = symbol;                                                                         \
    since = version;                                                                          \
  }
#include "runtime/device/functions.def"
  if (!driver->init) return seer_fail(SEER_MACHINE, "'%s' is no CUDA driver: it has no 'cuInit'", file);
  if (driver->driver_get_version && driver->driver_get_version(&driver->version) != 0) driver->version = 0;
  if (!missing) return SEER_OK;
  char needed[16], there[32] = "an unknown version";
  version_print(since, needed, sizeof needed);
  if (driver->version) version_print(driver->version, there, sizeof there);
  return seer_fail(SEER_MACHINE,
                   "the CUDA driver '%s' is too old: it knows CUDA %s and has no '%s', which came with CUDA %s\nnote: "
                   "install a newer driver of NVIDIA",
                   file, there, missing, needed);
}

static SeerStatus driver_find(SeerDriver *driver) {
  void *library = NULL;
  SeerStatus status = library_find(&library, &driver->library);
  if (status) return status;
  status = functions_find(library, driver->library, driver);
  if (status) {
    dlclose(library);
    return status;
  }
  // Not closed where this fails: drivers are not made to be.
  int result = driver->init(0);
  if (!result) return SEER_OK;
  char text[256];
  seer_driver_describe(driver, result, text, sizeof text);
  return seer_fail(SEER_MACHINE, "the CUDA driver '%s' does not start: cuInit: %s%s", driver->library, text,
                   seer_driver_note(result));
}

SeerStatus seer_driver_open(const SeerDriver **driver) {
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  static SeerDriver opened;
  static bool is_open;
  pthread_mutex_lock(&lock);
  SeerStatus status = SEER_OK;
  if (!is_open) {
    opened = (SeerDriver){0};
    status = driver_find(&opened);
    is_open = status == SEER_OK;
  }
  *driver = is_open ? &opened : NULL;
  pthread_mutex_unlock(&lock);
  return status;
}

// ---- results ----

typedef struct Meaning {
  int result;
  bool lost;
  SeerStatus status;
  const char *note;
} Meaning;

#define RESTART "\nnote: start the trainer again; it goes on from its last snapshot"
#define BROKEN RESTART ". When it comes back, look for 'Xid' in `dmesg` and ask the machine's administrator"
#define KERNEL                                                                                                     \
  "\nnote: a kernel did what it must not: a bug of seer, or a broken GPU. Start the trainer again; when it comes " \
  "back "                                                                                                          \
  "at the same step, report it"
#define OLD "\nnote: install a newer driver of NVIDIA, at least of the CUDA version that the trainer was built with"
#define ADMINISTRATOR "\nnote: ask the machine's administrator"

static const Meaning meanings[] = {
    {1, false, SEER_BUG, ""},
    {2, false, SEER_MACHINE,
     "\nnote: stop other programs that use this GPU (`nvidia-smi` lists them), or build with a smaller train.batch"},
    {4, true, SEER_MACHINE, RESTART},
    {34, false, SEER_MACHINE,
     "\nnote: this library only serves to link programs; NVIDIA's driver brings the one that runs them"},
    {36, false, SEER_MACHINE, OLD},
    {46, true, SEER_MACHINE,
     "\nnote: another program holds the GPU for itself, or it has failed: see `nvidia-smi`, then start the trainer "
     "again; it goes on from its last snapshot"},
    {100, false, SEER_MACHINE,
     "\nnote: `nvidia-smi` must list a GPU, and CUDA_VISIBLE_DEVICES, where it is set, must leave one"},
    {101, false, SEER_MACHINE, "\nnote: `nvidia-smi -L` lists the GPUs that there are"},
    {200, false, SEER_MACHINE, OLD},
    {201, false, SEER_BUG, ""},
    {209, false, SEER_MACHINE, "\nnote: build the trainer for this GPU"},
    {214, true, SEER_MACHINE,
     "\nnote: memory of the GPU is broken. Start the trainer again; it goes on from its last snapshot. When it comes "
     "back, the GPU must be reset or replaced"},
    {218, false, SEER_MACHINE, OLD},
    {220, true, SEER_MACHINE, BROKEN},
    {221, false, SEER_MACHINE, "\nnote: the driver's compiler, libnvidia-ptxjitcompiler.so.1, is missing: install it"},
    {222, false, SEER_MACHINE, OLD},
    {226, true, SEER_MACHINE, BROKEN},
    {304, false, SEER_MACHINE, BROKEN},
    {400, false, SEER_BUG, ""},
    {500, false, SEER_BUG, ""},
    {700, true, SEER_BUG, KERNEL},
    {701, false, SEER_BUG, ""},
    {702, true, SEER_MACHINE,
     "\nnote: this GPU ends kernels that run for long, as those that drive a display do: use another one"},
    {709, true, SEER_MACHINE, RESTART},
    {710, true, SEER_BUG, KERNEL},
    {714, true, SEER_BUG, KERNEL},
    {715, true, SEER_BUG, KERNEL},
    {716, true, SEER_BUG, KERNEL},
    {717, true, SEER_BUG, KERNEL},
    {718, true, SEER_BUG, KERNEL},
    {719, true, SEER_MACHINE, BROKEN},
    {800, false, SEER_MACHINE, ADMINISTRATOR},
    {801, false, SEER_MACHINE, OLD},
    {802, false, SEER_MACHINE,
     "\nnote: the GPUs are not ready: on machines with NVSwitch the service 'nvidia-fabricmanager' must run"},
    {803, false, SEER_MACHINE,
     "\nnote: the driver's library and its kernel module are of different versions: restart the machine, or the "
     "container with the host's libraries"},
    {804, false, SEER_MACHINE, OLD},
    {805, false, SEER_MACHINE, "\nnote: start NVIDIA's MPS again, or end it"},
    {806, false, SEER_MACHINE, "\nnote: start NVIDIA's MPS again, or end it"},
    {807, false, SEER_MACHINE, "\nnote: NVIDIA's MPS is starting: try again"},
    {810, true, SEER_MACHINE, RESTART},
    {999, true, SEER_MACHINE, BROKEN},
};

static const Meaning *meaning_of(int result) {
  static const Meaning unknown = {0, false, SEER_MACHINE, ""}, forbidden_in_capture = {0, false, SEER_BUG, ""};
  for (size_t i = 0; i < sizeof meanings / sizeof *meanings; i++) {
    if (meanings[i].result == result) return &meanings[i];
  }
  return result >= 900 && result <= 908 ? &forbidden_in_capture : &unknown;
}

void seer_driver_describe(const SeerDriver *driver, int result, char *text, size_t bytes) {
  const char *name = NULL, *told = NULL;
  if (driver->get_error_name(result, &name) != 0 || !name) name = "an unknown error";
  if (driver->get_error_string(result, &told) != 0) told = NULL;
  snprintf(text, bytes, "%s (%d)%s%s", name, result, told ? ": " : "", told ? told : "");
}

SeerStatus seer_driver_status(int result) { return result ? meaning_of(result)->status : SEER_OK; }
const char *seer_driver_note(int result) { return meaning_of(result)->note; }
bool seer_driver_is_lost(int result) { return meaning_of(result)->lost; }

SeerStatus seer_driver_check(const SeerDriver *driver, int result, const char *what) {
  if (!result) return SEER_OK;
  char text[256];
  seer_driver_describe(driver, result, text, sizeof text);
  return seer_fail(seer_driver_status(result), "%s: %s%s", what, text, seer_driver_note(result));
}
