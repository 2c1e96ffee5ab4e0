// Looks at the GPU; see tune_gpu.h.
#include "compiler/driver/tune_gpu.h"

#include <stdio.h>
#include <string.h>

#include "compiler/driver/driver.h"
#include "runtime/device/device.h"
#include "runtime/device/libraries.h"

// As a trainer would choose: no kernels, but their architectures. What PTX is made for is not what is measured.
static SeerStatus open_device(Arena *arena, const CompileOptions *options, SeerDevice **device) {
  SeerArchitecture *architectures = arena_array(arena, SeerArchitecture, options->architecture_count);
  SeerKernels *kernels = arena_new(arena, SeerKernels);
  kernels->architectures = architectures;
  for (int i = 0; i < options->architecture_count; i++) {
    if (!architecture_is_ptx(options->architectures[i]))
      architectures[kernels->architecture_count++].name = options->architectures[i];
  }
  return seer_device_open(kernels, 0, device);
}

// By LayerMaker.
static const SeerLibrary libraries[LAYER_MAKER_COUNT] = {
    [LAYER_BY_CUBLASLT] = SEER_CUBLASLT, [LAYER_BY_CUDNN] = SEER_CUDNN};

// Libraries are candidates, never required: what is not there is told, and not tried.
static void look_for_libraries(SeerDevice *device, LayerChoices *layers) {
  for (int maker = LAYER_BY_SEER + 1; maker < LAYER_MAKER_COUNT; maker++) {
    int64_t version = 0;
    if (seer_library_look(libraries[maker], device, &version) == SEER_OK) {
      layers->versions[maker] = version;
      continue;
    }
    fprintf(stderr, "seerc: note: %s is not tried: %.*s\n", layer_maker_titles[maker], (int)strcspn(seer_error(), "\n"),
            seer_error());
    seer_error_clear();
  }
}

int tune_gpu_describe(Arena *arena, const CompileOptions *options, TuningFile *file) {
  SeerDevice *device = NULL;
  if (open_device(arena, options, &device) != SEER_OK) {
    const char *message = arena_printf(arena, "%s", seer_error());
    seer_error_clear();
    const char *note = strstr(message, "\nnote: ");
    const char *what = arena_printf(arena, "there is no GPU to measure on: %.*s", (int)strcspn(message, "\n"), message);
    return driver_fail(EXIT_MACHINE, "gpu", what, note ? note + strlen("\nnote: ") : NULL);
  }
  const SeerDeviceFacts *facts = seer_device_facts(device);
  file->machine = arena_printf(arena, "%s", facts->name);
  file->driver = arena_printf(arena, "%d.%d", facts->driver_version / 1000, facts->driver_version % 1000 / 10);
  file->architectures = architectures_join(arena, options);
  look_for_libraries(device, &file->values.layers);
  seer_device_close(device);
  return EXIT_DONE;
}
