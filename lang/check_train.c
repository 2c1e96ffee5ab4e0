// Checks of the run: length, batch, optimiser, schedule, snapshots, and settings that others switch off.
#include <math.h>
#include <string.h>

#include "lang/check.h"

void check_train_length(CheckContext *context) {
  NEEDS(context, KEY_train_steps, KEY_train_epochs);
  if (!check_is_set(context, KEY_train_steps) || !check_is_set(context, KEY_train_epochs)) return;
  check_error(context, check_span(context, KEY_train_epochs), "'steps' and 'epochs' are both set");
  check_note(context, check_span(context, KEY_train_steps), "keep one of them");
}

void check_batch_split(CheckContext *context) {
  NEEDS(context, KEY_train_batch, KEY_train_accumulate, KEY_cluster_nodes, KEY_cluster_ranks_per_node);
  double batch = check_number(context, KEY_train_batch, 1),
         micro_steps = check_number(context, KEY_train_accumulate, 1);
  double ranks = check_number(context, KEY_cluster_nodes, 1) * check_number(context, KEY_cluster_ranks_per_node, 1);
  double parts = micro_steps * ranks;
  if (fmod(batch, parts) == 0) return;
  SourceSpan span = check_span(context, KEY_train_batch);
  if (ranks == 1)
    check_error(context, span, "'batch' %g does not divide into %g micro-steps", batch, micro_steps);
  else if (micro_steps == 1)
    check_error(context, span, "'batch' %g does not divide among %g ranks", batch, ranks);
  else
    check_error(context, span, "'batch' %g does not divide into %g micro-steps on %g ranks", batch, micro_steps, ranks);
  double below = floor(batch / parts) * parts;
  if (below > 0)
    check_note(context, span_none(), "the nearest batches are %g and %g", below, below + parts);
  else
    check_note(context, span_none(), "the smallest batch is %g", parts);
}

static void check_world(CheckContext *context, const SpecValue *world, double pictures) {
  if (fmod(pictures, world->number) == 0) return;
  double below, above;
  check_divisors(pictures, world->number, &below, &above);
  check_error(context, world->span, "%g pictures of a micro-step do not divide among %g ranks", pictures,
              world->number);
  SourceSpan batch = check_span(context, KEY_train_batch);
  if (above > 0)
    check_note(context, batch, "the nearest numbers of ranks are %g and %g; or change the batch", below, above);
  else
    check_note(context, batch, "the largest number of ranks is %g; or change the batch", below);
}

void check_worlds(CheckContext *context) {
  NEEDS(context, KEY_cluster_worlds, KEY_train_batch, KEY_train_accumulate);
  const SpecValue *worlds = spec_value(context->spec, KEY_cluster_worlds);
  double pictures = check_number(context, KEY_train_batch, 1) / check_number(context, KEY_train_accumulate, 1);
  for (int i = 0; i < worlds->item_count; i++) {
    bool twice = false;
    for (int j = 0; j < i; j++) twice = twice || worlds->items[j].number == worlds->items[i].number;
    if (twice) {
      check_error(context, worlds->items[i].span, "%g ranks are listed twice", worlds->items[i].number);
      check_note(context, span_none(), "keep one of them");
    } else {
      check_world(context, &worlds->items[i], pictures);
    }
  }
}

void check_tiny_batch(CheckContext *context) {
  NEEDS(context, KEY_train_batch, KEY_train_accumulate, KEY_cluster_nodes, KEY_cluster_ranks_per_node);
  double ranks = check_number(context, KEY_cluster_nodes, 1) * check_number(context, KEY_cluster_ranks_per_node, 1);
  double together = check_number(context, KEY_train_batch, 1) / check_number(context, KEY_train_accumulate, 1);
  if (together >= 4 || ranks > together) return;
  check_warning(context, check_span(context, KEY_train_batch), "BatchNorm sees only %g picture%s at a time", together,
                together == 1 ? "" : "s");
  check_note(context, span_none(), "use a larger batch, or fewer micro-steps; 32 or more is usual");
}

void check_momentum(CheckContext *context) {
  NEEDS(context, KEY_optimizer_momentum, KEY_optimizer_nesterov);
  double momentum = check_number(context, KEY_optimizer_momentum, 0);
  SourceSpan span = check_span(context, KEY_optimizer_momentum);
  if (momentum >= 1) {
    check_error(context, span, "with 'momentum' 1 updates grow without end");
    check_note(context, span_none(), "stay below 1; 0.9 is usual");
  }
  if (momentum == 0 && spec_flag(context->spec, KEY_optimizer_nesterov)) {
    check_error(context, check_span(context, KEY_optimizer_nesterov), "'nesterov' needs momentum");
    check_note(context, span, "raise it above 0, or set 'nesterov = no'");
  }
}

void check_warmup(CheckContext *context) {
  NEEDS(context, KEY_schedule_warmup, KEY_schedule_warmup_fraction, KEY_train_steps);
  double warmup = check_number(context, KEY_schedule_warmup, 0), steps = check_steps(context);
  SourceSpan span = check_span(context, KEY_schedule_warmup);
  if (check_is_set(context, KEY_schedule_warmup_fraction) && check_by_user(context, KEY_schedule_warmup)) {
    check_error(context, check_span(context, KEY_schedule_warmup_fraction),
                "'warmup' and 'warmup_fraction' are both set");
    check_note(context, span, "keep one of them");
    return;
  }
  if (steps == 0 || warmup <= steps) return;
  check_error(context, span, "'warmup' of %g steps is longer than the run of %g", warmup, steps);
  check_note(context, check_span(context, KEY_train_steps), "shorten it, or use 'warmup_fraction', such as 0.05");
}

void check_rates(CheckContext *context) {
  NEEDS(context, KEY_schedule_base, KEY_schedule_peak, KEY_schedule_start, KEY_schedule_end, KEY_train_batch);
  double batch = check_number(context, KEY_train_batch, 1);
  bool explicit_peak = spec_value(context->spec, KEY_schedule_peak)->kind == SPEC_NUMBER;
  double scaled = check_number(context, KEY_schedule_base, 0) * batch / 256;
  double peak = check_number(context, KEY_schedule_peak, scaled);
  SpecKey source = explicit_peak ? KEY_schedule_peak : KEY_schedule_base;
  double slack = peak * 1e-9;
  if (peak == 0) {
    check_warning(context, check_span(context, source), "the learning rate is 0: nothing would be learnt");
    check_note(context, span_none(), "raise '%s'", check_short(source));
    return;
  }
  if (check_number(context, KEY_schedule_start, 0) > peak + slack) {
    check_error(context, check_span(context, KEY_schedule_start), "'start' %g is above the peak %g",
                check_number(context, KEY_schedule_start, 0), peak);
    check_note(context, span_none(), "warm-up rises from start to peak; lower it, or leave it to auto");
  }
  if (check_number(context, KEY_schedule_end, 0) > peak + slack) {
    check_warning(context, check_span(context, KEY_schedule_end), "'end' %g is above the peak %g",
                  check_number(context, KEY_schedule_end, 0), peak);
    check_note(context, span_none(), "the rate falls from peak to end; lower it, or leave it to auto");
  }
}

void check_milestones(CheckContext *context) {
  NEEDS(context, KEY_schedule_shape, KEY_schedule_milestones);
  if (!spec_is(context->spec, KEY_schedule_shape, "step")) return;
  const SpecValue *milestones = spec_value(context->spec, KEY_schedule_milestones);
  if (milestones->item_count == 0) {
    check_error(context, check_span(context, KEY_schedule_shape), "'shape = step' needs 'milestones'");
    check_note(context, span_none(), "give shares of the run, such as milestones = [0.3, 0.6, 0.9]");
  }
  for (int i = 1; i < milestones->item_count; i++) {
    if (milestones->items[i].number > milestones->items[i - 1].number) continue;
    check_error(context, milestones->items[i].span, "milestone %g comes after %g", milestones->items[i].number,
                milestones->items[i - 1].number);
    check_note(context, span_none(), "list them in ascending order, each once");
  }
}

static const SpecValue *column_of(const SpecValue *columns, int i) {
  return columns->kind == SPEC_LIST ? &columns->items[i] : columns;
}

void check_monitor(CheckContext *context) {
  enum { COLUMNS_MAX = 8 };
  NEEDS(context, KEY_monitor_columns);
  const SpecValue *columns = spec_value(context->spec, KEY_monitor_columns);
  if (columns->kind == SPEC_UNSET) return;
  int count = columns->kind == SPEC_LIST ? columns->item_count : 1;
  if (count == 0) {
    check_error(context, columns->span, "'columns' names none");
    check_note(context, span_none(), "name some, such as [country, gender], or remove it");
  }
  if (count > COLUMNS_MAX) {
    check_error(context, columns->span, "'columns' names %d, more than %d", count, COLUMNS_MAX);
    check_note(context, span_none(), "keep those that matter most: combinations are counted, too");
  }
  for (int i = 0; i < count; i++) {
    const SpecValue *column = column_of(columns, i);
    if (*column->text == '\0') {
      check_error(context, column->span, "a column without a name");
      check_note(context, span_none(), "'seerc data stats' lists the columns of an index");
    }
    bool twice = false;
    for (int j = 0; j < i; j++) twice = twice || strcmp(column_of(columns, j)->text, column->text) == 0;
    if (!twice) continue;
    check_error(context, column->span, "column '%s' is named twice", column->text);
    check_note(context, span_none(), "keep one of them");
  }
}

static void warn_if(CheckContext *context, bool off, SpecKey key, const char *reason, const char *advice) {
  if (!off || check_failed(context, &key, 1) || !check_changed(context, key)) return;
  check_warning(context, check_span(context, key), "'%s' has no effect: %s", check_short(key), reason);
  check_note(context, span_none(), "%s", advice);
}

void check_no_effect(CheckContext *context) {
  NEEDS(context, KEY_optimizer_name, KEY_schedule_shape, KEY_schedule_peak, KEY_views_jitter, KEY_views_blur,
        KEY_model_depths, KEY_model_shrink, KEY_checkpoint_placement, KEY_train_reproducible, KEY_monitor_columns);
  const Spec *spec = context->spec;
  bool sgd = spec_is(spec, KEY_optimizer_name, "sgd");
  warn_if(context, sgd, KEY_optimizer_trust, "the optimizer is sgd", "set 'name = larc', or remove it");
  warn_if(context, sgd, KEY_optimizer_larc_epsilon, "the optimizer is sgd", "set 'name = larc', or remove it");
  warn_if(context, sgd, KEY_optimizer_clip, "the optimizer is sgd", "set 'name = larc', or remove it");
  bool stepped = spec_is(spec, KEY_schedule_shape, "step"), cosine = spec_is(spec, KEY_schedule_shape, "cosine");
  warn_if(context, !stepped, KEY_schedule_milestones, "'shape' is not step", "set 'shape = step', or remove it");
  warn_if(context, !stepped, KEY_schedule_gamma, "'shape' is not step", "set 'shape = step', or remove it");
  warn_if(context, !cosine, KEY_schedule_cosine_from, "'shape' is not cosine", "set 'shape = cosine', or remove it");
  bool peak = spec_value(spec, KEY_schedule_peak)->kind == SPEC_NUMBER;
  warn_if(context, peak, KEY_schedule_base, "'peak' is set", "keep 'peak' or 'base'");
  warn_if(context, check_number(context, KEY_views_jitter, 1) == 0, KEY_views_jitter_strength, "'jitter' is 0",
          "raise 'jitter', or remove it");
  warn_if(context, check_number(context, KEY_views_blur, 1) == 0, KEY_views_blur_sigma, "'blur' is 0",
          "raise 'blur', or remove it");
  warn_if(context, check_is_set(context, KEY_model_depths), KEY_model_group_rule, "stages are explicit",
          "it adapts the generator's widths; remove it");
  warn_if(context, !spec_flag(spec, KEY_train_reproducible), KEY_train_slices, "the run is not reproducible",
          "set 'reproducible = yes', or remove it");
  warn_if(context, check_number(context, KEY_model_shrink, 1) == 1, KEY_cluster_rehearsal_ranks, "nothing is rehearsed",
          "set 'model.shrink', such as 16, or remove it");
  bool spikes = check_is_set(context, KEY_on_spike_rewind);
  const SpecKey of_spikes[] = {KEY_on_spike_skip, KEY_on_spike_factor, KEY_on_spike_window, KEY_on_spike_limit};
  for (size_t i = 0; i < sizeof of_spikes / sizeof *of_spikes; i++)
    warn_if(context, !spikes, of_spikes[i], "'rewind' is not set", "set 'rewind', such as 100, or remove it");
  bool counts = check_is_set(context, KEY_monitor_columns);
  warn_if(context, !counts, KEY_monitor_sample, "'columns' is not set",
          "set 'columns', such as [country], or remove it");
  warn_if(context, !counts, KEY_monitor_reference, "'columns' is not set",
          "set 'columns', such as [country], or remove it");
  warn_if(context, !spec_is(spec, KEY_checkpoint_placement, "random"), KEY_checkpoint_seed, "'placement' is not random",
          "set 'placement = random', or remove it");
}

void check_save_every(CheckContext *context) {
  NEEDS(context, KEY_save_every, KEY_train_steps);
  double every = check_number(context, KEY_save_every, 0), steps = check_steps(context);
  if (!check_by_user(context, KEY_save_every) || steps == 0 || every <= steps) return;
  check_warning(context, check_span(context, KEY_save_every),
                "a snapshot every %g steps is rarer than the run of %g steps is long", every, steps);
  check_note(context, check_span(context, KEY_train_steps), "lower 'every' to lose less when the run is interrupted");
}

void check_on_spike(CheckContext *context) {
  NEEDS(context, KEY_on_spike_rewind, KEY_save_every, KEY_save_keep);
  double rewind = check_number(context, KEY_on_spike_rewind, 0), every = check_number(context, KEY_save_every, 1);
  double keep = check_number(context, KEY_save_keep, 1), reach = every * (keep - 1);
  // The newest may be of the step before.
  if (!check_is_set(context, KEY_on_spike_rewind) || rewind <= reach) return;
  check_warning(context, check_span(context, KEY_on_spike_rewind),
                "snapshots reach back %g steps for certain, 'rewind' asks for %g", reach, rewind);
  check_note(context, span_none(), "keep %g of them: save.keep = %g", ceil(rewind / every) + 1,
             ceil(rewind / every) + 1);
}
