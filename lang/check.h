// Checks across keys, by theme: one function each, one row of checks.def. A check reports nothing when a key that it
// reads has failed already: NEEDS returns from it.
#ifndef SEER_LANG_CHECK_H
#define SEER_LANG_CHECK_H

#include "lang/resolve.h"

typedef struct CheckContext {
  Resolver *resolver;
  Arena *arena;
  DiagList *diags;
  const Spec *spec;
  const char *name;  // of the check at work
} CheckContext;

typedef struct CheckRow {
  const char *name, *help;
} CheckRow;

// Every check and message of checks.def, for `seerc explain`.
extern const CheckRow check_rows[];
extern const int check_row_count;

#define CHECK(function, ...) void check_##function(CheckContext *context);
#include "lang/checks.def"

// Returns from the calling check when a key it reads has failed.
#define NEEDS(context, ...)                                                             \
  do {                                                                                  \
    const SpecKey needed[] = {__VA_ARGS__};                                             \
    if (check_failed((context), needed, (int)(sizeof needed / sizeof *needed))) return; \
  } while (0)

bool check_failed(const CheckContext *context, const SpecKey *keys, int count);
void check_error(CheckContext *context, SourceSpan span, const char *format, ...) __attribute__((format(printf, 3, 4)));
void check_warning(CheckContext *context, SourceSpan span, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void check_note(CheckContext *context, SourceSpan span, const char *format, ...) __attribute__((format(printf, 3, 4)));

// The value of a key that holds a number, or `otherwise`.
double check_number(const CheckContext *context, SpecKey key, double otherwise);
bool check_is_set(const CheckContext *context, SpecKey key);
bool check_by_user(const CheckContext *context, SpecKey key);
// Written by the user and unlike the default.
bool check_changed(const CheckContext *context, SpecKey key);
SourceSpan check_span(const CheckContext *context, SpecKey key);
const char *check_short(SpecKey key);  // "batch" of "train.batch"
const char *check_quantity(const CheckContext *context, double number, SchemaUnit unit);
// The divisors of `whole` next to a number that is none; above is 0 where there is none.
void check_divisors(double whole, double number, double *below, double *above);
// Of the size groups: the number of groups, an argument of one, and all crops together.
int check_crop_groups(const CheckContext *context);
double check_crop(const CheckContext *context, int group, int argument);
int check_crop_total(const CheckContext *context);
// Length of the run in steps, or 0 when it is given in epochs or not at all.
double check_steps(const CheckContext *context);

#endif
