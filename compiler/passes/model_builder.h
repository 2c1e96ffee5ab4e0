// What model.c (the trunk) and swav.c (the head and loss) share while a model graph is being built.
#ifndef SEER_PASSES_MODEL_BUILDER_H
#define SEER_PASSES_MODEL_BUILDER_H

#include "compiler/passes/model.h"

// A running statistic waiting for its update, which belongs to the backward phase.
typedef struct RunningStatistic {
  ValueId state, batch;
  double scale;  // n/(n-1) for variances
  const char *name;
  int block, size_group;
  SourceSpan span;
} RunningStatistic;

typedef struct RunningStatistics { RunningStatistic *items; size_t count, capacity; } RunningStatistics;

typedef struct ModelBuilder {
  const ModelOptions *options;
  Graph *graph;
  bool training;
  int block;  // that new ops belong to
  SourceSpan span;
  RunningStatistics statistics;
} ModelBuilder;

// The parameters and states of one BatchNorm, shared by the size groups.
typedef struct BatchNormValues {
  ValueId gamma, beta, running_mean, running_var;
} BatchNormValues;

void builder_open_block(ModelBuilder *b, const char *name, SourceSpan span);
// An op at the builder's place, with `count` operands.
Op builder_op(const ModelBuilder *b, OpKind kind, const char *name, int size_group, int count, const ValueId *operands);
ValueId builder_op1(ModelBuilder *b, OpKind kind, const char *name, int size_group, ValueId operand);
ValueId builder_linear(ModelBuilder *b, const char *name, int size_group, ValueId x, ValueId weight, ValueId bias);
BatchNormValues builder_batch_norm_values(ModelBuilder *b, const char *name, int64_t channels, bool zero_gamma);
ValueId builder_batch_norm(ModelBuilder *b, const BatchNormValues *values, const char *name, int size_group, ValueId x);

// SwAV's projection head: embeddings of unit length.
ValueId model_add_embeddings(ModelBuilder *b, ValueId features);
// Head, loss and outputs over all crops' features [sum of crops * batch, C].
void model_add_swav(ModelBuilder *b, ValueId features);

#endif
