// Winograd's way F(2x2, 3x3) for 3 x 3 kernels of stride 1: the part of a task of conv2d.c that takes its place where
// conv2d_is_winograd (sizes.h) says so. Forward and the gradient of the input are the same, with other weights.
#ifndef SEER_KERNELS_CONV2D_WINOGRAD_H
#define SEER_KERNELS_CONV2D_WINOGRAD_H

#include "view.h"

// Packs the weights of units [first, last): unit = (group, tile of outputs), inside it [position][input][output of the
// tile], outputs beyond the group zero. Strides are those of w for a group, an output, an input; turned: taps are read
// backwards.
void conv2d_winograd_pack(int inputs, int outputs, int turned, int64_t group_stride, int64_t output_stride,
                          int64_t input_stride, const float *restrict w, float *restrict packed, int first, int last);

// Outputs of a part of an image block: rows [row, row_end) of images of h x w pixels, units [first, last) of a group of
// `inputs` channels read through `view`, and `outputs` of `channels` channels written.
typedef struct WinogradPart {
  int h, w, row, row_end, inputs, outputs, channels, group, first, last;
} WinogradPart;

// view, y and add (NULL: nothing) are of the image block. Needs 600 KiB of stack.
void conv2d_winograd(WinogradPart part, int kind, View view, const float *packed, Element *y, const Element *add);

#endif
