// Which channels of a pixel exist, and what their numbers are in vectors by channel, which have no pads: of each group
// of `group_pitch` channels in memory, a multiple of CHUNK, the first `group_channels` exist.
#ifndef SEER_KERNELS_CHANNELS_H
#define SEER_KERNELS_CHANNELS_H

#include "device.h"

struct Channels {
  int all, group_channels, group_pitch;  // of a pixel in memory
};

// How many exist of what is left of a channel's group, from the channel on: none where it is negative.
DEVICE int channels_exist(int channel, int group_channels, int group_pitch) {
  return group_channels - channel % group_pitch;
}
DEVICE int channel_number(int channel, int group_channels, int group_pitch) {
  return channel / group_pitch * group_channels + channel % group_pitch;
}

DEVICE u64 vector_width(Channels c) { return (u64)(c.all / c.group_pitch) * c.group_channels; }

// A chunk's values in a vector by channel, which begins at a multiple of 16 bytes; zero where a channel does not exist.
// A chunk lies in one group.
DEVICE void vector_load(const float *vector, Channels c, int channel, float (&values)[CHUNK]) {
  if (c.group_channels == c.group_pitch) {
    floats_load(vector + channel, values);
    return;
  }
  const int count = channels_exist(channel, c.group_channels, c.group_pitch);
  const float *const from = vector + channel_number(channel, c.group_channels, c.group_pitch);
#pragma unroll
  for (int i = 0; i < CHUNK; i++) values[i] = i < count ? from[i] : 0;
}

#endif
