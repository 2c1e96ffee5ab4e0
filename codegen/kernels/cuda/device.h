// What kernels use of a GPU besides plain C: one function for each instruction, so that the same kernel text is machine
// code by NVRTC, without any header of the toolkit, and a program on a simulated GPU in tests (SIMULATED_DEVICE;
// tests/cuda/simulator), which knows the same names.
//
// Shared memory is dynamic, and its addresses are 32 bits wide (shared_address). A function of a warp or a block is
// called by all its threads: data may be predicated, never the call. Elements are fp16, or bf16 with ELEMENT_BF16.
// Fragments of matrices lie in registers as the PTX ISA lays them out (warp-level matrix instructions).
#ifndef SEER_KERNELS_DEVICE_H
#define SEER_KERNELS_DEVICE_H

#define DIVIDE_UP(a, b) (((a) + (b)-1) / (b))
enum { CHUNK = 8 };  // elements of one copy, or of one load: 16 bytes

#ifdef SIMULATED_DEVICE
#include "simulated_device.h"
#else

typedef unsigned short Element;  // its bits
typedef unsigned int u32;
typedef unsigned long long u64;

#define DEVICE __device__ __forceinline__
#define DEVICE_MEMBER DEVICE  // of a struct
// A kernel of `threads` threads and `shared_bytes` of shared memory a block, of which `blocks` fit a multiprocessor at
// least; parameters in parentheses. Who launches it reads the first two from NAME_shape.
#define DEVICE_KERNEL(name, threads, blocks, shared_bytes, parameters)         \
  extern "C" __device__ unsigned name##_shape[2];                              \
  __device__ unsigned name##_shape[2] = {(threads), (unsigned)(shared_bytes)}; \
  extern "C" __global__ void __launch_bounds__(threads, blocks) name parameters
#define SHARED_MEMORY(name) extern __shared__ __align__(1024) unsigned char name[]

DEVICE u32 shared_address(const void *p) { return (u32)__cvta_generic_to_shared(p); }

// ---- elements ----

DEVICE float float_from_bf16(Element e) { return __uint_as_float((u32)e << 16); }
DEVICE float float_from_f16(Element e) {
  float f;
  asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(e));
  return f;
}
// Rounded to nearest, ties to even.
DEVICE Element bf16_from_float(float f) {
  Element e;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(e) : "f"(f));
  return e;
}
DEVICE Element f16_from_float(float f) {
  Element e;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(e) : "f"(f));
  return e;
}

#ifdef ELEMENT_BF16
#define ELEMENT_TYPE "bf16"
DEVICE float element_to_float(Element e) { return float_from_bf16(e); }
#else
#define ELEMENT_TYPE "f16"
DEVICE float element_to_float(Element e) { return float_from_f16(e); }
#endif

// Both rounded to nearest, ties to even; the first in the lower half.
DEVICE u32 elements_pack(float first, float second) {
  u32 pair;
  asm("cvt.rn." ELEMENT_TYPE "x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
  return pair;
}
// The same, but what is negative becomes zero; what is no number stays none.
DEVICE u32 elements_pack_positive(float first, float second) {
  u32 pair;
  asm("cvt.rn.relu." ELEMENT_TYPE "x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
  return pair;
}
DEVICE float elements_first(u32 pair) { return element_to_float((Element)(pair & 0xFFFF)); }
DEVICE float elements_second(u32 pair) { return element_to_float((Element)(pair >> 16)); }

// a * b + c, rounded once, whatever the compiler thinks.
DEVICE float multiply_add(float a, float b, float c) {
  float sum;
  asm("fma.rn.f32 %0, %1, %2, %3;" : "=f"(sum) : "f"(a), "f"(b), "f"(c));
  return sum;
}

#define ALIGNED(bytes) __align__(bytes)
DEVICE double square_root(double value) {
  double root;
  asm("sqrt.rn.f64 %0, %1;" : "=d"(root) : "d"(value));
  return root;
}

// Four floats at a multiple of 16 bytes, which nobody writes meanwhile. They are loaded where it stands: a compiler
// that keeps them through a loop runs out of registers.
DEVICE void floats_load_four(const float *p, float *values) {
  asm volatile("ld.global.nc.v4.f32 {%0, %1, %2, %3}, [%4];"
               : "=f"(values[0]), "=f"(values[1]), "=f"(values[2]), "=f"(values[3])
               : "l"(p));
}

// ---- warps and blocks ----

DEVICE void block_wait() { __syncthreads(); }
// A value that the threads of a warp have alike: now the compiler knows it, too, and computes with it once for all.
DEVICE u32 warp_same(u32 value) { return __shfl_sync(0xFFFFFFFF, value, 0); }

// ---- 16 bytes of shared memory, at a multiple of 16 ----

DEVICE void shared_load(u32 (&words)[4], u32 shared) {
  asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
               : "r"(shared)
               : "memory");
}
DEVICE void shared_store(u32 shared, const u32 (&words)[4]) {
  asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"(shared), "r"(words[0]), "r"(words[1]), "r"(words[2]),
               "r"(words[3])
               : "memory");
}

// ---- copies from global to shared memory that run on: 16 bytes, of which `bytes` are read and the rest are zeros ----

DEVICE void copy_start(u32 shared, const void *global, int bytes) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared), "l"(global), "r"(bytes) : "memory");
}
// Those a thread has started since are a group.
DEVICE void copy_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Until at most `groups` of the thread's groups, the newest, are on their way.
template <int groups>
DEVICE void copy_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(groups) : "memory");
}

// ---- bulk copies, and the barriers that they tell of their end ----

// One architecture has them and products of warpgroups; kernels that can do without ask by this name.
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
#define WARPGROUP_MULTIPLY

// Eight bytes of shared memory, at a multiple of as many, in phases: one is over, and the next begins, when so many
// `arrivals` and all bytes that were expected have come.
DEVICE void mbarrier_init(u32 mbarrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(mbarrier), "r"(arrivals) : "memory");
}
// Those this thread has made are there for its copies, and for other threads when they have waited with the block: a
// fence for threads, and one for copies, which see memory by another way.
DEVICE void mbarriers_publish() {
  asm volatile("fence.mbarrier_init.release.cluster;\nfence.proxy.async.shared::cta;" ::: "memory");
}
// One arrival, with so many bytes to come in the phase.
DEVICE void mbarrier_expect(u32 mbarrier, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(mbarrier), "r"(bytes) : "memory");
}
// Until the phase is over whose number, counted from 0, is even or odd as `parity` says: this one or the one before.
// What its copies have brought is there for this thread and its products.
DEVICE void mbarrier_wait(u32 mbarrier, int parity) {
  asm volatile(
      "{\n.reg .pred over;\nagain:\nmbarrier.try_wait.parity.shared::cta.b64 over, [%0], %1;\n@!over bra again;\n}" ::
          "r"(mbarrier),
      "r"(parity)
      : "memory");
}

// `bytes` that lie together, started by one thread; addresses and bytes are multiples of 16.
DEVICE void bulk_copy_start(u32 shared, const void *global, int bytes, u32 mbarrier) {
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(shared),
               "l"(global), "r"(bytes), "r"(mbarrier)
               : "memory");
}
#endif

// ---- products of a warp ----

// Four 8 x 8 matrices of elements: lane i gives the address of row i % 8 of matrix i / 8.
DEVICE void matrices_load(u32 (&m)[4], u32 row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(m[0]), "=r"(m[1]), "=r"(m[2]), "=r"(m[3])
               : "r"(row)
               : "memory");
}
// And each of them transposed.
DEVICE void matrices_load_transposed(u32 (&m)[4], u32 row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(m[0]), "=r"(m[1]), "=r"(m[2]), "=r"(m[3])
               : "r"(row)
               : "memory");
}
// c [16][8] += a [16][16] * b [16][8], in single precision.
DEVICE void matrix_multiply_add(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32." ELEMENT_TYPE "." ELEMENT_TYPE
               ".f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// ---- products of a warpgroup: four warps, the first of them a multiple of four ----

#ifdef WARPGROUP_MULTIPLY

// What copies of this thread have brought, and what it has stored, is there for products, too: before others wait for
// it with the block.
DEVICE void copies_publish() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

// Before the first product after the sums were touched.
DEVICE void warpgroup_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
// Products started since are a group.
DEVICE void warpgroup_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
// Until at most `groups`, the newest, are on their way.
template <int groups>
DEVICE void warpgroup_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(groups) : "memory");
}

// warpgroup_multiply_add<turned>(c, a, b, adds) starts c [64][columns] += a [64][16] * b [16][columns], in single
// precision; where it does not add, c = that. Warp w has rows 16 w .. 16 w + 15 of c, as matrix_multiply_add has them,
// eight columns after eight. a and b are described by operand_describe (operands.h): rows of memory are those of a, and
// columns of b; `turned`: the depth's.
#define SUMS_8(c, j) "+f"(c[j][0]), "+f"(c[j][1]), "+f"(c[j][2]), "+f"(c[j][3])
#define SUMS_16(c, j) SUMS_8(c, j), SUMS_8(c, (j) + 1)
#define SUMS_32(c, j) SUMS_16(c, j), SUMS_16(c, (j) + 2)
#define SUMS_64(c, j) SUMS_32(c, j), SUMS_32(c, (j) + 4)
#define SUMS_88(c, j) SUMS_64(c, j), SUMS_16(c, (j) + 8), SUMS_8(c, (j) + 10)
#define SUMS_96(c, j) SUMS_64(c, j), SUMS_32(c, (j) + 8)
#define SUMS_112(c, j) SUMS_96(c, j), SUMS_16(c, (j) + 12)
#define SUMS_120(c, j) SUMS_112(c, j), SUMS_8(c, (j) + 14)
#define SUMS_128(c, j) SUMS_64(c, j), SUMS_64(c, (j) + 8)
#define SUMS_176(c, j) SUMS_128(c, j), SUMS_32(c, (j) + 16), SUMS_16(c, (j) + 20)
#define SUMS_192(c, j) SUMS_128(c, j), SUMS_64(c, (j) + 16)
#define SUMS_224(c, j) SUMS_192(c, j), SUMS_32(c, (j) + 24)
#define SUMS_256(c, j) SUMS_128(c, j), SUMS_128(c, (j) + 16)
#define NAMES_16 "%0, %1, %2, %3, %4, %5, %6, %7"
#define NAMES_32 NAMES_16 ", %8, %9, %10, %11, %12, %13, %14, %15"
#define NAMES_64 NAMES_32 ", %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define NAMES_88 NAMES_64 ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43"
#define NAMES_96 NAMES_88 ", %44, %45, %46, %47"
#define NAMES_112 NAMES_96 ", %48, %49, %50, %51, %52, %53, %54, %55"
#define NAMES_120 NAMES_112 ", %56, %57, %58, %59"
#define NAMES_128 NAMES_120 ", %60, %61, %62, %63"
#define NAMES_176                                                                                         \
  NAMES_128                                                                                               \
      ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, " \
      "%83, %84, %85, %86, %87"
#define NAMES_192 NAMES_176 ", %88, %89, %90, %91, %92, %93, %94, %95"
#define NAMES_224 \
  NAMES_192 ", %96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111"
#define NAMES_256 \
  NAMES_224 ", %112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
#define WARPGROUP_PRODUCT(columns, a_name, b_name, adds_name, turned_name)                                          \
  template <bool turned>                                                                                            \
  DEVICE void warpgroup_multiply_add(float(&c)[(columns) / 8][4], u64 a, u64 b, bool adds) {                        \
    asm volatile("{\n.reg .pred adds;\nsetp.ne.b32 adds, " adds_name                                                \
                 ", 0;\nwgmma.mma_async.sync.aligned.m64n" #columns "k16.f32." ELEMENT_TYPE "." ELEMENT_TYPE        \
                 " {" NAMES_##columns "}, " a_name ", " b_name ", adds, 1, 1, " turned_name ", " turned_name ";\n}" \
                 : SUMS_##columns(c, 0)                                                                             \
                 : "l"(a), "l"(b), "r"((int)adds), "n"(turned));                                                    \
  }
WARPGROUP_PRODUCT(16, "%8", "%9", "%10", "%11")
WARPGROUP_PRODUCT(32, "%16", "%17", "%18", "%19")
WARPGROUP_PRODUCT(64, "%32", "%33", "%34", "%35")
WARPGROUP_PRODUCT(88, "%44", "%45", "%46", "%47")
WARPGROUP_PRODUCT(96, "%48", "%49", "%50", "%51")
WARPGROUP_PRODUCT(112, "%56", "%57", "%58", "%59")
WARPGROUP_PRODUCT(120, "%60", "%61", "%62", "%63")
WARPGROUP_PRODUCT(128, "%64", "%65", "%66", "%67")
WARPGROUP_PRODUCT(176, "%88", "%89", "%90", "%91")
WARPGROUP_PRODUCT(192, "%96", "%97", "%98", "%99")
WARPGROUP_PRODUCT(224, "%112", "%113", "%114", "%115")
WARPGROUP_PRODUCT(256, "%128", "%129", "%130", "%131")
#endif

#endif

// Eight elements that lie together, loaded and stored at once: at a multiple of 16 bytes.
struct ALIGNED(16) Chunk {
  u32 pairs[4];
};
DEVICE Chunk chunk_load(const Element *p) { return *(const Chunk *)p; }
DEVICE void chunk_store(Element *p, Chunk chunk) { *(Chunk *)p = chunk; }
DEVICE Chunk chunk_make(const float (&values)[CHUNK]) {
  Chunk chunk;
#pragma unroll
  for (int pair = 0; pair < CHUNK / 2; pair++)
    chunk.pairs[pair] = elements_pack(values[2 * pair], values[2 * pair + 1]);
  return chunk;
}
DEVICE float chunk_get(const Chunk &chunk, int i) {
  return i % 2 ? elements_second(chunk.pairs[i / 2]) : elements_first(chunk.pairs[i / 2]);
}

// As many floats, which begin at a multiple of 16 bytes.
DEVICE void floats_load(const float *p, float (&values)[CHUNK]) {
  floats_load_four(p, values);
  floats_load_four(p + 4, values + 4);
}

#endif
