// Opens libraries and keeps their prepared calls; see libraries.h.
#include "runtime/device/libraries.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/device/library.h"

enum { TOLD_BYTES = 256 };

static const SeerLibraryType *const types[SEER_LIBRARY_COUNT] = {
    [SEER_CUBLASLT] = &seer_cublaslt, [SEER_CUDNN] = &seer_cudnn};

struct SeerLibraries {
  const SeerLibraryCalls *calls;
  SeerDevice *device;
  SeerLibraryHandle *handles[SEER_LIBRARY_COUNT];
  SeerPreparedCall **prepared;  // [calls->count]
  char told[TOLD_BYTES];
};

// ---- opening ----

// cuDNN before 9 had one digit less.
static int64_t unit_of(int64_t version) { return version < 10000 ? 1000 : 10000; }

static int major_of(int64_t version) { return (int)(version / unit_of(version)); }

static void version_print(int64_t version, char *text, size_t bytes) {
  int rest = (int)(version % unit_of(version));
  snprintf(text, bytes, "%d.%d.%d", major_of(version), rest / 100, rest % 100);
}

// Of `type`, by the name in the environment alone, or by the usual ones.
static SeerStatus file_open(const SeerLibraryType *type, int64_t tuned, void **library, char *file, size_t bytes) {
  const char *named = getenv(type->variable);
  char reason[512] = "unknown reason";
  *library = NULL;
  if (named && *named) {
    snprintf(file, bytes, "%s", named);
    *library = dlopen(named, RTLD_NOW | RTLD_LOCAL);
    const char *told = *library ? NULL : dlerror();
    if (told) snprintf(reason, sizeof reason, "%s", told);
  }
  for (int major = type->newest; major >= type->oldest && !*library && !(named && *named); major--) {
    if (tuned && major != major_of(tuned)) continue;
    snprintf(file, bytes, "%s%d", type->file, major);
    *library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    const char *told = *library ? NULL : dlerror();
    if (told) snprintf(reason, sizeof reason, "%s", told);
  }
  if (*library) return SEER_OK;
  return seer_fail(SEER_MACHINE,
                   "cannot open %s: %s\nnote: install it (%s), or name its library in %s; a trainer that is built with "
                   "--tuning=none "
                   "does without",
                   type->title, reason, type->package, type->variable);
}

static SeerStatus version_check(const SeerLibraryType *type, const char *file, int64_t version, int64_t tuned) {
  char there[32], wanted[32];
  version_print(version, there, sizeof there);
  version_print(tuned ? tuned : type->oldest * (int64_t)10000, wanted, sizeof wanted);
  bool good = tuned ? major_of(version) == major_of(tuned) : major_of(version) >= type->oldest;
  if (good) return SEER_OK;
  return seer_fail(SEER_MACHINE,
                   "%s '%s' is of version %s, and this trainer was tuned with %s\nnote: install that, name its library "
                   "in %s, tune again, or build the trainer with --tuning=none",
                   type->title, file, there, wanted, type->variable);
}

static SeerStatus functions_find(const SeerLibraryType *type, void *opened, const char *file, int64_t *version) {
  const char *missing = type->load(opened, version);
  if (!missing) return SEER_OK;
  return seer_fail(
      SEER_MACHINE,
      "'%s' is no %s, or too old a one: it has no '%s'\nnote: name another in %s, or build the trainer with "
      "--tuning=none",
      file, type->title, missing, type->variable);
}

// It stays open: libraries of CUDA are not made to be closed.
static SeerStatus handle_open(SeerLibrary library, int64_t tuned, SeerDevice *device, SeerLibraryHandle **handle,
                              int64_t *version) {
  const SeerLibraryType *type = types[library];
  void *opened = NULL;
  char file[512] = "";
  SeerStatus status = file_open(type, tuned, &opened, file, sizeof file);
  if (!status) status = functions_find(type, opened, file, version);
  if (!status) status = version_check(type, file, *version, tuned);
  if (!status) status = seer_device_use(device);
  if (status) return status;
  status = type->open(handle);
  if (status) seer_note(status, "is it made for this GPU and its driver? --tuning=none builds a trainer without it");
  return status;
}

SeerStatus seer_library_look(SeerLibrary library, SeerDevice *device, int64_t *version) {
  SeerLibraryHandle *handle = NULL;
  SeerStatus status = handle_open(library, 0, device, &handle, version);
  if (!status) types[library]->close(handle);
  return status;
}

static SeerStatus library_open(SeerLibraries *libraries, SeerLibrary library, int products) {
  int64_t tuned = libraries->calls->versions[library], version = 0;
  SeerStatus status = handle_open(library, tuned, libraries->device, &libraries->handles[library], &version);
  if (status)
    return seer_context(status, "%s is to make layers of this trainer, as its tuning chose", types[library]->title);
  char there[32], wanted[32], other[64] = "";
  version_print(version, there, sizeof there);
  version_print(tuned, wanted, sizeof wanted);
  if (tuned && tuned != version) snprintf(other, sizeof other, " (chosen with %s)", wanted);
  size_t at = strlen(libraries->told);
  snprintf(libraries->told + at, TOLD_BYTES - at, "%s%d products by %s %s%s", at ? ", " : "", products,
           types[library]->title, there, other);
  return SEER_OK;
}

static SeerStatus calls_prepare(SeerLibraries *libraries) {
  const SeerLibraryCalls *calls = libraries->calls;
  for (int i = 0; i < calls->count; i++) {
    const SeerLibraryCall *call = &calls->items[i];
    SeerLibraryHandle *handle = libraries->handles[call->library];
    SeerStatus status = types[call->library]->prepare(handle, call, &libraries->prepared[i]);
    if (status) return seer_context(status, "%s of '%s'", call->name, call->use);
  }
  return SEER_OK;
}

SeerStatus seer_libraries_open(const SeerLibraryCalls *calls, SeerDevice *device, SeerLibraries **libraries) {
  *libraries = NULL;
  if (!calls->count) return SEER_OK;
  SeerLibraries *made = calloc(1, sizeof *made);
  if (made) made->prepared = calloc((size_t)calls->count, sizeof(SeerPreparedCall *));
  if (!made || !made->prepared) {
    free(made);
    return seer_fail(SEER_MACHINE, "no memory for the calls of libraries");
  }
  made->calls = calls;
  made->device = device;
  SeerStatus status = SEER_OK;
  for (int library = 0; library < SEER_LIBRARY_COUNT && !status; library++) {
    int products = 0;
    for (int i = 0; i < calls->count; i++) products += calls->items[i].library == (SeerLibrary)library;
    if (products) status = library_open(made, (SeerLibrary)library, products);
  }
  if (!status) status = calls_prepare(made);
  if (status)
    seer_libraries_close(made);
  else
    *libraries = made;
  return status;
}

void seer_libraries_close(SeerLibraries *libraries) {
  if (!libraries) return;
  // Of a GPU that is lost nothing is released: the process ends.
  bool usable = seer_device_use(libraries->device) == SEER_OK;
  for (int i = 0; i < libraries->calls->count && usable; i++) {
    SeerLibrary library = libraries->calls->items[i].library;
    if (libraries->prepared[i]) types[library]->release(libraries->handles[library], libraries->prepared[i]);
  }
  for (int library = 0; library < SEER_LIBRARY_COUNT && usable; library++) {
    if (libraries->handles[library]) types[library]->close(libraries->handles[library]);
  }
  free(libraries->prepared);
  free(libraries);
}

// ---- calls ----

SeerStatus seer_libraries_run(SeerLibraries *libraries, SeerDeviceStream *stream, int call,
                              const void *const *pointers) {
  SeerLibrary library = libraries->calls->items[call].library;
  SeerStatus status = seer_device_use(libraries->device);
  if (status) return status;
  return types[library]->run(libraries->handles[library], libraries->prepared[call], stream, pointers);
}

const char *seer_libraries_told(const SeerLibraries *libraries) { return libraries->told; }
