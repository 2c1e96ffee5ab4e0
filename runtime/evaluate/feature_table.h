// Features of a set of pictures in memory, with names and labels: from a file that `features` has written, or from the
// network at hand. What probes and heads start from.
//
// The file: safetensors with `features` f32 [N, width], more layers as `features.LAYER` f32 [N, width] or [N, C, h, w],
// `labels` i32 [N] (-1: none), `names` u8 (one a line), and in its metadata `label_names`, a JSON list, `program`, and
// `network`, the hash of all names and shapes of the network's tensors.
#ifndef SEER_RUNTIME_EVALUATE_FEATURE_TABLE_H
#define SEER_RUNTIME_EVALUATE_FEATURE_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/options.h"
#include "runtime/program.h"
#include "runtime/status.h"

struct SeerEngine;

enum { SEER_TABLE_LAYERS_MAX = 32, SEER_LAYER_NAME_MAX = 64 };

typedef struct SeerLayer {
  char name[SEER_LAYER_NAME_MAX];  // "features", or LAYER
  int channels, cells;             // of a vector, cells = 1
  float *values;                   // [passes][count][channels * cells]
} SeerLayer;

typedef struct SeerFeatureTable {
  char *origin;         // the file, or the pictures, for errors
  int64_t count;        // pictures
  int passes;           // over the same pictures, each with views of its own
  int64_t undecodable;  // pictures that are not in the table
  int layer_count;
  SeerLayer layers[SEER_TABLE_LAYERS_MAX];
  int32_t *labels;  // [count]; -1: none
  char **names;     // [count]; of a file without names: "row 17"
  int label_count;
  char **label_names;              // [label_count]
  char program[128], network[32];  // "": not told
} SeerFeatureTable;

// Reads a file. Every number must be finite: SEER_INPUT names the first picture whose are not, and how many there are.
// `layers`: "features,s3", NULL: all there are.
SeerStatus seer_table_load(const char *path, const char *layers, SeerFeatureTable *table);

// How pictures become features with the network at hand.
typedef struct SeerTableRequest {
  const SeerProgram *program;
  const SeerOptions *options;   // --weights, --threads, --limit, --quiet
  const char *const *pictures;  // patterns, NULL-terminated
  const char *labels;           // IDX label file, or NULL
  int views;                    // 0: the evaluation view, once; else so many passes of random resized crop and flip
  int first_view;               // passes are numbered from here
  bool stretch;                 // without views: whole pictures made square, not their middles
  uint64_t seed;                // of those
  const char *layers;           // "features,s3"; NULL: the pooled features
} SeerTableRequest;

// The network of --weights, for tables of these layers made one after the other; to be released as an engine is.
SeerStatus seer_table_engine_make(const SeerProgram *program, const SeerOptions *options, const char *layers,
                                  struct SeerEngine *engine);
SeerStatus seer_table_extract(const SeerTableRequest *request, struct SeerEngine *engine, SeerFeatureTable *table);
// Makes several tables with one network. On failure none is left.
SeerStatus seer_tables_extract(const SeerTableRequest *requests, int count, SeerFeatureTable *tables);
void seer_table_release(SeerFeatureTable *table);

int64_t seer_layer_width(const SeerLayer *layer);
// NULL: the table has no such layer.
const SeerLayer *seer_table_layer(const SeerFeatureTable *table, const char *name);
// SEER_INPUT when features of `b` are not of the network or the shape of those of `a`, which has the layers that count.
SeerStatus seer_tables_match(const SeerFeatureTable *a, const SeerFeatureTable *b);
// The rows with a label, *count of them; tells how many lack one on standard error, with the first one's name. NULL
// without memory.
int64_t *seer_table_labelled(const SeerFeatureTable *table, bool quiet, int64_t *count);

// The names of its labels as a JSON list, as the metadata of files have them; to be freed. NULL without memory.
char *seer_table_label_names(const SeerFeatureTable *table);
// Writes the first pass of all layers as a file of the kind above. Predictions are features of a head.
SeerStatus seer_table_write(const SeerFeatureTable *table, const char *path);

#endif
