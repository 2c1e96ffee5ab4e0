// Fits a value to its key: kind, unit, whole numbers, bounds, names, arguments of calls. Says what is allowed.
#include <math.h>
#include <string.h>

#include "compiler/base/bug.h"
#include "lang/resolve.h"

static void note_allowed(Resolver *resolver, const SchemaField *field) {
  diag_note(resolver->diags, span_none(), "'%s' takes %s", field->name, schema_describe(resolver->arena, field));
}

static const char *value_text(Resolver *resolver, const EvalValue *value) {
  switch (value->kind) {
    case SPEC_NUMBER:
      return arena_printf(resolver->arena, "the number %s",
                          schema_quantity(resolver->arena, value->number, value->unit));
    case SPEC_STRING: return "a string";
    case SPEC_NAME: return arena_printf(resolver->arena, "the name '%s'", value->text);
    case SPEC_RANGE: return "a range";
    case SPEC_LIST: return "a list";
    case SPEC_CALL: return arena_printf(resolver->arena, "a call of '%s'", value->text);
    case SPEC_CONDITION: return "a condition";
    case SPEC_UNSET: break;
  }
  return "nothing";
}

static bool type_error(Resolver *resolver, const SchemaField *field, const EvalValue *value) {
  diag_error(resolver->diags, value->span, "type", "'%s' cannot be %s", field->name, value_text(resolver, value));
  bool wants_list = field->type == TYPE_LIST_INTEGER || field->type == TYPE_LIST_NUMBER;
  if (wants_list && value->kind == SPEC_NUMBER)
    diag_note(resolver->diags, span_none(), "write it as a list: [%s]",
              schema_quantity(resolver->arena, value->number, value->unit));
  else if (field->type == TYPE_LIST_CALL && value->kind == SPEC_CALL)
    diag_note(resolver->diags, span_none(), "write it as a list: [%s(...)]", value->text);
  else if (field->type == TYPE_NAME && value->kind == SPEC_STRING && schema_names_hold(field->names, value->text))
    diag_note(resolver->diags, span_none(), "write the name without quotes: %s", value->text);
  else
    note_allowed(resolver, field);
  return false;
}

static bool unit_error(Resolver *resolver, const SchemaField *field, const EvalValue *value) {
  const char *given = schema_unit_plural(value->unit), *wanted = schema_unit_plural(field->unit);
  if (field->unit == UNIT_NONE)
    diag_error(resolver->diags, value->span, "unit", "'%s' is a plain number, not one of %s", field->name, given);
  else
    diag_error(resolver->diags, value->span, "unit", "'%s' is measured in %s, not in %s", field->name, wanted, given);
  for (int i = 0; i < schema_key_count && field->unit != UNIT_NONE; i++) {
    const SchemaField *other = &schema_keys[i];
    if (other->unit != value->unit || strcmp(other->section, field->section) != 0) continue;
    diag_note(resolver->diags, span_none(), "for %s set '%s' instead", given, other->name);
    return false;
  }
  note_allowed(resolver, field);
  return false;
}

static bool check_bounds(Resolver *resolver, const SchemaField *field, SourceSpan span, double number) {
  if (number >= field->minimum && number <= field->maximum) return true;
  bool below = number < field->minimum;
  diag_error(resolver->diags, span, "range", "'%s' %s is %s %s", field->name,
             schema_quantity(resolver->arena, number, field->unit), below ? "below" : "above",
             schema_quantity(resolver->arena, below ? field->minimum : field->maximum, field->unit));
  note_allowed(resolver, field);
  return false;
}

static bool convert_number(Resolver *resolver, const SchemaField *field, const EvalValue *value, SpecValue *result) {
  if (value->kind != SPEC_NUMBER) return type_error(resolver, field, value);
  if (value->unit != UNIT_NONE && value->unit != field->unit) return unit_error(resolver, field, value);
  if (schema_is_whole(field->type) && value->number != floor(value->number)) {
    diag_error(resolver->diags, value->span, "whole", "'%s' %s is not a whole number", field->name,
               schema_quantity(resolver->arena, value->number, field->unit));
    note_allowed(resolver, field);
    return false;
  }
  if (!check_bounds(resolver, field, value->span, value->number)) return false;
  bool bare = value->unit == UNIT_NONE && field->unit == UNIT_BYTES && value->number < 1048576;
  if (bare) {
    diag_warning(resolver->diags, value->span, "bare-bytes", "'%s' without a unit is %s bytes", field->name,
                 schema_quantity(resolver->arena, value->number, UNIT_NONE));
    diag_note(resolver->diags, span_none(), "write a unit: %sGiB",
              schema_quantity(resolver->arena, value->number, UNIT_NONE));
  }
  result->kind = SPEC_NUMBER;
  result->number = value->number == 0 ? 0 : value->number;
  return true;
}

// hybrid(8)
static bool convert_name_with_number(Resolver *resolver, const EvalValue *value, SpecValue *result) {
  const EvalValue *number = value->count == 1 && !value->items[0].name ? &value->items[0].value : NULL;
  bool whole = number && number->kind == SPEC_NUMBER && number->unit == UNIT_NONE &&
               number->number == floor(number->number) && number->number >= 2 && number->number <= 1e6;
  if (!whole) {
    diag_error(resolver->diags, value->span, "argument", "'%s' takes one whole number from 2 to 1000000", value->text);
    diag_note(resolver->diags, span_none(), "write '%s(8)'", value->text);
    return false;
  }
  result->kind = SPEC_NAME;
  result->text = value->text;
  result->number = number->number;
  return true;
}

static bool convert_name(Resolver *resolver, const SchemaField *field, const EvalValue *value, SpecValue *result) {
  if (value->kind == SPEC_CALL && schema_name_takes_number(field->names, value->text))
    return convert_name_with_number(resolver, value, result);
  if (value->kind != SPEC_NAME) return type_error(resolver, field, value);
  if (!schema_names_hold(field->names, value->text)) {
    diag_error(resolver->diags, value->span, "name", "'%s' cannot be '%s'", field->name, value->text);
    Suggestion suggestion = suggestion_make(value->text);
    suggestion_offer_names(&suggestion, resolver->arena, field->names);
    const char *best = suggestion_best(&suggestion);
    const char *affirmative[] = {"true", "on", "1"}, *negative[] = {"false", "off", "0"};
    for (int i = 0; i < 3 && field->type == TYPE_FLAG; i++) {
      if (strcmp(value->text, affirmative[i]) == 0) best = "yes";
      if (strcmp(value->text, negative[i]) == 0) best = "no";
    }
    if (best)
      diag_note(resolver->diags, span_none(), "did you mean '%s'?", best);
    else
      note_allowed(resolver, field);
    return false;
  }
  result->kind = SPEC_NAME;
  result->text = value->text;
  return true;
}

static bool convert_range(Resolver *resolver, const SchemaField *field, const EvalValue *value, SpecValue *result) {
  if (value->kind != SPEC_RANGE) return type_error(resolver, field, value);
  if (value->unit != UNIT_NONE && value->unit != field->unit) return unit_error(resolver, field, value);
  bool low = check_bounds(resolver, field, value->span, value->low);
  if (!low || !check_bounds(resolver, field, value->span, value->high)) return false;
  if (value->low > value->high) {
    diag_error(resolver->diags, value->span, "range-order", "'%s' runs from %s down to %s", field->name,
               schema_quantity(resolver->arena, value->low, field->unit),
               schema_quantity(resolver->arena, value->high, field->unit));
    diag_note(resolver->diags, span_none(), "write the lower end first");
    return false;
  }
  result->kind = SPEC_RANGE;
  result->low = value->low == 0 ? 0 : value->low;
  result->high = value->high == 0 ? 0 : value->high;
  return true;
}

static bool convert_call(Resolver *resolver, const SchemaField *field, const EvalValue *value, SpecValue *result);

static bool convert_list(Resolver *resolver, const SchemaField *field, SchemaType element, const EvalValue *value,
                         SpecValue *result) {
  if (value->kind != SPEC_LIST) return type_error(resolver, field, value);
  SpecValue *items = arena_array(resolver->arena, SpecValue, value->count);
  SchemaField item_field = *field;
  item_field.type = element;
  item_field.default_text = "";
  bool ok = true;
  for (int i = 0; i < value->count; i++) {
    const EvalValue *item = &value->items[i].value;
    items[i].span = item->span;
    if (element == TYPE_LIST_CALL)
      ok = convert_call(resolver, field, item, &items[i]) && ok;
    else
      ok = convert_value(resolver, &item_field, item, &items[i]) && ok;
  }
  result->kind = SPEC_LIST;
  result->items = items;
  result->item_count = value->count;
  return ok;
}

static bool convert_paths(Resolver *resolver, const SchemaField *field, const EvalValue *value, SpecValue *result) {
  if (value->kind == SPEC_LIST) return convert_list(resolver, field, TYPE_STRING, value, result);
  if (value->kind != SPEC_STRING) return type_error(resolver, field, value);
  result->kind = SPEC_STRING;
  result->text = value->text;
  return true;
}

static void report_unknown_argument(Resolver *resolver, const char *call, const EvalItem *item) {
  diag_error(resolver->diags, item->name_span, "unknown-argument", "'%s' has no argument '%s'", call, item->name);
  Suggestion suggestion = suggestion_make(item->name);
  Writer all = {0};
  for (int i = 0; i < schema_argument_count; i++) {
    if (strcmp(schema_arguments[i].section, call) != 0) continue;
    suggestion_offer(&suggestion, schema_arguments[i].name);
    writer_printf(&all, "%s%s", all.size ? ", " : "", schema_arguments[i].name);
  }
  const char *best = suggestion_best(&suggestion);
  if (best)
    diag_note(resolver->diags, span_none(), "did you mean '%s'?", best);
  else
    diag_note(resolver->diags, span_none(), "its arguments are %s", all.text);
  writer_release(&all);
}

// Places the given arguments into `arguments`, indexed like schema_arguments; false after reporting.
static bool place_arguments(Resolver *resolver, const EvalValue *call, SpecValue *arguments, bool *given,
                            bool *some_unknown) {
  bool ok = true;
  for (int i = 0; i < call->count; i++) {
    const EvalItem *item = &call->items[i];
    if (!item->name) {
      diag_error(resolver->diags, item->value.span, "argument", "arguments of '%s' are named", call->text);
      diag_note(resolver->diags, span_none(), "write '%s(%s = ...)'", call->text, schema_arguments[0].name);
      ok = false;
      continue;
    }
    int index = schema_find_argument(call->text, item->name);
    if (index < 0) {
      report_unknown_argument(resolver, call->text, item);
      *some_unknown = true;
      ok = false;
      continue;
    }
    if (given[index]) {
      diag_error(resolver->diags, item->name_span, "argument", "argument '%s' is given twice", item->name);
      diag_note(resolver->diags, span_none(), "keep one of them");
      ok = false;
    }
    given[index] = true;
    arguments[index].by_user = true;
    ok = convert_value(resolver, &schema_arguments[index], &item->value, &arguments[index]) && ok;
  }
  return ok;
}

static EvalValue default_of(Resolver *resolver, const SchemaField *field) {
  SourceMap *sources = source_map_make(resolver->arena);
  DiagList *diags = diag_list_make(resolver->arena, sources);
  uint32_t file = source_map_add(sources, "schema.def", field->default_text, strlen(field->default_text));
  const AstNode *node = parse_value(resolver->arena, sources, diags, file);
  if (!node) BUG("the default of '%s.%s' does not parse", field->section, field->name);
  return evaluate(resolver, node, field);
}

static bool convert_call(Resolver *resolver, const SchemaField *field, const EvalValue *value, SpecValue *result) {
  if (!value->ok) return false;
  if (value->kind != SPEC_CALL) return type_error(resolver, field, value);
  if (strcmp(value->text, field->names) != 0) {
    bool known = schema_find_call(value->text) >= 0;
    diag_error(resolver->diags, value->span, "unknown-call",
               known ? "'%s(...)' is for another key" : "unknown call '%s(...)'", value->text);
    Suggestion suggestion = suggestion_make(value->text);
    suggestion_offer(&suggestion, field->names);
    const char *best = suggestion_best(&suggestion);
    if (best)
      diag_note(resolver->diags, span_none(), "did you mean '%s'?", best);
    else
      note_allowed(resolver, field);
    return false;
  }
  SpecValue *arguments = arena_array(resolver->arena, SpecValue, schema_argument_count);
  bool *given = arena_array(resolver->arena, bool, schema_argument_count);
  bool some_unknown = false;
  bool ok = place_arguments(resolver, value, arguments, given, &some_unknown);
  for (int i = 0; i < schema_argument_count; i++) {
    const SchemaField *argument = &schema_arguments[i];
    if (given[i] || strcmp(argument->section, value->text) != 0) continue;
    if (!*argument->default_text) {
      if (some_unknown) continue;
      diag_error(resolver->diags, value->span, "argument", "'%s' needs the argument '%s'", value->text, argument->name);
      diag_note(resolver->diags, span_none(), "it takes %s", schema_describe(resolver->arena, argument));
      ok = false;
      continue;
    }
    EvalValue standard = default_of(resolver, argument);
    ok = convert_value(resolver, argument, &standard, &arguments[i]) && ok;
    arguments[i].span = span_none();
  }
  result->kind = SPEC_CALL;
  result->text = value->text;
  result->items = arguments;
  result->item_count = schema_argument_count;
  return ok;
}

static bool convert_condition(Resolver *resolver, const SchemaField *field, const EvalValue *value, SpecValue *result) {
  if (value->kind == SPEC_NAME) return convert_name(resolver, field, value, result);
  if (value->kind != SPEC_CONDITION) return type_error(resolver, field, value);
  SourceSpan span = result->span;
  *result = *value->condition;
  result->span = span;
  return true;
}

bool convert_value(Resolver *resolver, const SchemaField *field, const EvalValue *value, SpecValue *result) {
  if (!value->ok) return false;
  result->span = value->span;
  if (value->kind == SPEC_NAME && schema_is_auto(field, value->text)) {
    result->kind = SPEC_NAME;
    result->text = "auto";
    return true;
  }
  switch (field->type) {
    case TYPE_INTEGER:
    case TYPE_NUMBER:
    case TYPE_AUTO_INTEGER:
    case TYPE_AUTO_BYTES:
    case TYPE_AUTO_NUMBER: return convert_number(resolver, field, value, result);
    case TYPE_NAME:
    case TYPE_FLAG: return convert_name(resolver, field, value, result);
    case TYPE_RANGE: return convert_range(resolver, field, value, result);
    case TYPE_LIST_INTEGER: return convert_list(resolver, field, TYPE_INTEGER, value, result);
    case TYPE_LIST_NUMBER: return convert_list(resolver, field, TYPE_NUMBER, value, result);
    case TYPE_LIST_CALL: return convert_list(resolver, field, TYPE_LIST_CALL, value, result);
    case TYPE_PATHS:
    case TYPE_NAMES: return convert_paths(resolver, field, value, result);
    case TYPE_CONDITION: return convert_condition(resolver, field, value, result);
    case TYPE_STRING:
      if (value->kind != SPEC_STRING) return type_error(resolver, field, value);
      result->kind = SPEC_STRING;
      result->text = value->text;
      return true;
  }
  return false;
}
