// Texts of cluster.sources; see source_text.h.
#include "lang/source_text.h"

#include <string.h>

const char *const source_kinds[SOURCE_KIND_COUNT] = {"datasheet", "published", "measured", "assumed"};

bool source_text_parse(Arena *arena, const char *text, SourceText *parsed) {
  const char *colon = strchr(text, ':');
  if (!colon) return false;
  *parsed = (SourceText){.keys = arena_printf(arena, "%.*s", (int)(colon - text), text)};
  const char *kind = colon + 1 + strspn(colon + 1, " ");
  size_t length = strcspn(kind, " ,");
  for (int i = 0; i < SOURCE_KIND_COUNT; i++) {
    if (strlen(source_kinds[i]) == length && strncmp(source_kinds[i], kind, length) == 0)
      parsed->kind = source_kinds[i];
  }
  parsed->rest = kind + length + strspn(kind + length, " ,");
  return true;
}

const char *source_text_next_key(Arena *arena, const char **keys) {
  const char *begin = *keys + strspn(*keys, " ");
  size_t length = strcspn(begin, " ");
  *keys = begin + length;
  return length ? arena_printf(arena, "%.*s", (int)length, begin) : NULL;
}

static bool tells_of(Arena *arena, const char *text, const char *key, SourceText *found) {
  if (!source_text_parse(arena, text, found)) return false;
  const char *keys = found->keys, *name;
  while ((name = source_text_next_key(arena, &keys))) {
    if (strcmp(name, key) == 0) return true;
  }
  return false;
}

bool source_text_find(Arena *arena, const Spec *spec, const char *key, SourceText *found) {
  const SpecValue *sources = spec_value(spec, KEY_cluster_sources);
  if (sources->kind == SPEC_STRING) return tells_of(arena, sources->text, key, found);
  for (int i = 0; sources->kind == SPEC_LIST && i < sources->item_count; i++) {
    if (tells_of(arena, sources->items[i].text, key, found)) return true;
  }
  return false;
}
