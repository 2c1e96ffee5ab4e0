// The checked spec: one value per key of schema.def, defaults filled in, units resolved, arithmetic done.
// Const once made. Bytes, pixels, steps and images are plain integers here; seconds and ratios are doubles.
#ifndef SEER_LANG_SPEC_H
#define SEER_LANG_SPEC_H

#include <stdbool.h>
#include <stdint.h>

#include "compiler/base/diag.h"

typedef enum SpecKey {
#define KEY(section, key, ...) KEY_##section##_##key,
#include "lang/schema.def"
#undef KEY
  SPEC_KEY_COUNT
} SpecKey;

typedef enum SpecValueKind {
  SPEC_UNSET,
  SPEC_NUMBER,
  SPEC_STRING,
  SPEC_NAME,
  SPEC_RANGE,
  SPEC_LIST,
  SPEC_CALL,
  SPEC_CONDITION
} SpecValueKind;

typedef struct SpecValue {
  SpecValueKind kind;
  bool by_user;      // false: the default of schema.def
  SourceSpan span;   // where it was written; file 0 for a default
  double number;     // SPEC_NUMBER: in the key's base unit; SPEC_NAME: of a name that takes one, else 0;
                     // SPEC_CONDITION: comparisons in it, at most 256
  double low, high;  // SPEC_RANGE
  const char *text;  // SPEC_STRING, SPEC_NAME, SPEC_CALL (its name), SPEC_CONDITION (what joins its items)
  const struct SpecValue
      *items;  // SPEC_LIST: elements; SPEC_CALL: arguments in the order of schema.def, defaults filled;
               // SPEC_CONDITION: two conditions of "and" and "or", one of "not", else a column (SPEC_STRING) and what
               // it is compared with: by "==" and "!=" a number, a SPEC_STRING or the SPEC_NAME unknown, by "<", "<=",
               // ">" and ">=" a number, by "in" and "not in" a list of numbers or of SPEC_STRINGs
  int item_count;
} SpecValue;

typedef struct Spec {
  const char *path;
  SpecValue values[SPEC_KEY_COUNT];
  SourceSpan section_spans[SPEC_KEY_COUNT];  // by key: where its section was last opened, for errors on defaults
} Spec;

// Arguments of the crop(...) call in views.crops.
typedef enum CropArgument {
#define ARGUMENT(call, name, ...) ARGUMENT_##call##_##name,
#define CALL(name, ...)
#include "lang/schema.def"
#undef ARGUMENT
#undef CALL
  SPEC_ARGUMENT_COUNT
} CropArgument;

// One -D section.key=value, as typed.
typedef struct SpecDefine {
  const char *text;
  const char *option;  // what messages call it; NULL: -D
} SpecDefine;

// Reads, checks and resolves. NULL when the list holds an error; every error of the file is in it.
// `path` "-" reads standard input. `library` is the folder of shipped specs (models/, recipes/, machines/).
const Spec *spec_load(Arena *arena, SourceMap *sources, DiagList *diags, const char *path, const char *library,
                      const SpecDefine *defines, int define_count);

// Names and syntax of overrides alone, apart from any spec. False after an error.
bool spec_check_defines(Arena *arena, SourceMap *sources, DiagList *diags, const SpecDefine *defines, int define_count);

// The same as spec_load for a text in memory, `use` looked up in `files` only (files.h); for tests and fuzzing.
struct SpecFiles;
const Spec *spec_load_text(Arena *arena, SourceMap *sources, DiagList *diags, const char *name, const char *text,
                           size_t size, const struct SpecFiles *files, const SpecDefine *defines, int define_count);
// A condition by itself, as data.keep takes it; `shown` names it in messages. NULL when the list holds an error.
const SpecValue *spec_condition(Arena *arena, SourceMap *sources, DiagList *diags, const char *shown, const char *text);
// A trainer needs a network: false, with an error, when the model has no shape. Recipes alone have none and are fine
// for spec_load.
bool spec_require_model(const Spec *spec, DiagList *diags);

const SpecValue *spec_value(const Spec *spec, SpecKey key);
bool spec_is_set(const Spec *spec, SpecKey key);
int64_t spec_integer(const Spec *spec, SpecKey key);
double spec_number(const Spec *spec, SpecKey key);
const char *spec_text(const Spec *spec, SpecKey key);  // string or name; NULL when unset
bool spec_flag(const Spec *spec, SpecKey key);         // the names yes and no
bool spec_is(const Spec *spec, SpecKey key, const char *name);
SourceSpan spec_span(const Spec *spec, SpecKey key);  // of the value, else of its section, else none
const char *spec_key_name(SpecKey key);               // "model.depth"
// The whole resolved spec as a .seer text without `use`, which reads back to the same values.
void spec_print(const Spec *spec, Writer *out);
// A condition as spec_print writes it: of two that say the same by other constants the text is the same.
void spec_print_condition(const SpecValue *condition, Writer *out);

#endif
