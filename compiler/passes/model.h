// The model as plain numbers, and its graph: trunk, then SwAV or supervised head and loss, or pooled features.
// Names are torchvision's for the trunk and the released SwAV's for the head. Everything is per size group, block by
// block; pooled features leave the size groups through concat_rows.
#ifndef SEER_PASSES_MODEL_H
#define SEER_PASSES_MODEL_H

#include "compiler/graph/graph.h"
#include "compiler/passes/regnet.h"

enum { MODEL_MAX_SIZE_GROUPS = 8, MODEL_MAX_HEAD_LAYERS = 16 };

typedef enum ModelUse {
  MODEL_TRAIN,  // inputs images0.. (u8) and labels; outputs "loss", and "usage" [K] for SwAV
  // Evaluation mode; input images0; outputs "features" [batch, C], "features.stem", "features.s1" and so on, means of
  // earlier layers, and "features.head", logits or SwAV's embeddings, where the head is known.
  MODEL_FEATURES
} ModelUse;

typedef enum ModelTask { TASK_SWAV, TASK_SUPERVISED } ModelTask;

typedef struct ModelSizeGroup {
  int crops, size;  // crops per picture; pixels
} ModelSizeGroup;

// How weights start; the published implementations differ.
typedef struct ModelInit {
  bool fan_out_by_group;       // timm: fan_out is divided by the groups
  bool zero_conv_bias;         // timm: squeeze-and-excitation biases start at 0, elsewhere uniform by fan_in
  bool uniform_classifier;     // hf: the classifier starts uniform by fan_in, elsewhere normal 0.01 and bias 0
  bool zero_init_final_gamma;  // the last BatchNorm of each block
} ModelInit;

// Where in the spec a part of the model comes from.
typedef struct ModelSpans {
  SourceSpan views, stem, blocks, head, prototypes, sinkhorn, loss, features;
} ModelSpans;

typedef struct ModelOptions {
  const char *name;
  RegNetShape shape;
  ModelInit init;
  double bn_epsilon, bn_momentum;
  double mean[3], std[3];
  int64_t batch;  // pictures per micro-step, or per evaluation step, of one rank
  int64_t norm_ranks;  // over which BatchNorm's statistics go
  int size_group_count;
  ModelSizeGroup size_groups[MODEL_MAX_SIZE_GROUPS];  // MODEL_FEATURES: the first, with one crop

  ModelTask task;
  int64_t classes;  // supervised
  double label_smoothing;
  int head_layer_count;  // SwAV
  int64_t head_widths[MODEL_MAX_HEAD_LAYERS];
  bool head_batch_norm;
  int64_t prototypes, queue;  // queue: embeddings kept per assigned crop, 0 for none
  double temperature, sinkhorn_epsilon;
  int sinkhorn_iterations, assign_crops;
  bool hard_codes;
  ModelSpans spans;
} ModelOptions;

Graph *model_build(Arena *arena, const ModelOptions *options, ModelUse use);
// Elements of all parameters; of the trunk alone for a MODEL_FEATURES graph.
int64_t model_parameters(const Graph *graph);

#endif
