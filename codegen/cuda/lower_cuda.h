// Inside of the lowering for target cuda. Not for other rooms.
#ifndef SEER_CODEGEN_CUDA_LOWER_CUDA_H
#define SEER_CODEGEN_CUDA_LOWER_CUDA_H

#include "codegen/cuda/channels.h"
#include "codegen/cuda/tuning.h"
#include "codegen/lower.h"

static inline int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Grids of one dimension, and of two.
static inline LaunchGrid blocks_of(int64_t count, int64_t block) { return (LaunchGrid){divide_up(count, block), 1, 1}; }
static inline LaunchGrid by_column(int64_t columns) { return blocks_of(columns, 32); }  // of rows: kernels/cuda/grid.h
static inline LaunchGrid blocks(int64_t x, int64_t y) { return (LaunchGrid){x, y, 1}; }

#define CUDA_LAUNCH(lower, kernel, grid, constants, operands)                                \
  launch_grid(lower, KERNEL_cuda_##kernel, grid, (KernelConstant[])CONSTANTS constants,      \
              (int)(sizeof((KernelConstant[])CONSTANTS constants) / sizeof(KernelConstant)), \
              (KernelOperand[])OPERANDS operands,                                            \
              (int)(sizeof((KernelOperand[])OPERANDS operands) / sizeof(KernelOperand)))

// Of a launch that works on `channels`: the constants channels_all, group_channels, group_pitch.
#define CHANNEL_CONSTANTS(channels) INT((channels).all), INT((channels).group_channels), INT((channels).group_pitch)

// A tensor of images as kernels take it.
typedef struct Images {
  int64_t n, h, w;
  ChannelLayout channels;
} Images;

bool is_of_images(const Lower *lower, ValueId value);
Images images_of(const Lower *lower, ValueId value);
static inline int64_t pixels_of(Images images) { return images.n * images.h * images.w; }
static inline int64_t chunks_of(Images images) { return pixels_of(images) * images.channels.all / 8; }

typedef struct Convolution {
  Images x, y;
  int64_t k, stride, pad, groups;
} Convolution;

// Of the lower's op.
Convolution cuda_convolution(const Lower *lower, ValueId x, ValueId w, ValueId y);
// Of a group, in memory.
static inline int64_t inputs_of(Convolution v) { return v.x.channels.all / v.groups; }
static inline int64_t outputs_of(Convolution v) { return v.y.channels.all / v.groups; }
// Its weights: the constants of pack.cu.
#define PACKED(v)                                                                                   \
  INT((v).groups), INT((v).k), INT((v).y.channels.all), INT((v).y.channels.group_channels),         \
      INT((v).y.channels.group_pitch), INT((v).x.channels.all), INT((v).x.channels.group_channels), \
      INT((v).x.channels.group_pitch)

// A dense layer: x [n,c], w [o,c] (or [o,c,1,1]).
typedef struct Linear {
  int64_t n, c, o;
} Linear;

Linear cuda_linear(const Lower *lower, ValueId rows, ValueId w);

// Lowers the op by the library that the tuning chose for a layer of its shape; false: it chose none.
bool cuda_lower_by_library(Lower *lower);

// What the gradient of the loss, and of parameters, is multiplied by: fp16 has too few exponents without. NULL in bf16.
KernelOperand loss_scale_operand(const Lower *lower);
KernelOperand unscale_operand(const Lower *lower);

// From statistics of tiles of pixels to results 1 and 2 of the op, mean and variance.
void cuda_fold_statistics(Lower *lower, Images images, int64_t tile_pixels, KernelOperand statistics);

PartsLaunch cuda_average_parts, cuda_narrow_parts;

// One function per op of ops.def, in lower_conv.c, lower_norm.c, lower_rows.c, lower_loss.c, lower_update.c; what
// libraries make of them in lower_library.c.
#define OP(name, ...) LowerOp cuda_lower_##name;
#include "compiler/graph/ops.def"
#undef OP

#endif
