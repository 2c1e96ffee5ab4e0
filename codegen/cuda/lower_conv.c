// Lowers convolutions to the tensor cores: weights are rounded and padded each time, statistics come out of the forward
// by tiles of pixels, weight gradients in splits of the pixels.
#include "codegen/cuda/lower_cuda.h"
#include "compiler/base/bug.h"

Convolution cuda_convolution(const Lower *lower, ValueId x, ValueId w, ValueId y) {
  const OpAttributes *a = &lower->op->attributes;
  return (Convolution){.x = images_of(lower, x),
                       .y = images_of(lower, y),
                       .k = graph_value(lower->graph, w)->shape.size[2],
                       .stride = a->stride,
                       .pad = a->padding,
                       .groups = a->groups};
}

// Of a group of a grouped convolution those that exist; one group takes the pads for channels whose weights are zero.
static int64_t existing(ChannelLayout channels, int64_t groups) {
  return groups > 1 && channels.group_pitch * groups == channels.all ? channels.group_channels : channels.all / groups;
}

#define SHAPE(v)                                                                                                     \
  INT((v).x.n), INT((v).x.h), INT((v).x.w), INT((v).groups), INT(existing((v).x.channels, (v).groups)),              \
      INT(inputs_of(v)), INT(existing((v).y.channels, (v).groups)), INT(outputs_of(v)), INT((v).k), INT((v).stride), \
      INT((v).pad)
#define TILE(t)                                                                                                \
  INT((t).pixels), INT((t).channels), INT((t).depth), INT((t).stages), INT((t).blocks), INT((t).warps_pixels), \
      INT((t).warps_channels)

// Of a block; of the gradient of weights, taps' inputs take the place of pixels. Depth and warps are those of products
// of warps: sm_90a chooses its own. Blocks are those that are to fit a multiprocessor of sm_90a.
typedef struct Tile {
  int64_t pixels, channels, depth, stages, blocks, warps_pixels, warps_channels;
} Tile;

// What tunings choose (tuning.def): pixels and most channels of a tile, how far it is copied ahead, what copies cost.
typedef struct TileWish {
  int64_t pixels, channels_most, ahead, reuse;
} TileWish;

static Tile halve_pixels(Tile tile) {
  tile.pixels /= 2;
  if (tile.warps_pixels > 1)
    tile.warps_pixels /= 2;
  else
    tile.warps_channels /= 2;
  return tile;
}

// Whether two blocks share a multiprocessor of sm_90a: by the sums that threads have registers for, and by stages of
// operands, three of them at least, that are 64 deep.
static bool fits_twice(Tile tile) {
  enum { SUMS = 128 * 128, STAGES_LEAST = 3, DEPTH = 64, STAGE_BYTES = 112 * 1024 };
  return tile.pixels * tile.channels <= SUMS && STAGES_LEAST * (tile.pixels + tile.channels) * DEPTH * 2 <= STAGE_BYTES;
}

// By how much of the products would be for nothing, and how often what is copied is used. `depth`: of all products;
// tiles' channels are multiples of `multiple`.
static Tile choose_tile(TileWish wish, int64_t channels, int64_t depth, int64_t multiple) {
  enum { PIXELS = 128, DEPTH = 32, NARROW = 32 };
  static const struct {
    int64_t channels, warps_pixels, warps_channels;
  } tiles[] = {{256, 2, 4}, {224, 4, 2}, {192, 2, 4}, {176, 4, 2}, {128, 2, 4}, {120, 8, 1},
               {112, 4, 2}, {96, 4, 2},  {88, 4, 1},  {64, 4, 2},  {32, 4, 1},  {16, 4, 1}};
  enum { TILES = sizeof tiles / sizeof *tiles };
  int best = TILES - 1;
  double least = 0;
  for (int i = 0; i < TILES; i++) {
    double multiplied = (double)(divide_up(channels, tiles[i].channels) * tiles[i].channels);
    double cost = multiplied * (1 + (double)wish.reuse / (double)tiles[i].channels);
    bool fits = tiles[i].channels <= wish.channels_most && tiles[i].channels % multiple == 0;
    if (!fits || (least > 0 && cost >= least)) continue;
    best = i;
    least = cost;
  }
  Tile tile = {.pixels = PIXELS,
               .channels = tiles[best].channels,
               .depth = depth <= 16 ? 16 : DEPTH,
               .stages = tiles[best].channels <= NARROW && wish.ahead > 2 ? wish.ahead - 1 : wish.ahead,
               .warps_pixels = tiles[best].warps_pixels,
               .warps_channels = tiles[best].warps_channels};
  for (; tile.pixels < wish.pixels; tile.pixels *= 2) tile.warps_pixels *= 2;
  while (tile.pixels > wish.pixels) tile = halve_pixels(tile);
  tile.blocks = fits_twice(tile) ? 2 : 1;
  return tile;
}

static TileWish conv_wish(const Lower *lower) {
  const CudaTuning *t = lower->cuda;
  return (TileWish){t->conv_pixels, t->conv_channels, t->conv_ahead, t->conv_reuse};
}

// Rows, or columns, of a kernel that leave a remainder, as in kernels/cuda/weights.h.
static int64_t phase_lines(int64_t k, int64_t stride, int64_t remainder) {
  return (k - remainder + stride - 1) / stride;
}

// Rounded weights of 16 bits in the order of tiles and steps (kernels/cuda/weights.h), as scratch; `turned`: for the
// gradient of the input. Every architecture has its own depth of a step, of which the deepest takes most room.
static KernelOperand pack(Lower *lower, Convolution v, Tile tile, bool turned) {
  enum { DEPTH_MOST = 64 };
  int64_t channels = turned ? inputs_of(v) : outputs_of(v), width = turned ? outputs_of(v) : inputs_of(v);
  int64_t rows = v.groups * divide_up(channels, tile.channels) * tile.channels, stride = turned ? v.stride : 1;
  int64_t depth = 0;
  for (int64_t phase = 0; phase < stride * stride; phase++) {
    int64_t taps = phase_lines(v.k, stride, phase / stride) * phase_lines(v.k, stride, phase % stride);
    depth += divide_up(taps * width, DEPTH_MOST) * DEPTH_MOST;
  }
  KernelOperand packed = workspace(lower, rows * depth / 2);
  CUDA_LAUNCH(lower, conv2d_pack, blocks_of(rows * v.k * v.k * width / 8, 256),
              (PACKED(v), INT(stride), INT(tile.channels), INT(tile.depth), INT(turned)), (operand(lower, 1), packed));
  return packed;
}

// Of x, whose view is so many operands from `first` on: factors, and a scale by its channels.
typedef struct Sight {
  int view;  // as in kernels/cuda/view.h
  ChannelLayout channels;
  KernelOperand line, scale;
} Sight;

static Sight sight(const Lower *lower, int first) {
  int operands = lower->op->operand_count - first;
  ChannelLayout x = images_of(lower, lower->op->operands[0]).channels;
  // What is not scaled is the same code whatever its groups.
  if (operands < 2) x = (ChannelLayout){x.all, x.all, x.all};
  return (Sight){operands, x, operand(lower, first), operand(lower, first + 1)};
}

#define VIEW(s) INT((s).view), INT((s).channels.group_channels), INT((s).channels.group_pitch)

static void lower_forward(Lower *lower, bool with_statistics) {
  if (cuda_lower_by_library(lower)) return;
  Sight x = sight(lower, 2);
  Convolution v = cuda_convolution(lower, lower->op->operands[0], lower->op->operands[1], lower->op->results[0]);
  Tile tile = choose_tile(conv_wish(lower), outputs_of(v), v.k * v.k * inputs_of(v), 8);
  int64_t tiles = divide_up(pixels_of(v.y), tile.pixels);
  KernelOperand packed = pack(lower, v, tile, false);
  KernelOperand statistics = with_statistics ? workspace(lower, tiles * v.y.channels.all * 2) : no_operand();
  CUDA_LAUNCH(lower, conv2d_forward, ((LaunchGrid){tiles, divide_up(outputs_of(v), tile.channels), v.groups}),
              (SHAPE(v), TILE(tile), INT(with_statistics), VIEW(x)),
              (operand(lower, 0), x.line, x.scale, packed, result(lower, 0), statistics));
  if (with_statistics) cuda_fold_statistics(lower, v.y, tile.pixels, statistics);
}

void cuda_lower_conv2d(Lower *lower) { lower_forward(lower, false); }
// Once more, it is a plain convolution: the statistics of the first run stand.
void cuda_lower_conv2d_statistics(Lower *lower) { lower_forward(lower, lower->variant != RUN_AGAIN); }

void cuda_lower_conv2d_backward_input(Lower *lower) {
  const OpAttributes *a = &lower->op->attributes;
  if (a->gradient) BUG("'%s' reads a gradient through a view", lower->op->name);
  if (cuda_lower_by_library(lower)) return;
  Convolution v = cuda_convolution(lower, lower->op->results[0], lower->op->operands[1], lower->op->operands[0]);
  Tile tile = choose_tile(conv_wish(lower), inputs_of(v), v.k * v.k * outputs_of(v), 8);
  KernelOperand packed = pack(lower, v, tile, true);
  int64_t phase = v.x.n * divide_up(v.x.h, v.stride) * divide_up(v.x.w, v.stride);
  LaunchGrid grid = {divide_up(phase, tile.pixels), divide_up(inputs_of(v), tile.channels),
                     v.groups * v.stride * v.stride};
  CUDA_LAUNCH(lower, conv2d_backward_input, grid, (SHAPE(v), TILE(tile), INT(a->adds)),
              (operand(lower, 0), packed, a->adds ? operand(lower, 2) : no_operand(), result(lower, 0)));
}

void cuda_lower_conv2d_backward_weight(Lower *lower) {
  enum { PIXELS = 64, INPUTS_LEAST = 64, REUSE = 24 };  // PIXELS: that a step multiplies at most
  const CudaTuning *tuning = lower->cuda;
  if (lower->op->attributes.gradient) BUG("'%s' reads a gradient through a view", lower->op->name);
  if (cuda_lower_by_library(lower)) return;
  Sight sees = sight(lower, 3);
  Convolution v = cuda_convolution(lower, lower->op->operands[0], lower->op->operands[2], lower->op->operands[1]);
  int64_t inputs = v.k * v.k * inputs_of(v);
  TileWish wish = {tuning->weight_inputs, tuning->weight_outputs, tuning->weight_ahead, REUSE};
  while (inputs <= wish.pixels / 2 && wish.pixels > INPUTS_LEAST) wish.pixels /= 2;
  Tile tile = choose_tile(wish, outputs_of(v), pixels_of(v.y), 16);
  int64_t x = divide_up(outputs_of(v), tile.channels) * divide_up(inputs, tile.pixels);
  int64_t steps = divide_up(pixels_of(v.y), PIXELS), most = steps / tuning->weight_steps;
  int64_t splits = divide_up(tuning->weight_blocks, x * v.groups);
  if (splits > most) splits = most > 1 ? most : 1;
  KernelOperand parts = workspace(lower, splits * v.y.channels.all * v.k * v.k * inputs_of(v));
  CUDA_LAUNCH(lower, conv2d_backward_weight, ((LaunchGrid){x, v.groups, splits}),
              (SHAPE(v), TILE(tile), INT(splits), VIEW(sees)),
              (operand(lower, 0), sees.line, sees.scale, operand(lower, 1), parts));
  int64_t weights = shape_elements(graph_value(lower->graph, lower->op->results[0])->shape);
  CUDA_LAUNCH(lower, conv2d_fold_weight, blocks_of(weights, 256), (INT(splits), PACKED(v)), (parts, result(lower, 0)));
}
