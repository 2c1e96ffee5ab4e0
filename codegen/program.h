// The Program: what will be printed, as data. Launches of kernels with literal constants and resolved addresses,
// grouped into segments (a run of launches of one block in one pass); segments that differ only in addresses
// share a function.
//
// Made by program_make from a graph, its lowering and its plan; checked by program_verify; only print_*.c print code.
#ifndef SEER_CODEGEN_PROGRAM_H
#define SEER_CODEGEN_PROGRAM_H

#include "codegen/kernel_info.h"
#include "codegen/kernels/c/tuning.h"
#include "compiler/plan/plan.h"
#include "runtime/program.h"

// What a pointer argument stands for before the plan has given addresses.
typedef enum OperandKind {
  OPERAND_NONE,  // NULL
  OPERAND_VALUE,
  OPERAND_MASK,
  OPERAND_UNIT,  // the value where it lies in its unit's buffer, all parts of it
  OPERAND_NORMS,
  OPERAND_WORKSPACE,
  OPERAND_LOSS_SCALE,  // scalars that belong to no value of the graph
  OPERAND_UNSCALE
} OperandKind;

typedef enum ProgramSpace {
  SPACE_NONE,
  SPACE_STATE,
  SPACE_ARENA,
  SPACE_IMAGES,
  SPACE_LABELS,
  SPACE_SCALARS
} ProgramSpace;

typedef struct KernelOperand {
  OperandKind kind;
  ValueId value;       // OPERAND_VALUE, OPERAND_MASK, OPERAND_UNIT
  uint64_t relative;   // bytes from its beginning
  uint64_t per_shard;  // and so many more for each part that this rank keeps in front of the one it updates
  ProgramSpace space;  // set by program_make
  uint64_t offset;     // bytes in the space; SPACE_IMAGES: the size group; SPACE_SCALARS: unused
  int buffer;          // index in the segment's buffers, set by program_make
} KernelOperand;

// Blocks of a GPU's launch.
typedef struct LaunchGrid {
  int64_t x, y, z;
} LaunchGrid;

typedef struct ProgramLaunch {
  KernelKind kernel;
  KernelConstant constants[MAX_KERNEL_CONSTANTS];
  KernelOperand operands[MAX_KERNEL_POINTERS];
  int64_t tasks;    // of a GPU's: blocks of the grid
  LaunchGrid grid;  // of a GPU's
  OpId op;          // OP_NONE: a unit's way between ranks, or a copy to the host or back
  bool reduces;     // averages a gradient that came in parts
  uint32_t step;    // of the plan, set by program_make
  // Of profiles, set by program_make: launches of one run of an op have one number; what the run costs stands at the
  // first that computes. `alone`: no run of its op, but part of what ranks send each other.
  int run;
  bool alone;
  double flops, bytes;
  ValueId checked;  // the value that is whole after this launch, looked at when hunting NaNs; or VALUE_NONE
} ProgramLaunch;

typedef struct LaunchList {
  ProgramLaunch *items;
  size_t count, capacity;
} LaunchList;

// A buffer of a segment: a field of the struct that its function takes.
typedef struct SegmentBuffer {
  const char *field;
  OperandKind kind;
  ValueId value;
  uint32_t workspace_of;  // the step that works in it
  ProgramSpace space;
  uint64_t offset;
} SegmentBuffer;

// The launches of one function, or one launch of what travels beside them.
typedef struct ProgramSegment {
  StepPass pass;
  bool traffic, reduces;
  int block;      // of the graph
  int operation;  // of the plan's chain; -1: none
  size_t launch_begin, launch_end;
  SegmentBuffer *buffers;
  int buffer_count;
  int function;  // the segment that stands for all with the same shape; its own index if it does; -1: traffic
  const char *function_name;
  SourceSpan span;
} ProgramSegment;

typedef struct ProgramEntry {
  const char *name;  // "train", "update", "features"
  size_t segment_begin, segment_end;
} ProgramEntry;

typedef struct Program {
  Arena *arena;
  const Graph *graph;
  const Plan *plan;
  int ranks;                      // that train together
  const char *const *unit_names;  // by block of the plan's chain
  const bool *is_own;  // by ValueId: lies in a parameter of which this rank updates one of its parts; NULL: none does
  LaunchList launches;
  struct {
    ProgramSegment *items;
    size_t count, capacity;
  } segments;
  ProgramEntry entries[2];
  int entry_count;
} Program;

// Launches begin..end of one run of an op; empty where the op has no such run.
typedef struct LaunchRange {
  size_t begin, end;
} LaunchRange;

// A gradient of `count` floats in `parts` of `part`, all in the first operand of the launch, on their way between ranks
// in `format`.
typedef struct GradientParts {
  int parts;
  int64_t part, count;
  SeerFormat format;
  bool in_place;  // the mean goes where the first part is
} GradientParts;

// The launch that averages or narrows them: kernel, constants, tasks and grid.
typedef ProgramLaunch PartsLaunch(const GradientParts *parts, const KernelTuning *tuning);

// The lowering of a graph for a target: launches by op and variant, before addresses.
typedef struct Lowering {
  const Graph *graph;
  const KernelTuning *tuning;  // of target c
  PartsLaunch *average_parts, *narrow_parts;
  int ranks;
  SeerFormat reduce;  // of gradients on their way between ranks
  LaunchList launches;
  LaunchRange *runs[RUN_VARIANT_COUNT];          // by OpId
  uint64_t *value_bytes, *mask_bytes;            // by ValueId, in the target's layout; mask 0: has none
  uint64_t *workspace_bytes[RUN_VARIANT_COUNT];  // by OpId
} Lowering;

// `unit_names` by block of the plan's chain; NULL where nothing is shared out.
Program *program_make(Arena *arena, const Graph *graph, const Lowering *lowering, const Plan *plan,
                      const char *const *unit_names);
// NULL when every address lies inside its space, is aligned and stands for a placed value, and nothing touches what is
// on its way to the host or back; else what is broken.
const char *program_verify(const Program *program, Arena *arena);
// Where a launch finds a value: the space, and the offset in it.
uint64_t program_offset(const Program *program, const ProgramLaunch *launch, ValueId value, ProgramSpace *space);
void program_print(const Program *program, Writer *out);

#endif
