// Which channels of a pixel exist, and what their numbers are in vectors by channel, which have no pads: of each group
// of `group_pitch` channels in memory, a multiple of CHUNK, the first `group_channels` exist.
#ifndef SEER_KERNELS_CHANNELS_H
#define SEER_KERNELS_CHANNELS_H

#include "device.h"

// How many exist of what is left of a channel's group, from the channel on: none where it is negative.
DEVICE int channels_exist(int channel, int group_channels, int group_pitch) {
  return group_channels - channel % group_pitch;
}
DEVICE int channel_number(int channel, int group_channels, int group_pitch) {
  return channel / group_pitch * group_channels + channel % group_pitch;
}

#endif
