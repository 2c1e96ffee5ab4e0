// Checks of what goes in: crops, channels, where pictures come from; and of evaluation, which crops too.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lang/check.h"

void check_crops(CheckContext *context) {
  NEEDS(context, KEY_views_crops);
  const SpecValue *crops = spec_value(context->spec, KEY_views_crops);
  if (crops->item_count == 0) {
    check_error(context, check_span(context, KEY_views_crops), "'crops' is empty");
    check_note(context, span_none(),
               "a picture needs at least one view: [crop(count = 2, size = 224px, scale = 0.14..1.0)]");
    return;
  }
  for (int i = 1; i < crops->item_count; i++) {
    double before = check_crop(context, i - 1, ARGUMENT_crop_size), size = check_crop(context, i, ARGUMENT_crop_size);
    if (size < before) continue;
    SourceSpan span = crops->items[i].items[ARGUMENT_crop_size].span;
    if (size == before) {
      check_error(context, span, "two size groups have crops of %gpx", size);
      check_note(context, crops->items[i - 1].span,
                 "crops of one size form one group; raise its 'count', or use another size");
    } else {
      check_error(context, span, "crops of %gpx come after smaller ones of %gpx", size, before);
      check_note(context, crops->items[i - 1].span,
                 "list the largest size first; codes are computed for the first group");
    }
  }
}

void check_crop_stride(CheckContext *context) {
  NEEDS(context, KEY_views_crops, KEY_model_strides, KEY_model_stem_stride, KEY_model_depths);
  const SpecValue *crops = spec_value(context->spec, KEY_views_crops);
  const SpecValue *strides = spec_value(context->spec, KEY_model_strides);
  int stages = check_is_set(context, KEY_model_depths) ? spec_value(context->spec, KEY_model_depths)->item_count : 4;
  double stride = check_number(context, KEY_model_stem_stride, 2);
  for (int i = 0; i < strides->item_count && i < stages; i++) stride *= strides->items[i].number;
  for (int i = 0; i < crops->item_count; i++) {
    double size = check_crop(context, i, ARGUMENT_crop_size);
    if (size >= stride) continue;
    check_warning(context, crops->items[i].items[ARGUMENT_crop_size].span,
                  "crops of %gpx are smaller than the network's stride of %gpx", size, stride);
    check_note(context, span_none(), "use larger crops, or 'model { stem_stride = 1 }' for very small pictures");
  }
}

void check_channels(CheckContext *context) {
  const SpecKey keys[] = {KEY_views_mean, KEY_views_std};
  for (int i = 0; i < 2; i++) {
    if (check_failed(context, &keys[i], 1)) continue;
    const SpecValue *value = spec_value(context->spec, keys[i]);
    if (value->item_count == 3) continue;
    check_error(context, check_span(context, keys[i]), "'%s' has %d number%s, pictures have 3 channels",
                check_short(keys[i]), value->item_count, value->item_count == 1 ? "" : "s");
    check_note(context, span_none(), "write one each for red, green and blue");
  }
}

// The element as written: pictures is a string or a list of strings.
static const SpecValue *picture_path(const SpecValue *pictures, int index) {
  if (pictures->kind == SPEC_STRING) return index == 0 ? pictures : NULL;
  return index < pictures->item_count ? &pictures->items[index] : NULL;
}

static void check_paths(CheckContext *context, const SpecValue *pictures) {
  if (pictures->kind == SPEC_LIST && pictures->item_count == 0) {
    check_error(context, pictures->span, "'pictures' is an empty list");
    check_note(context, span_none(), "name a folder, an archive or a pattern");
  }
  const SpecValue *path;
  for (int i = 0; (path = picture_path(pictures, i)); i++) {
    if (!*path->text) {
      check_error(context, path->span, "'pictures' holds an empty path");
      check_note(context, span_none(), "name a folder, an archive or a pattern");
    }
    for (int j = 0; j < i && j < 1000; j++) {
      if (strcmp(picture_path(pictures, j)->text, path->text) != 0) continue;
      check_warning(context, path->span, "'pictures' names '%s' twice", path->text);
      check_note(context, picture_path(pictures, j)->span, "the first time is here; its pictures would count double");
      break;
    }
  }
}

void check_pictures(CheckContext *context) {
  NEEDS(context, KEY_data_pictures, KEY_evaluate_pictures);
  const SpecKey keys[] = {KEY_data_pictures, KEY_evaluate_pictures};
  for (int key = 0; key < 2; key++) {
    const SpecValue *pictures = spec_value(context->spec, keys[key]);
    if (pictures->kind != SPEC_UNSET) check_paths(context, pictures);
  }
}

// Checks one "{a..b}" or "{a,b}" whose inside begins at `text`; returns what is wrong, or NULL.
static const char *brace_fault(const char *text, const char **end) {
  const char *close = strchr(text, '}'), *open = strchr(text, '{');
  *end = close;
  if (!close) return "an opening brace is not closed";
  if (open && open < close) return "braces are nested";
  if (close == text) return "a pair of braces is empty";
  const char *dots = strstr(text, "..");
  if (!dots || dots > close) return NULL;
  size_t low_digits = strspn(text, "0123456789"), high_digits = strspn(dots + 2, "0123456789");
  bool numbers = low_digits && text + low_digits == dots && high_digits && dots + 2 + high_digits == close;
  if (!numbers) return "a counting pattern is written {0000..0999}";
  if (low_digits > 18 || high_digits > 18) return "a counting pattern has too many digits";
  if (strtoll(text, NULL, 10) > strtoll(dots + 2, NULL, 10)) return "a counting pattern runs downwards";
  return NULL;
}

static void check_path_pattern(CheckContext *context, const SpecValue *path) {
  for (const char *at = path->text; *at; at++) {
    const char *fault = NULL, *end = NULL;
    if (*at == '}') fault = "a closing brace was never opened";
    if (*at == '{') fault = brace_fault(at + 1, &end);
    if (fault) {
      check_error(context, path->span, "pattern '%s': %s", path->text, fault);
      check_note(context, span_none(), "for example \"shards/{0000..0999}.tar\" or \"{train,extra}/*.jpg\"");
      return;
    }
    if (end) at = end;
  }
}

void check_pattern(CheckContext *context) {
  NEEDS(context, KEY_data_pictures, KEY_evaluate_pictures);
  const SpecKey keys[] = {KEY_data_pictures, KEY_evaluate_pictures};
  for (int key = 0; key < 2; key++) {
    const SpecValue *pictures = spec_value(context->spec, keys[key]), *path;
    if (pictures->kind == SPEC_UNSET) continue;
    for (int i = 0; (path = picture_path(pictures, i)); i++) check_path_pattern(context, path);
  }
}

void check_evaluate_size(CheckContext *context) {
  NEEDS(context, KEY_evaluate_size, KEY_evaluate_resize);
  double size = check_number(context, KEY_evaluate_size, 0), resize = check_number(context, KEY_evaluate_resize, 0);
  if (resize >= size) return;
  bool at_size = check_by_user(context, KEY_evaluate_size) && !check_by_user(context, KEY_evaluate_resize);
  SourceSpan span = check_span(context, at_size ? KEY_evaluate_size : KEY_evaluate_resize);
  check_error(context, span, "'resize' %gpx is smaller than the centre crop 'size' %gpx", resize, size);
  check_note(context, span_none(), "set 'resize' to at least %gpx; %gpx is usual", size, nearbyint(size * 8 / 7));
}

// The trainer reads it when it is asked to: here only what no table can be is found.
void check_evaluate_tasks(CheckContext *context) {
  NEEDS(context, KEY_evaluate_tasks);
  if (!spec_is_set(context->spec, KEY_evaluate_tasks)) return;
  const char *path = spec_text(context->spec, KEY_evaluate_tasks);
  size_t length = strlen(path);
  if (length > 4 && (strcmp(path + length - 4, ".csv") == 0 || strcmp(path + length - 4, ".tsv") == 0)) return;
  check_error(context, check_span(context, KEY_evaluate_tasks),
              "'tasks' is a table that ends in .csv or .tsv, not '%s'", path);
  check_note(context, span_none(),
             "it has the columns name, train, test, and may have metric and group: "
             "specs/tasks/seer.csv is one to begin with");
}
