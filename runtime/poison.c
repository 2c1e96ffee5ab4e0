// Poisons the arena; see poison.h.
#include "runtime/poison.h"

#include <string.h>
#include <xxhash.h>

#include "runtime/init.h"

enum { GUARD_BYTES = 1 << 16, PATTERNS = 2, STEPS = 2 };

// As floats: a large number, and no number, which turns everything it meets into none.
static const unsigned char patterns[PATTERNS] = {0x5A, 0xFF};

typedef struct Poison {
  SeerEngine *engine;
  SeerSynthetic *pictures;
  uint64_t size;  // of the arena and the guard behind it
  unsigned char pattern;
  uint64_t touched;
} Poison;

// What must not depend on the pattern.
typedef struct Outcome {
  double losses[STEPS];
  XXH128_hash_t state, features;
} Outcome;

static void arena_fill(Poison *poison) { memset(poison->engine->context.arena, poison->pattern, poison->size); }

static void arena_look(Poison *poison) {
  const unsigned char *arena = poison->engine->context.arena;
  uint64_t end = poison->size;
  while (end > poison->touched && arena[end - 1] == poison->pattern) end--;
  poison->touched = end;
}

static SeerStatus poisoned_next(void *source, SeerBatch *batch) {
  Poison *poison = source;
  arena_look(poison);
  arena_fill(poison);
  return seer_synthetic_next(poison->pictures, batch);
}

// The first step at which the prototypes move and the queue counts, so that nothing is left out.
static int64_t step_with_all(const SeerProgram *program) {
  int64_t step = program->freeze_prototypes_steps;
  if (program->queue_start_steps > step) step = program->queue_start_steps;
  int64_t filled = (program->queue_rows + program->batch - 1) / program->batch;
  if (program->queue_rows > 0 && filled > step) step = filled;
  return step > 0 ? step : 1;
}

static SeerStatus steps_run(Poison *poison, Outcome *outcome) {
  const SeerProgram *program = poison->engine->program;
  int64_t last = step_with_all(program), at[STEPS] = {0, last};
  for (int i = 0; i < STEPS; i++) {
    SeerStepResult result;
    arena_fill(poison);
    SeerStatus status =
        seer_step_run(poison->engine, poisoned_next, poison, (SeerStepAsk){0}, at[i], last + 1, NULL, &result);
    // What fails with the second pattern alone has read the arena before it was written.
    if (status && poison->pattern != patterns[0]) status = SEER_BUG;
    if (status) return seer_context(status, "arena filled with 0x%02X, step %d", (unsigned)poison->pattern, i + 1);
    arena_look(poison);
    outcome->losses[i] = result.loss;
  }
  outcome->state = XXH3_128bits(poison->engine->context.state, program->state_bytes);
  return SEER_OK;
}

static SeerStatus features_run(Poison *poison, Outcome *outcome) {
  SeerContext context = poison->engine->context;
  const SeerProgram *program = poison->engine->program;
  if (!program->features) return SEER_OK;
  uint64_t side = (uint64_t)program->evaluate_size;
  uint64_t rows = (uint64_t)program->evaluate_batch, bytes = rows * side * side * 3;
  unsigned char *pictures = NULL;
  SeerStatus status = seer_memory_map(bytes, "synthetic pictures", &pictures);
  if (status) return status;
  for (uint64_t i = 0; i < bytes; i++) pictures[i] = poison->pictures->images[i % poison->pictures->bytes];
  arena_fill(poison);
  context.images[0] = pictures;
  program->features(&context);
  arena_look(poison);
  outcome->features =
      XXH3_128bits(context.arena + program->features_offset, rows * (uint64_t)program->feature_width * sizeof(float));
  seer_memory_unmap(pictures, bytes);
  return SEER_OK;
}

static SeerStatus pattern_run(Poison *poison, uint64_t seed, Outcome *outcome, SeerPoisonResult *result) {
  SeerContext *context = &poison->engine->context;
  memset(context->state, 0, poison->engine->program->state_bytes);
  seer_state_init(poison->engine->program, seed, 0, context->pool, context->state);
  poison->touched = 0;
  SeerStatus status = steps_run(poison, outcome);
  if (poison->touched > result->step_bytes) result->step_bytes = poison->touched;
  poison->touched = 0;
  if (!status) status = features_run(poison, outcome);
  if (poison->touched > result->features_bytes) result->features_bytes = poison->touched;
  return status;
}

static SeerStatus outcomes_compare(const Outcome *a, const Outcome *b) {
  const char *differs = NULL;
  if (!XXH128_isEqual(a->features, b->features)) differs = "features";
  if (!XXH128_isEqual(a->state, b->state)) differs = "the state after a step";
  if (memcmp(a->losses, b->losses, sizeof a->losses) != 0) differs = "the loss";
  if (!differs) return SEER_OK;
  return seer_fail(SEER_BUG, "%s depends on what the arena held before: something reads what nothing has written",
                   differs);
}

SeerStatus seer_poison_run(SeerEngine *engine, SeerSynthetic *pictures, uint64_t seed, SeerPoisonResult *result) {
  const SeerProgram *program = engine->program;
  Poison poison = {.engine = engine, .pictures = pictures, .size = program->arena_bytes + GUARD_BYTES};
  Outcome outcomes[PATTERNS] = {{{0}, {0, 0}, {0, 0}}};
  unsigned char *own = engine->context.arena, *guarded = NULL;
  *result = (SeerPoisonResult){.steps = STEPS};
  SeerStatus status = seer_memory_map(poison.size, "activations and gradients, guarded", &guarded);
  if (status) return status;
  engine->context.arena = guarded;
  for (int i = 0; i < PATTERNS && !status; i++) {
    poison.pattern = patterns[i];
    status = pattern_run(&poison, seed, &outcomes[i], result);
  }
  engine->context.arena = own;
  seer_memory_unmap(guarded, poison.size);
  if (!status) status = outcomes_compare(&outcomes[0], &outcomes[1]);
  result->loss = outcomes[0].losses[STEPS - 1];
  if (!status && (result->step_bytes > program->arena_bytes || result->features_bytes > program->arena_bytes))
    return seer_fail(
        SEER_BUG, "a step touched %llu bytes of an arena of %llu",
        (unsigned long long)(result->step_bytes > result->features_bytes ? result->step_bytes : result->features_bytes),
        (unsigned long long)program->arena_bytes);
  return status;
}
