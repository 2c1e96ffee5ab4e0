// Trees of conditions become terms and steps; "!=" and "not in" are "not" of a term.
#include "compiler/driver/keep.h"

#include <inttypes.h>
#include <string.h>

#include "compiler/base/hash.h"

typedef struct Terms {
  SeerKeepTerm *items;
  size_t count, capacity;
} Terms;

typedef struct Steps {
  SeerKeepStep *items;
  size_t count, capacity;
} Steps;

typedef struct KeepBuild {
  Arena *arena;
  Terms terms;
  Steps steps;
} KeepBuild;

enum { TEXT_MOST = 1000 };

// Long lists are cut short: a hash stands for what is left out.
static const char *text_of(Arena *arena, const SpecValue *condition) {
  Writer out = {0};
  spec_print_condition(condition, &out);
  const char *text = arena_string(arena, out.text, out.size);
  if (out.size > TEXT_MOST) {
    size_t cut = TEXT_MOST;
    while (cut > 0 && ((unsigned char)text[cut] & 0xC0) == 0x80) cut--;
    text = arena_printf(arena, "%.*s... (%016" PRIx64 ")", (int)cut, text, hash_text(HASH_START, text));
  }
  writer_release(&out);
  return text;
}

static void step_add(KeepBuild *build, SeerKeepOperation operation, int term) {
  SeerKeepStep step = {operation, term};
  arena_push(build->arena, &build->steps, SeerKeepStep, step);
}

// A list, or one value.
static void values_set(Arena *arena, const SpecValue *value, SeerKeepTerm *term) {
  const SpecValue *items = value->kind == SPEC_LIST ? value->items : value;
  int count = value->kind == SPEC_LIST ? value->item_count : 1;
  const char **words = arena_array(arena, const char *, count);
  double *numbers = arena_array(arena, double, count);
  for (int i = 0; i < count; i++) {
    words[i] = items[i].text;
    numbers[i] = items[i].number;
  }
  if (items[0].kind == SPEC_NUMBER) {
    term->numbers = numbers;
    term->number_count = count;
  } else {
    term->words = words;
    term->word_count = count;
  }
}

static SeerKeepRelation relation_of(const char *text) {
  if (strcmp(text, "<") == 0) return SEER_KEEP_LESS;
  if (strcmp(text, "<=") == 0) return SEER_KEEP_AT_MOST;
  if (strcmp(text, ">") == 0) return SEER_KEEP_MORE;
  return strcmp(text, ">=") == 0 ? SEER_KEEP_AT_LEAST : SEER_KEEP_IN;
}

static void term_add(KeepBuild *build, const SpecValue *condition) {
  const SpecValue *value = &condition->items[1];
  bool negated = strcmp(condition->text, "!=") == 0 || strcmp(condition->text, "not in") == 0;
  SpecValue told = *condition;
  if (negated) told.text = condition->text[0] == '!' ? "==" : "in";
  SeerKeepTerm term = {.text = text_of(build->arena, &told),
                       .column = condition->items[0].text,
                       .relation = value->kind == SPEC_NAME ? SEER_KEEP_UNKNOWN : relation_of(condition->text)};
  if (value->kind != SPEC_NAME) values_set(build->arena, value, &term);
  arena_push(build->arena, &build->terms, SeerKeepTerm, term);
  step_add(build, SEER_KEEP_TERM, (int)build->terms.count - 1);
  if (negated) step_add(build, SEER_KEEP_NOT, 0);
}

static void condition_add(KeepBuild *build, const SpecValue *condition) {
  bool is_not = strcmp(condition->text, "not") == 0, is_and = strcmp(condition->text, "and") == 0;
  if (!is_not && !is_and && strcmp(condition->text, "or") != 0) {
    term_add(build, condition);
    return;
  }
  for (int i = 0; i < condition->item_count; i++) condition_add(build, &condition->items[i]);
  step_add(build, is_not ? SEER_KEEP_NOT : is_and ? SEER_KEEP_AND : SEER_KEEP_OR, 0);
}

const SeerKeep *keep_from_condition(Arena *arena, const SpecValue *condition) {
  if (condition->kind != SPEC_CONDITION) return NULL;
  KeepBuild build = {.arena = arena};
  condition_add(&build, condition);
  SeerKeep *keep = arena_new(arena, SeerKeep);
  *keep = (SeerKeep){.text = text_of(arena, condition),
                     .terms = build.terms.items,
                     .term_count = (int)build.terms.count,
                     .steps = build.steps.items,
                     .step_count = (int)build.steps.count};
  return keep;
}
