// Searches RegNet's design space around a base: networks of so many parameters, counted in closed form by the thousand,
// the most promising of them planned in full.
#ifndef SEER_DRIVER_SCALE_H
#define SEER_DRIVER_SCALE_H

#include "compiler/driver/vary.h"
#include "compiler/passes/model.h"
#include "compiler/passes/regnet_count.h"

typedef enum ScaleVary { SCALE_WIDTH, SCALE_DEPTH, SCALE_RESOLUTION, SCALE_FREE } ScaleVary;

typedef enum ScaleOrigin {
  SCALE_BASE,   // as it is
  SCALE_PLAIN,  // all widths times the same, nothing else
  SCALE_FOUND,
  SCALE_RELEASED  // another shipped network of about as many parameters
} ScaleOrigin;

typedef struct ScaleNet {
  ScaleOrigin origin;
  const char *name;  // of a released one, "regnety_10b"; else NULL
  RegNetGenerator generator;
  RegNetShape shape;
  int sizes[MODEL_MAX_SIZE_GROUPS];  // of crops, in pixels
  int64_t parameters;                // of the trunk
  int64_t macs;                      // of one picture's views, forward
  double seconds;                    // a picture's forward and backward on one rank, estimated without a plan
  double quality;                    // see scale_quality
  bool in_space;                     // of the RegNets that were found good
} ScaleNet;

typedef struct ScaleOptions {
  ScaleVary vary;
  double parameters, tolerance;  // wanted; a share
  double macs;                   // at most; 0: any
  int64_t group_multiple;
  int candidates;  // planned in full
} ScaleOptions;

// What is searched around.
typedef struct ScaleBase {
  Arena *arena;
  const Spec *spec;
  ScaleNet net;
  int crop_counts[MODEL_MAX_SIZE_GROUPS], size_count;
  bool sharded;
  PlanMachine machine;
  Cluster cluster;
} ScaleBase;

// False after an error in `diags`: it has explicit stages, or its machine is unknown.
bool scale_base_read(Arena *arena, SourceMap *sources, DiagList *diags, const Spec *spec, const char *library,
                     ScaleBase *base);

typedef struct ScaleNets {
  ScaleNet *items;
  size_t count, capacity;
  int64_t tried;         // networks that were counted
  int64_t of_size;       // had as many parameters as wanted
  ScaleNet nearest;      // by parameters
  ScaleNet fewest_macs;  // of those of the wanted size
} ScaleNets;

// All that meet the constraints but memory.
ScaleNets scale_search(const ScaleBase *base, const ScaleOptions *options);
// Fills shape, counts, estimate and quality from generator and sizes. False: no such network can be built.
bool scale_net_count(const ScaleBase *base, ScaleNet *net);
// Shipped networks of the base's family within a tenth of as many parameters.
ScaleNets scale_released(Invocation *invocation, const ScaleBase *base, const ScaleOptions *options);
// The plain one, if it is there, and of the rest those that promise most, over the whole range of quality.
ScaleNets scale_select(const ScaleBase *base, const ScaleNets *nets, int count);

// Linear-probe accuracy on ImageNet-1k, in per cent, that SEER networks of as many multiply-adds reach: the line
// through the five released ones. A proxy: docs/scaling.md has its limits.
double scale_quality(double macs_of_views);
// The multiply-adds of those five: outside of them the line is a guess.
void scale_quality_range(double *least_macs, double *most_macs);
// "depth=27 w0=1744 wa=620.83 wm=2.52 group_width=1010", and crops where these differ from the base's.
const char *scale_net_name(const ScaleBase *base, const ScaleNet *net);
Variant scale_variant(const Invocation *invocation, const ScaleBase *base, const ScaleNet *net);

typedef struct Scaled {
  const ScaleBase *base;
  const ScaleOptions *options;
  const ScaleNets *searched;
  const char *spec_path;
  ScaleNet *nets;  // [count], by falling speed; those that do not fit last
  VaryPlan *plans;
  int count;
  int chosen;     // -1: none fits
  double floor;   // of quality, for what is chosen
  bool *is_best;  // [count]: of those found or plain, none other is as fast and better, or as good and faster
} Scaled;

Scaled scale_judge(const ScaleBase *base, const ScaleOptions *options, const ScaleNets *searched, ScaleNet *nets,
                   VaryPlan *plans, int count);
void scale_print(const Scaled *scaled, Writer *out);
void scale_print_json(const Scaled *scaled, Writer *out);
void scale_print_svg(const Scaled *scaled, Writer *out);

#endif
