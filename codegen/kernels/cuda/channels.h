// Channels in memory: of each group's `pitch` the first `channels` exist, the rest are zero pads. What is by channel
// alone (gamma, mean, a row of features) has those that exist, group after group.
#ifndef SEER_KERNELS_CHANNELS_H
#define SEER_KERNELS_CHANNELS_H

#include "device.h"

DEVICE bool channel_exists(int channel, int channels, int pitch) { return channel % pitch < channels; }
DEVICE int channel_number(int channel, int channels, int pitch) { return channel / pitch * channels + channel % pitch; }

#endif
