// Lowers batch normalisation, of images and of rows.
#include "codegen/cuda/lower_cuda.h"
#include "compiler/base/bug.h"

enum { CHANNELS_OF_BLOCK = 64 };

// Two vectors by channel, which become one for all ranks that BatchNorm goes over.
typedef struct Pair {
  KernelOperand first, second;
} Pair;

static int64_t span_of(int64_t channels) { return divide_up(channels, 16) * 16; }

// Where a rank's own go, and, when they are there, from those of all ranks to `whole`.
static Pair ranks_begin(Lower *lower, int64_t channels, Pair whole) {
  if (lower->norm_ranks == 1) return whole;
  KernelOperand mine = workspace(lower, 2 * span_of(channels));
  return (Pair){mine, behind(mine, span_of(channels))};
}

static void ranks_end(Lower *lower, KernelKind fold, int64_t channels, Pair own, Pair whole) {
  if (lower->norm_ranks == 1) return;
  KernelOperand all = gather_norms(lower, own.first, 2 * span_of(channels));
  launch_grid(lower, fold, blocks_of(channels, 256),
              (KernelConstant[]){INT(lower->norm_ranks), INT(channels), INT(span_of(channels))}, 3,
              (KernelOperand[]){all, whole.first, whole.second}, 3);
}

static Pair statistics_of(const Lower *lower) { return (Pair){result(lower, 1), result(lower, 2)}; }

static int64_t existing_channels(const Lower *lower, ValueId by_channel) {
  return shape_elements(graph_value(lower->graph, by_channel)->shape);
}

void cuda_fold_statistics(Lower *lower, Images images, int64_t tile_pixels, KernelOperand statistics) {
  int64_t channels = existing_channels(lower, lower->op->results[1]);
  Pair own = ranks_begin(lower, channels, statistics_of(lower));
  CUDA_LAUNCH(lower, batch_norm_fold, blocks_of(images.channels.all, 32),
              (INT(pixels_of(images)), INT(tile_pixels), CHANNEL_CONSTANTS(images.channels)),
              (statistics, own.first, own.second));
  ranks_end(lower, KERNEL_cuda_statistics_fold_ranks, channels, own, statistics_of(lower));
}

// From gamma, beta, mean and variance.
static void make_line(Lower *lower, ChannelLayout channels, const KernelOperand by_channel[4], KernelOperand line) {
  CUDA_LAUNCH(lower, batch_norm_line, blocks_of(channels.all, CHANNELS_OF_BLOCK),
              (CHANNEL_CONSTANTS(channels), REAL(lower->op->attributes.epsilon)),
              (by_channel[0], by_channel[1], by_channel[2], by_channel[3], line));
}

// x, gamma, beta of the op.
static void normalize(Lower *lower, KernelOperand mean, KernelOperand variance, KernelOperand residual) {
  const OpAttributes *a = &lower->op->attributes;
  if (!is_of_images(lower, lower->op->operands[0])) {
    Extent x = extent_of(lower, lower->op->operands[0]);
    CUDA_LAUNCH(lower, batch_norm_rows_apply, blocks_of(x.n * x.c, 256),
                (INT(x.n), INT(x.c), INT(a->relu), REAL(a->epsilon)),
                (operand(lower, 0), operand(lower, 1), operand(lower, 2), mean, variance, residual, result(lower, 0)));
    return;
  }
  Images x = images_of(lower, lower->op->operands[0]);
  KernelOperand line = workspace(lower, 2 * x.channels.all);
  make_line(lower, x.channels, (KernelOperand[]){operand(lower, 1), operand(lower, 2), mean, variance}, line);
  bool adds = residual.kind != OPERAND_NONE;
  CUDA_LAUNCH(lower, batch_norm_apply, blocks_of(chunks_of(x), 256),
              (INT(x.channels.all), INT(adds), INT(a->relu), INT(chunks_of(x))),
              (operand(lower, 0), line, residual, result(lower, 0)));
}

void cuda_lower_batch_normalize(Lower *lower) {
  normalize(lower, operand(lower, 3), operand(lower, 4), operand(lower, 5));
}

void cuda_lower_batch_norm(Lower *lower) {
  if (lower->variant != RUN_AGAIN) {
    if (is_of_images(lower, lower->op->operands[0])) BUG("'%s' normalises images on its own", lower->op->name);
    Extent x = extent_of(lower, lower->op->operands[0]);
    Pair own = ranks_begin(lower, x.c, statistics_of(lower));
    CUDA_LAUNCH(lower, batch_norm_rows_statistics, by_column(x.c), (INT(x.n), INT(x.c)),
                (operand(lower, 0), own.first, own.second));
    ranks_end(lower, KERNEL_cuda_statistics_fold_ranks, x.c, own, statistics_of(lower));
  }
  normalize(lower, result(lower, 1), result(lower, 2), no_operand());
}

// How ReLU has rectified the output: kernels/cuda/batch_norm_backward_sums.cu.
typedef enum Rectified { RELU_NONE, RELU_STORED, RELU_VIEWED, RELU_SCALED } Rectified;

// Operands of batch_norm_backward: dy, x, gamma, mean, variance; the fused form has y or factors of x after dy, may
// have a scale and a pooled gradient behind all, and has a fourth result.
typedef struct Backward {
  Rectified relu;
  KernelOperand dy, y, line, scale, pooled, x, gamma, mean, variance, dx, dgamma, dbeta, masked;
  ValueId x_value;
  int64_t channels;  // that exist
} Backward;

static Pair gradients_of(const Backward *b) { return (Pair){b->dgamma, b->dbeta}; }

static void backward_rows(Lower *lower, const Backward *b) {
  Extent x = extent_of(lower, b->x_value);
  double epsilon = lower->op->attributes.epsilon;
  Pair own = ranks_begin(lower, x.c, gradients_of(b));
  CUDA_LAUNCH(lower, batch_norm_rows_backward_sums, by_column(x.c), (INT(x.n), INT(x.c), REAL(epsilon)),
              (b->dy, b->y, b->x, b->mean, b->variance, own.first, own.second, b->masked));
  ranks_end(lower, KERNEL_cuda_sums_fold_ranks, x.c, own, gradients_of(b));
  CUDA_LAUNCH(lower, batch_norm_rows_backward_apply, blocks_of(x.n * x.c, 256), (INT(x.n), INT(x.c), REAL(epsilon)),
              (b->dy, b->y, b->x, b->gamma, b->mean, b->variance, b->dgamma, b->dbeta, b->dx));
}

static void backward_images(Lower *lower, const Backward *b) {
  Images x = images_of(lower, b->x_value);
  double epsilon = lower->op->attributes.epsilon;
  int64_t columns = divide_up(x.channels.all, CHANNELS_OF_BLOCK), pixels = pixels_of(x);
  int64_t wanted = divide_up(lower->cuda->norm_blocks, columns);
  int64_t most = divide_up(pixels, lower->cuda->norm_pixels);
  int64_t part_pixels = divide_up(pixels, wanted < most ? wanted : most), parts = divide_up(pixels, part_pixels);
  KernelOperand sums = workspace(lower, parts * x.channels.all * 2), lines = workspace(lower, 3 * x.channels.all);
  CUDA_LAUNCH(lower, batch_norm_backward_sums, blocks(columns, parts),
              (CHANNEL_CONSTANTS(x.channels), INT(b->relu), INT(pixels), INT(part_pixels), INT(x.h * x.w)),
              (b->dy, b->x, b->y, b->line, b->scale, b->pooled, b->mean, b->masked, sums));
  Pair own = ranks_begin(lower, b->channels, gradients_of(b));
  CUDA_LAUNCH(lower, batch_norm_backward_fold, blocks_of(x.channels.all, CHANNELS_OF_BLOCK),
              (INT(parts), CHANNEL_CONSTANTS(x.channels), REAL(epsilon)), (sums, b->variance, own.first, own.second));
  ranks_end(lower, KERNEL_cuda_sums_fold_ranks, b->channels, own, gradients_of(b));
  CUDA_LAUNCH(lower, batch_norm_backward_line, blocks_of(x.channels.all, CHANNELS_OF_BLOCK),
              (INT(pixels), CHANNEL_CONSTANTS(x.channels), REAL(epsilon)),
              (b->gamma, b->mean, b->variance, b->dgamma, b->dbeta, lines));
  CUDA_LAUNCH(lower, batch_norm_backward_apply, blocks_of(chunks_of(x), 256), (INT(x.channels.all), INT(chunks_of(x))),
              (b->relu ? b->masked : b->dy, b->x, lines, b->dx));
}

static Rectified rectified(const Lower *lower) {
  if (run_sign_operand(lower->graph, lower->op) >= 0) return RELU_STORED;
  return lower->op->operand_count > 6 ? RELU_SCALED : RELU_VIEWED;
}

static void backward(Lower *lower, bool fused) {
  int x = fused ? 2 : 1;
  Rectified relu = fused ? rectified(lower) : RELU_NONE;
  Backward b = {.relu = relu,
                .dy = operand(lower, 0),
                .y = relu == RELU_STORED ? operand(lower, 1) : no_operand(),
                .line = relu >= RELU_VIEWED ? operand(lower, 1) : no_operand(),
                .scale = operand(lower, 6),
                .pooled = operand(lower, 7),
                .x = operand(lower, x),
                .gamma = operand(lower, x + 1),
                .mean = operand(lower, x + 2),
                .variance = operand(lower, x + 3),
                .dx = result(lower, 0),
                .dgamma = result(lower, 1),
                .dbeta = result(lower, 2),
                .masked = fused ? result(lower, 3) : no_operand(),
                .x_value = lower->op->operands[x],
                .channels = existing_channels(lower, lower->op->results[1])};
  if (is_of_images(lower, b.x_value))
    backward_images(lower, &b);
  else
    backward_rows(lower, &b);
}

void cuda_lower_batch_norm_backward(Lower *lower) { backward(lower, false); }
void cuda_lower_batch_norm_relu_backward(Lower *lower) { backward(lower, true); }

void cuda_lower_normalization_factors(Lower *lower) {
  make_line(lower, lower->channels[lower->op->results[0]],
            (KernelOperand[]){operand(lower, 0), operand(lower, 1), operand(lower, 2), operand(lower, 3)},
            result(lower, 0));
}

static void refuse_view(const Lower *lower) {
  BUG("'%s' makes a view of a gradient, which target cuda does not read", lower->op->name);
}
void cuda_lower_batch_norm_sums(Lower *lower) { refuse_view(lower); }
void cuda_lower_batch_norm_relu_sums(Lower *lower) { refuse_view(lower); }
