// The passes: each takes a graph and returns a new one in the same arena; the old one stays as it was.
#ifndef SEER_PASSES_PASSES_H
#define SEER_PASSES_PASSES_H

#include "compiler/graph/graph.h"
#include "compiler/graph/layer.h"

typedef enum OptimizerKind { OPTIMIZER_SGD, OPTIMIZER_LARC } OptimizerKind;

typedef struct OptimizerOptions {
  OptimizerKind kind;
  double momentum, weight_decay, trust, epsilon;
  bool nesterov, clip;
  bool decay_norm_and_bias;  // false: 1-D parameters take plain SGD without weight decay
  int accumulate;            // micro-steps of a step
  SourceSpan span;
} OptimizerOptions;

// Which tensors are not written, since their readers can normalise what they read.
typedef enum NormalizeOnRead { NORMALIZE_NEVER, NORMALIZE_WHERE_IT_PAYS, NORMALIZE_ALWAYS } NormalizeOnRead;

// What a target's kernels want of a graph.
typedef struct GraphTarget {
  NormalizeOnRead normalize_on_read;
  int view_percent;        // NORMALIZE_WHERE_IT_PAYS: what making a view takes, in hundredths of what the pass knows
  int tile_channels;       // and most output channels that share what is made
  int shrink;              // of a rehearsal: each channel stands for so many; 0 or 1: for itself
  bool gradients_on_read;  // convolutions take BatchNorm's gradient, too, as they read
  bool scales_on_read;     // scale_channels can normalise what it reads
  bool additions;          // convolutions add to the gradient of their input
  DataType images;         // in memory: DATA_F32, DATA_BF16 or DATA_F16
  const LayerChoices *layers;  // that libraries make, of tensors as they are written; NULL: none
} GraphTarget;

// What any pass may ask for.
typedef struct PassOptions {
  OptimizerOptions optimizer;
  GraphTarget target;
} PassOptions;

typedef Graph *PassRun(Arena *arena, const Graph *graph, const PassOptions *options);

PassRun differentiate_run;
PassRun optimize_run;
PassRun fuse_normalization_run;
PassRun normalize_on_read_run;
PassRun fuse_additions_run;
PassRun dead_code_run;
PassRun store_images_run;

#endif
