// Checks of the model: its form, its stages, its groups.
#include <math.h>

#include "lang/check.h"

static const SpecKey generator_keys[] = {KEY_model_depth, KEY_model_w0, KEY_model_wa, KEY_model_wm,
                                         KEY_model_group_width};
static const SpecKey stage_keys[] = {KEY_model_depths, KEY_model_widths, KEY_model_group_widths};

static int first_set(const CheckContext *context, const SpecKey *keys, int count) {
  for (int i = 0; i < count; i++) {
    if (check_is_set(context, keys[i])) return i;
  }
  return -1;
}

static void check_complete(CheckContext *context, const SpecKey *keys, int count, const char *what) {
  int first = first_set(context, keys, count);
  for (int i = 0; i < count; i++) {
    if (check_is_set(context, keys[i])) continue;
    check_error(context, check_span(context, keys[first]), "%s need '%s' too", what, check_short(keys[i]));
    check_note(context, span_none(), "'%s' is %s", check_short(keys[i]),
               schema_describe(context->arena, &schema_keys[keys[i]]));
  }
}

void check_model_form(CheckContext *context) {
  NEEDS(context, KEY_model_depth, KEY_model_w0, KEY_model_wa, KEY_model_wm, KEY_model_group_width, KEY_model_depths,
        KEY_model_widths, KEY_model_group_widths);
  int generator = first_set(context, generator_keys, 5), stages = first_set(context, stage_keys, 3);
  if (generator >= 0 && stages >= 0) {
    SpecKey a = generator_keys[generator], b = stage_keys[stages];
    check_error(context, check_span(context, b), "'%s' describes explicit stages, but '%s' is the generator's",
                check_short(b), check_short(a));
    check_note(context, check_span(context, a),
               "keep either depth, w0, wa, wm, group_width or depths, widths, group_widths");
    return;
  }
  if (generator >= 0) check_complete(context, generator_keys, 5, "the generator's numbers");
  if (stages >= 0) check_complete(context, stage_keys, 3, "explicit stages");
}

void check_initial_width(CheckContext *context) {
  NEEDS(context, KEY_model_w0);
  double width = check_number(context, KEY_model_w0, 0);
  if (fmod(width, 8) == 0) return;
  check_error(context, check_span(context, KEY_model_w0), "'w0' %g is not a multiple of 8", width);
  double below = floor(width / 8) * 8;
  if (below >= 8)
    check_note(context, span_none(), "the nearest are %g and %g", below, below + 8);
  else
    check_note(context, span_none(), "the nearest is 8");
}

void check_stage_lengths(CheckContext *context) {
  NEEDS(context, KEY_model_depths, KEY_model_widths, KEY_model_group_widths, KEY_model_strides);
  const SpecValue *depths = spec_value(context->spec, KEY_model_depths);
  if (depths->kind != SPEC_LIST) return;
  int stages = depths->item_count;
  if (stages == 0) {
    check_error(context, depths->span, "'depths' is empty");
    check_note(context, span_none(), "give the number of blocks of each stage, such as [1, 3, 6, 6]");
    return;
  }
  const SpecKey others[] = {KEY_model_widths, KEY_model_group_widths, KEY_model_strides};
  for (int i = 0; i < 3; i++) {
    const SpecValue *other = spec_value(context->spec, others[i]);
    bool one_for_all = others[i] == KEY_model_group_widths && other->item_count == 1;
    bool standard = others[i] == KEY_model_strides && !other->by_user && other->item_count >= stages;
    if (other->kind != SPEC_LIST || other->item_count == stages || one_for_all || standard) continue;
    check_error(context, check_span(context, others[i]), "'%s' has %d stage%s, 'depths' has %d", check_short(others[i]),
                other->item_count, other->item_count == 1 ? "" : "s", stages);
    check_note(context, depths->span, "give one number for each of these stages");
  }
}

void check_stage_widths(CheckContext *context) {
  NEEDS(context, KEY_model_widths);
  const SpecValue *widths = spec_value(context->spec, KEY_model_widths);
  for (int i = 1; i < widths->item_count; i++) {
    if (widths->items[i].number >= widths->items[i - 1].number) continue;
    check_warning(context, widths->items[i].span, "stage %d is narrower than stage %d: %g after %g", i + 1, i,
                  widths->items[i].number, widths->items[i - 1].number);
    check_note(context, span_none(), "widths usually grow from stage to stage");
  }
}

void check_bottleneck(CheckContext *context) {
  NEEDS(context, KEY_model_widths, KEY_model_bottleneck);
  const SpecValue *widths = spec_value(context->spec, KEY_model_widths);
  double bottleneck = check_number(context, KEY_model_bottleneck, 1);
  for (int i = 0; i < widths->item_count; i++) {
    double width = widths->items[i].number, inner = width * bottleneck;
    if (fabs(inner - nearbyint(inner)) < 1e-6 && nearbyint(inner) >= 1) continue;
    check_error(context, widths->items[i].span, "'widths' %g times 'bottleneck' %g is not a whole number", width,
                bottleneck);
    check_note(context, check_span(context, KEY_model_bottleneck), "choose a width whose product with it is whole");
  }
}

void check_group_width(CheckContext *context) {
  NEEDS(context, KEY_model_widths, KEY_model_group_widths, KEY_model_bottleneck);
  const SpecValue *widths = spec_value(context->spec, KEY_model_widths);
  const SpecValue *groups = spec_value(context->spec, KEY_model_group_widths);
  double bottleneck = check_number(context, KEY_model_bottleneck, 1);
  if (groups->kind != SPEC_LIST || groups->item_count == 0) return;
  // Where 'depths' is itself in error, nothing has said yet that the lists differ in length.
  bool one_for_all = groups->item_count == 1;
  if (!one_for_all && groups->item_count != widths->item_count) return;
  for (int i = 0; i < widths->item_count; i++) {
    const SpecValue *group = &groups->items[one_for_all ? 0 : i];
    double width = widths->items[i].number, inner = nearbyint(width * bottleneck);
    if (group->number >= inner || fmod(inner, group->number) == 0) continue;
    check_error(context, group->span, "'group_width' %g does not divide 'widths' %g", group->number, width);
    double step = group->number / bottleneck, below = floor(width / step) * step;
    bool whole = step == floor(step) && below > 0;
    if (whole)
      check_note(context, widths->items[i].span, "the nearest widths are %g and %g", below, below + step);
    else
      check_note(context, widths->items[i].span, "choose a width whose bottleneck is a multiple of it");
  }
}

void check_se_ratio(CheckContext *context) {
  NEEDS(context, KEY_model_family, KEY_model_se_ratio);
  SourceSpan span = check_span(context, KEY_model_se_ratio);
  double ratio = check_number(context, KEY_model_se_ratio, 0);
  bool is_x = spec_is(context->spec, KEY_model_family, "regnetx");
  if (is_x && check_by_user(context, KEY_model_se_ratio) && ratio > 0) {
    check_error(context, span, "'se_ratio' is set, but regnetx has no squeeze-and-excitation");
    check_note(context, check_span(context, KEY_model_family), "remove it, or choose family = regnety");
  } else if (!is_x && ratio == 0) {
    check_warning(context, span, "'se_ratio' 0 makes a regnetx of this regnety");
    check_note(context, span_none(), "choose family = regnetx, or a ratio such as 0.25");
  }
}

void check_bn_momentum(CheckContext *context) {
  NEEDS(context, KEY_model_bn_momentum);
  if (check_number(context, KEY_model_bn_momentum, 1) > 0) return;
  check_warning(context, check_span(context, KEY_model_bn_momentum),
                "with 'bn_momentum' 0 running statistics never move");
  check_note(context, span_none(), "evaluation uses them; 0.1 is usual");
}
