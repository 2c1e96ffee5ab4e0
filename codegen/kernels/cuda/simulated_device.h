// A simulated GPU as kernels see it: what device.h names, for kernels compiled as C++ with
// -DSIMULATED_DEVICE. Each thread of a block is a fiber; what runs on by itself on a GPU (copies to shared memory)
// happens here as late as the rules allow, and until then its destination is poison, so that whatever does not wait
// reads NaNs. Functions of a warp or a block demand that all its threads call the same one.
#ifndef SEER_SIMULATED_DEVICE_H
#define SEER_SIMULATED_DEVICE_H

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

typedef uint16_t Element;
typedef uint32_t u32;
typedef uint64_t u64;

namespace simulated {

struct Index {
  unsigned x, y, z;
};

// Of the running thread and its block.
Index thread_index();
Index block_index();

unsigned char *shared_memory();
u32 address_of(const void *shared);

void barrier();
u32 warp_same(u32 value);
void shared_load(u32 *words, u32 shared);
void shared_store(u32 shared, const u32 *words);
void copy_start(u32 shared, const void *global, int bytes);
void copy_commit();
void copy_wait(int groups);
void mbarrier_init(u32 mbarrier, int arrivals);
void mbarriers_publish();
void mbarrier_expect(u32 mbarrier, int bytes);
void mbarrier_wait(u32 mbarrier, int parity);
void bulk_copy_start(u32 shared, const void *global, int bytes, u32 mbarrier);
void matrices_load(u32 *matrices, u32 row, bool transposed);
void matrix_multiply_add(float *c, const u32 *a, u32 b0, u32 b1, bool bf16);
void copies_publish();
void warpgroup_fence();
void warpgroup_commit();
void warpgroup_wait(int groups);
void warpgroup_multiply_add(float *c, int columns, u64 a, u64 b, bool adds, bool turned, bool bf16);

// Elements of both types, rounded to nearest, ties to even.
float from_f16(uint16_t bits);
uint16_t to_f16(float value);
float from_bf16(uint16_t bits);
uint16_t to_bf16(float value);

// Calls a kernel with parameters as cuLaunchKernel passes them: the address of each.
template <class... Parameters, std::size_t... at>
void call(void (*kernel)(Parameters...), void **arguments, std::index_sequence<at...>) {
  kernel(*static_cast<std::remove_reference_t<Parameters> *>(arguments[at])...);
}
template <class... Parameters>
void call(void (*kernel)(Parameters...), void **arguments) {
  call(kernel, arguments, std::index_sequence_for<Parameters...>{});
}

// How many bytes each parameter of a kernel has; 0 behind the last.
template <class... Parameters>
constexpr std::array<unsigned, sizeof...(Parameters) + 1> parameter_bytes(void (*)(Parameters...)) {
  return {(unsigned)sizeof(std::remove_reference_t<Parameters>)..., 0u};
}

}  // namespace simulated

#define threadIdx (simulated::thread_index())
#define blockIdx (simulated::block_index())
#define DEVICE static inline
#define DEVICE_MEMBER inline
#define ALIGNED(bytes) alignas(bytes)
// What launches call is NAME_simulated; its threads and bytes of shared memory are in NAME_shape, the sizes of its
// parameters in NAME_parameters.
#define DEVICE_KERNEL(name, threads, blocks, shared_bytes, parameters)                                   \
  static_assert((threads) % 32 == 0 && (threads) <= 1024, "threads of whole warps");                     \
  static void name parameters;                                                                           \
  extern "C" unsigned name##_shape[2];                                                                   \
  unsigned name##_shape[2] = {(unsigned)(threads), (unsigned)(shared_bytes)};                            \
  extern "C" const decltype(simulated::parameter_bytes(name)) name##_parameters;                         \
  const decltype(simulated::parameter_bytes(name)) name##_parameters = simulated::parameter_bytes(name); \
  extern "C" void name##_simulated(void **arguments);                                                    \
  void name##_simulated(void **arguments) { simulated::call(name, arguments); }                          \
  static void name parameters
#define SHARED_MEMORY(name) unsigned char *const name = simulated::shared_memory()

DEVICE double square_root(double value) { return std::sqrt(value); }
DEVICE float multiply_add(float a, float b, float c) { return std::fma(a, b, c); }
DEVICE u32 shared_address(const void *p) { return simulated::address_of(p); }

DEVICE float float_from_bf16(Element e) { return simulated::from_bf16(e); }
DEVICE float float_from_f16(Element e) { return simulated::from_f16(e); }
DEVICE Element bf16_from_float(float f) { return simulated::to_bf16(f); }
DEVICE Element f16_from_float(float f) { return simulated::to_f16(f); }
#ifdef ELEMENT_BF16
enum { ELEMENT_IS_BF16 = 1 };
DEVICE float element_to_float(Element e) { return simulated::from_bf16(e); }
DEVICE u32 elements_pack(float first, float second) {
  return simulated::to_bf16(first) | (u32)simulated::to_bf16(second) << 16;
}
#else
enum { ELEMENT_IS_BF16 = 0 };
DEVICE float element_to_float(Element e) { return simulated::from_f16(e); }
DEVICE u32 elements_pack(float first, float second) {
  return simulated::to_f16(first) | (u32)simulated::to_f16(second) << 16;
}
#endif
DEVICE u32 elements_pack_positive(float first, float second) {
  return elements_pack(first < 0 ? 0 : first, second < 0 ? 0 : second);
}
DEVICE float elements_first(u32 pair) { return element_to_float((Element)(pair & 0xFFFF)); }
DEVICE float elements_second(u32 pair) { return element_to_float((Element)(pair >> 16)); }

DEVICE void floats_load_four(const float *p, float *values) {
  for (int i = 0; i < 4; i++) values[i] = p[i];
}

DEVICE void block_wait() { simulated::barrier(); }
DEVICE u32 warp_same(u32 value) { return simulated::warp_same(value); }
DEVICE void shared_load(u32 (&words)[4], u32 shared) { simulated::shared_load(words, shared); }
DEVICE void shared_store(u32 shared, const u32 (&words)[4]) { simulated::shared_store(shared, words); }

DEVICE void copy_start(u32 shared, const void *global, int bytes) { simulated::copy_start(shared, global, bytes); }
DEVICE void copy_commit() { simulated::copy_commit(); }
template <int groups>
DEVICE void copy_wait() {
  simulated::copy_wait(groups);
}

DEVICE void matrices_load(u32 (&m)[4], u32 row) { simulated::matrices_load(m, row, false); }
DEVICE void matrices_load_transposed(u32 (&m)[4], u32 row) { simulated::matrices_load(m, row, true); }
DEVICE void matrix_multiply_add(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  simulated::matrix_multiply_add(c, a, b0, b1, ELEMENT_IS_BF16);
}

// For kernels compiled with -DWARPGROUP_MULTIPLY, as for sm_90a.
DEVICE void mbarrier_init(u32 mbarrier, int arrivals) { simulated::mbarrier_init(mbarrier, arrivals); }
DEVICE void mbarriers_publish() { simulated::mbarriers_publish(); }
DEVICE void mbarrier_expect(u32 mbarrier, int bytes) { simulated::mbarrier_expect(mbarrier, bytes); }
DEVICE void mbarrier_wait(u32 mbarrier, int parity) { simulated::mbarrier_wait(mbarrier, parity); }
DEVICE void bulk_copy_start(u32 shared, const void *global, int bytes, u32 mbarrier) {
  simulated::bulk_copy_start(shared, global, bytes, mbarrier);
}
DEVICE void copies_publish() { simulated::copies_publish(); }
DEVICE void warpgroup_fence() { simulated::warpgroup_fence(); }
DEVICE void warpgroup_commit() { simulated::warpgroup_commit(); }
template <int groups>
DEVICE void warpgroup_wait() {
  simulated::warpgroup_wait(groups);
}
template <bool turned, int eights>
DEVICE void warpgroup_multiply_add(float (&c)[eights][4], u64 a, u64 b, bool adds) {
  static_assert(eights == 2 || eights == 4 || eights == 8 || eights == 11 || eights == 12 ||
                    (eights >= 14 && eights <= 16) || eights == 22 || eights == 24 || eights == 28 || eights == 32,
                "columns that device.h has");
  simulated::warpgroup_multiply_add(c[0], 8 * eights, a, b, adds, turned, ELEMENT_IS_BF16);
}

#endif
