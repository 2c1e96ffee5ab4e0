// Blocks of pictures go to threads one by one. In a block each term gives a byte a picture, and the steps join those; a
// column of words has been turned into a table of what the term says of each word before.
#include "runtime/data/keep.h"

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>

#include "runtime/data/catalogue.h"
#include "runtime/data/countries.h"
#include "runtime/data/index_bytes.h"

// Whole groups of bits, and whole blocks of a column's checksums.
enum { BLOCK = 16384, FALSE = 0, UNKNOWN = 1, TRUE = 2 };

typedef enum Place { PLACE_WORDS, PLACE_NUMBERS, PLACE_LABEL, PLACE_WIDTH, PLACE_HEIGHT, PLACE_BYTES } Place;

typedef struct Term {
  const SeerKeepTerm *is;
  Place place;
  bool is_country;
  int column;          // of the plan's
  const char **words;  // sorted; of countries by their codes
  uint8_t *table;      // by word, or by label + 1; an index's alone
} Term;

// What is the same for all threads.
typedef struct Plan {
  const SeerKeep *keep;
  const SeerIndex *index;  // NULL: `look` tells
  SeerKeepLook *look;
  const void *set;
  const char *name;  // of the set, for messages
  int64_t pictures;
  Term terms[SEER_KEEP_TERMS_MAX];
  int columns[SEER_KEEP_TERMS_MAX];  // numbers of the index's columns that are read
  int column_count, depth;
  bool reads_entries, reads_sizes;
  SeerKept *kept;
  atomic_llong next;  // block
  atomic_bool stopping;
} Plan;

typedef struct Worker {
  Plan *plan;
  pthread_t thread;
  SeerStatus status;
  SeerIndexColumn columns[SEER_KEEP_TERMS_MAX];
  int opened;
  SeerKeepFacts *facts;  // [BLOCK]
  int32_t *labels;       // [BLOCK], of an index
  uint8_t *stack;        // [depth][BLOCK]
  SeerKeepCounts counts;
} Worker;

static SeerStatus no_memory(void) {
  return seer_fail(SEER_MACHINE, "out of memory to choose pictures\nnote: use a machine with more memory");
}

// ---- terms ----

static int text_compare(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static const char *country_code(const char *text, size_t length) {
  const Country *country = country_find(text, length);
  return country != NULL ? country->alpha2 : NULL;
}

// Codes of countries, where they are some, in capitals and of two letters.
static SeerStatus words_sort(Term *term) {
  size_t count = (size_t)term->is->word_count;
  if (count == 0) { return SEER_OK; }
  term->words = malloc(count * sizeof *term->words);
  if (term->words == NULL) { return no_memory(); }
  for (size_t i = 0; i < count; i++) {
    const char *word = term->is->words[i], *code = term->is_country ? country_code(word, strlen(word)) : NULL;
    term->words[i] = code != NULL ? code : word;
  }
  qsort(term->words, count, sizeof *term->words, text_compare);
  return SEER_OK;
}

static uint8_t number_truth(const SeerKeepTerm *term, double value) {
  bool known = !isnan(value);
  if (term->relation == SEER_KEEP_UNKNOWN) { return known ? FALSE : TRUE; }
  if (!known) { return UNKNOWN; }
  bool holds = false;
  switch (term->relation) {
    case SEER_KEEP_IN:
      for (int i = 0; i < term->number_count && !holds; i++) { holds = value == term->numbers[i]; }
      break;
    case SEER_KEEP_LESS: holds = value < term->numbers[0]; break;
    case SEER_KEEP_AT_MOST: holds = value <= term->numbers[0]; break;
    case SEER_KEEP_MORE: holds = value > term->numbers[0]; break;
    case SEER_KEEP_AT_LEAST: holds = value >= term->numbers[0]; break;
    case SEER_KEEP_UNKNOWN: break;
  }
  return holds ? TRUE : FALSE;
}

// NaN where a word spells none.
static double number_spelled(const char *word) {
  char *end;
  if (*word == '\0' || strspn(word, "0123456789+-.eE") != strlen(word)) { return NAN; }
  double number = strtod(word, &end);
  return *end == '\0' ? number : NAN;
}

// Of a word that is there.
static uint8_t word_truth(const Term *term, const char *word) {
  if (term->is->relation == SEER_KEEP_UNKNOWN) { return FALSE; }
  if (term->is->number_count > 0) { return number_truth(term->is, number_spelled(word)); }
  const char *code = term->is_country ? country_code(word, strlen(word)) : NULL;
  if (code != NULL) { word = code; }
  bool among = bsearch(&word, term->words, (size_t)term->is->word_count, sizeof word, text_compare) != NULL;
  return among ? TRUE : FALSE;
}

static uint8_t absent_truth(const Term *term) { return term->is->relation == SEER_KEEP_UNKNOWN ? TRUE : UNKNOWN; }

// `word_of` numbers from 0; slot 0 of the table stands for no value.
static SeerStatus table_make(Term *term, int64_t count, const char *(*word_of)(const void *, int64_t, size_t *),
                             const void *set) {
  size_t room = 256, length;
  char *text = malloc(room);
  term->table = malloc((size_t)count + 1);
  bool fine = text != NULL && term->table != NULL;
  if (fine) { term->table[0] = absent_truth(term); }
  for (int64_t i = 0; fine && i < count; i++) {
    const char *word = word_of(set, i, &length);
    if (length >= room) {
      room = length + 1;
      char *grown = realloc(text, room);
      fine = grown != NULL;
      if (!fine) { break; }
      text = grown;
    }
    memcpy(text, word, length);
    text[length] = '\0';
    term->table[i + 1] = word_truth(term, text);
  }
  free(text);
  return fine ? SEER_OK : no_memory();
}

static const char *label_of(const void *set, int64_t number, size_t *length) {
  return seer_index_label(set, (int)number, length);
}

static const char *word_of(const void *set, int64_t number, size_t *length) {
  return seer_index_column_text(set, (uint32_t)number + 1, length);
}

// ---- the plan ----

static SeerStatus compare_fail(const Plan *plan, const SeerKeepTerm *term, const char *has) {
  return seer_fail(SEER_INPUT, "column '%s' of '%s' holds %s, but '%s' compares it with a word\nnote: write a number",
                   term->column, plan->name, has, term->text);
}

static SeerStatus column_missing(const Plan *plan, const SeerKeepTerm *term) {
  char names[400] = "";
  size_t used = 0;
  if (plan->index == NULL) {
    return seer_fail(SEER_INPUT,
                     "'%s' asks for column '%s', but no index tells of pictures such as '%s'\nnote: make one of the "
                     "table that has the column: 'seerc data index TABLE.csv -o NAME.index'",
                     term->text, term->column, plan->name);
  }
  for (int i = 0; i < seer_index_column_count(plan->index) && used < sizeof names - 1; i++) {
    SeerIndexColumn column;
    SeerStatus status = seer_index_column_open(plan->index, i, &column);
    if (status == SEER_OK) {
      used += (size_t)snprintf(names + used, sizeof names - used, "%.*s, ", (int)column.name_length, column.name);
    }
    seer_index_column_close(&column);
    if (status != SEER_OK) { return status; }
  }
  return seer_fail(SEER_INPUT,
                   "'%s' asks for column '%s', which '%s' has not\nnote: its columns are %slabel, width, height and "
                   "bytes",
                   term->text, term->column, plan->name, names);
}

static SeerStatus column_take(Plan *plan, Term *term, const SeerIndexColumn *column, int number) {
  term->place = column->is_number ? PLACE_NUMBERS : PLACE_WORDS;
  term->column = 0;
  while (term->column < plan->column_count && plan->columns[term->column] != number) { term->column++; }
  if (term->column == plan->column_count) { plan->columns[plan->column_count++] = number; }
  if (column->is_number) { return term->is->word_count > 0 ? compare_fail(plan, term->is, "numbers") : SEER_OK; }
  return table_make(term, column->word_count, word_of, column);
}

static SeerStatus column_find(Plan *plan, Term *term, bool *found) {
  size_t length = strlen(term->is->column);
  *found = false;
  for (int i = 0; plan->index != NULL && i < seer_index_column_count(plan->index) && !*found; i++) {
    SeerIndexColumn column;
    SeerStatus status = seer_index_column_open(plan->index, i, &column);
    *found = status == SEER_OK && column.name_length == length && memcmp(column.name, term->is->column, length) == 0;
    if (*found) { status = column_take(plan, term, &column, i); }
    seer_index_column_close(&column);
    if (status != SEER_OK) { return status; }
  }
  return SEER_OK;
}

static SeerStatus term_bind(Plan *plan, Term *term) {
  static const char *const own[] = {"label", "width", "height", "bytes"};
  const char *name = term->is->column;
  bool found = false;
  term->is_country = strcasecmp(name, "country") == 0;
  SeerStatus status = words_sort(term);
  if (status == SEER_OK) { status = column_find(plan, term, &found); }
  if (status != SEER_OK || found) { return status; }
  int number = 0;
  while (number < 4 && strcmp(name, own[number]) != 0) { number++; }
  if (number == 4) { return column_missing(plan, term->is); }
  term->place = (Place)(PLACE_LABEL + number);
  plan->reads_entries = true;
  plan->reads_sizes = plan->reads_sizes || number > 0;
  if (number > 0) { return term->is->word_count > 0 ? compare_fail(plan, term->is, "numbers") : SEER_OK; }
  return plan->index != NULL ? table_make(term, seer_index_label_count(plan->index), label_of, plan->index) : SEER_OK;
}

static SeerStatus plan_make(Plan *plan) {
  const SeerKeep *keep = plan->keep;
  int depth = 0;
  SeerStatus status = SEER_OK;
  for (int i = 0; i < keep->step_count; i++) {
    SeerKeepOperation operation = keep->steps[i].operation;
    depth += operation == SEER_KEEP_TERM ? 1 : operation == SEER_KEEP_NOT ? 0 : -1;
    plan->depth = depth > plan->depth ? depth : plan->depth;
  }
  for (int i = 0; status == SEER_OK && i < keep->term_count; i++) {
    plan->terms[i].is = &keep->terms[i];
    status = term_bind(plan, &plan->terms[i]);
  }
  return status;
}

static void plan_release(Plan *plan) {
  for (int i = 0; i < plan->keep->term_count; i++) {
    free(plan->terms[i].words);
    free(plan->terms[i].table);
  }
  free(plan);
}

// ---- blocks ----

// Pages come in no order by themselves (index.c): those of this block and the next are asked for at once.
static void will_need(const uint8_t *bytes, uint64_t size, int64_t first, size_t each) {
  uint64_t begin = (uint64_t)first * each, end = begin + 2 * (uint64_t)BLOCK * each;
  end = end < size ? end : size;
  uintptr_t at = ((uintptr_t)bytes + begin) & ~(uintptr_t)4095;
  madvise((void *)at, (uintptr_t)bytes + end - at, MADV_WILLNEED);
}

static void entries_look(const Worker *worker, int64_t first, int count) {
  const SeerIndexSection *entries = &worker->plan->index->sections[SEER_INDEX_ENTRIES];
  will_need(entries->bytes, entries->size, first, SEER_INDEX_ENTRY_BYTES);
  for (int i = 0; i < count; i++) {
    SeerIndexEntry entry;
    bool sound = seer_index_entry(worker->plan->index, first + i, &entry);  // a damaged one tells nothing
    worker->labels[i] = sound ? entry.label : -1;
    worker->facts[i].width = sound && entry.width > 0 ? entry.width : -1;
    worker->facts[i].height = sound && entry.width > 0 ? entry.height : -1;
    worker->facts[i].bytes = sound ? (int64_t)entry.bytes : -1;
  }
}

static SeerStatus term_run(Worker *worker, const Term *term, int64_t first, int count, uint8_t *truth) {
  const Plan *plan = worker->plan;
  SeerIndexColumn *column = &worker->columns[term->column];
  SeerStatus status = SEER_OK;
  if (term->place == PLACE_WORDS) {
    for (int i = 0; status == SEER_OK && i < count; i++) {
      uint32_t word = 0;
      status = seer_index_column_word(column, first + i, &word);
      truth[i] = status == SEER_OK ? term->table[word] : UNKNOWN;
    }
  } else if (term->place == PLACE_NUMBERS) {
    for (int i = 0; status == SEER_OK && i < count; i++) {
      double value = NAN;
      status = seer_index_column_number(column, first + i, &value);
      truth[i] = number_truth(term->is, value);
    }
  } else if (term->place == PLACE_LABEL) {
    for (int i = 0; i < count; i++) {
      const char *label = worker->facts[i].label;
      truth[i] = plan->index != NULL ? term->table[worker->labels[i] + 1]
                 : label != NULL     ? word_truth(term, label)
                                     : absent_truth(term);
    }
  } else {
    for (int i = 0; i < count; i++) {
      const SeerKeepFacts *facts = &worker->facts[i];
      int64_t value = term->place == PLACE_WIDTH    ? facts->width
                      : term->place == PLACE_HEIGHT ? facts->height
                                                    : facts->bytes;
      truth[i] = number_truth(term->is, value < 0 ? NAN : (double)value);
    }
  }
  return status;
}

static void term_count(Worker *worker, int term, const uint8_t *truth, int count) {
  int64_t holds = 0, unknown = 0;
  for (int i = 0; i < count; i++) {
    holds += truth[i] == TRUE;
    unknown += truth[i] == UNKNOWN;
  }
  worker->counts.holds[term] += holds;
  worker->counts.without_value[term] += unknown;
}

static void steps_join(SeerKeepOperation operation, uint8_t *truth, const uint8_t *other, int count) {
  for (int i = 0; operation == SEER_KEEP_NOT && i < count; i++) { truth[i] = (uint8_t)(TRUE - truth[i]); }
  for (int i = 0; operation == SEER_KEEP_AND && i < count; i++) {
    truth[i] = truth[i] < other[i] ? truth[i] : other[i];
  }
  for (int i = 0; operation == SEER_KEEP_OR && i < count; i++) { truth[i] = truth[i] > other[i] ? truth[i] : other[i]; }
}

// The condition's values lie in front of the stack then.
static SeerStatus steps_run(Worker *worker, int64_t first, int count) {
  const SeerKeep *keep = worker->plan->keep;
  SeerStatus status = SEER_OK;
  int depth = 0;
  for (int i = 0; status == SEER_OK && i < keep->step_count; i++) {
    const SeerKeepStep *step = &keep->steps[i];
    depth += step->operation == SEER_KEEP_TERM ? 1 : step->operation == SEER_KEEP_NOT ? 0 : -1;
    uint8_t *top = worker->stack + (size_t)(depth - 1) * BLOCK;
    if (step->operation == SEER_KEEP_TERM) {
      status = term_run(worker, &worker->plan->terms[step->term], first, count, top);
      term_count(worker, step->term, top, count);
    } else {
      steps_join(step->operation, top, top + BLOCK, count);
    }
  }
  return status;
}

static void bits_set(Worker *worker, int64_t first, int count) {
  uint64_t *bits = worker->plan->kept->bits + first / 64;
  int64_t kept = 0, unknown = 0;
  for (int i = 0; i < count; i++) {
    uint8_t truth = worker->stack[i];
    bits[i / 64] |= (uint64_t)(truth == TRUE) << (i % 64);
    kept += truth == TRUE;
    unknown += truth == UNKNOWN;
  }
  worker->counts.pictures += count;
  worker->counts.kept += kept;
  worker->counts.unknown += unknown;
}

static SeerStatus block_run(Worker *worker, int64_t first, int count) {
  const Plan *plan = worker->plan;
  if (plan->index != NULL && plan->reads_entries) { entries_look(worker, first, count); }
  for (int i = 0; plan->index == NULL && i < count; i++) {
    worker->facts[i] = (SeerKeepFacts){NULL, -1, -1, -1};
    plan->look(plan->set, first + i, plan->reads_sizes, &worker->facts[i]);
  }
  for (int i = 0; i < plan->column_count; i++) {
    const SeerIndexColumn *column = &worker->columns[i];
    will_need(column->values, column->values_bytes, first, column->is_number ? 8 : 4);
  }
  SeerStatus status = steps_run(worker, first, count);
  if (status == SEER_OK) { bits_set(worker, first, count); }
  return status;
}

// ---- threads ----

static SeerStatus worker_make(Worker *worker) {
  const Plan *plan = worker->plan;
  worker->stack = malloc((size_t)plan->depth * BLOCK);
  worker->facts = calloc(BLOCK, sizeof *worker->facts);
  worker->labels = calloc(BLOCK, sizeof *worker->labels);
  SeerStatus status = worker->stack != NULL && worker->facts != NULL && worker->labels != NULL ? SEER_OK : no_memory();
  for (int i = 0; status == SEER_OK && i < plan->column_count; i++) {
    status = seer_index_column_open(plan->index, plan->columns[i], &worker->columns[i]);
    worker->opened = i + 1;
  }
  return status;
}

static void *worker_run(void *argument) {
  Worker *worker = argument;
  Plan *plan = worker->plan;
  worker->status = worker_make(worker);
  while (worker->status == SEER_OK && !plan->stopping) {
    int64_t first = (int64_t)atomic_fetch_add(&plan->next, 1) * BLOCK, left = plan->pictures - first;
    if (left <= 0) { break; }
    worker->status = block_run(worker, first, left < BLOCK ? (int)left : BLOCK);
  }
  if (worker->status != SEER_OK) { plan->stopping = true; }
  for (int i = 0; i < worker->opened; i++) { seer_index_column_close(&worker->columns[i]); }
  free(worker->stack);
  free(worker->facts);
  free(worker->labels);
  return NULL;
}

static void counts_add(SeerKeepCounts *counts, const SeerKeepCounts *more) {
  counts->pictures += more->pictures;
  counts->kept += more->kept;
  counts->unknown += more->unknown;
  for (int i = 0; i < SEER_KEEP_TERMS_MAX; i++) {
    counts->holds[i] += more->holds[i];
    counts->without_value[i] += more->without_value[i];
  }
}

// The calling thread works, too: where no other can be started it does all of it.
static SeerStatus workers_run(Plan *plan, int threads, SeerKeepCounts *counts) {
  int64_t blocks = (plan->pictures + BLOCK - 1) / BLOCK;
  int count = threads < 1 ? 1 : threads > blocks ? (int)(blocks > 0 ? blocks : 1) : threads, started = 1;
  Worker *workers = calloc((size_t)count, sizeof *workers);
  if (workers == NULL) { return no_memory(); }
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);  // signals are the main thread's business
  for (int i = 0; i < count; i++) { workers[i].plan = plan; }
  while (started < count && pthread_create(&workers[started].thread, NULL, worker_run, &workers[started]) == 0) {
    started++;
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  worker_run(&workers[0]);
  SeerStatus status = workers[0].status;
  for (int i = 1; i < started; i++) {
    pthread_join(workers[i].thread, NULL);
    if (status == SEER_OK) { status = workers[i].status; }
  }
  for (int i = 0; status == SEER_OK && i < started; i++) { counts_add(counts, &workers[i].counts); }
  free(workers);
  return status;
}

static SeerStatus set_keep(Plan *plan, int threads, const char *folder, SeerKeepCounts *counts, SeerKept *kept) {
  plan->kept = kept;
  SeerStatus status = plan_make(plan);
  if (status == SEER_OK) { status = seer_kept_make(plan->pictures, folder, kept); }
  if (status == SEER_OK) { status = workers_run(plan, threads, counts); }
  if (status == SEER_OK) {
    seer_kept_count(kept);
  } else {
    seer_kept_release(kept);
  }
  plan_release(plan);
  return status;
}

SeerStatus seer_index_keep(SeerIndex *index, const SeerKeep *keep, int threads, const char *folder,
                           SeerKeepCounts *counts) {
  Plan *plan = calloc(1, sizeof *plan);
  if (plan == NULL) { return no_memory(); }
  plan->keep = keep;
  plan->index = index;
  plan->name = index->path;
  plan->pictures = index->count;
  SeerKept kept = {0};
  SeerStatus status = set_keep(plan, threads, folder, counts, &kept);
  if (status == SEER_OK) {
    index->kept = kept;
    index->keep = keep;
  }
  return status;
}

SeerStatus seer_keep_look(const SeerKeep *keep, int64_t pictures, SeerKeepLook *look, const void *set, const char *name,
                          int threads, const char *folder, SeerKeepCounts *counts, SeerKept *kept) {
  Plan *plan = calloc(1, sizeof *plan);
  if (plan == NULL) { return no_memory(); }
  plan->keep = keep;
  plan->look = look;
  plan->set = set;
  plan->name = name;
  plan->pictures = pictures;
  *kept = (SeerKept){0};
  return set_keep(plan, threads, folder, counts, kept);
}

void seer_keep_describe(const SeerKeep *keep, const SeerKeepCounts *counts, char *text, size_t room) {
  int used = snprintf(text, room, "kept %lld of %lld: %lld dropped", (long long)counts->kept,
                      (long long)counts->pictures, (long long)(counts->pictures - counts->kept - counts->unknown));
  bool first = true;
  for (int i = 0; counts->unknown > 0 && i < keep->term_count && used < (int)room; i++) {
    bool told = counts->without_value[i] == 0;
    for (int j = 0; j < i && !told; j++) {
      told = counts->without_value[j] > 0 && strcmp(keep->terms[j].column, keep->terms[i].column) == 0;
    }
    if (told) { continue; }
    const char *column = keep->terms[i].column;
    if (first) {
      used += snprintf(text + used, room - (size_t)used, ", %lld of unknown %s", (long long)counts->unknown, column);
    } else {
      used += snprintf(text + used, room - (size_t)used, " or %s", column);
    }
    first = false;
  }
}
