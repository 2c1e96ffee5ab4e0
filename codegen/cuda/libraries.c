// Prints what a trainer for GPUs has libraries do.
#include "codegen/cuda/modules.h"

// Of the row's name in layer.h, its name in runtime/device/libraries.h.
static const char *const kinds[LAYER_MAKER_COUNT] = {NULL, "SEER_CUBLASLT", "SEER_CUDNN"};
// The struct of its constants there.
static const char *const fields[LAYER_MAKER_COUNT] = {NULL, "matmul", "convolution"};

static void print_call(const CudaCall *call, Writer *out) {
  const KernelInfo *info = kernel_info(call->kernel);
  writer_printf(out, "  {.library = %s, .name = \"%s\",\n   .use = ", kinds[info->library], info->name);
  print_c_string(out, call->use);
  writer_printf(out, ",\n   .%s = {", fields[info->library]);
  for (int i = 0; i < info->constant_count; i++)
    writer_printf(out, "%s.%s = %lld", i ? ", " : "", info->constants[i], (long long)call->constants[i].integer);
  writer_text(out, "}},\n");
}

void print_cuda_calls(const CudaModules *modules, Writer *out) {
  writer_text(out,
              "// What libraries do for this trainer: each call, and the first layer that it is for. Written by seerc; "
              "edits are lost.\n#include \"runtime/device/libraries.h\"\n\n");
  if (modules->calls.count) writer_text(out, "static const SeerLibraryCall calls[] = {\n");
  for (size_t i = 0; i < modules->calls.count; i++) print_call(&modules->calls.items[i], out);
  if (modules->calls.count) writer_text(out, "};\n\n");
  writer_printf(out, "const SeerLibraryCalls seer_gpu_calls = {.count = %zu", modules->calls.count);
  if (modules->calls.count) writer_text(out, ", .items = calls");
  for (int maker = LAYER_BY_SEER + 1; maker < LAYER_MAKER_COUNT; maker++) {
    if (modules->library_versions[maker])
      writer_printf(out, ", .versions[%s] = %lld", kinds[maker], (long long)modules->library_versions[maker]);
  }
  writer_text(out, "};\n");
}
