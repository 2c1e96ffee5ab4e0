// Two kernels of the driver's tests: one that only reads and writes, one whose blocks need more shared memory than can be
// had without asking.
#include "device.h"

enum { THREADS = 64, TURNED = 16384 };  // floats that one block turns round: 64 KiB

// to[i] = factor * from[i] + shift[0] for i < count; one thread each.
DEVICE_KERNEL(scale, THREADS, 1, 0, (float *to, const float *from, const float *shift, int count, double factor)) {
  const int i = (int)(blockIdx.x * THREADS + threadIdx.x);
  if (i < count) to[i] = (float)(factor * from[i] + shift[0]);
}

// The floats of each block in the opposite order.
DEVICE_KERNEL(turn, THREADS, 1, TURNED * 4, (float *to, const float *from)) {
  SHARED_MEMORY(memory);
  float *floats = (float *)memory;
  const int at = (int)blockIdx.x * TURNED;
  for (int i = (int)threadIdx.x; i < TURNED; i += THREADS) floats[i] = from[at + i];
  block_wait();
  for (int i = (int)threadIdx.x; i < TURNED; i += THREADS) to[at + i] = floats[TURNED - 1 - i];
}
