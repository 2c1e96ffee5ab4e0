// A resolved spec as text. Defaults that another setting rules out are left out, so that the text checks clean and
// reads back to the same values.
#include <string.h>

#include "lang/schema.h"
#include "lang/spec.h"

static void print_string(const char *text, Writer *out) {
  writer_text(out, "\"");
  for (const char *c = text; *c; c++) {
    switch (*c) {
      case '"': writer_text(out, "\\\""); break;
      case '\\': writer_text(out, "\\\\"); break;
      case '\n': writer_text(out, "\\n"); break;
      case '\r': writer_text(out, "\\r"); break;
      default: writer_bytes(out, c, 1);
    }
  }
  writer_text(out, "\"");
}

static void print_number(double number, SchemaUnit unit, Writer *out) {
  writer_json_number(out, number);
  if (unit == UNIT_NONE || unit == UNIT_IMAGES) return;
  for (int i = 0; i < schema_unit_count; i++) {
    if (schema_units[i].unit == unit && schema_units[i].factor == 1) {
      writer_text(out, schema_units[i].name);
      return;
    }
  }
}

// A column or a word: bare where it reads back as a name.
static void print_word(const char *text, Writer *out) {
  static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";
  bool is_name = *text && !strchr("0123456789", *text) && strspn(text, letters) == strlen(text);
  if (is_name && !schema_names_hold("use|let|and|or|not|in|unknown", text))
    writer_text(out, text);
  else
    print_string(text, out);
}

static void print_compared(const SpecValue *value, Writer *out) {
  switch (value->kind) {
    case SPEC_NUMBER: writer_json_number(out, value->number); break;
    case SPEC_STRING: print_word(value->text, out); break;
    case SPEC_LIST:
      writer_text(out, "[");
      for (int i = 0; i < value->item_count; i++) {
        if (i) writer_text(out, ", ");
        print_compared(&value->items[i], out);
      }
      writer_text(out, "]");
      break;
    default: writer_text(out, value->text);
  }
}

// How tightly the parts of a condition hold together.
static int binding(const SpecValue *condition) {
  if (strcmp(condition->text, "or") == 0) return 0;
  if (strcmp(condition->text, "and") == 0) return 1;
  return strcmp(condition->text, "not") == 0 ? 2 : 3;
}

static void print_part(const SpecValue *part, int least, Writer *out) {
  bool grouped = binding(part) < least;
  if (grouped) writer_text(out, "(");
  spec_print_condition(part, out);
  if (grouped) writer_text(out, ")");
}

void spec_print_condition(const SpecValue *condition, Writer *out) {
  int level = binding(condition);
  const SpecValue *items = condition->items;
  switch (level) {
    case 0:
    case 1:
      print_part(&items[0], level, out);
      writer_printf(out, " %s ", condition->text);
      print_part(&items[1], level + 1, out);
      break;
    case 2:
      writer_text(out, "not ");
      print_part(&items[0], level, out);
      break;
    default:
      print_word(items[0].text, out);
      writer_printf(out, " %s ", condition->text);
      print_compared(&items[1], out);
  }
}

static void print_value(const SpecValue *value, SchemaUnit unit, Writer *out) {
  switch (value->kind) {
    case SPEC_UNSET: break;
    case SPEC_NUMBER: print_number(value->number, unit, out); break;
    case SPEC_STRING: print_string(value->text, out); break;
    case SPEC_NAME:
      writer_text(out, value->text);
      if (value->number > 0) writer_printf(out, "(%.0f)", value->number);
      break;
    case SPEC_RANGE:
      print_number(value->low, unit, out);
      writer_text(out, "..");
      print_number(value->high, unit, out);
      break;
    case SPEC_LIST:
      writer_text(out, "[");
      for (int i = 0; i < value->item_count; i++) {
        if (i) writer_text(out, ", ");
        print_value(&value->items[i], unit, out);
      }
      writer_text(out, "]");
      break;
    case SPEC_CONDITION: spec_print_condition(value, out); break;
    case SPEC_CALL: {
      writer_printf(out, "%s(", value->text);
      const char *separator = "";
      for (int i = 0; i < value->item_count; i++) {
        if (strcmp(schema_arguments[i].section, value->text) != 0) continue;
        writer_printf(out, "%s%s = ", separator, schema_arguments[i].name);
        print_value(&value->items[i], schema_arguments[i].unit, out);
        separator = ", ";
      }
      writer_text(out, ")");
      break;
    }
  }
}

static bool is_ruled_out(const Spec *spec, SpecKey key) {
  bool has_fraction = spec_is_set(spec, KEY_schedule_warmup_fraction);
  const SpecValue *peak = spec_value(spec, KEY_schedule_peak);
  const SpecValue *depths = spec_value(spec, KEY_model_depths);
  switch (key) {
    case KEY_model_strides: return depths->kind == SPEC_LIST && depths->item_count != spec_value(spec, key)->item_count;
    case KEY_model_se_ratio: return spec_is(spec, KEY_model_family, "regnetx");
    case KEY_schedule_warmup: return has_fraction;
    case KEY_schedule_base: return peak->kind == SPEC_NUMBER;
    default: break;
  }
  bool supervised = spec_is_set(spec, KEY_supervised_classes);
  const char *section = schema_keys[key].section;
  return strcmp(section, supervised ? "swav" : "supervised") == 0;
}

void spec_print(const Spec *spec, Writer *out) {
  const char *open = NULL;
  for (int i = 0; i < SPEC_KEY_COUNT; i++) {
    const SchemaField *field = &schema_keys[i];
    const SpecValue *value = &spec->values[i];
    if (value->kind == SPEC_UNSET || (!value->by_user && is_ruled_out(spec, (SpecKey)i))) continue;
    if (!open || strcmp(open, field->section) != 0) {
      writer_printf(out, "%s%s {\n", open ? "}\n\n" : "", field->section);
      open = field->section;
    }
    writer_printf(out, "  %s = ", field->name);
    print_value(value, field->unit, out);
    writer_text(out, "\n");
  }
  if (open) writer_text(out, "}\n");
}
