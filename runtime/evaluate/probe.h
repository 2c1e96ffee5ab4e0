// The linear probe: heads for every layer, learning rate, share of the training set and seed, trained side by side;
// what is chosen is chosen on pictures held out of the training set, never on the test set.
#ifndef SEER_RUNTIME_EVALUATE_PROBE_H
#define SEER_RUNTIME_EVALUATE_PROBE_H

#include <stdint.h>
#include <stdio.h>

#include "runtime/evaluate/feature_table.h"
#include "runtime/evaluate/head.h"

enum { SEER_PROBE_LIST_MAX = 32 };

typedef struct SeerProbePlan {
  SeerHeadRecipe recipe;
  int rate_count, share_count, seed_count;
  double rates[SEER_PROBE_LIST_MAX];   // at a batch of 256; used in proportion to the batch
  double shares[SEER_PROBE_LIST_MAX];  // of the training set, 0..1
  uint64_t seed;                       // and those that follow it
} SeerProbePlan;

// From the command line. SEER_USAGE names what cannot be read.
SeerStatus seer_probe_plan_read(const SeerOptions *options, uint64_t seed, SeerProbePlan *plan);

// What one share and seed trains on, as rows of the table.
typedef struct SeerProbeSplit {
  int64_t *train, *held;  // malloc'ed; held: chosen by
  int64_t train_count, held_count;
  int64_t least, most;  // drawn of a class, held out among them
} SeerProbeSplit;

// Draws by class: of a share below 1 equally many of each class, at least one; of those, where `holds_out`, a tenth, at
// least one, is held out of classes of two and more. Rows stay in order.
SeerStatus seer_probe_split(const SeerFeatureTable *table, const int64_t *rows, int64_t count, double share,
                            bool holds_out, uint64_t seed, SeerProbeSplit *split);
void seer_probe_split_release(SeerProbeSplit *split);

typedef struct SeerProbeFigure {
  double held, top1, top5;  // shares of right answers; held: -1 where none is held out
  double per_class;         // of the classes that the test set has, each class's share of right answers, their mean
} SeerProbeFigure;

typedef struct SeerProbeChoice {
  int layer, rate;
} SeerProbeChoice;

typedef struct SeerProbe {
  const SeerProbePlan *plan;
  const SeerFeatureTable *train, *test;
  int classes;
  int64_t test_count;                            // with a label
  SeerProbeSplit *splits;                        // [share][seed]
  SeerHead *heads;                               // [share][layer][seed][rate]
  SeerProbeFigure *figures;                      // likewise
  SeerProbeChoice choices[SEER_PROBE_LIST_MAX];  // [share]
} SeerProbe;

static inline int64_t seer_probe_at(const SeerProbe *probe, int share, int layer, int seed, int rate) {
  const SeerProbePlan *plan = probe->plan;
  return (((int64_t)share * probe->train->layer_count + layer) * plan->seed_count + seed) * plan->rate_count + rate;
}

// Labels of both tables are changed to the training set's numbers.
SeerStatus seer_probe_run(const SeerProbePlan *plan, SeerFeatureTable *train, SeerFeatureTable *test, SeerPool *pool,
                          bool quiet, SeerProbe *probe);
void seer_probe_release(SeerProbe *probe);

void seer_probe_print(const SeerProbe *probe, FILE *out);
// One JSON object, or NULL without memory; to be freed.
char *seer_probe_json(const SeerProbe *probe);

// A head with what it needs to be used: its layer's name and the names of its classes.
typedef struct SeerHeadFile {
  SeerHead head;
  char layer[SEER_LAYER_NAME_MAX];
  char **label_names;  // [head.classes]
  char program[128], network[32];
} SeerHeadFile;

// Safetensors: norm.{weight,bias,running_mean,running_var} [channels], linear.weight [classes, width], linear.bias.
SeerStatus seer_head_save(const SeerHead *head, const SeerLayer *layer, const SeerFeatureTable *table,
                          const char *path);
SeerStatus seer_head_load(const char *path, SeerHeadFile *file);
void seer_head_file_release(SeerHeadFile *file);

// Fills in top1, top5 and per_class. Equal scores rank by class. `labels` by row, `rows` NULL: all.
SeerStatus seer_scores_judge(const float *scores, int classes, const int32_t *labels, const int64_t *rows,
                             int64_t count, SeerProbeFigure *figure);

#endif
