// How images lie in a GPU's memory: [n][h][w][channels], where each group's channels are padded to a multiple of 8, so
// that what a thread or the copy engine takes at once, 16 bytes, never belongs to two groups.
#ifndef SEER_CODEGEN_CUDA_CHANNELS_H
#define SEER_CODEGEN_CUDA_CHANNELS_H

#include "compiler/graph/graph.h"

// In elements. One group where all group widths are multiples of 8 anyway.
typedef struct ChannelLayout {
  int64_t group_channels, group_pitch, all;
} ChannelLayout;

// By ValueId; what is not of images has zeros, but the factors of a view, which lie as its images do. Values that ops
// go through element by element have one layout, which is that of the grouped convolutions that read or make one of
// them.
const ChannelLayout *channel_layouts_make(Arena *arena, const Graph *graph);

#endif
