// Checks of what is learnt: swapped prediction or labels, codes, queue, prototypes.
#include <math.h>
#include <string.h>

#include "lang/check.h"

static bool is_supervised(const CheckContext *context) { return check_is_set(context, KEY_supervised_classes); }

void check_objective(CheckContext *context) {
  NEEDS(context, KEY_supervised_classes, KEY_supervised_label_smoothing);
  if (!is_supervised(context)) {
    if (!check_changed(context, KEY_supervised_label_smoothing)) return;
    check_error(context, check_span(context, KEY_supervised_label_smoothing),
                "supervised training needs 'classes' too");
    check_note(context, span_none(), "write 'classes = auto' to count the folders, or their number");
    return;
  }
  SourceSpan classes = check_span(context, KEY_supervised_classes);
  for (int i = 0; i < SPEC_KEY_COUNT; i++) {
    const SpecValue *value = spec_value(context->spec, (SpecKey)i);
    bool in_same_file = value->by_user && value->span.file == classes.file;
    if (strcmp(schema_keys[i].section, "swav") != 0 || !in_same_file) continue;
    check_error(context, value->span, "'swav.%s' and 'supervised.classes' are both set", schema_keys[i].name);
    check_note(context, classes, "labels are asked for here; remove one of the two sections");
    return;
  }
}

void check_head(CheckContext *context) {
  NEEDS(context, KEY_swav_head, KEY_supervised_classes);
  const SpecValue *head = spec_value(context->spec, KEY_swav_head);
  if (is_supervised(context) || head->item_count > 0) return;
  check_error(context, check_span(context, KEY_swav_head), "'head' is empty");
  check_note(context, span_none(), "give hidden widths and the embedding width, such as [2048, 128]");
}

void check_assign_crops(CheckContext *context) {
  NEEDS(context, KEY_swav_assign_crops, KEY_views_crops, KEY_supervised_classes);
  if (is_supervised(context)) return;
  double assigned = check_number(context, KEY_swav_assign_crops, 0);
  double first = check_crop(context, 0, ARGUMENT_crop_count);
  SourceSpan crops = check_span(context, KEY_views_crops);
  if (check_crop_total(context) < 2) {
    check_error(context, crops, "swapped prediction needs at least 2 crops of a picture");
    check_note(context, span_none(), "raise 'count', or add a second size");
    return;
  }
  if (assigned <= first) return;
  bool chosen = check_by_user(context, KEY_swav_assign_crops);
  check_error(context, chosen ? check_span(context, KEY_swav_assign_crops) : crops,
              "'assign_crops' %g is above the %g crop%s of the first size", assigned, first, first == 1 ? "" : "s");
  check_note(context, chosen ? crops : span_none(), "raise the first 'count', or lower 'assign_crops'");
}

void check_queue(CheckContext *context) {
  NEEDS(context, KEY_swav_queue, KEY_swav_queue_start, KEY_train_batch, KEY_train_steps, KEY_supervised_classes);
  if (is_supervised(context)) return;
  double queue = check_number(context, KEY_swav_queue, 0), batch = check_number(context, KEY_train_batch, 1);
  if (queue > 0 && fmod(queue, batch) != 0) {
    double below = floor(queue / batch) * batch;
    check_error(context, check_span(context, KEY_swav_queue), "'queue' %g is not a multiple of 'batch' %g", queue,
                batch);
    if (below > 0)
      check_note(context, check_span(context, KEY_train_batch), "the nearest are %g and %g", below, below + batch);
    else
      check_note(context, check_span(context, KEY_train_batch), "the smallest is %g", batch);
  }
  double start = check_number(context, KEY_swav_queue_start, 0), steps = check_steps(context);
  SourceSpan span = check_span(context, KEY_swav_queue_start);
  if (queue == 0 && start > 0) {
    check_warning(context, span, "'queue_start' has no effect without a queue");
    check_note(context, span_none(), "set 'queue', such as %g", 15 * batch);
  }
  if (queue > 0 && steps > 0 && start >= steps) {
    check_warning(context, span, "the queue joins at step %g, after the run's %g steps", start, steps);
    check_note(context, span_none(), "lower 'queue_start', or remove the queue");
  }
}

void check_freeze(CheckContext *context) {
  NEEDS(context, KEY_swav_freeze_prototypes, KEY_train_steps, KEY_supervised_classes);
  double frozen = check_number(context, KEY_swav_freeze_prototypes, 0), steps = check_steps(context);
  if (is_supervised(context) || steps == 0 || frozen < steps) return;
  check_warning(context, check_span(context, KEY_train_steps),
                "prototypes stay frozen for %g steps, the whole run of %g", frozen, steps);
  check_note(context, check_span(context, KEY_swav_freeze_prototypes),
             "lower 'swav.freeze_prototypes', for example to %g", floor(steps / 20));
}
