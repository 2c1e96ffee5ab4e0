// Kernels for GPUs as NVRTC compiles them: products on the tensor cores, no registers spilled, no more of them than a
// thread may have; and that the gate sees what it must refuse, and reads no damaged file.
//
// usage: compile_test FOLDER FILE NAME ARCHITECTURE OPTION...   the kernels of a file of the folder; a line for each
//        compile_test FOLDER FILE faults OPTION...              the gate's own test, with a file of one kernel
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codegen/cuda/cubin.h"
#include "codegen/cuda/nvrtc.h"

enum { HEADERS = 7 };

static const char *file_read(Arena *arena, const char *path) {
  FILE *file = fopen(path, "rb");
  if (!file || fseek(file, 0, SEEK_END) != 0) {
    fprintf(stderr, "%s cannot be read\n", path);
    exit(1);
  }
  size_t size = (size_t)ftell(file);
  rewind(file);
  char *text = arena_alloc(arena, size + 1);
  if (fread(text, 1, size, file) != size) exit(1);
  fclose(file);
  return text;
}

typedef struct Compiled {
  NvrtcCode code;
  Cubin cubin;
} Compiled;

static Compiled compile(const Nvrtc *nvrtc, Arena *arena, const char *source, const NvrtcHeader *headers,
                        const char *architecture, const char *const *options, int option_count) {
  NvrtcKernel kernel = {"kernel.cu", source, headers, HEADERS, architecture, options, option_count};
  Compiled compiled = {0};
  if (!nvrtc_compile(nvrtc, arena, &kernel, &compiled.code)) {
    fprintf(stderr, "%s", compiled.code.log);
    exit(1);
  }
  if (!cubin_read(arena, compiled.code.cubin, compiled.code.cubin_bytes, &compiled.cubin) || !compiled.cubin.count) {
    fprintf(stderr, "the code compiled is not a file of kernels\n");
    exit(1);
  }
  return compiled;
}

static int kernels_check(Arena *arena, const Compiled *compiled, const char *name, const char *architecture) {
  for (size_t i = 0; i < compiled->cubin.count; i++) {
    const CubinKernel *k = &compiled->cubin.items[i];
    printf(
        "%s %s %s: %u registers, %u bytes of stack, %u instructions, %u products, %u matrix loads, %u copies, %u bulk "
        "copies, %u of mbarriers, %u local\n",
        name, architecture, k->name, k->registers, k->stack_bytes, k->instructions,
        k->warp_products + k->warpgroup_products, k->matrix_loads, k->copies, k->bulk_copies, k->mbarriers,
        k->local_loads + k->local_stores);
  }
  const char *fault = cubin_fault(arena, &compiled->cubin, architecture, compiled->code.log);
  if (fault) fprintf(stderr, "%s %s: %s\n", name, architecture, fault);
  return fault != NULL;
}

// That what was compiled is refused, with these words.
static int must_refuse(Arena *arena, const Compiled *compiled, const char *architecture, const char *words) {
  const char *fault = cubin_fault(arena, &compiled->cubin, architecture, compiled->code.log);
  if (fault && strstr(fault, words)) return 0;
  fprintf(stderr, "'%s' is wanted for %s: %s\n", words, architecture, fault ? fault : "it passes");
  return 1;
}

// Kernels that the gate must refuse, and one like them that it must not.
static int gate_test(const Nvrtc *nvrtc, Arena *arena, const Compiled *good, const NvrtcHeader *headers) {
  int failed = must_refuse(arena, good, "sm_90a", "by warpgroups");  // products of warps, where there are better ones
  static const char indexed[] =
      "extern \"C\" __global__ void indexed(float *x, int n) { float a[64]; for (int i = 0; i < 64; i++) a[i] = x[i]; "
      "for (int i = 0; i < n; i++) a[(i * 7 + n) % 64] += a[i % 64]; x[0] = a[n % 64]; }";
  Compiled local = compile(nvrtc, arena, indexed, headers, "sm_80", NULL, 0);
  const CubinKernel *array = &local.cubin.items[0];
  if (array->stack_bytes < 256 || array->local_loads == 0 || array->local_stores == 0)
    failed++, fprintf(stderr, "an array in local memory is not seen\n");
  failed += must_refuse(arena, &local, "sm_80", "in memory");
  static const char plain[] = "extern \"C\" __global__ void conv2d_forward(float *x) { *x *= 2; }";
  Compiled without = compile(nvrtc, arena, plain, headers, "sm_90a", NULL, 0);
  failed += must_refuse(arena, &without, "sm_90a", "does not multiply") +
            must_refuse(arena, &without, "sm_80", "does not multiply");
  // Products whose sums are read on their way; those that are not, without and with weights that come in bulk.
  static const char text[] =
      "#include \"operands.h\"\nDEVICE_KERNEL(conv2d_forward, 128, 1, 8192, (float *y, const float *x, int n)) {\n"
      "SHARED_MEMORY(m); float c[2][4]; const u32 a = shared_address(m); %s\n#pragma unroll 1\n"
      "for (int i = 0; i < n; i++) { warpgroup_fence(); warpgroup_multiply_add<false>(c, operand_describe<16>(a, "
      "ONE_SLAB), operand_describe<16>(a, ONE_SLAB), i > 0); warpgroup_commit(); %s warpgroup_wait<0>(); }\n"
      "*y = c[0][0]; }";
  static const char copy[] =
      "if (threadIdx.x == 0) { mbarrier_init(a, 1); mbarriers_publish(); mbarrier_expect(a, 1024); "
      "bulk_copy_start(a + 1024, x, 1024, a); } block_wait(); mbarrier_wait(a, 0);";
  Compiled serial =
      compile(nvrtc, arena, arena_printf(arena, text, copy, "y[i] = c[0][0];"), headers, "sm_90a", NULL, 0);
  failed += must_refuse(arena, &serial, "sm_90a", "wait for each other");
  Compiled by_hand = compile(nvrtc, arena, arena_printf(arena, text, "", ""), headers, "sm_90a", NULL, 0);
  failed += must_refuse(arena, &by_hand, "sm_90a", "in bulk");
  Compiled in_bulk = compile(nvrtc, arena, arena_printf(arena, text, copy, ""), headers, "sm_90a", NULL, 0);
  return failed + kernels_check(arena, &in_bulk, "gate", "sm_90a");
}

// Cut short anywhere, and with any byte changed, a file is refused or read, never followed outside.
static int damage_test(Arena *arena, const NvrtcCode *code) {
  Cubin cubin;
  size_t size = code->cubin_bytes;
  for (size_t cut = 0; cut < size; cut += 37) {
    char *part = malloc(cut ? cut : 1);  // of that size, so that a sanitizer sees what is read beyond
    memcpy(part, code->cubin, cut);
    (void)cubin_read(arena, part, cut, &cubin);
    free(part);
  }
  char *changed = malloc(size);
  unsigned random = 1;
  for (int i = 0; i < 2000; i++) {
    memcpy(changed, code->cubin, size);
    for (int k = 0; k < 8; k++) {
      random = random * 1664525u + 1013904223u;
      changed[(random >> 8) % (i % 2 ? 64 : size)] = (char)random;
    }
    (void)cubin_read(arena, changed, size, &cubin);
  }
  free(changed);
  if (!cubin_read(arena, "not ELF", 7, &cubin)) return 0;
  fprintf(stderr, "a text is a file of kernels\n");
  return 1;
}

static int faults_test(const Nvrtc *nvrtc, Arena *arena, const char *source, const NvrtcHeader *headers,
                       const char *const *options, int count) {
  Compiled good = compile(nvrtc, arena, source, headers, "sm_80", options, count);
  int failed = 0;
  if (good.cubin.count != 1 || good.cubin.items[0].registers == 0) failed++, fprintf(stderr, "no kernel is read\n");
  failed += kernels_check(arena, &good, "the kernel itself", "sm_80") + gate_test(nvrtc, arena, &good, headers) +
            damage_test(arena, &good.code);
  uint32_t of_cubin[2], of_ptx[2];
  if (!cubin_words(good.code.cubin, good.code.cubin_bytes, "conv2d_forward_shape", of_cubin, 2) || !good.code.ptx ||
      !ptx_words(good.code.ptx, "conv2d_forward_shape", of_ptx, 2) || memcmp(of_cubin, of_ptx, sizeof of_ptx) != 0 ||
      of_ptx[0] != 256)
    failed++, fprintf(stderr, "PTX does not tell a block's threads and memory as the code does\n");
  NvrtcCode code;
  NvrtcKernel wrong = {"wrong.cu", "extern \"C\" __global__ void f() { g(); }", NULL, 0, "sm_80", NULL, 0};
  if (nvrtc_compile(nvrtc, arena, &wrong, &code) || !strstr(code.log, "wrong.cu"))
    failed++, fprintf(stderr, "an error of a kernel is not told: '%s'\n", code.log);
  wrong.source = "", wrong.architecture = "sm_1";
  if (nvrtc_compile(nvrtc, arena, &wrong, &code)) failed++, fprintf(stderr, "there is an architecture sm_1\n");
  const char *why = NULL;
  if (nvrtc_open(arena, "/nowhere/libnvrtc.so", &why) || !why || !strstr(why, "SEER_NVRTC"))
    failed++, fprintf(stderr, "a library that is not there opens\n");
  if (nvrtc_open(arena, "libm.so.6", &why) || !strstr(why, "too old"))
    failed++, fprintf(stderr, "a library of something else opens\n");
  return failed ? 1 : 0;
}

int main(int argc, char **argv) {
  if (argc < 5) return 2;
  Arena *arena = arena_make("test");
  const char *why = NULL;
  Nvrtc *nvrtc = nvrtc_open(arena, NULL, &why);
  if (!nvrtc) {
    fprintf(stderr, "%s\n", why);
    return 3;
  }
  const char *folder = argv[1], *source = file_read(arena, arena_printf(arena, "%s/%s.cu", folder, argv[2]));
  NvrtcHeader headers[HEADERS] = {{"device.h", NULL},      {"operands.h", NULL}, {"weights.h", NULL},
                                  {"conv2d_tile.h", NULL}, {"grid.h", NULL},     {"channels.h", NULL},
                                  {"view.h", NULL}};
  for (int i = 0; i < HEADERS; i++)
    headers[i].text = file_read(arena, arena_printf(arena, "%s/%s", folder, headers[i].name));
  int status;
  if (strcmp(argv[3], "faults") == 0) {
    status = faults_test(nvrtc, arena, source, headers, (const char *const *)argv + 4, argc - 4);
  } else {
    Compiled compiled = compile(nvrtc, arena, source, headers, argv[4], (const char *const *)argv + 5, argc - 5);
    status = kernels_check(arena, &compiled, argv[3], argv[4]);
  }
  arena_release(arena);
  return status;
}
