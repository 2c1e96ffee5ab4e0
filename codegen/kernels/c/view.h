// What a convolution sees of a lane tensor: its values as they lie, or what BatchNorm, ReLU and the scales of
// squeeze-and-excitation, or the backward of BatchNorm, make of them, computed while they are read. The results are
// never in memory.
#ifndef SEER_KERNELS_VIEW_H
#define SEER_KERNELS_VIEW_H

#include "lanes.h"
#include "sizes.h"

// `kind` is a ViewKind (sizes.h) and a literal in every call. factors, by channel:
//   VIEW_NORMALIZED, VIEW_SCALED  [3][c] of normalization_factors: centre, factor, shift
//   VIEW_GRADIENT                 [4][c] of gradient_factors: centre, slope, shift, factor
typedef struct View {
  const Element *x;    // of the image block
  const Element *raw;  // VIEW_GRADIENT: what BatchNorm read
  const float *scale;  // VIEW_SCALED: [c] in lanes, of the image block
  const float *factors;
  int c;
} View;

// The values of channel `channel`, `at` elements into the tensor.
KERNEL Lanes view_load(int kind, View v, int64_t at, int channel) {
  const Lanes x = element_load(v.x + at);
  if (kind == VIEW_PLAIN) return x;
  const float *factors = v.factors + channel;
  if (kind == VIEW_GRADIENT)
    return ((element_load(v.raw + at) - factors[0]) * factors[v.c] + factors[2 * v.c] + x) * factors[3 * v.c];
  Lanes y = lanes_max((x - factors[0]) * factors[v.c] + factors[2 * v.c], lanes_splat(0.0f));
  if (kind == VIEW_SCALED) y *= lanes_load(v.scale + (int64_t)channel * LANES);
  return y;
}

// Vectors that `channels` channels of a pixel are, when they are multiplied.
KERNEL int view_depth(int channels) { return (channels + DEPTH - 1) / DEPTH; }

// Channels `channel` and, in pairs, the next one; of it, what lies beyond `last` is zero.
KERNEL Lanes view_load_depth(int kind, View v, int64_t at, int channel, int last) {
  const Lanes first = view_load(kind, v, at, channel);
  if (DEPTH == 1) return first;
  const Lanes none = {0};
  return lanes_pair(first, channel + 1 < last ? view_load(kind, v, at + LANES, channel + 1) : none);
}

// Copies `count` channels of a pixel from `channel` on, `at` elements into the tensor, to vectors of `depth` (1 or
// DEPTH) channels, `apart` floats from one to the next. They are a short run that hardware does not fetch ahead of:
// `ahead` elements further, what a later call reads is asked for.
KERNEL void view_copy(int kind, View v, int64_t at, int channel, int count, int depth, int64_t ahead,
                      float *restrict to, int64_t apart) {
  for (int i = 0; i < count; i += depth) {
    const int64_t from = at + (int64_t)i * LANES;
    if (ahead) {
      for (int line = 0; line < depth * LANES; line += 64 / (int)sizeof(Element)) {
        __builtin_prefetch(v.x + from + ahead + line);
        if (kind == VIEW_GRADIENT) __builtin_prefetch(v.raw + from + ahead + line);
      }
    }
    lanes_store(to, depth == 1 ? view_load(kind, v, from, channel + i)
                               : view_load_depth(kind, v, from, channel + i, channel + count));
    to += apart;
  }
}

// The same of `pixels` pixels, `pixel_stride` elements apart, to vectors that follow each other, `apart` floats from
// one pixel's to the next; three pixels share the loads of factors. Nothing is asked for ahead.
KERNEL void view_copy_pixels(int kind, View v, int64_t at, int64_t pixel_stride, int pixels, int channel, int count,
                             float *restrict to, int64_t apart) {
  if (pixels != 3) {
    for (int p = 0; p < pixels; p++)
      view_copy(kind, v, at + p * pixel_stride, channel, count, DEPTH, 0, to + p * apart, LANES);
    return;
  }
  for (int i = 0; i < count; i += DEPTH, to += LANES) {
    Lanes x[3];
    UNROLL
    for (int p = 0; p < 3; p++)
      x[p] = view_load_depth(kind, v, at + (int64_t)i * LANES + p * pixel_stride, channel + i, channel + count);
    UNROLL
    for (int p = 0; p < 3; p++) lanes_store(to + p * apart, x[p]);
  }
}

#endif
