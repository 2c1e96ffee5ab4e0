// One launch of the emitted step: its tasks on the pool and, when asked, a look for values that are not finite. And
// what ranks send each other between launches.
#include <stdio.h>
#include <string.h>

#include "runtime/accelerator.h"
#include "runtime/clock.h"
#include "runtime/comm/comm.h"
#include "runtime/comm/traffic.h"
#include "runtime/finite.h"
#include "runtime/profile.h"
#include "runtime/program.h"
#include "runtime/slices.h"

void seer_launch(SeerContext *context, int launch, void (*function)(const void *arguments, int task, int worker),
                 const void *arguments, int tasks) {
  const SeerLaunch *record = &context->program->launches[launch];
  if (context->leaves_state && record->in_state) return;
  double began = context->profile ? seer_seconds_now() : 0;
  seer_pool_run(context->pool, function, arguments, tasks);
  if (context->profile) seer_profile_add(context->profile, launch, seer_seconds_now() - began);
  seer_traffic_progress(context->traffic);
  if (!context->check_finite || context->first_not_finite >= 0) return;
  const void *output = (record->in_state ? context->state : context->arena) + record->offset;
  bool finite = record->is_bf16 ? seer_bf16_finite(output, record->count) : seer_floats_finite(output, record->count);
  if (!finite) context->first_not_finite = launch;
}

void seer_launch_label(const SeerLaunch *launch, char *text, size_t bytes) {
  snprintf(text, bytes, "%s%s%s%s%s", launch->op, *launch->op ? " " : "", launch->kernel, *launch->pass ? " " : "",
           launch->pass);
}

void seer_gather_ranks(SeerContext *context, int64_t floats, const float *mine, float *all) {
  if (context->network) return;
  if (context->slice)
    seer_slice_gather(context->slice, floats, mine, all);
  else if (context->accelerator)
    context->network = (int)context->program->accelerator->gather(context, false, floats, mine, all);
  else
    context->network = (int)seer_comm_all_gather(context->comm, mine, (size_t)floats * sizeof *mine, all);
}

void seer_gather_group(SeerContext *context, int64_t floats, const float *mine, float *all) {
  if (context->network) return;
  if (context->accelerator)
    context->network = (int)context->program->accelerator->gather(context, true, floats, mine, all);
  else
    context->network = (int)seer_comm_group_gather(context->comm, mine, (size_t)floats * sizeof *mine, all);
}

void seer_average_ranks(SeerContext *context, int64_t count, int format, const float *mine, float *scratch,
                        float *average) {
  if (context->network) return;
  SeerStatus status;
  if (context->accelerator)
    status = context->program->accelerator->average(context, count, (SeerFormat)format, mine, scratch, average);
  else if (context->program->slices)
    status = seer_slices_average(context, count, mine, scratch, average);
  else
    status = seer_comm_average(context->comm, count, (SeerFormat)format, 0, mine, scratch, average);
  context->network = (int)status;
}

static void unit_start(SeerContext *context, SeerWay way, int unit, float *whole) {
  if (context->network) return;
  context->network = (int)(context->accelerator
                               ? context->program->accelerator->unit_start(context, way, unit, whole)
                               : seer_traffic_start(context->traffic, way, unit, whole));
}

static void unit_finish(SeerContext *context, SeerWay way, int unit) {
  if (context->network) return;
  context->network = (int)(context->accelerator ? context->program->accelerator->unit_finish(context, way, unit)
                                                : seer_traffic_finish(context->traffic, way, unit));
}

void seer_gather_start(SeerContext *context, int unit, float *whole) {
  unit_start(context, SEER_WAY_GATHER, unit, whole);
}
void seer_gather_finish(SeerContext *context, int unit) { unit_finish(context, SEER_WAY_GATHER, unit); }
void seer_refresh_start(SeerContext *context, int unit) { unit_start(context, SEER_WAY_REFRESH, unit, NULL); }
void seer_refresh_finish(SeerContext *context, int unit) { unit_finish(context, SEER_WAY_REFRESH, unit); }
void seer_reduce_start(SeerContext *context, int unit, float *whole) {
  unit_start(context, SEER_WAY_REDUCE, unit, whole);
}
void seer_reduce_finish(SeerContext *context, int unit) { unit_finish(context, SEER_WAY_REDUCE, unit); }
