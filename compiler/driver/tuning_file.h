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
// Ratios are of times of a step, the new one's by the old one's: medians with their intervals. Lines that begin with
// `#` are comments.
#ifndef SEER_DRIVER_TUNING_FILE_H
#define SEER_DRIVER_TUNING_FILE_H

#include "codegen/c/tuning.h"
#include "compiler/base/diag.h"

typedef struct TuningRatio {
  double median, low, high;
} TuningRatio;

// In the order in which they were made.
typedef struct TuningMeasure {
  int row;  // of tuning_rows
  int64_t from, to;
  TuningRatio ratio;
  bool kept;
} TuningMeasure;

typedef struct TuningFile {
  const char *spec, *cpu, *machine, *step;  // NULL: not said, but cpu
  SourceSpan cpu_span;
  int threads;  // 0: not said
  KernelTuning values;
  TuningMeasure *items;
  size_t count, capacity;
  TuningRatio total;  // of the values by the defaults; median 0: not measured
} TuningFile;

// False after an error.
bool tuning_file_read(Arena *arena, SourceMap *sources, DiagList *diags, const char *path, TuningFile *file);
void tuning_file_print(const TuningFile *file, Writer *out);
// 16 with AVX-512, else 8.
int lanes_of_cpu(const char *cpu);
// How many parameters have another value than by default.
int tuning_changes(const KernelTuning *tuning);

#endif
