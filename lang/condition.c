// Conditions over columns of metadata: "country not in eu and (width >= 200 or label == cat)". On the left of a
// comparison stands a column, by its name or, where that is no name of the language, in quotes; on the right a number,
// or a word, with or without quotes. A name on the right that is a constant stands for its value.
#include <math.h>
#include <string.h>
#include <strings.h>

#include "lang/resolve.h"

static const EvalValue failure = {.ok = false};

// The members of the European Union since 2020-02-01, by ISO 3166-1.
static const char *const eu[] = {"AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU",
                                 "IE", "IT", "LT", "LU", "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK"};
enum { EU_COUNT = sizeof eu / sizeof *eu, COMPARISONS_MOST = 256, WORD_MOST = 1000 };

// A comparison while it is read.
typedef struct Comparison {
  Resolver *resolver;
  const char *column, *relation;
  int depth;  // of constants and lists around the operand at hand
} Comparison;

static bool report(Resolver *resolver, SourceSpan span, const char *message, const char *note) {
  diag_error(resolver->diags, span, "condition", "%s", message);
  diag_note(resolver->diags, span_none(), "%s", note);
  return false;
}

static const char *what_is(Resolver *resolver, const AstNode *node) {
  switch (node->kind) {
    case AST_NUMBER:
    case AST_NEGATE:
    case AST_BINARY: return "a number";
    case AST_LIST: return "a list";
    case AST_CALL: return "a call";
    case AST_COMPARE:
    case AST_LOGIC:
    case AST_NOT: return "a condition";
    case AST_REFERENCE: return arena_printf(resolver->arena, "the key '%s.%s'", node->text, node->key);
    case AST_NAME: return arena_printf(resolver->arena, "the name '%s'", node->text);
    case AST_GROUP: return what_is(resolver, node->children.items[0].value);
    default: return "this";
  }
}

static bool length_check(Resolver *resolver, const AstNode *node) {
  return strlen(node->text) <= WORD_MOST ||
         report(resolver, node->span, "a word of more than 1000 bytes", "columns and words of pictures are shorter");
}

// ---- the right side ----

static bool operand_read(Comparison *comparison, const AstNode *node, SpecValue *value);

static bool list_read(Comparison *comparison, const AstNode *node, SpecValue *value) {
  Resolver *resolver = comparison->resolver;
  size_t count = node->children.count;
  SpecValue *items = arena_array(resolver->arena, SpecValue, count + 1);
  bool sound = true;
  for (size_t i = 0; i < count; i++) {
    const AstNode *element = node->children.items[i].value;
    if (!operand_read(comparison, element, &items[i])) {
      sound = false;
    } else if (items[i].kind == SPEC_LIST) {
      sound = report(resolver, element->span, "a list within a list", "write one list of all words or numbers");
    } else if (items[i].kind == SPEC_NAME) {
      sound = report(resolver, element->span, "'unknown' is no word of a list",
                     arena_printf(resolver->arena, "write 'or %s == unknown' behind it", comparison->column));
    } else if (items[i].kind != items[0].kind && items[0].kind != SPEC_UNSET) {
      sound = report(resolver, element->span, "words and numbers in one list",
                     "a column holds words or numbers; a number in quotes is a word");
    }
  }
  if (count == 0) sound = report(resolver, node->span, "nothing is in an empty list", "name what is to be in it");
  *value = (SpecValue){.kind = SPEC_LIST, .items = items, .item_count = (int)count};
  return sound;
}

static bool constant_read(Comparison *comparison, Constant *constant, SourceSpan span, SpecValue *value) {
  Resolver *resolver = comparison->resolver;
  constant->used = constant->is_words = true;
  if (comparison->depth >= RESOLVE_DEEPEST) {
    diag_error(resolver->diags, span, "cycle", "'%s' depends on itself", constant->name);
    diag_note(resolver->diags, span_none(), "give it a value of its own");
    return false;
  }
  return operand_read(comparison, constant->node, value);
}

static bool name_read(Comparison *comparison, const AstNode *node, SpecValue *value) {
  Constant *constant = find_constant(comparison->resolver, node->text);
  if (constant) return constant_read(comparison, constant, node->span, value);
  bool is_unknown = strcmp(node->text, "unknown") == 0;
  *value = (SpecValue){.kind = is_unknown ? SPEC_NAME : SPEC_STRING, .text = node->text};
  return true;
}

static bool unit_fits(const char *column, SchemaUnit unit) {
  bool is_side = strcmp(column, "width") == 0 || strcmp(column, "height") == 0;
  return unit == UNIT_NONE || (unit == UNIT_PIXELS && is_side) || (unit == UNIT_BYTES && strcmp(column, "bytes") == 0);
}

static bool value_read(const Comparison *comparison, const AstNode *node, SpecValue *value) {
  Resolver *resolver = comparison->resolver;
  EvalValue computed = evaluate(resolver, node, NULL);
  if (!computed.ok) return false;
  *value = (SpecValue){.kind = computed.kind, .number = computed.number == 0 ? 0 : computed.number};
  if (computed.kind == SPEC_STRING || computed.kind == SPEC_NAME) {
    *value = (SpecValue){.kind = SPEC_STRING, .text = computed.text};
    return true;
  }
  if (computed.kind != SPEC_NUMBER)
    return report(resolver, node->span,
                  arena_printf(resolver->arena, "a column is compared with a word or a number, not with %s",
                               eval_kind_text(&computed)),
                  "write for example 'country == FR' or 'width >= 200'");
  if (unit_fits(comparison->column, computed.unit)) return true;
  diag_error(resolver->diags, node->span, "unit", "'%s' is a plain number, not one of %s", comparison->column,
             schema_unit_plural(computed.unit));
  diag_note(resolver->diags, span_none(), "leave the unit off");
  return false;
}

static bool operand_read(Comparison *comparison, const AstNode *node, SpecValue *value) {
  bool sound = true;
  comparison->depth++;
  switch (node->kind) {
    case AST_ERROR: sound = false; break;
    case AST_GROUP: sound = operand_read(comparison, node->children.items[0].value, value); break;
    case AST_LIST: sound = list_read(comparison, node, value); break;
    case AST_NAME: sound = length_check(comparison->resolver, node) && name_read(comparison, node, value); break;
    case AST_STRING:
      *value = (SpecValue){.kind = SPEC_STRING, .text = node->text};
      sound = length_check(comparison->resolver, node);
      break;
    default: sound = value_read(comparison, node, value); break;
  }
  value->span = node->span;
  comparison->depth--;
  return sound;
}

// ---- comparisons ----

static bool set_check(Comparison *comparison, const AstNode *right, const SpecValue *value) {
  if (value->kind == SPEC_LIST) return true;
  Resolver *resolver = comparison->resolver;
  return report(
      resolver, right->span, arena_printf(resolver->arena, "'%s' needs a list", comparison->relation),
      arena_printf(resolver->arena, "write '%s %s [...]', or the name of a list that 'let' defines; eu is one",
                   comparison->column, comparison->relation));
}

static bool right_check(Comparison *comparison, const AstNode *right, const SpecValue *value) {
  Resolver *resolver = comparison->resolver;
  const char *relation = comparison->relation, *column = comparison->column;
  bool is_equality = strcmp(relation, "==") == 0 || strcmp(relation, "!=") == 0;
  if (strstr(relation, "in")) return set_check(comparison, right, value);
  if (value->kind == SPEC_LIST)
    return report(resolver, right->span, arena_printf(resolver->arena, "'%s' compares with one value", relation),
                  arena_printf(resolver->arena, "write '%s in [...]'", column));
  if (is_equality || value->kind == SPEC_NUMBER) return true;
  if (value->kind == SPEC_NAME)
    return report(resolver, right->span, arena_printf(resolver->arena, "nothing is '%s unknown'", relation),
                  arena_printf(resolver->arena, "write '%s == unknown' or '%s != unknown'", column, column));
  return report(resolver, right->span, arena_printf(resolver->arena, "'%s' compares numbers, not words", relation),
                "words are compared by ==, !=, in and not in");
}

static bool is_eu(Resolver *resolver, const Comparison *comparison, const AstNode *right) {
  return strstr(comparison->relation, "in") && right->kind == AST_NAME && strcmp(right->text, "eu") == 0 &&
         !find_constant(resolver, "eu");
}

static SpecValue eu_value(Resolver *resolver, SourceSpan span) {
  SpecValue *items = arena_array(resolver->arena, SpecValue, EU_COUNT);
  for (int i = 0; i < EU_COUNT; i++) items[i] = (SpecValue){.kind = SPEC_STRING, .span = span, .text = eu[i]};
  return (SpecValue){.kind = SPEC_LIST, .span = span, .items = items, .item_count = EU_COUNT};
}

static bool left_check(Resolver *resolver, const AstNode *left) {
  if (left->kind == AST_NAME || left->kind == AST_STRING) return length_check(resolver, left);
  if (left->kind == AST_ERROR) return false;
  if (left->kind == AST_COMPARE)
    return report(resolver, left->span, "comparisons do not follow one another",
                  "join two by 'and': 'width >= 100 and width < 500'");
  return report(
      resolver, left->span,
      arena_printf(resolver->arena, "a comparison begins with a column, not with %s", what_is(resolver, left)),
      "write the column first, as in 'width >= 200'; a name that is no word of the language in quotes");
}

static bool compare_read(Resolver *resolver, const AstNode *node, SpecValue *condition) {
  const AstNode *left = node->children.items[0].value, *right = node->children.items[1].value;
  if (!left_check(resolver, left)) return false;
  Comparison comparison = {.resolver = resolver, .column = left->text, .relation = node->text};
  SpecValue *items = arena_array(resolver->arena, SpecValue, 2);
  items[0] = (SpecValue){.kind = SPEC_STRING, .span = left->span, .text = left->text};
  if (is_eu(resolver, &comparison, right))
    items[1] = eu_value(resolver, right->span);
  else if (!operand_read(&comparison, right, &items[1]) || !right_check(&comparison, right, &items[1]))
    return false;
  *condition = (SpecValue){
      .kind = SPEC_CONDITION, .span = node->span, .text = node->text, .number = 1, .items = items, .item_count = 2};
  return true;
}

// ---- conditions ----

static bool condition_read(Resolver *resolver, const AstNode *node, SpecValue *condition);

static bool constant_condition_read(Resolver *resolver, const AstNode *node, SpecValue *condition) {
  if (node->kind == AST_NAME && !find_constant(resolver, node->text))
    return report(
        resolver, node->span, arena_printf(resolver->arena, "'%s' is no condition", node->text),
        arena_printf(resolver->arena, "compare the column: '%s == yes', '%s != unknown'", node->text, node->text));
  EvalValue value = evaluate(resolver, node, NULL);
  if (!value.ok) return false;
  if (value.kind != SPEC_CONDITION)
    return report(resolver, node->span, arena_printf(resolver->arena, "%s is no condition", what_is(resolver, node)),
                  "compare a column with it: 'country == FR', 'width >= 200'");
  *condition = *value.condition;
  return true;
}

static bool logic_read(Resolver *resolver, const AstNode *node, SpecValue *condition) {
  int count = (int)node->children.count;
  SpecValue *items = arena_array(resolver->arena, SpecValue, count);
  bool sound = true;
  double comparisons = 0;
  for (int i = 0; i < count; i++) {
    sound = condition_read(resolver, node->children.items[i].value, &items[i]) && sound;
    comparisons += items[i].number;
  }
  *condition = (SpecValue){.kind = SPEC_CONDITION,
                           .span = node->span,
                           .text = node->kind == AST_NOT ? "not" : node->text,
                           .number = comparisons,
                           .items = items,
                           .item_count = count};
  if (sound && comparisons > COMPARISONS_MOST)
    return report(resolver, node->span, "a condition of more than 256 comparisons", "put words into lists: 'in [...]'");
  return sound;
}

static bool condition_read(Resolver *resolver, const AstNode *node, SpecValue *condition) {
  switch (node->kind) {
    case AST_ERROR: return false;
    case AST_COMPARE: return compare_read(resolver, node, condition);
    case AST_LOGIC:
    case AST_NOT: return logic_read(resolver, node, condition);
    case AST_GROUP: return condition_read(resolver, node->children.items[0].value, condition);
    default: return constant_condition_read(resolver, node, condition);
  }
}

EvalValue evaluate_condition(Resolver *resolver, const AstNode *node) {
  SpecValue *condition = arena_new(resolver->arena, SpecValue);
  if (!condition_read(resolver, node, condition)) return failure;
  return (EvalValue){.ok = true, .kind = SPEC_CONDITION, .span = node->span, .condition = condition};
}
