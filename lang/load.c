// Gathers assignments: a file's `use` first, then its own sections, then -D; each file one layer above what it uses.
// A file used twice is read once. Names are checked here, everywhere they are written; values later, where they hold.
#include <string.h>

#include "lang/resolve.h"

static void load_statements(Resolver *resolver, const AstFile *ast, const char *path);

static const char *find_file(Resolver *resolver, const char *folder, const char *path) {
  const char *folders[] = {folder, resolver->library};
  const SpecFiles *files = resolver->files;
  for (int i = 0; i < 2; i++) {
    if (!folders[i]) continue;
    const char *plain = path_join(resolver->arena, folders[i], path);
    const char *with_suffix = arena_printf(resolver->arena, "%s.seer", plain);
    if (files->is_file(files->context, with_suffix)) return with_suffix;
    if (files->is_file(files->context, plain)) return plain;
  }
  return NULL;
}

static void offer_folder(Resolver *resolver, Suggestion *suggestion, const char *folder) {
  const char **names = NULL;
  int count = resolver->files->list(resolver->files->context, resolver->arena, folder, &names);
  for (int i = 0; i < count; i++) {
    const char *name = path_without_suffix(resolver->arena, names[i]);
    if (name != names[i]) suggestion_offer(suggestion, name);
  }
}

static const char *nearest_in(Resolver *resolver, const char *folder, const char *shown_folder, const char *name) {
  Suggestion suggestion = suggestion_make(name);
  offer_folder(resolver, &suggestion, folder);
  const char *best = suggestion_best(&suggestion);
  return best ? path_join(resolver->arena, shown_folder, best) : NULL;
}

const char *load_suggest_file(Resolver *resolver, const char *folder, const char *path) {
  Arena *arena = resolver->arena;
  const char *wanted_folder = path_folder(arena, path);
  const char *slash = strrchr(path, '/');
  const char *name = path_without_suffix(arena, slash ? slash + 1 : path);
  const char *best = nearest_in(resolver, path_join(arena, folder, wanted_folder), wanted_folder, name);
  if (best || !resolver->library) return best;
  best = nearest_in(resolver, path_join(arena, resolver->library, wanted_folder), wanted_folder, name);
  const char *const shelves[] = {"models", "recipes", "machines"};
  for (int i = 0; i < 3 && !best; i++)
    best = nearest_in(resolver, path_join(arena, resolver->library, shelves[i]), shelves[i], name);
  return best;
}

static void report_missing_file(Resolver *resolver, const AstStatement *use, const char *folder) {
  diag_error(resolver->diags, use->name_span, "use", "cannot find '%s'", use->name);
  const char *best = load_suggest_file(resolver, folder, use->name);
  if (best)
    diag_note(resolver->diags, span_none(), "did you mean \"%s\"?", best);
  else if (resolver->library)
    diag_note(resolver->diags, span_none(), "it is looked up beside this file, then among the shipped specs in '%s'",
              resolver->library);
  else
    diag_note(resolver->diags, span_none(),
              "it is looked up beside this file; no folder of shipped specs was found (-I names one)");
}

static void report_use_cycle(Resolver *resolver, const AstStatement *use, const char *identity) {
  diag_error(resolver->diags, use->name_span, "use-cycle", "'%s' uses itself", use->name);
  bool inside = false;
  for (size_t i = 0; i < resolver->open_files.count; i++) {
    const ChainLink *link = &resolver->open_files.items[i];
    if (inside && link->span.file) diag_note(resolver->diags, link->span, "it uses this file");
    inside |= strcmp(link->name, identity) == 0;
  }
  diag_note(resolver->diags, span_none(), "remove one 'use' of the chain");
}

static bool links_hold(const ChainLinks *links, const char *name) {
  for (size_t i = 0; i < links->count; i++) {
    if (strcmp(links->items[i].name, name) == 0) return true;
  }
  return false;
}

// False when the text could not be read.
static bool load_file(Resolver *resolver, const char *path, const char *shown, const char *identity,
                      SourceSpan use_span) {
  char *text = NULL;
  size_t size = 0;
  int error = resolver->files->read(resolver->files->context, resolver->arena, path, &text, &size);
  if (error) {
    diag_error(resolver->diags, use_span, "file", "cannot read '%s': %s", path, strerror(error));
    diag_note(resolver->diags, span_none(), "name a spec file that exists and may be read");
    return false;
  }
  ChainLink link = {.name = identity, .span = use_span};
  arena_push(resolver->arena, &resolver->open_files, ChainLink, link);
  arena_push(resolver->arena, &resolver->seen_files, ChainLink, link);
  uint32_t file = source_map_add(resolver->sources, shown, text ? text : "", size);
  size_t errors = resolver->diags->error_count;
  const AstFile *ast = parse_file(resolver->arena, resolver->sources, resolver->diags, file);
  resolver->syntax_failed |= resolver->diags->error_count != errors;
  load_statements(resolver, ast, path);
  resolver->open_files.count--;
  return true;
}

static void load_use(Resolver *resolver, const AstStatement *use, const char *folder) {
  if (!*use->name || strchr(use->name, '\n')) {
    diag_error(resolver->diags, use->name_span, "use", "'use' needs the path of a file");
    diag_note(resolver->diags, span_none(), "for example: use \"models/regnety_400mf\"");
    return;
  }
  const char *path = find_file(resolver, folder, use->name);
  if (!path) {
    report_missing_file(resolver, use, folder);
    return;
  }
  const char *identity = resolver->files->identity(resolver->files->context, resolver->arena, path);
  if (links_hold(&resolver->open_files, identity)) {
    report_use_cycle(resolver, use, identity);
    return;
  }
  if (links_hold(&resolver->seen_files, identity)) return;
  if (resolver->open_files.count >= RESOLVE_DEEPEST) {
    diag_error(resolver->diags, use->name_span, "nesting", "files use one another more than %d levels deep",
               RESOLVE_DEEPEST);
    diag_note(resolver->diags, span_none(), "use the last file of the chain directly");
    return;
  }
  load_file(resolver, path, path, identity, use->name_span);
}

static void report_unknown_section(Resolver *resolver, const char *name, SourceSpan span) {
  diag_error(resolver->diags, span, "unknown-section", "unknown section '%s'", name);
  Suggestion suggestion = suggestion_make(name);
  for (int i = 0; i < schema_section_count; i++) suggestion_offer(&suggestion, schema_sections[i].name);
  const char *best = suggestion_best(&suggestion);
  if (best) {
    diag_note(resolver->diags, span_none(), "did you mean '%s'?", best);
    return;
  }
  Writer all = {0};
  for (int i = 0; i < schema_section_count; i++) writer_printf(&all, "%s%s", i ? ", " : "", schema_sections[i].name);
  diag_note(resolver->diags, span_none(), "the sections are %s", all.text);
  writer_release(&all);
}

static void note_keys_of(Resolver *resolver, const char *section) {
  Writer all = {0};
  for (int i = 0; i < schema_key_count; i++) {
    if (strcmp(schema_keys[i].section, section) == 0)
      writer_printf(&all, "%s%s", all.size ? ", " : "", schema_keys[i].name);
  }
  diag_note(resolver->diags, span_none(), "its keys are %s", all.text);
  writer_release(&all);
}

static void report_unknown_key(Resolver *resolver, const char *section, const char *key, SourceSpan span) {
  diag_error(resolver->diags, span, "unknown-key", "section '%s' has no key '%s'", section, key);
  for (int i = 0; i < schema_key_count; i++) {
    if (strcmp(schema_keys[i].section, section) == 0) resolver->failed[i] = true;
  }
  const char *alias = schema_find_alias(key);
  for (int i = 0; i < schema_key_count && !alias; i++) {
    if (strcmp(schema_keys[i].name, key) == 0) {
      diag_note(resolver->diags, span_none(), "it is a key of section '%s': '%s'", schema_keys[i].section,
                spec_key_name((SpecKey)i));
      return;
    }
  }
  if (alias) {
    diag_note(resolver->diags, span_none(), "did you mean '%s'?", alias);
    return;
  }
  Suggestion suggestion = suggestion_make(key);
  for (int i = 0; i < schema_key_count; i++) {
    if (strcmp(schema_keys[i].section, section) == 0) suggestion_offer(&suggestion, schema_keys[i].name);
  }
  const char *best = suggestion_best(&suggestion);
  if (best)
    diag_note(resolver->diags, span_none(), "did you mean '%s'?", best);
  else
    note_keys_of(resolver, section);
}

static void assign(Resolver *resolver, SpecKey key, const AstNode *node, SourceSpan key_span, SourceSpan section_span) {
  resolver->keys[key] =
      (Assignment){.node = node, .key_span = key_span, .section_span = section_span, .layer = resolver->layer};
}

static void load_section(Resolver *resolver, const AstStatement *section) {
  if (schema_find_section(section->name) < 0) {
    report_unknown_section(resolver, section->name, section->name_span);
    return;
  }
  for (int i = 0; i < schema_key_count; i++) {
    if (strcmp(schema_keys[i].section, section->name) == 0) resolver->spec->section_spans[i] = section->name_span;
  }
  for (size_t i = 0; i < section->keys.count; i++) {
    const AstItem *item = &section->keys.items[i];
    int key = schema_find_key(section->name, item->name);
    if (key < 0) {
      report_unknown_key(resolver, section->name, item->name, item->name_span);
      continue;
    }
    const Assignment *earlier = &resolver->keys[key];
    bool again = earlier->node && earlier->section_span.file == section->name_span.file &&
                 earlier->section_span.begin == section->name_span.begin;
    if (again) {
      diag_error(resolver->diags, item->name_span, "duplicate-key", "'%s' is set twice in one section", item->name);
      diag_note(resolver->diags, earlier->key_span, "the first time is here; keep one of them");
    }
    assign(resolver, (SpecKey)key, item->value, item->name_span, section->name_span);
  }
}

static void load_constant(Resolver *resolver, const char *name, SourceSpan span, const AstNode *node) {
  for (size_t i = 0; i < resolver->constants.count; i++) {
    Constant *constant = &resolver->constants.items[i];
    if (strcmp(constant->name, name) != 0) continue;
    if (constant->layer == resolver->layer) {
      diag_error(resolver->diags, span, "duplicate-let", "constant '%s' is defined twice", name);
      diag_note(resolver->diags, constant->name_span, "the first time is here; keep one of them");
    }
    constant->node = node;
    constant->name_span = span;
    constant->used = true;  // overrides what a used file reads
    constant->layer = resolver->layer;
    return;
  }
  Constant constant = {.name = name, .name_span = span, .node = node, .layer = resolver->layer};
  arena_push(resolver->arena, &resolver->constants, Constant, constant);
}

static void check_use_order(Resolver *resolver, const AstFile *ast) {
  const AstStatement *section = NULL;
  for (size_t i = 0; i < ast->count; i++) {
    const AstStatement *statement = &ast->items[i];
    if (statement->kind == AST_SECTION && !section) section = statement;
    if (statement->kind != AST_USE || !section) continue;
    diag_warning(resolver->diags, statement->span, "use-order", "'use' is read before the sections above it");
    diag_note(resolver->diags, section->name_span, "move it above the first section, which overrides it");
  }
}

static void check_use_twice(Resolver *resolver, const AstFile *ast) {
  for (size_t i = 0; i < ast->count; i++) {
    for (size_t j = 0; j < i && ast->items[i].kind == AST_USE && i < 1000; j++) {
      if (ast->items[j].kind != AST_USE || strcmp(ast->items[i].name, ast->items[j].name) != 0) continue;
      diag_warning(resolver->diags, ast->items[i].name_span, "use-twice", "'%s' is used twice", ast->items[i].name);
      diag_note(resolver->diags, ast->items[j].name_span, "the first time is here; remove one of them");
      break;
    }
  }
}

static void load_statements(Resolver *resolver, const AstFile *ast, const char *path) {
  const char *folder = strcmp(path, "-") == 0 ? "." : path_folder(resolver->arena, path);
  check_use_order(resolver, ast);
  check_use_twice(resolver, ast);
  for (size_t i = 0; i < ast->count; i++) {
    if (ast->items[i].kind == AST_USE) load_use(resolver, &ast->items[i], folder);
  }
  resolver->layer++;
  for (size_t i = 0; i < ast->count; i++) {
    const AstStatement *statement = &ast->items[i];
    if (statement->kind == AST_SECTION) load_section(resolver, statement);
    if (statement->kind == AST_LET) load_constant(resolver, statement->name, statement->name_span, statement->value);
  }
}

void load_main_file(Resolver *resolver, const char *path) {
  const char *identity = resolver->files->identity(resolver->files->context, resolver->arena, path);
  const char *shown = strcmp(path, "-") == 0 ? "<stdin>" : path;
  if (!load_file(resolver, path, shown, identity, span_none())) resolver->syntax_failed = true;
  resolver->main_layer = resolver->layer;
}

// What stands for itself and not for a text: a constant, or another key.
static bool is_reference(const Resolver *resolver, Arena *arena, const char *text) {
  const char *dot = strchr(text, '.');
  if (dot && schema_find_key(arena_printf(arena, "%.*s", (int)(dot - text), text), dot + 1) >= 0) return true;
  for (size_t i = 0; i < resolver->constants.count; i++) {
    if (strcmp(resolver->constants.items[i].name, text) == 0) return true;
  }
  return false;
}

// Shells take quotes away: -D cluster.machine=a100-40g is that text, for a key that takes one.
static const char *quoted_define(Resolver *resolver, const char *text) {
  Arena *arena = resolver->arena;
  const char *equal = strchr(text, '='), *dot = strchr(text, '.');
  if (!equal || !dot || dot > equal) return text;
  const char *section = arena_printf(arena, "%.*s", (int)(dot - text), text);
  size_t key_length = strcspn(dot + 1, " =");
  int key = schema_find_key(section, arena_printf(arena, "%.*s", (int)key_length, dot + 1));
  if (key < 0 || (schema_keys[key].type != TYPE_STRING && schema_keys[key].type != TYPE_PATHS)) return text;
  const char *value = equal + 1 + strspn(equal + 1, " ");
  bool plain = *value && !strpbrk(value, "\"[]\\\n") && !is_reference(resolver, arena, value);
  return plain ? arena_printf(arena, "%.*s\"%s\"", (int)(value - text), text, value) : text;
}

void load_defines(Resolver *resolver, const SpecDefine *defines, int count) {
  resolver->layer++;
  for (int i = 0; i < count; i++) {
    const char *option = defines[i].option ? defines[i].option : "-D";
    const char *text = quoted_define(resolver, defines[i].text);
    uint32_t file = source_map_add(resolver->sources, option, text, strlen(text));
    ParsedDefine define = parse_define(resolver->arena, resolver->sources, resolver->diags, file);
    if (!define.value) {
      resolver->syntax_failed = true;
      continue;
    }
    if (!define.section) {
      load_constant(resolver, define.key, define.target, define.value);
      continue;
    }
    int key = schema_find_key(define.section, define.key);
    if (schema_find_section(define.section) < 0)
      report_unknown_section(resolver, define.section, define.target);
    else if (key < 0)
      report_unknown_key(resolver, define.section, define.key, define.target);
    else
      assign(resolver, (SpecKey)key, define.value, define.target, define.target);
  }
}
