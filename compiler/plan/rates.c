// Kinds of runs and their times; see rates.h.
#include "compiler/plan/rates.h"

#include "compiler/plan/machine.h"

enum { WIDE_GROUP = 16, PICTURE_CHANNELS = 3 };

const char *const rate_names[RATE_KIND_COUNT] = {
#define RATE(name, serial) #name,
#include "compiler/plan/rates.def"
#undef RATE
};

static const bool is_serial[RATE_KIND_COUNT] = {
#define RATE(name, serial) serial,
#include "compiler/plan/rates.def"
#undef RATE
};

// Forward, gradient of the input, gradient of the weights.
typedef enum ConvPass { CONV_FORWARD, CONV_INPUT, CONV_WEIGHT } ConvPass;

static Shape conv_weights(const Graph *graph, const Op *op, ConvPass pass) {
  ValueId weights = pass == CONV_WEIGHT ? op->results[0] : op->operands[1];
  return graph_value(graph, weights)->shape;
}

// Kinds of one layer follow each other by pass.
static RateKind conv_kind(const Graph *graph, const Op *op, ConvPass pass) {
  Shape weights = conv_weights(graph, op, pass);
  int64_t group = weights.size[1], kernel = weights.size[2];
  bool strided = op->attributes.stride > 1;
  if (kernel > 1 && group <= PICTURE_CHANNELS) return pass == CONV_WEIGHT ? RATE_stem_weight : RATE_stem_forward;
  RateKind first = kernel == 1           ? strided ? RATE_conv1x1_strided_forward : RATE_conv1x1_forward
                   : strided             ? RATE_conv3x3_strided_forward
                   : group >= WIDE_GROUP ? RATE_conv3x3_wide_forward
                                         : RATE_conv3x3_forward;
  return (RateKind)((int)first + (int)pass);
}

static RateKind kind_of(const Graph *graph, const Op *op) {
  switch (op->kind) {
    case OP_conv2d:
    case OP_conv2d_statistics: return conv_kind(graph, op, CONV_FORWARD);
    case OP_conv2d_backward_input: return conv_kind(graph, op, CONV_INPUT);
    case OP_conv2d_backward_weight: return conv_kind(graph, op, CONV_WEIGHT);
    case OP_linear: return RATE_linear;
    case OP_linear_backward_input:
    case OP_linear_backward_weight: return RATE_linear_backward;
    case OP_batch_norm:
    case OP_batch_normalize: return RATE_normalize;
    case OP_batch_norm_backward:
    case OP_batch_norm_relu_backward:
    case OP_batch_norm_sums:
    case OP_batch_norm_relu_sums: return RATE_normalize_backward;
    case OP_pool_average:
    case OP_pool_average_backward:
    case OP_scale_channels:
    case OP_scale_channels_backward:
    case OP_scale_gradient: return RATE_pool;
    case OP_normalize_images: return RATE_images;
    case OP_sinkhorn:
    case OP_swapped_prediction:
    case OP_swapped_prediction_backward:
    case OP_softmax_cross_entropy:
    case OP_softmax_cross_entropy_backward: return RATE_loss;
    case OP_sgd_update:
    case OP_larc_update: return RATE_update;
    default: return RATE_other;
  }
}

// Places of a tensor in memory for each element of it: 1, or more where vectors are not full.
static double padding(const Graph *graph, ValueId id, const uint64_t *value_bytes) {
  const Value *value = graph_value(graph, id);
  double dense = (double)shape_elements(value->shape) * (double)data_type_bytes(value->type);
  double places = (double)value_bytes[id] / dense;
  return places > 1 ? places : 1;
}

RateWork rate_work(const Graph *graph, OpId id, RunVariant variant, const uint64_t *value_bytes) {
  const Op *op = graph_op(graph, id);
  RateWork work = {.kind = variant == RUN_MASK ? RATE_other : kind_of(graph, op),
                   .flops = 2 * (double)plan_run_macs(graph, id, variant),
                   .bytes = plan_run_bytes(graph, id, variant, value_bytes)};
  if (work.flops > 0) work.flops *= padding(graph, op->operands[0], value_bytes);
  return work;
}

RateWork rate_look(const Graph *graph, OpId id, const uint64_t *value_bytes) {
  const Op *op = graph_op(graph, id);
  double bytes = rate_is_update(op->kind) ? (double)value_bytes[op->operands[1]] : 0;
  return (RateWork){.kind = RATE_gradients, .bytes = bytes};
}

bool rate_is_update(OpKind kind) { return kind == OP_sgd_update || kind == OP_larc_update; }

double rate_seconds(const Rates *rates, RateWork work, double share) {
  const Rate *rate = &rates->items[work.kind];
  double beyond = work.bytes > rates->cache_bytes ? work.bytes - rates->cache_bytes : 0;
  double busy = work.flops * rate->flop_seconds + work.bytes * rate->byte_seconds;
  if (is_serial[work.kind]) return rate->start_seconds + busy;
  return rate->start_seconds + (busy + beyond * rates->memory_byte_seconds) / share;
}
