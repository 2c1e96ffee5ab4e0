// Runs checks.def in order, with prerequisites, and holds what the themes share.
#include "lang/check.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "compiler/base/bug.h"

typedef struct Check {
  const char *name, *requires;
  void (*run)(CheckContext *context);
} Check;

static const Check checks[] = {
#define CHECK(function, name, requires, help) {name, requires, check_##function},
#include "lang/checks.def"
};
#define CHECK_COUNT (sizeof checks / sizeof *checks)

const CheckRow check_rows[] = {
#define CHECK(function, name, requires, help) {name, help},
#define MESSAGE(name, help) {name, help},
#include "lang/checks.def"
};
const int check_row_count = (int)(sizeof check_rows / sizeof *check_rows);

static bool prerequisites_hold(size_t index, const bool *reported) {
  for (size_t i = 0; i < CHECK_COUNT; i++) {
    if (reported[i] && schema_names_hold(checks[index].requires, checks[i].name)) return false;
  }
  return true;
}

// A prerequisite that stands later in the table runs first.
static void run_check(CheckContext *context, size_t index, bool *done, bool *reported) {
  if (done[index]) return;
  done[index] = true;
  for (size_t i = 0; i < CHECK_COUNT; i++) {
    if (schema_names_hold(checks[index].requires, checks[i].name)) run_check(context, i, done, reported);
  }
  if (!prerequisites_hold(index, reported)) return;
  size_t errors = context->diags->error_count;
  context->name = checks[index].name;
  checks[index].run(context);
  reported[index] = context->diags->error_count != errors;
}

void check_spec(Resolver *resolver) {
  CheckContext context = {
      .resolver = resolver, .arena = resolver->arena, .diags = resolver->diags, .spec = resolver->spec};
  bool done[CHECK_COUNT] = {false}, reported[CHECK_COUNT] = {false};
  for (size_t i = 0; i < CHECK_COUNT; i++) {
    bug_set_stage(checks[i].name);
    run_check(&context, i, done, reported);
  }
  bug_set_stage(NULL);
}

bool check_failed(const CheckContext *context, const SpecKey *keys, int count) {
  for (int i = 0; i < count; i++) {
    if (context->resolver->failed[keys[i]]) return true;
  }
  return false;
}

void check_error(CheckContext *context, SourceSpan span, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  diag_error(context->diags, span, context->name, "%s", arena_vprintf(context->arena, format, arguments));
  va_end(arguments);
}

void check_warning(CheckContext *context, SourceSpan span, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  diag_warning(context->diags, span, context->name, "%s", arena_vprintf(context->arena, format, arguments));
  va_end(arguments);
}

void check_note(CheckContext *context, SourceSpan span, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  diag_note(context->diags, span, "%s", arena_vprintf(context->arena, format, arguments));
  va_end(arguments);
}

double check_number(const CheckContext *context, SpecKey key, double otherwise) {
  const SpecValue *value = spec_value(context->spec, key);
  return value->kind == SPEC_NUMBER ? value->number : otherwise;
}

bool check_is_set(const CheckContext *context, SpecKey key) { return spec_is_set(context->spec, key); }

bool check_by_user(const CheckContext *context, SpecKey key) {
  return spec_is_set(context->spec, key) && spec_value(context->spec, key)->by_user;
}

static bool same_value(const SpecValue *a, const EvalValue *b) {
  if (a->kind != b->kind) return false;
  switch (a->kind) {
    case SPEC_NUMBER: return a->number == b->number;
    case SPEC_NAME:
    case SPEC_STRING: return strcmp(a->text, b->text) == 0;
    case SPEC_RANGE: return a->low == b->low && a->high == b->high;
    default: return a->item_count == 0 && b->count == 0;
  }
}

bool check_changed(const CheckContext *context, SpecKey key) {
  if (!check_by_user(context, key)) return false;
  const AstNode *node = context->resolver->defaults[key];
  if (!node) return true;
  EvalValue standard = evaluate(context->resolver, node, &schema_keys[key]);
  return !same_value(spec_value(context->spec, key), &standard);
}

SourceSpan check_span(const CheckContext *context, SpecKey key) { return spec_span(context->spec, key); }

const char *check_short(SpecKey key) { return schema_keys[key].name; }

const char *check_quantity(const CheckContext *context, double number, SchemaUnit unit) {
  return schema_quantity(context->arena, number, unit);
}

void check_divisors(double whole, double number, double *below, double *above) {
  *below = floor(fmin(number, whole));
  while (fmod(whole, *below) != 0) --*below;
  *above = 0;
  for (double next = number; next <= whole && *above == 0; next++) {
    if (fmod(whole, next) == 0) *above = next;
  }
}

int check_crop_groups(const CheckContext *context) { return spec_value(context->spec, KEY_views_crops)->item_count; }

double check_crop(const CheckContext *context, int group, int argument) {
  return spec_value(context->spec, KEY_views_crops)->items[group].items[argument].number;
}

int check_crop_total(const CheckContext *context) {
  double total = 0;
  for (int i = 0; i < check_crop_groups(context); i++) total += check_crop(context, i, ARGUMENT_crop_count);
  return total < 1e9 ? (int)total : 1000000000;
}

double check_steps(const CheckContext *context) { return check_number(context, KEY_train_steps, 0); }
