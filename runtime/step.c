// One training step; see step.h.
#include "runtime/step.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/comm/comm.h"
#include "runtime/finite.h"
#include "runtime/gradient.h"
#include "runtime/init.h"
#include "runtime/pairwise.h"
#include "runtime/schedule.h"

static void scalars_set(SeerEngine *engine, int64_t step, double rate) {
  const SeerProgram *program = engine->program;
  SeerScalars *scalars = &engine->context.scalars;
  scalars->learning_rate = (float)rate;
  scalars->prototypes_active = step >= program->freeze_prototypes_steps ? 1 : 0;
  // The queue joins once every row of it was written, however early it is asked for.
  bool full = program->queue_rows > 0 && step * (int64_t)program->batch >= program->queue_rows;
  scalars->queue_active = full && step >= program->queue_start_steps ? 1 : 0;
  scalars->loss_scale = program->scales_loss ? (float)engine->loss_scale.scale : 1;
  scalars->unscale = 1 / scalars->loss_scale;
}

// Where a slice has a parameter's gradient between `train` and `update`; on the processor.
static const float *gradient_find(const SeerEngine *engine, int slice, const SeerTensor *parameter) {
  SeerGradientPlace place = seer_gradient_place(engine->program, parameter);
  if (place.in_state) return (const float *)(const void *)(engine->context.state + place.offset);
  uint64_t begin = (uint64_t)slice * engine->program->slice_bytes;
  return (const float *)(const void *)(engine->context.arena + begin + place.offset);
}

// Finite, and so in what gradients travel in.
static bool is_sendable(const SeerProgram *program, const float *gradient, uint64_t count) {
  if (!seer_floats_finite(gradient, count)) return false;
  float largest = seer_format_largest(program->reduce);
  for (uint64_t i = 0; i < count && program->reduce != SEER_FP32 && program->ranks > 1; i++) {
    if (fabsf(gradient[i]) > largest) return false;
  }
  return true;
}

static SeerStatus gradient_find_not_finite(const SeerEngine *engine, const SeerTensor **found) {
  *found = NULL;
  if (engine->accelerator) {
    int number;
    SeerStatus status = engine->program->accelerator->find_not_finite(engine->accelerator, &number);
    if (!status && number >= 0) *found = &engine->program->tensors[number];
    return status;
  }
  for (int i = 0; i < engine->program->tensor_count; i++) {
    const SeerTensor *tensor = &engine->program->tensors[i];
    for (int s = 0; s < seer_rank_slices(engine->program) && tensor->kind == SEER_PARAMETER; s++) {
      const float *gradient = gradient_find(engine, s, tensor);
      if (is_sendable(engine->program, gradient, seer_gradient_count(tensor))) continue;
      *found = tensor;
      return SEER_OK;
    }
  }
  return SEER_OK;
}

// Runs the micro-step once more, looking at every launch.
// `mine`: found on this rank, not on another; then rank 0 speaks for all others.
static SeerStatus not_finite(SeerEngine *engine, int64_t step, const char *what, bool mine) {
  SeerContext *context = &engine->context;
  context->check_finite = true;
  context->first_not_finite = -1;
  SeerStatus status = seer_engine_run(engine, context, engine->program->train);
  context->check_finite = false;
  if (status) return status;
  char label[256] = "the loss itself";
  const char *location = "";
  if (context->first_not_finite >= 0) {
    const SeerLaunch *launch = &engine->program->launches[context->first_not_finite];
    seer_launch_label(launch, label, sizeof label);
    location = launch->location;
  }
  if (!mine && seer_comm_rank(context->comm) > 0) return SEER_INPUT;
  return seer_fail(
      SEER_INPUT,
      "%s is not finite in step %lld: first in '%s'%s%s%s; the step was not applied\n"
      "note: lower the learning rate (schedule.peak) or lengthen schedule.warmup, and continue with --resume",
      what, (long long)step + 1, label, location && *location ? " (" : "", location ? location : "",
      location && *location ? ")" : "");
}

typedef struct Step {
  SeerEngine *engine;
  SeerNextBatch *next;
  void *source;
  int64_t number;  // 0..steps-1
  double waited;   // seconds in collectives, those that were told before
  double *usage;
  SeerStepResult *result;
} Step;

// What a rank tells the others of its micro-step.
typedef struct Verdict {
  double loss, waited;   // loss: summed over slices
  int32_t bad_gradient;  // 1 or 0
} Verdict;

// The verdicts of all ranks become one: the summed loss in `mine`, whether any gradient is bad, who was waited for.
static SeerStatus verdicts_gather(Step *step, Verdict *mine) {
  SeerContext *context = &step->engine->context;
  int ranks = seer_comm_size(context->comm);
  step->result->slowest_rank = -1;
  if (ranks == 1) return SEER_OK;
  Verdict *all = calloc((size_t)ranks, sizeof *all);
  // Without memory here the others wait in vain, and the watch says for whom.
  if (!all) return seer_fail(SEER_MACHINE, "out of memory");
  step->result->waited = seer_comm_waited(context->comm);
  mine->waited = step->result->waited - step->waited;
  SeerStatus status = seer_comm_all_gather(context->comm, mine, sizeof *mine, all);
  int least = 0, most = 0;
  *mine = (Verdict){.loss = seer_pairwise_sum(&all->loss, sizeof *all / sizeof all->loss, ranks)};
  for (int rank = 0; rank < ranks && !status; rank++) {
    mine->bad_gradient |= all[rank].bad_gradient;
    if (all[rank].waited < all[least].waited) least = rank;
    if (all[rank].waited > all[most].waited) most = rank;
  }
  step->result->slowest_rank = least;
  step->result->rank_seconds = all[most].waited - all[least].waited;
  free(all);
  return status;
}

// Over this rank's slices, in one order whatever their share.
static SeerStatus slices_sum(const SeerEngine *engine, uint64_t offset, double *sum) {
  double numbers[SEER_MAX_SLICES];
  int slices = seer_rank_slices(engine->program);
  SeerStatus status = SEER_OK;
  for (int s = 0; s < slices && !status; s++) {
    float number = 0;
    status = seer_engine_read(engine, s, offset, sizeof number, &number);
    numbers[s] = (double)number;
  }
  *sum = status ? 0 : seer_pairwise_sum(numbers, 1, slices);
  return status;
}

// Adds the codes' row sums of all slices.
static SeerStatus usage_add(const SeerEngine *engine, double *usage) {
  const SeerProgram *program = engine->program;
  size_t count = (size_t)program->prototypes;
  int slices = seer_rank_slices(program);
  float *rows = malloc((size_t)slices * count * sizeof *rows);
  if (!rows) return seer_fail(SEER_MACHINE, "out of memory");
  SeerStatus status = SEER_OK;
  for (int s = 0; s < slices && !status; s++)
    status = seer_engine_read(engine, s, program->usage_offset, count * sizeof *rows, rows + (size_t)s * count);
  for (size_t i = 0; i < count && !status; i++) {
    double numbers[SEER_MAX_SLICES];
    for (int s = 0; s < slices; s++) numbers[s] = (double)rows[(size_t)s * count + i];
    usage[i] += seer_pairwise_sum(numbers, 1, slices);
  }
  free(rows);
  return status;
}

// All ranks learn what one finds: what is not finite on one is so on all. After the last micro-step gradients are
// looked at, too.
static SeerStatus micro_step_judge(Step *step, bool last) {
  SeerEngine *engine = step->engine;
  const SeerProgram *program = engine->program;
  double loss = 0;
  const SeerTensor *bad = NULL;
  SeerStatus status = slices_sum(engine, program->loss_offset, &loss);
  if (!status && last && isfinite(loss)) status = gradient_find_not_finite(engine, &bad);
  if (status) return status;
  Verdict verdict = {.loss = loss, .bad_gradient = bad != NULL};
  status = verdicts_gather(step, &verdict);
  if (status) return status;
  verdict.loss /= seer_comm_size(engine->context.comm) * seer_rank_slices(program);
  bool loss_is_bad = !isfinite(verdict.loss);
  if (!loss_is_bad && !verdict.bad_gradient) {
    step->result->loss += verdict.loss / program->accumulate;
    return SEER_OK;
  }
  if (!loss_is_bad && seer_loss_scale_lower(&engine->loss_scale)) {
    step->result->loss += verdict.loss / program->accumulate;
    step->result->passed_over = true;
    return SEER_OK;
  }
  step->result->not_finite = true;
  if (loss_is_bad) return not_finite(engine, step->number, "the loss", isfinite(loss) == 0);
  // The one that found it says where.
  char what[256];
  snprintf(what, sizeof what, bad ? "the gradient of '%.200s'" : "%.200s", bad ? bad->name : "another rank's gradient");
  return not_finite(engine, step->number, what, bad != NULL);
}

static SeerStatus micro_step(Step *step, SeerStepAsk *ask, bool last) {
  SeerContext *context = &step->engine->context;
  const SeerProgram *program = step->engine->program;
  SeerBatch batch;
  SeerStatus status = ask->status ? ask->status : step->next(step->source, &batch);
  status = seer_comm_agree_largest(context->comm, status, &ask->stop);
  if (status || ask->stop) return status;
  step->result->wait_seconds += batch.wait_seconds;
  memcpy(context->images, batch.images, sizeof context->images);
  context->labels = batch.labels;
  status = seer_engine_run(step->engine, context, program->train);
  if (!status) status = micro_step_judge(step, last);
  if (!status && step->usage) status = usage_add(step->engine, step->usage);
  return status;
}

static SeerStatus labels_check(const SeerEngine *engine, const SeerBatch *batch) {
  const SeerProgram *program = engine->program;
  if (program->task != SEER_SUPERVISED) return SEER_OK;
  for (int i = 0; i < seer_rank_batch(program); i++) {
    if (batch->labels && batch->labels[i] >= 0 && batch->labels[i] < program->classes) continue;
    return seer_fail(SEER_INPUT,
                     "picture %lld has label %d, this trainer was built for labels 0 to %d\nnote: sort pictures "
                     "into folders by class, or give --labels; set supervised.classes to their number",
                     batch->pictures ? (long long)batch->pictures[i] : -1LL, batch->labels ? batch->labels[i] : -1,
                     program->classes - 1);
  }
  return SEER_OK;
}

typedef struct CheckedSource {
  const SeerEngine *engine;
  SeerNextBatch *next;
  void *source;
} CheckedSource;

static SeerStatus checked_next(void *argument, SeerBatch *batch) {
  CheckedSource *checked = argument;
  SeerStatus status = checked->next(checked->source, batch);
  return status ? status : labels_check(checked->engine, batch);
}

SeerStatus seer_step_run(SeerEngine *engine, SeerNextBatch *next, void *source, SeerStepAsk ask, int64_t step,
                         int64_t steps, double *usage, SeerStepResult *result) {
  const SeerProgram *program = engine->program;
  *result = (SeerStepResult){.learning_rate = seer_schedule_rate(&program->schedule, step, steps)};
  scalars_set(engine, step, result->learning_rate);
  CheckedSource checked = {engine, next, source};
  Step at = {engine, checked_next, &checked, step, ask.waited, usage, result};
  for (int micro = 0; micro < program->accumulate; micro++) {
    engine->context.scalars.accumulate_restart = micro == 0 ? 1 : 0;
    SeerStatus status = micro_step(&at, &ask, micro + 1 == program->accumulate);
    if (status) return status;
    result->stop = ask.stop;
    if (ask.stop) return SEER_OK;
  }
  if (result->passed_over) return SEER_OK;
  seer_loss_scale_keep(&engine->loss_scale);
  return seer_engine_run(engine, &engine->context, program->update);
}

double seer_entropy_share(const double *weights, int count) {
  double sum = 0, entropy = 0;
  for (int i = 0; i < count; i++) sum += weights[i];
  if (!(sum > 0) || count < 2) return 0;
  for (int i = 0; i < count; i++) {
    double share = weights[i] / sum;
    if (share > 0) entropy -= share * log(share);
  }
  return entropy / log((double)count);
}
