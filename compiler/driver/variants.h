// Variants of a spec: every combination of the values that a command line gives for some keys, each as overrides of
// the spec. `--vary cluster.nodes=8,16 --vary train.batch=256,512` are four.
#ifndef SEER_DRIVER_VARIANTS_H
#define SEER_DRIVER_VARIANTS_H

#include "compiler/driver/driver.h"

enum { VARIANTS_MAX = 1000 };

typedef struct VariantAxis {
  const char *target;         // "cluster.nodes", or a constant of the spec, "side"
  const char *label;          // "nodes"; the whole target where two axes have keys of the same name
  const char *const *values;  // as typed, without blanks around
  int value_count;
} VariantAxis;

typedef struct Variant {
  const char *name;           // "nodes=8 batch=256", of axes with more than one value; with none of these: of all
  const char *file_name;      // like it, of letters, digits, '.', '_', '-' and '='; every variant has another
  const int *choices;         // by axis: which of its values
  const SpecDefine *defines;  // the invocation's -D, then its own
  int define_count;
} Variant;

typedef struct Variants {
  const VariantAxis *axes;  // in the order given
  int axis_count;
  const Variant *items;  // the last axis changes fastest
  int count;
} Variants;

// Reads every `--OPTION SECTION.KEY=V1,V2,...`; commas inside of brackets, calls and quotes are part of a value.
// EXIT_DONE; else, after saying why, EXIT_USAGE, or EXIT_INPUT for a key that there is not or a value that is none.
int variants_parse(const Invocation *invocation, const char *option, Variants *variants);
// "8": the value that a variant has of an axis.
const char *variant_value(const Variants *variants, const Variant *variant, int axis);

#endif
