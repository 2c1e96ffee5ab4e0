// Prints what the schema and the table of checks say, for `seerc explain` and `seerc doc`; see reference.h.
#include "lang/reference.h"

#include <string.h>

#include "lang/check.h"
#include "lang/schema.h"
#include "lang/spec.h"

// '|' separates the cells of a Markdown table.
static void print_cell(const char *text, Writer *out) {
  for (const char *c = text; *c; c++) {
    if (*c == '|')
      writer_text(out, "\\|");
    else
      writer_bytes(out, c, 1);
  }
}

static const char *takes(Arena *arena, const SchemaField *field) {
  SchemaField plain = *field;
  plain.default_text = "";
  if (field->type == TYPE_LIST_CALL) return arena_printf(arena, "a list of `%s(...)` calls", field->names);
  return schema_describe(arena, &plain);
}

static void print_rows(Arena *arena, const SchemaField *fields, int count, const char *owner, Writer *out) {
  for (int i = 0; i < count; i++) {
    if (strcmp(fields[i].section, owner) != 0) continue;
    writer_printf(out, "| `%s` | ", fields[i].name);
    print_cell(takes(arena, &fields[i]), out);
    writer_text(out, " | ");
    if (*fields[i].default_text) {
      writer_text(out, "`");
      print_cell(fields[i].default_text, out);
      writer_text(out, "`");
    }
    writer_text(out, " | ");
    print_cell(fields[i].help, out);
    writer_text(out, " |\n");
  }
}

static const char introduction[] =
    "# The seer language\n\n"
    "This page is written by `seerc doc` from the table that the compiler itself reads; `seerc explain NAME` shows one "
    "entry.\n\n"
    "A spec describes one trainer. It is a list of sections; what it does not say keeps its default, taken from the "
    "published\n"
    "recipes.\n\n"
    "```\n"
    "use \"models/regnety_400mf\"     # read another spec first: beside this file, or among the shipped ones\n"
    "let photos = \"photos/\"          # a constant\n\n"
    "data  { pictures = photos }\n"
    "train {\n"
    "  batch = 256\n"
    "  steps = 10000steps\n"
    "}\n"
    "schedule { peak = 0.3 * train.batch / 256  warmup = train.steps / 20 }\n"
    "```\n\n"
    "- **Layers.** A file overrides what it uses, a later section an earlier one, `-D section.key=value` on the "
    "command line\n"
    "  everything (there a text needs no quotes: `-D cluster.machine=a100-40g`). Of two ways to say one thing\n"
    "  (`steps` and `epochs`, the generator's numbers and explicit stages, `warmup` and\n"
    "  `warmup_fraction`, `base` and `peak`) the one in the higher layer holds.\n"
    "- **Values.** Numbers with or without a unit (`160px`, `40GiB`, `0.15`, `1e-5`), strings in double quotes, names "
    "(`cosine`,\n"
    "  `yes`), ranges (`0.14..1.0`), lists (`[2048, 128]`), calls with named arguments (`crop(count = 2, size = "
    "160px)`).\n"
    "- **Arithmetic.** `+ - * /` and parentheses over numbers, constants and other keys (`train.batch`). Units must "
    "agree; pictures\n"
    "  are plain counts.\n"
    "- **Conditions.** A column on the left, by its name or in quotes; `==`, `!=`, `<`, `<=`, `>`, `>=`, `in`, `not "
    "in`; on "
    "the right\n"
    "  a number or a word, or a list of them (`country in [FR, DE]`); `and`, `or`, `not`, parentheses. Words need "
    "quotes "
    "where they are\n"
    "  no names. `unknown` asks for pictures without a value (`age == unknown`); any other comparison with one is "
    "unknown, "
    "and what a\n"
    "  condition leaves unknown is not chosen. `eu` is the list of its 27 members since 2020, unless a constant has "
    "that "
    "name.\n"
    "- **Constants.** `let name = value`; a file that uses another may redefine its constants.\n"
    "- **Comments** run from `#` to the end of the line.\n\n";

static void print_units(Writer *out) {
  writer_text(out, "## Units\n\n| measures | units |\n|---|---|\n");
  for (int unit = UNIT_PIXELS; unit <= UNIT_DEGREES; unit++) {
    writer_printf(out, "| %s |", schema_unit_plural((SchemaUnit)unit));
    for (int i = 0; i < schema_unit_count; i++) {
      if ((int)schema_units[i].unit == unit) writer_printf(out, " `%s`", schema_units[i].name);
    }
    writer_text(out, " |\n");
  }
  writer_text(out,
              "\nA number without a unit counts the first unit of its row. `KiB` is 1024 bytes, `kB` is 1000.\n\n");
}

void reference_print(Arena *arena, Writer *out) {
  writer_text(out, introduction);
  print_units(out);
  for (int i = 0; i < schema_section_count; i++) {
    const SchemaSection *section = &schema_sections[i];
    writer_printf(out, "## `%s`\n\n%s.\n\n| key | takes | default | meaning |\n|---|---|---|---|\n", section->name,
                  section->help);
    print_rows(arena, schema_keys, schema_key_count, section->name, out);
    writer_text(out, "\n");
  }
  for (int i = 0; i < schema_call_count; i++) {
    const SchemaSection *call = &schema_calls[i];
    writer_printf(out, "## `%s(...)`\n\n%s.\n\n| argument | takes | default | meaning |\n|---|---|---|---|\n",
                  call->name, call->help);
    print_rows(arena, schema_arguments, schema_argument_count, call->name, out);
    writer_text(out, "\n");
  }
  writer_text(out, "## Checks\n\nMessages name their check in brackets.\n\n| check | what it asks for |\n|---|---|\n");
  for (int i = 0; i < check_row_count; i++) {
    if (i > 0 && strcmp(check_rows[i].name, check_rows[i - 1].name) == 0) continue;
    writer_printf(out, "| `%s` | ", check_rows[i].name);
    print_cell(check_rows[i].help, out);
    writer_text(out, " |\n");
  }
}

static void explain_field(Arena *arena, const SchemaField *field, Writer *out) {
  writer_printf(out, "%s.%s: %s\n", field->section, field->name, field->help);
  writer_printf(out, "  takes    %s\n", takes(arena, field));
  if (*field->default_text)
    writer_printf(out, "  default  %s\n", field->default_text);
  else
    writer_text(out, "  default  none\n");
}

static bool explain_fields(Arena *arena, const SchemaField *fields, int count, const char *owner, const char *name,
                           Writer *out) {
  bool found = false;
  for (int i = 0; i < count; i++) {
    if (owner && strcmp(fields[i].section, owner) != 0) continue;
    if (strcmp(fields[i].name, name) != 0) continue;
    explain_field(arena, &fields[i], out);
    found = true;
  }
  return found;
}

static bool explain_owner(const SchemaSection *owners, int owner_count, const SchemaField *fields, int field_count,
                          const char *name, Writer *out) {
  for (int i = 0; i < owner_count; i++) {
    if (strcmp(owners[i].name, name) != 0) continue;
    writer_printf(out, "%s: %s\n", name, owners[i].help);
    for (int k = 0; k < field_count; k++) {
      if (strcmp(fields[k].section, name) == 0) writer_printf(out, "  %-22s %s\n", fields[k].name, fields[k].help);
    }
    return true;
  }
  return false;
}

bool reference_explain(Arena *arena, const char *name, Writer *out) {
  const char *dot = strchr(name, '.');
  if (dot) {
    const char *owner = arena_string(arena, name, (size_t)(dot - name));
    return explain_fields(arena, schema_keys, schema_key_count, owner, dot + 1, out) ||
           explain_fields(arena, schema_arguments, schema_argument_count, owner, dot + 1, out);
  }
  bool found = explain_owner(schema_sections, schema_section_count, schema_keys, schema_key_count, name, out);
  found |= explain_owner(schema_calls, schema_call_count, schema_arguments, schema_argument_count, name, out);
  found |= explain_fields(arena, schema_keys, schema_key_count, NULL, name, out);
  found |= explain_fields(arena, schema_arguments, schema_argument_count, NULL, name, out);
  for (int i = 0; i < check_row_count; i++) {
    if (strcmp(check_rows[i].name, name) != 0) continue;
    writer_printf(out, "[%s]: %s\n", name, check_rows[i].help);
    found = true;
    break;
  }
  return found;
}

const char *reference_suggest(Arena *arena, const char *name) {
  const char *alias = schema_find_alias(name);
  if (alias) return alias;
  Suggestion suggestion = suggestion_make(name);
  for (int i = 0; i < schema_section_count; i++) suggestion_offer(&suggestion, schema_sections[i].name);
  for (int i = 0; i < schema_key_count; i++) {
    suggestion_offer(&suggestion, schema_keys[i].name);
    if (strchr(name, '.')) suggestion_offer(&suggestion, arena_printf(arena, "%s", spec_key_name((SpecKey)i)));
  }
  for (int i = 0; i < check_row_count; i++) suggestion_offer(&suggestion, check_rows[i].name);
  return suggestion_best(&suggestion);
}

void reference_list(Writer *out) {
  for (int i = 0; i < schema_section_count; i++)
    writer_printf(out, "%-12s %s\n", schema_sections[i].name, schema_sections[i].help);
}
