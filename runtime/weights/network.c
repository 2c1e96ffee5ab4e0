// A network from its tensors and back; see network.h. Squeeze widths round half to even, as everywhere.
#include "runtime/weights/network.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Beyond any network: what a hostile file may claim stays small enough to multiply and to list.
enum { WIDTH_MAX = 10000000, DEPTH_MAX = 4096 };

// What inference has seen so far.
typedef struct Outline {
  SeerNetwork *network;
  int64_t squeeze[SEER_NETWORK_STAGES_MAX][2];  // of first blocks and of others; 0: none seen
  int64_t layer_width[4 * SEER_NETWORK_LAYERS_MAX];
  int layer_end;
} Outline;

static void keep_first(int64_t *kept, int64_t value) {
  if (*kept == 0) *kept = value;
}

static void block_see(Outline *outline, const SeerMeant *meant) {
  const SeerWeightName *name = &meant->meaning;
  if (name->stage > SEER_NETWORK_STAGES_MAX) return;
  SeerNetwork *network = outline->network;
  SeerNetworkStage *stage = &network->stages[name->stage - 1];
  if (name->stage > network->stage_count) network->stage_count = name->stage;
  if (name->block >= stage->depth) stage->depth = name->block + 1;
  if (meant->rank != 4 || name->leaf != SEER_LEAF_WEIGHT) return;
  if (name->part == SEER_PART_PROJ_CONV && name->block == 0) stage->projects = true;
  if (name->part == SEER_PART_C_CONV) keep_first(&stage->width, meant->size[0]);
  if (name->part == SEER_PART_B_CONV) {
    keep_first(&stage->inner, meant->size[0]);
    keep_first(&stage->group_width, meant->size[1]);
  }
  if (name->part == SEER_PART_SQUEEZE) keep_first(&outline->squeeze[name->stage - 1][name->block > 0], meant->size[0]);
}

static void head_see(Outline *outline, const SeerMeant *meant) {
  SeerNetwork *network = outline->network;
  const SeerWeightName *name = &meant->meaning;
  if (name->leaf != SEER_LEAF_WEIGHT) return;
  if (name->part == SEER_PART_PROJECTION && name->layer < 4 * SEER_NETWORK_LAYERS_MAX) {
    if (meant->rank == 1) network->layers_norm = true;
    if (meant->rank == 2) outline->layer_width[name->layer] = meant->size[0];
    if (name->layer >= outline->layer_end) outline->layer_end = name->layer + 1;
  }
  if (meant->rank != 2) return;
  if (name->part == SEER_PART_CLASSIFIER) network->classes = meant->size[0];
  if (name->part == SEER_PART_PROTOTYPES) network->prototypes = meant->size[0];
}

static int64_t input_width(const SeerNetwork *network, int stage) {
  return stage ? network->stages[stage - 1].width : network->stem_width;
}

static int64_t squeeze_width(const SeerNetwork *network, int64_t width) {
  int64_t squeezed = (int64_t)rint(network->se_ratio * (double)width);
  return squeezed < 1 ? 1 : squeezed;
}

// A quarter, as published, if that explains what was seen; else the share in the widest stage that was seen.
static void ratio_decide(const Outline *outline) {
  SeerNetwork *network = outline->network;
  double share = 0;
  bool quarter = true;
  network->se_ratio = 0.25;
  for (int s = 0; s < network->stage_count; s++) {
    for (int i = 0; i < 2; i++) {
      int64_t width = i ? network->stages[s].width : input_width(network, s), seen = outline->squeeze[s][i];
      if (!seen || !width) continue;
      share = (double)seen / (double)width;
      quarter = quarter && seen == squeeze_width(network, width);
    }
  }
  if (share == 0 || !quarter) network->se_ratio = share;
}

static bool is_width(int64_t width) { return width > 0 && width <= WIDTH_MAX; }

bool seer_network_infer(const SeerMeant *meant, int count, SeerNetwork *network) {
  Outline outline = {.network = network};
  *network = (SeerNetwork){0};
  for (int i = 0; i < count; i++) {
    SeerWeightPart part = meant[i].meaning.part;
    if (seer_part_is_block(part)) block_see(&outline, &meant[i]);
    if (seer_part_is_head(part)) head_see(&outline, &meant[i]);
    if (part == SEER_PART_STEM_CONV && meant[i].rank == 4) network->stem_width = meant[i].size[0];
  }
  for (int k = 0; k < outline.layer_end && network->layer_count < SEER_NETWORK_LAYERS_MAX; k++) {
    if (outline.layer_width[k]) network->layers[network->layer_count++] = outline.layer_width[k];
  }
  ratio_decide(&outline);
  int depth = 0;
  bool sound = network->stage_count > 0 && is_width(network->stem_width) && network->classes <= WIDTH_MAX &&
               network->prototypes <= WIDTH_MAX;
  for (int s = 0; s < network->stage_count; s++) {
    const SeerNetworkStage *stage = &network->stages[s];
    depth += stage->depth;
    sound = sound && stage->depth > 0 && depth <= DEPTH_MAX && is_width(stage->width) && is_width(stage->inner) &&
            is_width(stage->group_width);
  }
  for (int i = 0; i < network->layer_count; i++) sound = sound && is_width(network->layers[i]);
  return sound && network->se_ratio >= 0 && network->se_ratio <= 1;
}

bool seer_network_gap(const SeerNetwork *network, SeerWeightName *gap) {
  *gap = (SeerWeightName){.part = SEER_PART_STEM_CONV, .leaf = SEER_LEAF_WEIGHT};
  if (network->stage_count && !network->stem_width) return true;
  for (int s = 0; s < network->stage_count; s++) {
    const SeerNetworkStage *stage = &network->stages[s];
    gap->stage = s + 1;
    gap->part = stage->width ? SEER_PART_B_CONV : SEER_PART_C_CONV;
    if (stage->depth && !(stage->width && stage->inner)) return true;
  }
  return false;
}

typedef struct Builder {
  SeerNetworkTensors *out;
  int capacity;
  SeerWeightName at;
  bool failed;
} Builder;

// Tensors are counted first: capacity 0 adds nothing.
static void tensor_add(Builder *b, SeerWeightPart part, SeerWeightLeaf leaf, int rank, int64_t s0, int64_t s1,
                       int64_t s2) {
  int index = b->out->count++;
  if (index >= b->capacity) return;
  char *name = b->out->names + (size_t)index * SEER_WEIGHT_NAME_MAX;
  SeerWeightName meaning = b->at;
  meaning.part = part;
  meaning.leaf = leaf;
  seer_weight_name_own(&meaning, name);
  bool statistic = leaf == SEER_LEAF_MEAN || leaf == SEER_LEAF_VARIANCE;
  b->out->tensors[index] = (SeerTensor){
      .name = name, .kind = statistic ? SEER_STATISTIC : SEER_PARAMETER, .rank = rank, .size = {s0, s1, s2, s2}};
}

static void convolution_add(Builder *b, SeerWeightPart part, int64_t out, int64_t in, int64_t side) {
  tensor_add(b, part, SEER_LEAF_WEIGHT, 4, out, in, side);
}

static void norm_add(Builder *b, SeerWeightPart part, int64_t width) {
  for (int leaf = SEER_LEAF_WEIGHT; leaf <= SEER_LEAF_VARIANCE; leaf++)
    tensor_add(b, part, (SeerWeightLeaf)leaf, 1, width, 0, 0);
}

static void biased_add(Builder *b, SeerWeightPart part, int rank, int64_t out, int64_t in) {
  tensor_add(b, part, SEER_LEAF_WEIGHT, rank, out, in, rank == 4);
  tensor_add(b, part, SEER_LEAF_BIAS, 1, out, 0, 0);
}

static void block_add(Builder *b, const SeerNetwork *network, int s, int block) {
  const SeerNetworkStage *stage = &network->stages[s];
  int64_t in = block ? stage->width : input_width(network, s);
  b->at = (SeerWeightName){.stage = s + 1, .block = block};
  if (block == 0 && (stage->projects || in != stage->width)) {
    convolution_add(b, SEER_PART_PROJ_CONV, stage->width, in, 1);
    norm_add(b, SEER_PART_PROJ_NORM, stage->width);
  }
  convolution_add(b, SEER_PART_A_CONV, stage->inner, in, 1);
  norm_add(b, SEER_PART_A_NORM, stage->inner);
  convolution_add(b, SEER_PART_B_CONV, stage->inner, stage->group_width, 3);
  norm_add(b, SEER_PART_B_NORM, stage->inner);
  if (network->se_ratio > 0) {
    int64_t squeezed = squeeze_width(network, in);
    biased_add(b, SEER_PART_SQUEEZE, 4, squeezed, stage->inner);
    biased_add(b, SEER_PART_EXCITE, 4, stage->inner, squeezed);
  }
  convolution_add(b, SEER_PART_C_CONV, stage->width, stage->inner, 1);
  norm_add(b, SEER_PART_C_NORM, stage->width);
}

static void network_add(Builder *b, const SeerNetwork *network) {
  int64_t width = network->stages[network->stage_count - 1].width;
  convolution_add(b, SEER_PART_STEM_CONV, network->stem_width, 3, 3);
  norm_add(b, SEER_PART_STEM_NORM, network->stem_width);
  for (int s = 0; s < network->stage_count; s++) {
    for (int block = 0; block < network->stages[s].depth; block++) block_add(b, network, s, block);
  }
  b->at = (SeerWeightName){0};
  if (network->classes) biased_add(b, SEER_PART_CLASSIFIER, 2, network->classes, width);
  for (int i = 0; i < network->layer_count; i++) {
    b->at.layer = i * (network->layers_norm ? 3 : 2);
    biased_add(b, SEER_PART_PROJECTION, 2, network->layers[i], width);
    width = network->layers[i];
    b->at.layer++;
    if (network->layers_norm && i + 1 < network->layer_count) norm_add(b, SEER_PART_PROJECTION, width);
  }
  b->at = (SeerWeightName){0};
  if (network->prototypes) tensor_add(b, SEER_PART_PROTOTYPES, SEER_LEAF_WEIGHT, 2, network->prototypes, width, 0);
}

SeerStatus seer_network_tensors_make(const SeerNetwork *network, SeerNetworkTensors *tensors) {
  *tensors = (SeerNetworkTensors){0};
  Builder b = {.out = tensors};
  network_add(&b, network);
  size_t count = (size_t)tensors->count;
  tensors->tensors = calloc(count + 1, sizeof *tensors->tensors);
  tensors->names = calloc(count + 1, SEER_WEIGHT_NAME_MAX);
  if (!tensors->tensors || !tensors->names) {
    seer_network_tensors_release(tensors);
    return seer_fail(SEER_MACHINE, "no memory for the list of a network's tensors");
  }
  b.capacity = tensors->count;
  tensors->count = 0;
  network_add(&b, network);
  return SEER_OK;
}

void seer_network_tensors_release(SeerNetworkTensors *tensors) {
  free(tensors->tensors);
  free(tensors->names);
  *tensors = (SeerNetworkTensors){0};
}

void seer_network_parameters(const SeerNetworkTensors *tensors, int64_t *trunk, int64_t *all) {
  *trunk = *all = 0;
  for (int i = 0; i < tensors->count; i++) {
    const SeerTensor *tensor = &tensors->tensors[i];
    if (tensor->kind != SEER_PARAMETER) continue;
    int64_t count = 1;
    for (int d = 0; d < tensor->rank; d++) count *= tensor->size[d];
    *all += count;
    if (!seer_tensor_name_is_head(tensor->name)) *trunk += count;
  }
}

typedef struct Text {
  char *text;
  size_t bytes, at;
} Text;

__attribute__((format(printf, 2, 3))) static void text_add(Text *text, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  if (text->at < text->bytes) {
    int written = vsnprintf(text->text + text->at, text->bytes - text->at, format, arguments);
    text->at += written > 0 ? (size_t)written : 0;
  }
  va_end(arguments);
}

const char *seer_network_text(const SeerNetwork *network, char *text, size_t bytes) {
  Text out = {text, bytes, 0};
  const SeerNetworkStage *stages = network->stages;
  bool bottleneck = false;
  text_add(&out, "%s, depths [", network->se_ratio > 0 ? "regnety" : "regnetx");
  for (int s = 0; s < network->stage_count; s++) text_add(&out, "%s%d", s ? ", " : "", stages[s].depth);
  text_add(&out, "], widths [");
  for (int s = 0; s < network->stage_count; s++) text_add(&out, "%s%lld", s ? ", " : "", (long long)stages[s].width);
  text_add(&out, "], group widths [");
  for (int s = 0; s < network->stage_count; s++) {
    text_add(&out, "%s%lld", s ? ", " : "", (long long)stages[s].group_width);
    bottleneck = bottleneck || stages[s].inner != stages[s].width;
  }
  text_add(&out, "]");
  if (bottleneck) text_add(&out, ", bottleneck %g", (double)stages[0].inner / (double)stages[0].width);
  if (network->se_ratio > 0 && network->se_ratio != 0.25) text_add(&out, ", SE ratio %g", network->se_ratio);
  if (network->stem_width != 32) text_add(&out, ", stem %lld", (long long)network->stem_width);
  return text;
}

bool seer_network_equal(const SeerNetwork *a, const SeerNetwork *b) {
  if (a->stage_count != b->stage_count || a->stem_width != b->stem_width || a->se_ratio != b->se_ratio) return false;
  for (int s = 0; s < a->stage_count; s++) {
    const SeerNetworkStage *x = &a->stages[s], *y = &b->stages[s];
    if (x->depth != y->depth || x->width != y->width || x->inner != y->inner || x->group_width != y->group_width)
      return false;
    bool wide = input_width(a, s) != x->width;
    if (!wide && x->projects != y->projects) return false;
  }
  return true;
}

int seer_network_vissl_parts(const SeerNetwork *network, const int **ends) {
  // SEER 10B: configs/config/pretrain/seer/models/regnet10B.yaml, stage_checkpoints, counted on over stages.
  static const int64_t widths[] = {2020, 4040, 11110, 28280};
  static const int depths[] = {2, 7, 17, 1}, released[] = {2, 9, 18, 26, 27};
  if (network->stage_count != 4) return 0;
  for (int s = 0; s < 4; s++) {
    if (network->stages[s].width != widths[s] || network->stages[s].depth != depths[s]) return 0;
  }
  *ends = released;
  return sizeof released / sizeof *released;
}
