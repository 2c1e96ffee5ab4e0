// A condition on pictures as a program of data, which data.keep becomes: its terms, and how they are joined. Values are
// true, false or unknown, as in SQL: a term over a picture without a value is unknown, and so is what depends on it.
#ifndef SEER_RUNTIME_KEEP_H
#define SEER_RUNTIME_KEEP_H

enum { SEER_KEEP_TERMS_MAX = 256 };

typedef enum SeerKeepRelation {
  SEER_KEEP_IN,  // equal to one of the words, or of the numbers
  SEER_KEEP_LESS,
  SEER_KEEP_AT_MOST,
  SEER_KEEP_MORE,
  SEER_KEEP_AT_LEAST,
  SEER_KEEP_UNKNOWN  // there is no value; true or false
} SeerKeepRelation;

typedef struct SeerKeepTerm {
  const char *text;    // as people write it
  const char *column;  // of an index; or label, width, height, bytes, where no column has that name
  SeerKeepRelation relation;
  const char *const *words;
  int word_count;
  const double *numbers;
  int number_count;
} SeerKeepTerm;

typedef enum SeerKeepOperation { SEER_KEEP_TERM, SEER_KEEP_NOT, SEER_KEEP_AND, SEER_KEEP_OR } SeerKeepOperation;

typedef struct SeerKeepStep {
  SeerKeepOperation operation;
  int term;  // of SEER_KEEP_TERM
} SeerKeepStep;

typedef struct SeerKeep {
  const char *text;
  const SeerKeepTerm *terms;
  int term_count;             // at most SEER_KEEP_TERMS_MAX
  const SeerKeepStep *steps;  // operands before what joins them; the last one's value is the condition's
  int step_count;
} SeerKeep;

#endif
