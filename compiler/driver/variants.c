// Cuts --vary and --over into values, and combines them.
#include "compiler/driver/variants.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

// Where the value that begins at `at` ends: at a comma outside of brackets and quotes, or with the text.
static const char *value_end(const char *at) {
  int depth = 0;
  bool quoted = false;
  for (; *at; at++) {
    if (quoted && *at == '\\' && at[1]) {
      at++;
    } else if (*at == '"') {
      quoted = !quoted;
    } else if (!quoted) {
      if (*at == ',' && depth <= 0) break;
      depth += (*at == '(' || *at == '[') - (*at == ')' || *at == ']');
    }
  }
  return at;
}

static const char *trimmed(Arena *arena, const char *begin, const char *end) {
  while (begin < end && isspace((unsigned char)*begin)) begin++;
  while (end > begin && isspace((unsigned char)end[-1])) end--;
  return arena_string(arena, begin, (size_t)(end - begin));
}

static int value_add(const Invocation *invocation, const char *option, VariantAxis *axis, const char **values,
                     const char *value) {
  if (!*value) return usage_error(invocation, "'--%s %s' has an empty value", option, axis->target);
  for (int i = 0; i < axis->value_count; i++) {
    if (strcmp(values[i], value) == 0)
      return usage_error(invocation, "'--%s %s' has the value '%s' twice", option, axis->target, value);
  }
  values[axis->value_count++] = value;
  return EXIT_DONE;
}

static int axis_parse(const Invocation *invocation, const char *option, const char *text, VariantAxis *axis) {
  Arena *arena = invocation->arena;
  const char *equals = strchr(text, '=');
  if (!equals) return usage_error(invocation, "'--%s' takes SECTION.KEY=V1,V2,..., not '%s'", option, text);
  const char **values = arena_array(arena, const char *, strlen(equals) + 1);
  *axis = (VariantAxis){.target = trimmed(arena, text, equals), .values = values};
  if (!*axis->target) return usage_error(invocation, "'--%s' names no key in '%s'", option, text);
  for (const char *at = equals + 1;; at++) {
    const char *end = value_end(at);
    int code = value_add(invocation, option, axis, values, trimmed(arena, at, end));
    if (code != EXIT_DONE) return code;
    if (!*end) return EXIT_DONE;
    at = end;
  }
}

static const char *last_name(const char *target) {
  const char *dot = strrchr(target, '.');
  return dot ? dot + 1 : target;
}

static void label_axes(VariantAxis *axes, int count) {
  for (int i = 0; i < count; i++) {
    axes[i].label = last_name(axes[i].target);
    for (int j = 0; j < count; j++) {
      if (j != i && strcmp(last_name(axes[j].target), last_name(axes[i].target)) == 0) axes[i].label = axes[i].target;
    }
  }
}

// A key is varied once, and not set by -D as well: one of the two would be lost.
static int check_targets(const Invocation *invocation, const char *option, const VariantAxis *axes, int count) {
  for (int i = 0; i < count; i++) {
    const char *target = axes[i].target;
    for (int j = 0; j < i; j++) {
      if (strcmp(axes[j].target, target) == 0)
        return usage_error(invocation, "'--%s %s' is given twice: list all of its values in one", option, target);
    }
    for (int j = 0; j < invocation->define_count; j++) {
      const char *text = invocation->defines[j].text, *equals = strchr(text, '=');
      if (equals && strcmp(trimmed(invocation->arena, text, equals), target) == 0)
        return usage_error(invocation, "'%s' is set by '-D %s' and varied by '--%s'", target, text, option);
    }
  }
  return EXIT_DONE;
}

static SpecDefine define_of(const Invocation *invocation, const char *option, const VariantAxis *axis, int choice) {
  Arena *arena = invocation->arena;
  return (SpecDefine){.text = arena_printf(arena, "%s=%s", axis->target, axis->values[choice]),
                      .option = arena_printf(arena, "--%s", option)};
}

// Names and syntax of all values, so that a wrong one is told once and before anything is done.
static int check_values(const Invocation *invocation, const char *option, const VariantAxis *axes, int count) {
  Arena *arena = invocation->arena;
  SourceMap *sources = source_map_make(arena);
  DiagList *diags = diag_list_make(arena, sources);
  for (int i = 0; i < count; i++) {
    for (int k = 0; k < axes[i].value_count; k++) {
      SpecDefine define = define_of(invocation, option, &axes[i], k);
      if (!spec_check_defines(arena, sources, diags, &define, 1)) break;  // of a key that there is not: once
    }
  }
  return driver_report(invocation, diags);
}

static bool is_named(const Variants *variants, int axis) {
  int several = 0;
  for (int i = 0; i < variants->axis_count; i++) several += variants->axes[i].value_count > 1;
  return !several || variants->axes[axis].value_count > 1;
}

static const char *name_of(Arena *arena, const Variants *variants, const int *choices) {
  Writer name = {0};
  for (int i = 0; i < variants->axis_count; i++) {
    const VariantAxis *axis = &variants->axes[i];
    if (is_named(variants, i))
      writer_printf(&name, "%s%s=%s", name.size ? " " : "", axis->label, axis->values[choices[i]]);
  }
  const char *text = arena_string(arena, name.text ? name.text : "", name.size);
  writer_release(&name);
  return text;
}

// At most FILE_NAME_LENGTH bytes; the variant's number is added where that or other letters would make two alike.
static const char *file_name_of(Arena *arena, const Variant *items, int index, const char *name) {
  enum { FILE_NAME_LENGTH = 80 };
  size_t length = strlen(name) < FILE_NAME_LENGTH ? strlen(name) : FILE_NAME_LENGTH;
  char *text = arena_string(arena, name, length);
  bool changed = strlen(name) > length;
  for (char *at = text; *at; at++) {
    if (isalnum((unsigned char)*at) || strchr("._-=", *at)) continue;
    changed |= *at != ' ';
    *at = *at == ' ' ? '_' : '-';
  }
  bool taken = changed || *text == '.' || *text == '-';
  for (int i = 0; i < index && !taken; i++) taken = strcmp(items[i].file_name, text) == 0;
  return taken ? arena_printf(arena, "v%d_%s", index + 1, text) : text;
}

static void combine(const Invocation *invocation, const char *option, Variants *variants) {
  Arena *arena = invocation->arena;
  Variant *items = arena_array(arena, Variant, variants->count);
  for (int v = 0; v < variants->count; v++) {
    int *choices = arena_array(arena, int, variants->axis_count);
    SpecDefine *defines = arena_array(arena, SpecDefine, invocation->define_count + variants->axis_count);
    if (invocation->define_count)
      memcpy(defines, invocation->defines, (size_t)invocation->define_count * sizeof *defines);
    int rest = v;
    for (int i = variants->axis_count; i-- > 0;) {
      choices[i] = rest % variants->axes[i].value_count;
      rest /= variants->axes[i].value_count;
      defines[invocation->define_count + i] = define_of(invocation, option, &variants->axes[i], choices[i]);
    }
    const char *name = name_of(arena, variants, choices);
    items[v] = (Variant){.name = name,
                         .file_name = file_name_of(arena, items, v, name),
                         .choices = choices,
                         .defines = defines,
                         .define_count = invocation->define_count + variants->axis_count};
  }
  variants->items = items;
}

int variants_parse(const Invocation *invocation, const char *option, Variants *variants) {
  const char **texts;
  int count = option_values(invocation, option, &texts);
  VariantAxis *axes = arena_array(invocation->arena, VariantAxis, count + 1);
  *variants = (Variants){.axes = axes, .axis_count = count, .count = 1};
  for (int i = 0; i < count; i++) {
    int code = axis_parse(invocation, option, texts[i], &axes[i]);
    if (code != EXIT_DONE) return code;
    if (variants->count > VARIANTS_MAX / axes[i].value_count)
      return usage_error(invocation, "'--%s' makes more than %d variants", option, VARIANTS_MAX);
    variants->count *= axes[i].value_count;
  }
  int code = check_targets(invocation, option, axes, count);
  if (code == EXIT_DONE) code = check_values(invocation, option, axes, count);
  if (code != EXIT_DONE) return code;
  label_axes(axes, count);
  combine(invocation, option, variants);
  return EXIT_DONE;
}

const char *variant_value(const Variants *variants, const Variant *variant, int axis) {
  return variants->axes[axis].values[variant->choices[axis]];
}
