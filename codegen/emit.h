// From Programs to a folder of sources that builds a trainer with `make` and a C compiler alone.
#ifndef SEER_CODEGEN_EMIT_H
#define SEER_CODEGEN_EMIT_H

#include "codegen/kernels/c/tuning.h"
#include "codegen/program.h"
#include "runtime/program.h"

// What a trainer has for one number of ranks.
typedef struct TrainerWorld {
  const char *prefix;  // of its files and functions; "" for the declared world
  int ranks;
  const Program *train;     // NULL: only evaluates; an earlier world's where that runs the same step
  const Program *features;  // of one rank; else NULL
  const Plan *state;        // where its tensors lie
  uint64_t state_bytes, arena_bytes, slice_bytes, ring_bytes, snapshot_bytes;
  uint64_t input_bytes, host_bytes;      // of a GPU; else 0
  uint64_t minimum_bytes, budget_bytes;  // where training does not fit; else 0
  SeerPieces plan_json;                  // of training
} TrainerWorld;

// What one trainer is made of. `settings` carries everything of SeerProgram that all worlds share and that is not
// derived from the programs.
typedef struct Trainer Trainer;
struct Trainer {
  const TrainerWorld *worlds;  // the declared one first; one is of one rank
  int world_count;
  const SourceMap *sources;
  SeerProgram settings;
  KernelTuning tuning;
  struct CudaModules *modules;  // of target cuda; NULL: target c
  const Trainer *carried;       // of target cuda: one of target c that it carries; NULL: none
  const char *reader;           // reader.c, the user's; NULL: none
  bool sanitize;                // the Makefile builds under ASan and UBSan
  bool keep_same;  // files that are there already are left alone, so that make compiles what has changed
};

// Of a world's functions, so that those of several worlds can be linked together.
void program_add_prefix(Program *program, const char *prefix);

// Writes model.h, step.c, blocks/*.c, program.c (again for each other world, with its prefix), plan_page.c, kernels/
// with their tuning, runtime/ and a Makefile into `folder`, which is made if need be; and the same of what it carries
// into folder/carried. Returns NULL, or what went wrong
// ("cannot write 'x/step.c': No space left on device").
const char *trainer_emit(const Trainer *trainer, Arena *arena, const char *folder);
// Of a trainer for GPUs, once its modules are compiled: modules.c and modules/table.txt.
const char *trainer_emit_modules(const Trainer *trainer, Arena *arena, const char *folder);

// What is printed for a world's training: NULL where an earlier one's serves it, too.
const Program *trainer_own_train(const Trainer *trainer, const TrainerWorld *world);

// The parts, each one text.
void print_model_header(const Trainer *trainer, Writer *out);
void print_step(const Trainer *trainer, const TrainerWorld *world, Writer *out);
void print_function(const Trainer *trainer, const Program *program, const ProgramSegment *segment, Writer *out);
void print_program(const Trainer *trainer, const TrainerWorld *world, Arena *arena, Writer *out);
void print_keep(const SeerKeep *keep, Writer *out);
void print_plan_page(const Trainer *trainer, Writer *out);
void print_makefile(const Trainer *trainer, Writer *out);

// A launch's operand as an expression in the function of its segment.
void print_operand(const Trainer *trainer, const Program *program, const ProgramSegment *segment,
                   const KernelOperand *operand, Writer *out);
// A double literal that reads back as the same number.
void print_real(Writer *out, double number);

// "a b" with everything but plain printable ASCII escaped: nothing of a spec can end the literal.
void print_c_string(Writer *out, const char *text);

// A definition "PREFIX NAME[] = {...};" of pieces, each short enough for any C compiler. Cut behind a newline where one
// is near enough.
void print_pieces(Writer *out, const char *prefix, const char *name, SeerPieces pieces);

// Of the state: parameters, velocities, statistics and the rest.
int tensor_count(const Graph *graph);
// Hash of all tensors' names, shapes and kinds.
uint64_t model_hash(const Graph *train, int ranks);

// A source file of the runtime or the kernels, carried inside seerc.
typedef struct EmbeddedFile {
  const char *path, *text;
} EmbeddedFile;
extern const EmbeddedFile embedded_files[];
extern const int embedded_file_count;
// Whether a trainer has use for it.
bool trainer_carries(const Trainer *trainer, const EmbeddedFile *file);
// The template of the plan's page, NULL at the end: its parts in order.
extern const char *const embedded_page[];

#endif
