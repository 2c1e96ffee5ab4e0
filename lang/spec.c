// spec_load and the accessors. Loads layers, lets the higher of two alternatives win, evaluates every key, runs the
// checks.
#include "lang/spec.h"

#include <stdio.h>
#include <string.h>

#include "compiler/base/bug.h"
#include "lang/resolve.h"

// Two ways to say one thing. The one set in a higher layer wins: a user's `steps` replaces the `epochs` of a recipe.
typedef struct Alternative {
  SpecKey first[6], second[6];
  int first_count, second_count;
  bool first_gives_way;  // false: a default of the first still takes part when the second is set
} Alternative;

static const Alternative alternatives[] = {
    {{KEY_model_depth, KEY_model_w0, KEY_model_wa, KEY_model_wm, KEY_model_group_width},
     {KEY_model_depths, KEY_model_widths, KEY_model_group_widths},
     5,
     3,
     true},
    {{KEY_train_steps}, {KEY_train_epochs}, 1, 1, true},
    {{KEY_schedule_warmup}, {KEY_schedule_warmup_fraction}, 1, 1, true},
    {{KEY_schedule_base}, {KEY_schedule_peak}, 1, 1, false},
};

static int highest_layer(const Resolver *resolver, const SpecKey *keys, int count) {
  int highest = 0;
  for (int i = 0; i < count; i++) {
    const Assignment *assignment = &resolver->keys[keys[i]];
    if (assignment->node && assignment->layer > highest) highest = assignment->layer;
  }
  return highest;
}

static void settle_alternatives(Resolver *resolver) {
  for (size_t i = 0; i < sizeof alternatives / sizeof *alternatives; i++) {
    const Alternative *alternative = &alternatives[i];
    int first = highest_layer(resolver, alternative->first, alternative->first_count);
    int second = highest_layer(resolver, alternative->second, alternative->second_count);
    bool drop_first = second > first && first > 0 && alternative->first_gives_way;
    bool drop_second = first > second && second > 0;
    for (int k = 0; k < alternative->first_count && drop_first; k++) resolver->keys[alternative->first[k]].node = NULL;
    for (int k = 0; k < alternative->second_count && drop_second; k++)
      resolver->keys[alternative->second[k]].node = NULL;
  }
}

// All defaults are parsed at once, as the elements of one list.
static void parse_defaults(Resolver *resolver) {
  SourceMap *sources = source_map_make(resolver->arena);
  DiagList *diags = diag_list_make(resolver->arena, sources);
  Writer text = {0};
  writer_text(&text, "[");
  for (int i = 0; i < SPEC_KEY_COUNT; i++) {
    if (*schema_keys[i].default_text) writer_printf(&text, "%s,\n", schema_keys[i].default_text);
  }
  writer_text(&text, "]");
  const AstNode *list =
      parse_value(resolver->arena, sources, diags, source_map_add(sources, "schema.def", text.text, text.size));
  if (!list) BUG("a default of schema.def does not parse: %s", diags->items[0].text);
  writer_release(&text);
  size_t next = 0;
  for (int i = 0; i < SPEC_KEY_COUNT; i++) {
    if (*schema_keys[i].default_text) resolver->defaults[i] = list->children.items[next++].value;
  }
}

// What a condition reads as words; where nothing reads it, its names are none that must be known.
static bool is_words(const AstNode *node) {
  if (node->kind != AST_LIST) return node->kind == AST_NAME || node->kind == AST_STRING;
  for (size_t i = 0; i < node->children.count; i++) {
    if (!is_words(node->children.items[i].value)) return false;
  }
  return true;
}

static void warn_unused_constants(Resolver *resolver) {
  for (size_t i = 0; i < resolver->constants.count; i++) {
    Constant *constant = &resolver->constants.items[i];
    if (constant->state == STATE_NEW && constant->layer >= resolver->main_layer && !constant->used) {
      diag_warning(resolver->diags, constant->name_span, "unused-let", "constant '%s' is never used", constant->name);
      diag_note(resolver->diags, span_none(), "use it in a value, or remove it");
    }
    bool words = constant->is_words || is_words(constant->node);
    if (constant->state == STATE_NEW && !words) constant->value = evaluate(resolver, constant->node, NULL);
    constant->state = STATE_DONE;
  }
}

static const Spec *resolve(Resolver *resolver, const char *path, const SpecDefine *defines, int define_count) {
  resolver->spec = arena_new(resolver->arena, Spec);
  resolver->spec->path = path;
  size_t errors = resolver->diags->error_count;
  parse_defaults(resolver);
  load_main_file(resolver, path);
  load_defines(resolver, defines, define_count);
  settle_alternatives(resolver);
  for (int i = 0; i < SPEC_KEY_COUNT; i++) {
    resolver->chain.count = 0;
    resolve_key(resolver, (SpecKey)i);
  }
  resolver->chain.count = 0;
  if (!resolver->syntax_failed) {
    warn_unused_constants(resolver);
    check_spec(resolver);
  }
  return resolver->diags->error_count == errors ? resolver->spec : NULL;
}

const Spec *spec_load(Arena *arena, SourceMap *sources, DiagList *diags, const char *path, const char *library,
                      const SpecDefine *defines, int define_count) {
  Resolver *resolver = arena_new(arena, Resolver);
  *resolver =
      (Resolver){.arena = arena, .sources = sources, .diags = diags, .files = &spec_files_on_disk, .library = library};
  return resolve(resolver, path, defines, define_count);
}

bool spec_check_defines(Arena *arena, SourceMap *sources, DiagList *diags, const SpecDefine *defines,
                        int define_count) {
  size_t errors = diags->error_count;
  Resolver *resolver = arena_new(arena, Resolver);
  *resolver = (Resolver){.arena = arena, .sources = sources, .diags = diags, .spec = arena_new(arena, Spec)};
  // Each by itself: the same key again is another value of it, and the same constant is not defined twice.
  for (int i = 0; i < define_count; i++) load_defines(resolver, &defines[i], 1);
  return diags->error_count == errors;
}

const SpecValue *spec_condition(Arena *arena, SourceMap *sources, DiagList *diags, const char *shown,
                                const char *text) {
  size_t errors = diags->error_count;
  Resolver *resolver = arena_new(arena, Resolver);
  *resolver = (Resolver){.arena = arena, .sources = sources, .diags = diags, .spec = arena_new(arena, Spec)};
  parse_defaults(resolver);
  const AstNode *node = parse_value(arena, sources, diags, source_map_add(sources, shown, text, strlen(text)));
  if (!node) return NULL;
  const SchemaField *field = &schema_keys[KEY_data_keep];
  EvalValue computed = evaluate(resolver, node, field);
  SpecValue *value = arena_new(arena, SpecValue);
  convert_value(resolver, field, &computed, value);
  return diags->error_count == errors ? value : NULL;
}

typedef struct TextFirst {
  const SpecFiles *others;
  const char *name, *text;
  size_t size;
} TextFirst;

static bool text_is_file(const void *context, const char *path) {
  const TextFirst *first = context;
  return strcmp(path, first->name) == 0 || first->others->is_file(first->others->context, path);
}

static int text_read(const void *context, Arena *arena, const char *path, char **text, size_t *size) {
  const TextFirst *first = context;
  if (strcmp(path, first->name) != 0) return first->others->read(first->others->context, arena, path, text, size);
  *text = arena_string(arena, first->text, first->size);
  *size = first->size;
  return 0;
}

static const char *text_identity(const void *context, Arena *arena, const char *path) {
  const TextFirst *first = context;
  return strcmp(path, first->name) == 0 ? path : first->others->identity(first->others->context, arena, path);
}

static int text_list(const void *context, Arena *arena, const char *folder, const char ***names) {
  const TextFirst *first = context;
  return first->others->list(first->others->context, arena, folder, names);
}

const Spec *spec_load_text(Arena *arena, SourceMap *sources, DiagList *diags, const char *name, const char *text,
                           size_t size, const SpecFiles *files, const SpecDefine *defines, int define_count) {
  TextFirst first = {.others = files, .name = name, .text = text, .size = size};
  SpecFiles with_text = {
      .context = &first, .is_file = text_is_file, .read = text_read, .identity = text_identity, .list = text_list};
  Resolver *resolver = arena_new(arena, Resolver);
  *resolver = (Resolver){.arena = arena, .sources = sources, .diags = diags, .files = &with_text, .library = "specs"};
  return resolve(resolver, name, defines, define_count);
}

const SpecValue *spec_value(const Spec *spec, SpecKey key) { return &spec->values[key]; }

bool spec_is_set(const Spec *spec, SpecKey key) { return spec->values[key].kind != SPEC_UNSET; }

double spec_number(const Spec *spec, SpecKey key) {
  const SpecValue *value = &spec->values[key];
  if (value->kind != SPEC_NUMBER) BUG("'%s' is not a number", spec_key_name(key));
  return value->number;
}

int64_t spec_integer(const Spec *spec, SpecKey key) {
  double number = spec_number(spec, key);
  int64_t integer = (int64_t)number;
  if ((double)integer != number) BUG("'%s' is not a whole number", spec_key_name(key));
  return integer;
}

const char *spec_text(const Spec *spec, SpecKey key) {
  const SpecValue *value = &spec->values[key];
  return value->kind == SPEC_STRING || value->kind == SPEC_NAME ? value->text : NULL;
}

bool spec_flag(const Spec *spec, SpecKey key) { return spec_is(spec, key, "yes"); }

bool spec_is(const Spec *spec, SpecKey key, const char *name) {
  const SpecValue *value = &spec->values[key];
  return value->kind == SPEC_NAME && strcmp(value->text, name) == 0;
}

SourceSpan spec_span(const Spec *spec, SpecKey key) {
  SourceSpan span = spec->values[key].span;
  return span.file ? span : spec->section_spans[key];
}

const char *spec_key_name(SpecKey key) {
  static const char *const names[] = {
#define KEY(section, key, ...) #section "." #key,
#include "lang/schema.def"
  };
  if ((int)key < 0 || (int)key >= SPEC_KEY_COUNT) BUG("no key %d", (int)key);
  return names[key];
}

bool spec_require_model(const Spec *spec, DiagList *diags) {
  if (spec_is_set(spec, KEY_model_depth) || spec_is_set(spec, KEY_model_depths)) return true;
  diag_error(diags, spec_span(spec, KEY_model_depth), "no-model", "the spec describes no network");
  diag_note(diags, span_none(), "add for example: use \"models/regnety_400mf\"");
  return false;
}
