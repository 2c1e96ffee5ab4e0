// What an emitted trainer tells the runtime about itself, and what the runtime hands to the emitted step.
//
// The emitted program.c lists one SeerProgram for each number of ranks that the trainer can be started with. All sizes
// are bytes unless named otherwise; all addresses are offsets, so that a snapshot or an arena can lie anywhere.
#ifndef SEER_RUNTIME_PROGRAM_H
#define SEER_RUNTIME_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/keep.h"
#include "runtime/narrow.h"
#include "runtime/parallel.h"
#include "runtime/pieces.h"

enum { SEER_MAX_SIZE_GROUPS = 8, SEER_MAX_RANK = 4, SEER_MAX_SLICES = 1024, SEER_ALIGNMENT = 64 };

typedef enum SeerTask { SEER_SWAV, SEER_SUPERVISED } SeerTask;

typedef enum SeerTensorKind {
  SEER_PARAMETER,
  SEER_VELOCITY,
  SEER_STATISTIC,
  SEER_QUEUE,
  SEER_ACCUMULATOR
} SeerTensorKind;

typedef enum SeerInit { SEER_INIT_ZERO, SEER_INIT_ONE, SEER_INIT_NORMAL, SEER_INIT_UNIFORM } SeerInit;

// A tensor of the state arena: f32, row-major, in its logical layout (PyTorch's), as it stands in a snapshot.
typedef struct SeerTensor {
  const char *name;
  SeerTensorKind kind;
  int rank;
  int64_t size[SEER_MAX_RANK];
  uint64_t offset;            // in the state arena
  uint64_t gradient_offset;   // parameters: of the f32 gradient, in the arena between `train` and `update`; with
                              // accumulate > 1 the accumulator tensor "NAME.accumulator" of the state holds it instead
  SeerInit init;
  double init_a;              // standard deviation, or half-width
  bool normalize_rows_at_start;
  // Ranks that keep a part of the tensor each, rank % shards telling which; 0 or 1: every rank keeps it whole. Part i,
  // of `part` floats, holds one behind the other the chunks i, i + shards, i + 2 shards, ... of `chunk` floats in
  // row-major order; what lies beyond the tensor's end is zero. See runtime/parts.h.
  int shards;
  uint64_t part, chunk;
  uint64_t gradient_part;  // parameters: floats of their gradient that a rank has between `train` and `update`; 0: all
} SeerTensor;

// One size group of views. Its images are u8 [crops * batch][size][size][3], crop-major, RGB.
typedef struct SeerSizeGroup {
  int crops, size;
  double scale_low, scale_high;  // area share
} SeerSizeGroup;

typedef struct SeerViews {
  int size_group_count;
  SeerSizeGroup size_groups[SEER_MAX_SIZE_GROUPS];
  double flip, jitter, brightness, contrast, saturation, hue, grey, blur;  // probabilities and strengths
  double blur_sigma_low, blur_sigma_high, aspect_low, aspect_high;
} SeerViews;

typedef enum SeerScheduleShape { SEER_COSINE, SEER_CONSTANT, SEER_STEP } SeerScheduleShape;

typedef struct SeerSchedule {
  double start, peak, end;
  int64_t warmup_steps;        // -1: warmup_fraction of the run
  double warmup_fraction;
  SeerScheduleShape shape;
  bool cosine_from_run;        // the released behaviour: see lang/schema.def
  int milestone_count;
  const double *milestones;    // shares of the run
  double gamma;
} SeerSchedule;

// What to do about a spike of the loss; see runtime/spikes.h.
typedef struct SeerSpikeRule {
  int64_t rewind, skip;  // steps; rewind 0: nothing
  double factor;         // of the median of the last `window` losses
  int64_t window, limit;
} SeerSpikeRule;

// Shares that the values of a column are compared with: a table that the user gives.
typedef struct SeerReference {
  const char *path;          // of the table
  int column;                // of those that are counted
  size_t count;
  const char *const *texts;  // in strcmp order
  const double *weights;     // shares or counts, as the table has them; their sum is positive
} SeerReference;

// Which columns of the pictures' metadata are counted while they are trained on; see runtime/monitor.h.
typedef struct SeerMonitorRule {
  int column_count;  // 0: nothing is counted
  const char *const *columns;
  int64_t sample;    // pictures of the sample, at most
  int reference_count;
  const SeerReference *references;
} SeerMonitorRule;

// One launch of the step, for failures and profiles: what it computes, where it was specified, what it wrote.
//
// An op's run is one or more launches, one behind the other: a convolution packs its weights first. What the run costs
// stands at one of them: operations, two for each multiply-add, and bytes, each operand and result of the op once.
typedef struct SeerLaunch {
  const char *op;         // "block2-1.f.a"; "": none
  const char *kernel;     // "conv2d_forward"
  const char *pass;       // "forward", "reforward", "backward", "update"; "": none
  const char *location;   // "rg.seer:12"
  bool in_state;          // the output lies in the state arena
  bool is_bf16, is_f16;   // else f32
  uint64_t offset;        // of its first element
  uint64_t count;         // of elements; 0: nothing to check
  const char *block;      // "block2-1"
  const char *kind;       // of the op: "conv2d"
  int run;                // the same for the launches of one run, rising
  int size_group;         // -1: none
  bool again;             // makes again what the step has made before
  uint64_t flops, bytes;  // 0: stand at another launch of the run
} SeerLaunch;

// A parameter on its way between ranks, in floats `part` of each, `count` in all without what pads the last; in bytes
// where it lies: this rank's parts in the state, all parts in the buffer of a gather (UINT64_MAX: no group needs one),
// and those of its gradient in the buffer of a reduction (UINT64_MAX: none).
typedef struct SeerUnitTensor {
  uint64_t state_offset, gather_offset, reduce_offset, part, count;
} SeerUnitTensor;

// Parameters that travel together: those of one block.
typedef struct SeerUnit {
  const char *name;
  int tensor_count;
  const SeerUnitTensor *tensors;
} SeerUnit;

// From where to where: parts of parameters to whole ones; what other groups have updated of the parts that a rank
// keeps; gradients to the ranks that update them.
typedef enum SeerWay { SEER_WAY_GATHER, SEER_WAY_REFRESH, SEER_WAY_REDUCE, SEER_WAY_COUNT } SeerWay;

// What features can be taken of: f32 [evaluate_batch][width] at `offset` of the arena after `features`.
typedef struct SeerProgramLayer {
  const char *name;  // "stem", "s1": means over pixels; "avgpool": the last stage's; "head": logits, or embeddings
  int width;
  uint64_t offset;
} SeerProgramLayer;

struct SeerContext;
struct SeerSlice;
typedef void SeerEntry(struct SeerContext *context);

typedef struct SeerProgram {
  const char *name;             // of the spec, without folder and suffix
  const char *seer_version, *cpu;      // cpu: "x86-64-v3" and the like, checked at start
  const char *tuning;           // of the kernels: "default", or the file's name
  SeerPieces spec_text;         // the resolved spec
  SeerPieces plan_json;         // NULL where `train` is
  SeerPieces plan_page;         // the template of its page
  uint64_t model_hash;          // of names, shapes and kinds of all tensors: snapshots of another model are refused
  SeerTask task;
  SeerViews views;
  SeerSchedule schedule;

  int batch, accumulate;        // pictures per step of all ranks; a micro-step takes batch / accumulate
  int ranks;                    // a rank takes its share of each micro-step: seer_rank_batch
  int norm_ranks;               // one behind the other, over which BatchNorm goes
  SeerFormat reduce;            // of gradients on their way between ranks
  // Reproducible runs: slices of all ranks together, a power of two, which `ranks` divides. `train` and its collectives
  // are then those of so many ranks, and a rank runs its share of them; see runtime/slices.h. 0: of `ranks`.
  int slices;
  int64_t steps;                // 0: epochs
  double epochs;
  uint64_t seed;
  int64_t freeze_prototypes_steps, queue_start_steps, queue_rows;
  int prototypes, classes;      // of the task at hand; the other is 0
  SeerSpikeRule spike_rule;
  SeerMonitorRule monitor;
  bool scales_loss;             // trains in fp16: runtime/loss_scale.h
  double patience_seconds;      // of a rank that waits for others; 0: runtime/comm/watch.h's
  int64_t save_every, save_keep, log_every;
  bool tensorboard;
  const char *const *pictures;  // of the spec, NULL-terminated; may be empty
  const char *labels;           // or NULL
  const SeerKeep *keep;         // which of them are trained on; NULL: all
  int decode_threads;           // 0: auto
  double max_undecodable;
  int64_t max_pixels;
  bool scaled_decoding;
  bool sandbox;                 // pictures are decoded in the sandbox: runtime/data/decoder.h
  double mean[3], std[3];

  int tensor_count;
  const SeerTensor *tensors;
  int group;                    // ranks, one behind the other, that have one copy of what units hold; rank r of a group
                                // of g keeps the parts r, r + g, ... and updates one of them
  int unit_count;
  const SeerUnit *units;
  uint64_t state_bytes, arena_bytes, ring_bytes;  // ring: the loader's batches, see runtime/data/loader.h
  uint64_t slice_bytes;         // from the arena of one slice to that of the next: a multiple of SEER_ALIGNMENT
  int ring_depth;
  uint64_t snapshot_bytes;      // staging: a rank's share of a snapshot while it is written; 0: written without a copy

  SeerEntry *train;             // forward, loss, backward of one micro-step; gradients land in the arena; NULL: this
                                // number of ranks can only evaluate
  uint64_t minimum_bytes, budget_bytes;  // of training, where it is left out because it does not fit; else 0
  SeerEntry *update;            // optimizer and statistics, after the last micro-step
  uint64_t loss_offset;         // f32 [1], mean over the micro-batch, in the arena after `train`
  uint64_t usage_offset;        // f32 [prototypes] sums of codes, after `train` (swav)

  int evaluate_batch, evaluate_size, evaluate_resize, feature_width;
  int neighbours;
  double knn_temperature;
  int64_t knn_every, knn_pictures;          // in training: steps between looks, 0: none; pictures looked at, at most
  const char *const *evaluate_pictures;     // labelled, NULL-terminated; empty or NULL: those of training
  const char *evaluate_labels;              // or NULL
  const char *evaluate_tasks;               // the list of the command `tasks`, or NULL
  // Of one rank, else NULL. Images of size group 0 = [evaluate_batch][evaluate_size][evaluate_size][3].
  SeerEntry *features;
  uint64_t features_offset;     // f32 [evaluate_batch][feature_width], in the arena after `features`: "avgpool"
  const SeerProgramLayer *layers;
  int layer_count;

  int launch_count;
  const SeerLaunch *launches;

  const struct SeerAcceleratorType *accelerator;  // that the step runs on; NULL: the processor
  uint64_t input_bytes;  // of its memory, behind state and arena: runtime/device/inputs.h
  uint64_t host_bytes;   // of this machine's, page-locked: activations that wait there
  const unsigned char *carried, *carried_end;  // of the same spec, for the processor: carried.h; NULL: none
} SeerProgram;

// The first is the declared one; one is of one rank, and evaluates. See runtime/worlds.h.
extern const SeerProgram *const seer_programs[];
extern const int seer_program_count;

// Set before each entry.
typedef struct SeerScalars {
  float learning_rate;
  float prototypes_active, queue_active;  // 0 or 1
  float accumulate_restart;               // 1 in the first micro-step of a step, else 0
  float loss_scale, unscale;              // the gradient of the loss is that much larger; 1 over it
} SeerScalars;

typedef struct SeerContext {
  const SeerProgram *program;
  unsigned char *state, *arena;           // SEER_ALIGNMENT-aligned; the arena's content is undefined between steps
  const uint8_t *images[SEER_MAX_SIZE_GROUPS];
  const int32_t *labels;                  // [batch], or NULL
  SeerScalars scalars;
  SeerPool *pool;
  struct SeerComm *comm;                  // of `ranks` processes; NULL: alone
  struct SeerTraffic *traffic;            // of units; NULL: nothing is shared out
  int shard;                              // which of the parts that this rank keeps it updates
  struct SeerSlice *slice;                // that runs; NULL: all of the rank
  bool leaves_state;                      // to the rank's first slice: launches whose output lies there are not run
  int network;                            // SeerStatus of the first collective that failed: later ones do nothing
  // On an accelerator, state, arena, images and labels are its addresses while an entry runs, and scalars are there:
  struct SeerAccelerator *accelerator;    // NULL: the processor
  const unsigned char *device_scalars;    // a SeerScalars
  struct SeerOffload *offload;            // of a GPU; NULL: nothing is offloaded
  bool check_finite;                      // look at each launch's output, and stop looking at the first bad one
  int first_not_finite;                   // index of a launch, or -1
  struct SeerProfile *profile;            // takes the time of each launch; NULL: nobody asks
} SeerContext;

// Called by the emitted step for each launch: runs tasks 0..tasks-1 of `function` on the pool, then, with
// check_finite, looks at launches[launch]'s output.
void seer_launch(SeerContext *context, int launch, void (*function)(const void *arguments, int task, int worker),
                 const void *arguments, int tasks);

// "block2-1.f.a conv2d_forward forward": how failures name a launch.
void seer_launch_label(const SeerLaunch *launch, char *text, size_t bytes);

// Pictures of one rank's micro-step.
static inline int seer_rank_batch(const SeerProgram *program) {
  return program->batch / program->accumulate / program->ranks;
}

// Slices that one rank runs.
static inline int seer_rank_slices(const SeerProgram *program) {
  return program->slices ? program->slices / program->ranks : 1;
}

// Called by the emitted step between launches; all ranks take part in the same order. A failure is kept in
// context->network.
//
// Of reproducible runs, `ranks` is program->slices below, and a slice does as a rank.
//
// all [ranks][floats]: every rank's `mine`, in the order of ranks.
void seer_gather_ranks(SeerContext *context, int64_t floats, const float *mine, float *all);
// Floats of `count` that one rank sums for all, at most.
static inline int64_t seer_average_share(int64_t count, int64_t ranks) {
  return ((count + ranks - 1) / ranks + 15) / 16 * 16;
}
// The same over this rank's group of norm_ranks ranks.
void seer_gather_group(SeerContext *context, int64_t floats, const float *mine, float *all);
// average [count]: the mean of every rank's `mine`, which travels in `format`, a SeerFormat;
// scratch [ranks][seer_average_share(count, ranks)].
void seer_average_ranks(SeerContext *context, int64_t count, int format, const float *mine, float *scratch,
                        float *average);
// A unit's whole parameters from the parts of the group's ranks; from other groups, into the state, what their ranks
// have updated of the parts that this rank keeps; and its gradients' parts to the ranks that update them: `whole` then
// holds this rank's part of every rank's, rank 0's first. Between start and finish the step goes on; the unit's buffer
// is not to be touched.
void seer_gather_start(SeerContext *context, int unit, float *whole);
void seer_gather_finish(SeerContext *context, int unit);
void seer_refresh_start(SeerContext *context, int unit);
void seer_refresh_finish(SeerContext *context, int unit);
void seer_reduce_start(SeerContext *context, int unit, float *whole);
void seer_reduce_finish(SeerContext *context, int unit);

#endif
