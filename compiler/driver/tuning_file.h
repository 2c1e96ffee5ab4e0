// A tuning: the kernels' parameters as `seerc tune` found them, with what it measured, in a text file of one line each.
//
//   spec = photos                    the spec's name
//   cpu = x86-64-v4                  what the kernels are compiled for
//   lanes = 16
//   threads = 2                      that it was measured with
//   machine = ...                    the processor it was measured on
//   step = 0123456789abcdef          the step that was measured
//   conv_pixels = 48                 a parameter; those that are missing have their defaults
//   measured conv_pixels = 32 -> 48, 0.98 (0.97 to 0.99), kept
//   total = 0.93 (0.92 to 0.95)
//
// Of target cuda, instead of cpu, lanes and threads:
//
//   architectures = sm_90a,sm_80     what the kernels were compiled for: what passes for these may not for others
//   driver = 13.0                    of CUDA; `machine` is the GPU
//
// and, where a library makes layers, its version, and a line for each shape, as compiler/graph/layer.h writes them:
//
//   cublaslt = 13.1.0
//   layer conv2d 256x14x14x528 -> 528 1x1/1 groups 1 = cublaslt
//   measured layer linear 256x912 -> 1000 = seer -> cublaslt, 1.001 (0.998 to 1.004), not kept
//
// Ratios are of times of a step, the new one's by the old one's: medians with their intervals. Lines that begin with
// `#` are comments.
#ifndef SEER_DRIVER_TUNING_FILE_H
#define SEER_DRIVER_TUNING_FILE_H

#include "codegen/tuning.h"
#include "compiler/base/diag.h"

typedef struct TuningRatio {
  double median, low, high;
} TuningRatio;

// In the order in which they were made.
typedef struct TuningMeasure {
  int row;           // of the table; -1: of a layer, whose makers follow
  LayerShape layer;  // of row -1
  int64_t from, to;
  TuningRatio ratio;
  bool kept;
} TuningMeasure;

typedef struct TuningFile {
  const char *spec, *machine, *driver, *step;  // NULL: not said
  const char *cpu, *architectures;             // one of them is NULL
  SourceSpan made_for;                         // the line of that which is not
  int threads;                                 // 0: not said
  TuningSet values;
  TuningMeasure *items;
  size_t count, capacity;
  TuningRatio total;  // of the values by the defaults; median 0: not measured
} TuningFile;

// False after an error.
bool tuning_file_read(Arena *arena, SourceMap *sources, DiagList *diags, const char *path, TuningFile *file);
void tuning_file_print(const TuningFile *file, Writer *out);
// 16 with AVX-512, else 8.
int lanes_of_cpu(const char *cpu);
// What it is for, as messages call it: "x86-64-v4 and its 16 lanes", "sm_90a,sm_80".
const char *tuning_made_for(Arena *arena, const TuningFile *file);
// Whether it is for all of these architectures; PTX counts for nothing.
bool tuning_is_for(const TuningFile *file, const char *const *architectures, int count);

#endif
