// Finds the modules of a trainer's launches and prints them.
#include "codegen/cuda/modules.h"

#include <string.h>

#include "compiler/base/bug.h"

static bool same_macros(const KernelInfo *info, const KernelConstant *a, const KernelConstant *b) {
  for (int i = 0; i < info->constant_count; i++) {
    if (info->constant_kinds[i] == CONSTANT_MACRO && a[i].integer != b[i].integer) return false;
  }
  return true;
}

static bool has_macros(const KernelInfo *info) {
  for (int i = 0; i < info->constant_count; i++) {
    if (info->constant_kinds[i] == CONSTANT_MACRO) return true;
  }
  return false;
}

static int find_module(const CudaModules *modules, KernelKind kernel, const KernelConstant *constants) {
  const KernelInfo *info = kernel_info(kernel);
  for (size_t i = 0; i < modules->count; i++) {
    const CudaModule *module = &modules->items[i];
    if (strcmp(module->file, info->file) == 0 && (!has_macros(info) || same_macros(info, module->constants, constants)))
      return (int)i;
  }
  return -1;
}

static int find_kernel(const CudaModules *modules, KernelKind kernel, int module) {
  for (size_t i = 0; i < modules->kernels.count; i++) {
    if (modules->kernels.items[i].kernel == kernel && modules->kernels.items[i].module == module) return (int)i;
  }
  return -1;
}

int cuda_modules_kernel(const CudaModules *modules, const ProgramLaunch *launch) {
  int module = find_module(modules, launch->kernel, launch->constants);
  int kernel = module < 0 ? -1 : find_kernel(modules, launch->kernel, module);
  if (kernel < 0) BUG("kernel '%s' is in no module", kernel_info(launch->kernel)->name);
  return kernel;
}

static const char *module_name(Arena *arena, const CudaModules *modules, const KernelInfo *info) {
  if (!has_macros(info)) return info->file;
  int number = 1;
  for (size_t i = 0; i < modules->count; i++) number += strcmp(modules->items[i].file, info->file) == 0;
  return arena_printf(arena, "%s_%d", info->file, number);
}

static void add_kernel(Arena *arena, CudaModules *modules, KernelKind kernel, const KernelConstant *constants,
                       const char *use) {
  const KernelInfo *info = kernel_info(kernel);
  int module = find_module(modules, kernel, constants);
  if (module < 0) {
    module = (int)modules->count;
    CudaModule added = {module_name(arena, modules, info), info->file, kernel, constants, use};
    arena_push(arena, modules, CudaModule, added);
  }
  if (find_kernel(modules, kernel, module) >= 0) return;
  const char *name = has_macros(info) ? modules->items[module].name : info->name;
  arena_push(arena, &modules->kernels, CudaKernel, ((CudaKernel){kernel, module, name}));
}

int cuda_modules_call(const CudaModules *modules, const ProgramLaunch *launch) {
  for (size_t i = 0; i < modules->calls.count; i++) {
    const CudaCall *call = &modules->calls.items[i];
    if (call->kernel == launch->kernel && kernel_constants_same(call->kernel, call->constants, launch->constants))
      return (int)i;
  }
  return -1;
}

static void add_call(Arena *arena, CudaModules *modules, const ProgramLaunch *launch, const char *use) {
  if (cuda_modules_call(modules, launch) >= 0) return;
  arena_push(arena, &modules->calls, CudaCall, ((CudaCall){launch->kernel, launch->constants, use}));
}

static void add_program(Arena *arena, CudaModules *modules, const Trainer *trainer, const Program *program) {
  for (size_t i = 0; program && i < program->launches.count; i++) {
    const ProgramLaunch *launch = &program->launches.items[i];
    bool by_library = kernel_info(launch->kernel)->library != LAYER_BY_SEER;
    if (!kernel_info(launch->kernel)->file && !by_library) continue;
    const Op *op = graph_op(program->graph, launch->op);
    const char *use = arena_printf(arena, "%s: %s (%s)", op->name, op_kind_name(op->kind),
                                   span_label(arena, trainer->sources, op->span));
    if (by_library)
      add_call(arena, modules, launch, use);
    else
      add_kernel(arena, modules, launch->kernel, launch->constants, use);
  }
}

// That the runtime launches where NCCL brings gradients.
static const KernelKind exchange_kernels[] = {KERNEL_cuda_average_parts, KERNEL_cuda_average_narrow_parts,
                                              KERNEL_cuda_narrow_floats, KERNEL_cuda_copy_rows};
enum { exchange_count = sizeof exchange_kernels / sizeof *exchange_kernels };

static bool trains_on_ranks(const Trainer *trainer) {
  for (int i = 0; i < trainer->world_count; i++) {
    if (trainer->worlds[i].ranks > 1) return true;
  }
  return false;
}

CudaModules *cuda_modules_make(Arena *arena, const Trainer *trainer, DataType image_type) {
  CudaModules *modules = arena_new(arena, CudaModules);
  *modules = (CudaModules){.bf16 = image_type == DATA_BF16};
  for (int i = 0; i < trainer->world_count; i++) {
    add_program(arena, modules, trainer, trainer_own_train(trainer, &trainer->worlds[i]));
    add_program(arena, modules, trainer, trainer->worlds[i].features);
  }
  static const KernelConstant none[MAX_KERNEL_CONSTANTS];
  add_kernel(arena, modules, KERNEL_cuda_not_finite, none, "the look for NaN and infinity");
  for (int i = 0; i < exchange_count && trains_on_ranks(trainer); i++)
    add_kernel(arena, modules, exchange_kernels[i], none, "what ranks send each other");
  return modules;
}

// ---- printed ----

void print_cuda_module(const Trainer *trainer, const CudaModule *module, Writer *out) {
  const KernelInfo *info = kernel_info(module->kernel);
  bool specialised = has_macros(info);
  writer_printf(out, "// %s%s%s. Written by seerc; edits are lost.\n", module->name, specialised ? ", for " : "",
                specialised ? module->use : "");
  if (trainer->modules->bf16) writer_text(out, "#define ELEMENT_BF16\n");
  for (int i = 0; i < info->constant_count && specialised; i++) {
    if (info->constant_kinds[i] == CONSTANT_MACRO)
      writer_printf(out, "#define %s %lld\n", info->constants[i], (long long)module->constants[i].integer);
  }
  writer_printf(out, "#include \"kernels/cuda/%s.cu\"\n", module->file);
}

void print_cuda_numbers(const CudaModules *modules, Writer *out) {
  writer_text(out,
              "// The numbers of kernels, as modules.c lists them. Written by seerc; edits are lost.\n"
              "#ifndef SEER_MODULES_H\n#define SEER_MODULES_H\n\nenum {\n");
  for (size_t i = 0; i < modules->kernels.count; i++)
    writer_printf(out, "  kernel_%s,\n", modules->kernels.items[i].name);
  writer_text(out, "};\n\n#endif\n");
}

// -1: none of the trainer's programs are of several ranks.
static int runtime_kernel(const CudaModules *modules, KernelKind kernel) {
  for (size_t i = 0; i < modules->kernels.count; i++) {
    if (modules->kernels.items[i].kernel == kernel) return (int)i;
  }
  return -1;
}

void print_cuda_table(const CudaModules *modules, Writer *out) {
  writer_text(
      out,
      "// The kernels of this trainer, and the architectures they were compiled for. Written by seerc; edits are "
      "lost.\n#include \"modules.h\"\n#include \"runtime/device/gpu.h\"\n\n");
  for (int a = 0; a < modules->architecture_count; a++) {
    const char *name = modules->architectures[a];
    for (size_t i = 0; i < modules->count; i++)
      writer_printf(out, "extern const unsigned char code_%s_%s[];\n", name, modules->items[i].name);
    writer_printf(out, "static const SeerModule code_%s[] = {\n", name);
    for (size_t i = 0; i < modules->count; i++)
      writer_printf(out, "  {code_%s_%s, %zu},\n", name, modules->items[i].name, modules->code_bytes[a][i]);
    writer_printf(out, "};\n// Of a block: threads, bytes of shared memory.\nstatic const SeerBlock blocks_%s[] = {\n",
                  name);
    for (size_t i = 0; i < modules->kernels.count; i++)
      writer_printf(out, "  {%d, %d},\n", modules->blocks[a][i].threads, modules->blocks[a][i].shared_bytes);
    writer_text(out, "};\n\n");
  }
  writer_text(out,
              "// Name, function, module.\n"
              "static const SeerKernel kernels[] = {\n");
  for (size_t i = 0; i < modules->kernels.count; i++) {
    const CudaKernel *kernel = &modules->kernels.items[i];
    writer_printf(out, "  {\"%s\", \"%s\", %d},\n", kernel->name, kernel_info(kernel->kernel)->name, kernel->module);
  }
  writer_text(out, "};\n\nstatic const SeerArchitecture architectures[] = {\n");
  for (int a = 0; a < modules->architecture_count; a++)
    writer_printf(out, "  {\"%s\", code_%s, blocks_%s},\n", modules->architectures[a], modules->architectures[a],
                  modules->architectures[a]);
  writer_printf(out,
                "};\n\nconst SeerKernels seer_gpu_kernels = {\n  .architecture_count = %d, .module_count = %zu, "
                ".kernel_count = %zu,\n  .architectures = architectures, .kernels = kernels,\n};\n"
                "const int seer_gpu_not_finite = kernel_not_finite;\n"
                "const SeerExchangeKernels seer_gpu_exchange = {",
                modules->architecture_count, modules->count, modules->kernels.count);
  for (int i = 0; i < exchange_count; i++)
    writer_printf(out, "%s%d", i ? ", " : "", runtime_kernel(modules, exchange_kernels[i]));
  writer_text(out, "};\n");
}

void print_cuda_bytes(const CudaModules *modules, bool carries, Writer *out) {
  Arena *scratch = arena_make("printing modules");
  writer_text(out, "// The code of the modules. Written by seerc; edits are lost.\n  .section .rodata\n");
  for (int a = 0; a < modules->architecture_count; a++) {
    const char *name = modules->architectures[a];
    for (size_t i = 0; i < modules->count; i++) {
      const CudaModule *module = &modules->items[i];
      writer_printf(out, "  .balign 64\n  .globl code_%s_%s\ncode_%s_%s:\n  .incbin \"%s\"\n  .byte 0\n", name,
                    module->name, name, module->name, cuda_code_path(scratch, module, name));
    }
  }
  if (carries)
    writer_text(out,
                "  .globl seer_carried\n  .globl seer_carried_end\nseer_carried:\n  .incbin \"carried/trainer\"\n"
                "seer_carried_end:\n  .byte 0\n");
  writer_text(out, "  .section .note.GNU-stack,\"\",@progbits\n");
  arena_release(scratch);
}

static void print_code(const CudaKernel *kernel, const char *architecture, const CudaBlock *block,
                       const CubinKernel *code, Writer *out) {
  if (!code->name) return;
  writer_printf(out, "%-32s %-8s %7d %6d %9u %7u %5u %5u %12u\n", kernel->name, architecture, block->threads,
                block->shared_bytes, code->registers, code->stack_bytes, code->warpgroup_products, code->warp_products,
                code->instructions);
}

void print_cuda_codes(const CudaModules *modules, Writer *out) {
  writer_text(
      out,
      "# What kernels take. Of a block: threads, bytes of shared memory; of a thread: registers, bytes of memory "
      "that registers\n# were spilled to; in the code: products of warpgroups, products of warps, instructions. "
      "Written by seerc.\n");
  writer_printf(out, "%-32s %-8s %7s %6s %9s %7s %5s %5s %12s\n", "kernel", "for", "threads", "shared", "registers",
                "spilled", "wgmma", "mma", "instructions");
  for (int a = 0; a < modules->architecture_count; a++) {
    for (size_t k = 0; k < modules->kernels.count; k++)
      print_code(&modules->kernels.items[k], modules->architectures[a], &modules->blocks[a][k], &modules->codes[a][k],
                 out);
  }
}

static void print_argument(const KernelInfo *info, const ProgramLaunch *launch, int constant, Writer *out) {
  KernelConstant value = launch->constants[constant];
  switch (info->constant_kinds[constant]) {
    case CONSTANT_MACRO: return;
    case CONSTANT_INTEGER:
      writer_printf(out, ",\n     /*%s*/ &(int){%lld}", info->constants[constant], (long long)value.integer);
      return;
    case CONSTANT_COUNT:
      writer_printf(out, ",\n     /*%s*/ &(uint64_t){%lld}", info->constants[constant], (long long)value.integer);
      return;
    case CONSTANT_REAL: break;
  }
  writer_printf(out, ",\n     /*%s*/ &(float){(float)", info->constants[constant]);
  print_real(out, value.number);
  writer_text(out, "}");
}

static void print_call_launch(const Trainer *trainer, const Program *program, const ProgramSegment *segment,
                              size_t index, Writer *out) {
  const ProgramLaunch *launch = &program->launches.items[index];
  const KernelInfo *info = kernel_info(launch->kernel);
  writer_printf(out, "  seer_launch_library(context, launch + %zu, /*%s*/ %d,\n    (const void *[]){",
                index - segment->launch_begin, info->name, cuda_modules_call(trainer->modules, launch));
  for (int i = 0; i < info->pointer_count; i++) {
    writer_printf(out, "%s/*%s*/ ", i ? ",\n     " : "", info->pointers[i]);
    print_operand(trainer, program, segment, &launch->operands[i], out);
  }
  writer_text(out, "});\n");
}

void print_cuda_launch(const Trainer *trainer, const Program *program, const ProgramSegment *segment, size_t index,
                       Writer *out) {
  const ProgramLaunch *launch = &program->launches.items[index];
  const KernelInfo *info = kernel_info(launch->kernel);
  if (info->library != LAYER_BY_SEER) {
    print_call_launch(trainer, program, segment, index, out);
    return;
  }
  const CudaKernel *kernel = &trainer->modules->kernels.items[cuda_modules_kernel(trainer->modules, launch)];
  writer_printf(out, "  seer_launch_kernel(context, launch + %zu, kernel_%s, %lld, %lld, %lld,\n    (void *[]){",
                index - segment->launch_begin, kernel->name, (long long)launch->grid.x, (long long)launch->grid.y,
                (long long)launch->grid.z);
  for (int i = 0; i < info->pointer_count; i++) {
    writer_printf(out, "%s/*%s*/ &(const void *){", i ? ",\n     " : "", info->pointers[i]);
    print_operand(trainer, program, segment, &launch->operands[i], out);
    writer_text(out, "}");
  }
  for (int i = 0; i < info->constant_count; i++) print_argument(info, launch, i, out);
  writer_text(out, "});\n");
}

const char *cuda_code_path(Arena *arena, const CudaModule *module, const char *architecture) {
  return arena_printf(arena, "modules/%s/%s", architecture, module->name);
}
