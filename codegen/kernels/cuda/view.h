// What is seen of images that BatchNorm and ReLU, and then the scales of squeeze-and-excitation, would have written:
// made of what BatchNorm read, by the same instructions and rounded where it would have been stored, so that whether it
// is written changes no bit.
#ifndef SEER_KERNELS_VIEW_H
#define SEER_KERNELS_VIEW_H

#include "channels.h"

// Of a convolution's input: as it lies; normalised; normalised and scaled.
enum { VIEW_PLAIN, VIEW_NORMALIZED, VIEW_SCALED };

// Of the channels of a chunk: normalised is x * factor + shift (batch_norm_fold.cu).
struct Line {
  float factors[CHUNK], shifts[CHUNK];
};

// line [2][all], at a multiple of 16 bytes.
DEVICE Line line_load(const float *line, int all, int channel) {
  Line part;
  floats_load(line + channel, part.factors);
  floats_load(line + all + channel, part.shifts);
  return part;
}

// What BatchNorm and ReLU make of a chunk.
DEVICE Chunk chunk_normalize(const Chunk &x, const Line &line) {
  Chunk y;
#pragma unroll
  for (int pair = 0; pair < CHUNK / 2; pair++) {
    float values[2];
#pragma unroll
    for (int k = 0; k < 2; k++)
      values[k] = multiply_add(chunk_get(x, 2 * pair + k), line.factors[2 * pair + k], line.shifts[2 * pair + k]);
    y.pairs[pair] = elements_pack_positive(values[0], values[1]);
  }
  return y;
}

DEVICE Chunk chunk_scale(const Chunk &x, const float (&scale)[CHUNK]) {
  float values[CHUNK];
#pragma unroll
  for (int i = 0; i < CHUNK; i++) values[i] = scale[i] * chunk_get(x, i);
  return chunk_make(values);
}

// Makes of a chunk in shared memory what is seen of it, in its place. `channel`: its first, of all that a pixel has;
// scale [n][c], of which VIEW_SCALED reads the image's.
template <int view>
DEVICE void shared_view(u32 at, const Line &line, const float *scale, int image, Channels channels, int channel) {
  Chunk chunk;
  shared_load(chunk.pairs, at);
  chunk = chunk_normalize(chunk, line);
  if (view == VIEW_SCALED) {
    float factors[CHUNK];
    vector_load(scale + image * vector_width(channels), channels, channel, factors);
    chunk = chunk_scale(chunk, factors);
  }
  shared_store(at, chunk.pairs);
}

#endif
