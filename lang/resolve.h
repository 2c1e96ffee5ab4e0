// Inside of lang: from trees to values. load.c gathers assignments from files in layers, evaluate.c computes values,
// convert.c fits them to their key, check.c runs the checks by theme.
#ifndef SEER_LANG_RESOLVE_H
#define SEER_LANG_RESOLVE_H

#include "lang/files.h"
#include "lang/parse.h"
#include "lang/schema.h"
#include "lang/spec.h"

// A value before it is fitted to a key: numbers keep their unit.
typedef struct EvalValue {
  bool ok;  // false: already reported
  SpecValueKind kind;
  SourceSpan span;
  double number, low, high;
  SchemaUnit unit;
  const char *text;
  const struct EvalItem *items;
  int count;
  const SpecValue *condition;  // SPEC_CONDITION
} EvalValue;

typedef struct EvalItem {
  const char *name;
  SourceSpan name_span;
  EvalValue value;
} EvalItem;

typedef enum ResolveState { STATE_NEW, STATE_RUNNING, STATE_DONE } ResolveState;

typedef struct Assignment {
  const AstNode *node;  // NULL: the default holds
  SourceSpan key_span, section_span;
  int layer;  // files in the order read, then -D; a higher layer overrides
} Assignment;

typedef struct Constant {
  const char *name;
  SourceSpan name_span;
  const AstNode *node;
  int layer;
  bool used;
  bool is_words;  // read by a condition, where other names are words: not a value by itself
  ResolveState state;
  EvalValue value;
} Constant;

typedef struct ConstantList {
  Constant *items;
  size_t count, capacity;
} ConstantList;

// A step of the chain of references or uses at work, for the notes of cycles.
typedef struct ChainLink {
  const char *name;
  SourceSpan span;
} ChainLink;

typedef struct ChainLinks {
  ChainLink *items;
  size_t count, capacity;
} ChainLinks;

typedef struct Resolver {
  Arena *arena;
  SourceMap *sources;
  DiagList *diags;
  const SpecFiles *files;
  const char *library;  // NULL: none
  Spec *spec;
  Assignment keys[SPEC_KEY_COUNT];
  ResolveState states[SPEC_KEY_COUNT];
  bool failed[SPEC_KEY_COUNT];  // reported; checks that read the key stay silent
  const AstNode *defaults[SPEC_KEY_COUNT];
  ConstantList constants;
  ChainLinks chain;       // of references
  ChainLinks open_files;  // name: identity
  ChainLinks seen_files;
  int layer, main_layer;
  bool syntax_failed;  // some text is not understood: checks across keys would only echo it
} Resolver;

#define RESOLVE_DEEPEST 50

static inline SourceSpan span_none(void) { return (SourceSpan){0}; }

// load.c: one file with everything it uses; then -D.
void load_main_file(Resolver *resolver, const char *path);
void load_defines(Resolver *resolver, const SpecDefine *defines, int count);
// "did you mean" for a file of the library or beside `folder`; NULL when nothing is near.
const char *load_suggest_file(Resolver *resolver, const char *folder, const char *path);

// evaluate.c. `target` (may be NULL) says which names are values rather than constants.
EvalValue evaluate(Resolver *resolver, const AstNode *node, const SchemaField *target);
// Constants by their latest definition; NULL.
Constant *find_constant(Resolver *resolver, const char *name);
// "a list"
const char *eval_kind_text(const EvalValue *value);
// condition.c: AST_COMPARE, AST_LOGIC, AST_NOT
EvalValue evaluate_condition(Resolver *resolver, const AstNode *node);
// Evaluates a key and what it refers to; the result is in spec->values.
void resolve_key(Resolver *resolver, SpecKey key);

// convert.c: false after reporting.
bool convert_value(Resolver *resolver, const SchemaField *field, const EvalValue *value, SpecValue *result);

// check.c
void check_spec(Resolver *resolver);

#endif
