// schema.def as tables. A row's bounds mean numbers or names by its type, which the BOUNDS_ macros tell apart.
#include "lang/schema.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define BOUNDS_INTEGER(low, high) .minimum = (low), .maximum = (high)
#define BOUNDS_NUMBER BOUNDS_INTEGER
#define BOUNDS_RANGE BOUNDS_INTEGER
#define BOUNDS_LIST_INTEGER BOUNDS_INTEGER
#define BOUNDS_LIST_NUMBER BOUNDS_INTEGER
#define BOUNDS_AUTO_INTEGER BOUNDS_INTEGER
#define BOUNDS_AUTO_BYTES BOUNDS_INTEGER
#define BOUNDS_AUTO_NUMBER BOUNDS_INTEGER
#define BOUNDS_NAME(low, high) .names = (low)
#define BOUNDS_CONDITION BOUNDS_NAME
#define BOUNDS_FLAG(low, high) .names = "yes|no"
#define BOUNDS_STRING(low, high) .names = NULL
#define BOUNDS_PATHS BOUNDS_STRING
#define BOUNDS_NAMES BOUNDS_STRING
#define BOUNDS_LIST_CALL(call, sample) .names = (call), .example = (sample)

#define FIELD(owner_name, field_name, type_name, unit_name, default_value, low, high, help_text) \
  {.section = #owner_name,                                                                       \
   .name = #field_name,                                                                          \
   .type = TYPE_##type_name,                                                                     \
   .unit = UNIT_##unit_name,                                                                     \
   .default_text = default_value,                                                                \
   .help = help_text,                                                                            \
   BOUNDS_##type_name(low, high)},

#define COUNT(table) ((int)(sizeof(table) / sizeof *(table)))

const SchemaField schema_keys[] = {
#define KEY FIELD
#include "lang/schema.def"
};
const int schema_key_count = COUNT(schema_keys);

typedef struct AutoName {
  const char *section, *key, *name;
} AutoName;

static const AutoName auto_names[] = {
#define AUTO_NAME(section_name, key_name, auto_name) {#section_name, #key_name, #auto_name},
#include "lang/schema.def"
};

const SchemaField schema_arguments[] = {
#define ARGUMENT FIELD
#include "lang/schema.def"
};
const int schema_argument_count = COUNT(schema_arguments);

const SchemaSection schema_sections[] = {
#define SECTION(section_name, help_text) {.name = #section_name, .help = help_text},
#include "lang/schema.def"
};
const int schema_section_count = COUNT(schema_sections);

const SchemaSection schema_calls[] = {
#define CALL(call_name, help_text) {.name = #call_name, .help = help_text},
#include "lang/schema.def"
};
const int schema_call_count = COUNT(schema_calls);

// The first name of a unit with factor 1 is the one that is printed.
const SchemaUnitName schema_units[] = {
    {"px", UNIT_PIXELS, 1},
    {"B", UNIT_BYTES, 1},
    {"KiB", UNIT_BYTES, 1024.0},
    {"MiB", UNIT_BYTES, 1048576.0},
    {"GiB", UNIT_BYTES, 1073741824.0},
    {"TiB", UNIT_BYTES, 1099511627776.0},
    {"kB", UNIT_BYTES, 1e3},
    {"MB", UNIT_BYTES, 1e6},
    {"GB", UNIT_BYTES, 1e9},
    {"TB", UNIT_BYTES, 1e12},
    {"steps", UNIT_STEPS, 1},
    {"step", UNIT_STEPS, 1},
    {"epochs", UNIT_EPOCHS, 1},
    {"epoch", UNIT_EPOCHS, 1},
    {"s", UNIT_SECONDS, 1},
    {"ms", UNIT_SECONDS, 1e-3},
    {"min", UNIT_SECONDS, 60},
    {"h", UNIT_SECONDS, 3600},
    {"images", UNIT_IMAGES, 1},
    {"image", UNIT_IMAGES, 1},
    {"k", UNIT_IMAGES, 1e3},
    {"M", UNIT_IMAGES, 1e6},
    {"deg", UNIT_DEGREES, 1},
};
const int schema_unit_count = COUNT(schema_units);

int schema_find_section(const char *name) {
  for (int i = 0; i < schema_section_count; i++) {
    if (strcmp(schema_sections[i].name, name) == 0) return i;
  }
  return -1;
}

static int find_field(const SchemaField *fields, int count, const char *owner, const char *name) {
  for (int i = 0; i < count; i++) {
    if (strcmp(fields[i].name, name) == 0 && strcmp(fields[i].section, owner) == 0) return i;
  }
  return -1;
}

int schema_find_key(const char *section, const char *key) {
  return find_field(schema_keys, schema_key_count, section, key);
}

int schema_find_argument(const char *call, const char *name) {
  return find_field(schema_arguments, schema_argument_count, call, name);
}

int schema_find_call(const char *name) {
  for (int i = 0; i < schema_call_count; i++) {
    if (strcmp(schema_calls[i].name, name) == 0) return i;
  }
  return -1;
}

int schema_find_unit(const char *name) {
  for (int i = 0; i < schema_unit_count; i++) {
    if (strcmp(schema_units[i].name, name) == 0) return i;
  }
  return -1;
}

static bool takes_auto(SchemaType type) {
  return type == TYPE_AUTO_INTEGER || type == TYPE_AUTO_BYTES || type == TYPE_AUTO_NUMBER;
}

const char *schema_auto_name(const SchemaField *field, int index) {
  if (!takes_auto(field->type)) return NULL;
  if (index-- == 0) return "auto";
  for (int i = 0; i < COUNT(auto_names); i++) {
    const AutoName *other = &auto_names[i];
    bool own = strcmp(other->section, field->section) == 0 && strcmp(other->key, field->name) == 0;
    if (own && index-- == 0) return other->name;
  }
  return NULL;
}

bool schema_is_auto(const SchemaField *field, const char *name) {
  const char *own;
  for (int i = 0; (own = schema_auto_name(field, i)); i++) {
    if (strcmp(own, name) == 0) return true;
  }
  return false;
}

bool schema_is_whole(SchemaType type) {
  return type == TYPE_INTEGER || type == TYPE_AUTO_INTEGER || type == TYPE_AUTO_BYTES || type == TYPE_LIST_INTEGER;
}

bool schema_names_hold(const char *names, const char *name) {
  size_t length = strlen(name);
  for (const char *at = names; at && *at;) {
    const char *end = strchr(at, '|');
    size_t size = end ? (size_t)(end - at) : strlen(at);
    if (size == length && memcmp(at, name, length) == 0) return true;
    at = end ? end + 1 : NULL;
  }
  return false;
}

bool schema_name_takes_number(const char *names, const char *name) {
  char text[64];
  int length = snprintf(text, sizeof text, "%s(N)", name);
  return length < (int)sizeof text && schema_names_hold(names, text);
}

const char *schema_unit_plural(SchemaUnit unit) {
  static const char *const plurals[] = {"", "pixels", "bytes", "steps", "epochs", "seconds", "pictures", "degrees"};
  return plurals[unit];
}

const char *schema_quantity(Arena *arena, double number, SchemaUnit unit) {
  double shown = number;
  const char *suffix = "";
  for (int i = 0; i < schema_unit_count && unit != UNIT_NONE && unit != UNIT_IMAGES; i++) {
    const SchemaUnitName *name = &schema_units[i];
    if (name->unit != unit) continue;
    bool whole = name->factor > 1 && number >= name->factor && fmod(number, name->factor) == 0;
    if (*suffix && !(whole && unit == UNIT_BYTES)) continue;
    shown = number / name->factor;
    suffix = name->name;
  }
  Writer text = {0};
  writer_json_number(&text, shown);
  const char *result = arena_printf(arena, "%s%s", text.text, suffix);
  writer_release(&text);
  return result;
}

static const char *names_text(Arena *arena, const char *names) {
  Writer text = {0};
  for (const char *at = names; *at; at++) writer_bytes(&text, *at == '|' ? ", " : at, *at == '|' ? 2 : 1);
  const char *result = arena_printf(arena, "%s", text.text);
  writer_release(&text);
  return result;
}

static const char *describe_number(Arena *arena, const SchemaField *field, const char *what) {
  const char *unit = schema_unit_plural(field->unit);
  return arena_printf(arena, "%s%s%s from %s to %s", what, *unit ? " of " : "", unit,
                      schema_quantity(arena, field->minimum, field->unit),
                      schema_quantity(arena, field->maximum, field->unit));
}

// "auto", "auto or fit"
static const char *describe_auto(Arena *arena, const SchemaField *field) {
  const char *text = "auto", *other;
  for (int i = 1; (other = schema_auto_name(field, i)); i++) text = arena_printf(arena, "%s or %s", text, other);
  return text;
}

static const char *describe_type(Arena *arena, const SchemaField *field) {
  switch (field->type) {
    case TYPE_INTEGER: return describe_number(arena, field, "a whole number");
    case TYPE_NUMBER: return describe_number(arena, field, "a number");
    case TYPE_STRING: return "a string in double quotes";
    case TYPE_NAME:
      if (!strchr(field->names, '|')) return arena_printf(arena, "the name %s", field->names);
      return arena_printf(arena, "one of the names %s", names_text(arena, field->names));
    case TYPE_FLAG: return "yes or no";
    case TYPE_RANGE:
      return arena_printf(arena, "a range lo..hi within %s..%s", schema_quantity(arena, field->minimum, field->unit),
                          schema_quantity(arena, field->maximum, field->unit));
    case TYPE_LIST_INTEGER: return describe_number(arena, field, "a list of whole numbers");
    case TYPE_LIST_NUMBER: return describe_number(arena, field, "a list of numbers");
    case TYPE_LIST_CALL: return arena_printf(arena, "a list of %s(...) calls", field->names);
    case TYPE_PATHS: return "a string, or a list of strings";
    case TYPE_NAMES: return "a name of yours, or a list of them; in double quotes where it is more than a word";
    case TYPE_AUTO_INTEGER:
      return describe_number(arena, field, arena_printf(arena, "%s, or a whole number", describe_auto(arena, field)));
    case TYPE_AUTO_BYTES:
      return arena_printf(arena, "%s, or an amount of memory such as 40GiB", describe_auto(arena, field));
    case TYPE_AUTO_NUMBER:
      return describe_number(arena, field, arena_printf(arena, "%s, or a number", describe_auto(arena, field)));
    case TYPE_CONDITION:
      return arena_printf(arena, "%s, or a condition such as country not in eu", names_text(arena, field->names));
  }
  return "";
}

const char *schema_describe(Arena *arena, const SchemaField *field) {
  const char *type = describe_type(arena, field);
  bool has_example = *field->default_text && field->type != TYPE_NAME && field->type != TYPE_FLAG &&
                     field->type != TYPE_LIST_CALL && field->type != TYPE_CONDITION &&
                     strcmp(field->default_text, "auto") != 0;
  if (has_example) return arena_printf(arena, "%s, such as %s", type, field->default_text);
  if (field->type == TYPE_LIST_CALL) return arena_printf(arena, "%s, such as [%s]", type, field->example);
  return type;
}
