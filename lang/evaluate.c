// Values of expressions: constants, references to keys, arithmetic with units. Each key and constant is computed once;
// a cycle is reported where it closes, with the chain as notes.
#include <math.h>
#include <string.h>

#include "lang/resolve.h"

static const EvalValue failure = {.ok = false};

// True when the chain may go on. `name` is "train.batch" or a constant.
static bool chain_enter(Resolver *resolver, const char *name, SourceSpan span) {
  if (resolver->chain.count >= RESOLVE_DEEPEST) {
    diag_error(resolver->diags, span, "nesting", "references follow one another more than %d times", RESOLVE_DEEPEST);
    diag_note(resolver->diags, span_none(), "write the value of '%s' itself", name);
    return false;
  }
  ChainLink link = {.name = name, .span = span};
  arena_push(resolver->arena, &resolver->chain, ChainLink, link);
  return true;
}

static void report_cycle(Resolver *resolver, const char *name, SourceSpan span) {
  diag_error(resolver->diags, span, "cycle", "'%s' depends on itself", name);
  size_t first = 0;
  for (size_t i = 0; i < resolver->chain.count; i++) {
    if (strcmp(resolver->chain.items[i].name, name) == 0) first = i;
  }
  for (size_t i = first; i < resolver->chain.count; i++) {
    bool last = i + 1 == resolver->chain.count;
    const char *next = last ? name : resolver->chain.items[i + 1].name;
    diag_note(resolver->diags, last ? span : resolver->chain.items[i + 1].span, "'%s' refers to '%s'",
              resolver->chain.items[i].name, next);
  }
  diag_note(resolver->diags, span_none(), "give one of them a value of its own");
}

void resolve_key(Resolver *resolver, SpecKey key) {
  if (resolver->states[key] != STATE_NEW) return;
  const Assignment *assignment = &resolver->keys[key];
  const SchemaField *field = &schema_keys[key];
  const AstNode *node = assignment->node ? assignment->node : resolver->defaults[key];
  SpecValue *value = &resolver->spec->values[key];
  *value = (SpecValue){.kind = SPEC_UNSET};
  if (!node) {
    resolver->states[key] = STATE_DONE;
    return;
  }
  if (resolver->chain.count == 0) chain_enter(resolver, spec_key_name(key), assignment->key_span);
  bool is_root = resolver->chain.count == 1;
  resolver->states[key] = STATE_RUNNING;
  EvalValue computed = evaluate(resolver, node, field);
  resolver->failed[key] |= !computed.ok || !convert_value(resolver, field, &computed, value);
  value->by_user = assignment->node != NULL;
  if (!value->by_user) value->span = span_none();
  resolver->states[key] = STATE_DONE;
  if (is_root) resolver->chain.count = 0;
}

static EvalValue from_spec_value(Resolver *resolver, const SpecValue *value, SchemaUnit unit, SourceSpan span) {
  EvalValue result = {.ok = true,
                      .kind = value->kind,
                      .span = span,
                      .number = value->number,
                      .low = value->low,
                      .high = value->high,
                      .unit = unit,
                      .text = value->text,
                      .count = value->item_count,
                      .condition = value};
  if (value->kind == SPEC_CONDITION) return result;
  EvalItem *items = arena_array(resolver->arena, EvalItem, value->item_count);
  for (int i = 0; i < value->item_count; i++) {
    const SpecValue *item = &value->items[i];
    if (value->kind == SPEC_CALL) {
      const SchemaField *argument = &schema_arguments[i];
      items[i].name = argument->name;
      items[i].value = from_spec_value(resolver, item, argument->unit, span);
    } else {
      items[i].value = from_spec_value(resolver, item, unit, span);
    }
  }
  result.items = items;
  return result;
}

static void report_unknown_reference(Resolver *resolver, const AstNode *node) {
  Suggestion suggestion = suggestion_make(node->key);
  if (schema_find_section(node->text) < 0) {
    diag_error(resolver->diags, node->span, "unknown-reference", "'%s.%s' refers to an unknown section '%s'",
               node->text, node->key, node->text);
    suggestion = suggestion_make(node->text);
    for (int i = 0; i < schema_section_count; i++) suggestion_offer(&suggestion, schema_sections[i].name);
  } else {
    diag_error(resolver->diags, node->span, "unknown-reference", "section '%s' has no key '%s'", node->text, node->key);
    for (int i = 0; i < schema_key_count; i++) {
      if (strcmp(schema_keys[i].section, node->text) == 0) suggestion_offer(&suggestion, schema_keys[i].name);
    }
  }
  const char *best = suggestion_best(&suggestion);
  if (best)
    diag_note(resolver->diags, span_none(), "did you mean '%s'?", best);
  else
    diag_note(resolver->diags, span_none(), "'seerc explain' lists sections and keys");
}

static EvalValue evaluate_reference(Resolver *resolver, const AstNode *node) {
  int index = schema_find_key(node->text, node->key);
  if (index < 0) {
    report_unknown_reference(resolver, node);
    return failure;
  }
  SpecKey key = (SpecKey)index;
  const char *name = spec_key_name(key);
  if (resolver->states[key] == STATE_RUNNING) {
    report_cycle(resolver, name, node->span);
    return failure;
  }
  if (resolver->states[key] == STATE_NEW) {
    if (!chain_enter(resolver, name, node->span)) return failure;
    size_t depth = resolver->chain.count;
    resolve_key(resolver, key);
    resolver->chain.count = depth - 1;
  }
  if (resolver->failed[key]) return failure;
  const SpecValue *value = &resolver->spec->values[key];
  if (value->kind == SPEC_UNSET) {
    diag_error(resolver->diags, node->span, "unset-reference", "'%s' is not set", name);
    diag_note(resolver->diags, span_none(), "set it, or write a value here");
    return failure;
  }
  // Pictures are plain counts in arithmetic: 0.3 * train.batch / 256 is a number.
  SchemaUnit unit = schema_keys[key].unit == UNIT_IMAGES ? UNIT_NONE : schema_keys[key].unit;
  return from_spec_value(resolver, value, unit, node->span);
}

Constant *find_constant(Resolver *resolver, const char *name) {
  for (size_t i = resolver->constants.count; i > 0; i--) {
    if (strcmp(resolver->constants.items[i - 1].name, name) == 0) return &resolver->constants.items[i - 1];
  }
  return NULL;
}

static EvalValue evaluate_constant(Resolver *resolver, Constant *constant, SourceSpan span) {
  constant->used = true;
  if (constant->state == STATE_RUNNING) {
    report_cycle(resolver, constant->name, span);
    return failure;
  }
  if (constant->state == STATE_NEW) {
    if (!chain_enter(resolver, constant->name, span)) return failure;
    size_t depth = resolver->chain.count;
    constant->state = STATE_RUNNING;
    constant->value = evaluate(resolver, constant->node, NULL);
    constant->state = STATE_DONE;
    resolver->chain.count = depth - 1;
  }
  EvalValue value = constant->value;
  value.span = span;
  return value;
}

static bool some_key_takes(const char *name) {
  for (int i = 0; i < schema_key_count; i++) {
    const SchemaField *field = &schema_keys[i];
    if (schema_names_hold(field->names, name) || schema_is_auto(field, name)) return true;
  }
  return false;
}

static void report_unknown_name(Resolver *resolver, const AstNode *node, const SchemaField *target) {
  diag_error(resolver->diags, node->span, "unknown-name", "unknown name '%s'", node->text);
  Suggestion suggestion = suggestion_make(node->text);
  for (size_t i = 0; i < resolver->constants.count; i++)
    suggestion_offer(&suggestion, resolver->constants.items[i].name);
  const char *own;
  for (int i = 0; target && (own = schema_auto_name(target, i)); i++) suggestion_offer(&suggestion, own);
  const char *best = suggestion_best(&suggestion);
  if (best) {
    diag_note(resolver->diags, span_none(), "did you mean '%s'?", best);
    return;
  }
  const char *alias = schema_find_alias(node->text);
  if (alias) {
    diag_note(resolver->diags, span_none(), "did you mean '%s'?", alias);
    return;
  }
  for (int i = 0; i < schema_key_count; i++) {
    if (strcmp(schema_keys[i].name, node->text) != 0) continue;
    diag_note(resolver->diags, span_none(), "to refer to a key, write its section too: '%s'",
              spec_key_name((SpecKey)i));
    return;
  }
  if (target && (target->type == TYPE_STRING || target->type == TYPE_PATHS))
    diag_note(resolver->diags, span_none(), "a string is written in double quotes: \"%s\"", node->text);
  else if (target)
    diag_note(resolver->diags, span_none(), "'%s' takes %s", target->name, schema_describe(resolver->arena, target));
  else
    diag_note(resolver->diags, span_none(), "define it with 'let %s = ...'", node->text);
}

static EvalValue evaluate_name(Resolver *resolver, const AstNode *node, const SchemaField *target) {
  EvalValue name = {.ok = true, .kind = SPEC_NAME, .span = node->span, .text = node->text};
  bool takes_names =
      target && (target->type == TYPE_NAME || target->type == TYPE_FLAG || target->type == TYPE_CONDITION);
  if (takes_names && schema_names_hold(target->names, node->text)) return name;
  if (target && schema_is_auto(target, node->text)) return name;
  Constant *constant = find_constant(resolver, node->text);
  if (constant) return evaluate_constant(resolver, constant, node->span);
  if (target && target->type == TYPE_NAMES) {
    name.kind = SPEC_STRING;
    return name;
  }
  if (takes_names || some_key_takes(node->text)) return name;
  report_unknown_name(resolver, node, target);
  return failure;
}

const char *eval_kind_text(const EvalValue *value) {
  switch (value->kind) {
    case SPEC_UNSET: return "nothing";
    case SPEC_NUMBER: return "a number";
    case SPEC_STRING: return "a string";
    case SPEC_NAME: return "a name";
    case SPEC_RANGE: return "a range";
    case SPEC_LIST: return "a list";
    case SPEC_CALL: return "a call";
    case SPEC_CONDITION: return "a condition";
  }
  return "";
}

// An operand must be a number; reports and returns false otherwise.
static bool is_operand(Resolver *resolver, const EvalValue *value, const char *where) {
  if (!value->ok) return false;
  if (value->kind == SPEC_NUMBER) return true;
  if (value->kind == SPEC_NAME)
    diag_error(resolver->diags, value->span, "arithmetic", "%s takes numbers, not the name '%s'", where, value->text);
  else
    diag_error(resolver->diags, value->span, "arithmetic", "%s takes numbers, not %s", where, eval_kind_text(value));
  bool is_auto = value->kind == SPEC_NAME && strcmp(value->text, "auto") == 0;
  diag_note(resolver->diags, span_none(),
            is_auto ? "'auto' is decided later; write a number or calculate from other keys"
                    : "write a number, a constant or a key that holds a number");
  return false;
}

static bool combine_units(Resolver *resolver, const AstNode *node, const EvalValue *left, const EvalValue *right,
                          SchemaUnit *unit) {
  bool additive = node->operation == '+' || node->operation == '-';
  bool both = left->unit != UNIT_NONE && right->unit != UNIT_NONE;
  *unit = left->unit != UNIT_NONE ? left->unit : right->unit;
  if (!both && (node->operation != '/' || right->unit == UNIT_NONE)) return true;
  if (both && left->unit == right->unit && node->operation != '*') {
    if (!additive) *unit = UNIT_NONE;
    return true;
  }
  const char *verb = additive                 ? "added to or subtracted from"
                     : node->operation == '*' ? "multiplied with"
                                              : "used to divide";
  diag_error(resolver->diags, node->span, "unit", "%s cannot be %s %s", schema_unit_plural(right->unit), verb,
             left->unit == UNIT_NONE ? "a plain number" : schema_unit_plural(left->unit));
  diag_note(resolver->diags, span_none(), additive ? "use one unit on both sides" : "leave the unit off one side");
  return false;
}

static EvalValue evaluate_binary(Resolver *resolver, const AstNode *node) {
  EvalValue left = evaluate(resolver, node->children.items[0].value, NULL);
  EvalValue right = evaluate(resolver, node->children.items[1].value, NULL);
  bool usable = is_operand(resolver, &left, "arithmetic");
  usable = is_operand(resolver, &right, "arithmetic") && usable;
  EvalValue result = {.ok = true, .kind = SPEC_NUMBER, .span = node->span};
  if (!usable || !combine_units(resolver, node, &left, &right, &result.unit)) return failure;
  switch (node->operation) {
    case '+': result.number = left.number + right.number; break;
    case '-': result.number = left.number - right.number; break;
    case '*': result.number = left.number * right.number; break;
    default:
      if (right.number == 0) {
        diag_error(resolver->diags, right.span, "arithmetic", "division by zero");
        diag_note(resolver->diags, span_none(), "divide by something else");
        return failure;
      }
      result.number = left.number / right.number;
  }
  if (isfinite(result.number)) return result;
  diag_error(resolver->diags, node->span, "arithmetic", "the result is too large for a number");
  diag_note(resolver->diags, span_none(), "numbers reach up to 1.8e308");
  return failure;
}

static EvalValue evaluate_range(Resolver *resolver, const AstNode *node) {
  EvalValue low = evaluate(resolver, node->children.items[0].value, NULL);
  EvalValue high = evaluate(resolver, node->children.items[1].value, NULL);
  bool usable = is_operand(resolver, &low, "a range");
  usable = is_operand(resolver, &high, "a range") && usable;
  if (!usable) return failure;
  if (low.unit != high.unit && low.unit != UNIT_NONE && high.unit != UNIT_NONE) {
    diag_error(resolver->diags, node->span, "unit", "the ends of a range have different units");
    diag_note(resolver->diags, span_none(), "use one unit on both sides");
    return failure;
  }
  SchemaUnit unit = low.unit != UNIT_NONE ? low.unit : high.unit;
  return (EvalValue){
      .ok = true, .kind = SPEC_RANGE, .span = node->span, .low = low.number, .high = high.number, .unit = unit};
}

// Of a list, each element may be what the target takes by itself; of a call, what its argument takes.
static const SchemaField *target_of(const AstNode *node, const AstItem *child, const SchemaField *target) {
  if (node->kind == AST_LIST) return target && target->type == TYPE_NAMES ? target : NULL;
  int argument = child->name ? schema_find_argument(node->text, child->name) : -1;
  return argument < 0 ? NULL : &schema_arguments[argument];
}

static EvalValue evaluate_sequence(Resolver *resolver, const AstNode *node, const SchemaField *target) {
  EvalItem *items = arena_array(resolver->arena, EvalItem, node->children.count);
  bool ok = true;
  for (size_t i = 0; i < node->children.count; i++) {
    const AstItem *child = &node->children.items[i];
    items[i] = (EvalItem){.name = child->name,
                          .name_span = child->name_span,
                          .value = evaluate(resolver, child->value, target_of(node, child, target))};
    ok = ok && items[i].value.ok;
  }
  bool is_call = node->kind == AST_CALL;
  return (EvalValue){.ok = ok,
                     .kind = is_call ? SPEC_CALL : SPEC_LIST,
                     .span = node->span,
                     .text = node->text,
                     .items = items,
                     .count = (int)node->children.count};
}

EvalValue evaluate(Resolver *resolver, const AstNode *node, const SchemaField *target) {
  EvalValue result = {.ok = true, .span = node->span};
  switch (node->kind) {
    case AST_ERROR: return failure;
    case AST_NUMBER: {
      int unit = schema_find_unit(node->unit);
      if (*node->unit && unit < 0) return failure;
      result.kind = SPEC_NUMBER;
      result.unit = *node->unit ? schema_units[unit].unit : UNIT_NONE;
      result.number = node->number * (*node->unit ? schema_units[unit].factor : 1);
      return result;
    }
    case AST_STRING:
      result.kind = SPEC_STRING;
      result.text = node->text;
      return result;
    case AST_NAME: return evaluate_name(resolver, node, target);
    case AST_REFERENCE: return evaluate_reference(resolver, node);
    case AST_RANGE: return evaluate_range(resolver, node);
    case AST_LIST:
    case AST_CALL: return evaluate_sequence(resolver, node, target);
    case AST_NEGATE:
      result = evaluate(resolver, node->children.items[0].value, NULL);
      if (!is_operand(resolver, &result, "'-'")) return failure;
      result.number = -result.number;
      result.span = node->span;
      return result;
    case AST_BINARY: return evaluate_binary(resolver, node);
    case AST_COMPARE:
    case AST_LOGIC:
    case AST_NOT: return evaluate_condition(resolver, node);
    case AST_GROUP: return evaluate(resolver, node->children.items[0].value, target);
  }
  return failure;
}
