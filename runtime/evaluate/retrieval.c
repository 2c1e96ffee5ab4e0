// The third indicator: whether those that a network finds alike are of one group. Of a query's nearest neighbours in a
// database, by cosine similarity of features, the share is counted that has the same value of an attribute.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/engine.h"
#include "runtime/evaluate/study.h"
#include "runtime/knn.h"

enum { DEPTHS = 4 };
static const int depths[DEPTHS] = {1, 5, 10, 50};

// Used cases of a set whose value of an attribute is known, with their features in one block.
typedef struct Faces {
  SeerVectors vectors;
  int64_t *cases;   // [count]
  int32_t *values;  // [count], words of the set's own cases
} Faces;

static SeerStatus faces_make(const SeerStudySet *set, const char *same, const char *what, SeerTold *told,
                             Faces *faces) {
  int attribute = seer_cases_attribute(&set->cases, same), width = (int)seer_layer_width(&set->table.layers[0]);
  size_t n = (size_t)set->cases.count + 1;
  *faces = (Faces){.cases = malloc(n * sizeof *faces->cases), .values = malloc(n * sizeof *faces->values)};
  if (attribute < 0)
    return seer_fail(SEER_INPUT,
                     "the pictures of the %s have no attribute '%s'\nnote: name one that they have with --same", what,
                     same);
  faces->vectors = (SeerVectors){0, width, malloc(n * (size_t)width * sizeof(float)), NULL};
  if (!faces->cases || !faces->values || !faces->vectors.values)
    return seer_fail(SEER_MACHINE, "no memory for the features of %lld pictures", (long long)set->cases.count);
  for (int64_t i = 0; i < set->cases.count; i++) {
    int32_t value = set->cases.values[i * set->cases.attribute_count + attribute];
    if (set->rows[i] < 0) continue;
    if (value < 0) {
      seer_told_add(told, false, set->cases.words.items[set->cases.items[i].name],
                    "pictures of the %s without a known %.60s, which are left out", what, same);
      continue;
    }
    int64_t at = faces->vectors.count++;
    faces->cases[at] = i;
    faces->values[at] = value;
    memcpy(faces->vectors.values + at * width, set->table.layers[0].values + set->rows[i] * width,
           (size_t)width * sizeof(float));
  }
  if (faces->vectors.count > 0) return SEER_OK;
  return seer_fail(SEER_INPUT, "no picture of the %s has a known '%s'", what, same);
}

static void faces_release(Faces *faces) {
  free(faces->vectors.values);
  free(faces->cases);
  free(faces->values);
}

// A picture whose features are all zero has no neighbours: nothing points its way.
static int64_t zeros_count(const SeerVectors *vectors) {
  int64_t zeros = 0;
  for (int64_t i = 0; i < vectors->count; i++) {
    bool is_zero = true;
    for (int c = 0; c < vectors->width && is_zero; c++) is_zero = !(fabsf(vectors->values[i * vectors->width + c]) > 0);
    zeros += is_zero;
  }
  return zeros;
}

static SeerStatus faces_check(const SeerStudySet *queries, const SeerStudySet *database, const Faces *from,
                              const Faces *in, bool is_same, SeerTold *told) {
  if (from->vectors.width != in->vectors.width)
    return seer_fail(SEER_INPUT,
                     "features of the queries are %d wide and those of the database %d\nnote: they must be of "
                     "one network",
                     from->vectors.width, in->vectors.width);
  if (zeros_count(&from->vectors) + zeros_count(&in->vectors) > 0)
    return seer_fail(SEER_INPUT, "%lld pictures have features that are all zero, and are near to none",
                     (long long)(zeros_count(&from->vectors) + (is_same ? 0 : zeros_count(&in->vectors))));
  for (int64_t i = 0; !is_same && i < from->vectors.count; i++) {
    const SeerCase *item = &queries->cases.items[from->cases[i]];
    int32_t picture = seer_words_find(&database->cases.words, queries->cases.words.items[item->picture]);
    for (int64_t j = 0; picture >= 0 && j < in->vectors.count; j++) {
      if (database->cases.items[in->cases[j]].picture != picture) continue;
      seer_told_add(told, false, queries->cases.words.items[item->name],
                    "queries that are in the database, too, and find themselves");
      break;
    }
  }
  return is_same ? SEER_OK : seer_tables_match(&queries->table, &database->table);
}

// How many of the first `depth` neighbours have the query's value, as a share.
static void precisions_take(const Faces *from, const Faces *in, const int32_t *values, int stride,
                            const SeerNeighbour *neighbours, SeerStudyMeasure *measures, int count, const int *depth) {
  for (int64_t q = 0; q < from->vectors.count; q++) {
    int same = 0, at = 0;
    for (int m = 0; m < count; m++) {
      for (; at < depth[m]; at++) same += in->values[neighbours[q * stride + at].index] == values[q];
      measures[m].column[from->cases[q]] = (float)same / (float)depth[m];
    }
  }
}

// Shares of the database: what neighbours taken by chance would have.
static json_t *chance_pack(const Faces *in, const SeerWords *words) {
  json_t *object = json_object();
  int64_t *counts = calloc((size_t)words->count + 1, sizeof *counts);
  for (int64_t i = 0; counts && i < in->vectors.count; i++) counts[in->values[i]]++;
  for (int32_t w = 0; counts && w < words->count; w++) {
    if (counts[w] > 0)
      json_object_set_new(object, words->items[w], json_real((double)counts[w] / (double)in->vectors.count));
  }
  free(counts);
  return object;
}

typedef struct Search {
  const SeerProgram *program;
  const SeerOptions *options;
  SeerTold *told;
  SeerStudySet *queries, *database;
  const SeerGroupings *groupings;
  const char *same;
} Search;

static SeerStatus neighbours_take(const Search *search, Faces *from, Faces *in, SeerStudyMeasure *measures,
                                  int *count) {
  bool is_same = search->queries == search->database;
  int64_t others = in->vectors.count - is_same;
  int depth[DEPTHS], threads = search->options->threads > 0 ? (int)search->options->threads : seer_cpu_count();
  *count = 0;
  for (int d = 0; d < DEPTHS; d++) {
    if (depths[d] <= others) {
      depth[*count] = depths[d];
      SeerStatus status = seer_measure_make(&measures[*count], search->queries->cases.count, false);
      snprintf(measures[*count].name, sizeof measures->name, "precision");
      snprintf(measures[*count].at, sizeof measures->at, "at %d", depths[d]);
      ++*count;
      if (status) return status;
    } else {
      seer_told_add(search->told, false,
                    search->options->database ? search->options->database : search->options->manifest,
                    "precision at %d is not measured: the database has too few pictures", depths[d]);
    }
  }
  if (*count == 0) return seer_fail(SEER_INPUT, "the database has no picture but the query");
  // Values are words of each set's own: those of the queries are looked up among the database's.
  int32_t *values = malloc(((size_t)from->vectors.count + 1) * sizeof *values);
  int k = depth[*count - 1];
  SeerNeighbour *neighbours = malloc(((size_t)from->vectors.count * (size_t)k + 1) * sizeof *neighbours);
  SeerPool *pool = seer_pool_make(threads);
  SeerStatus status = values && neighbours && pool ? SEER_OK : seer_fail(SEER_MACHINE, "no memory for neighbours");
  for (int64_t i = 0; !status && i < from->vectors.count; i++)
    values[i] = seer_words_find(&search->database->cases.words, search->queries->cases.words.items[from->values[i]]);
  if (!status) {
    seer_vectors_normalize(&from->vectors, pool);
    if (!is_same) seer_vectors_normalize(&in->vectors, pool);
    status = seer_neighbours_find(&from->vectors, is_same ? &from->vectors : &in->vectors, k, pool, neighbours);
  }
  if (!status) precisions_take(from, in, values, k, neighbours, measures, *count, depth);
  seer_pool_release(pool);
  free(neighbours);
  free(values);
  return status;
}

static SeerStatus search_run(const Search *search, json_t **result) {
  bool is_same = search->queries == search->database;
  const SeerCases *cases = &search->queries->cases;
  Faces from = {.cases = NULL}, in = {.cases = NULL};
  int count = 0;
  SeerStudyMeasure *measures = calloc(DEPTHS, sizeof *measures);
  int32_t *units = malloc(((size_t)cases->count + 1) * sizeof *units);
  int32_t *groups[SEER_GROUPINGS_MAX] = {NULL};
  SeerStatus status = measures && units ? SEER_OK : seer_fail(SEER_MACHINE, "no memory for neighbours");
  if (!status) status = faces_make(search->queries, search->same, "queries", search->told, &from);
  if (!status && !is_same) status = faces_make(search->database, search->same, "database", search->told, &in);
  Faces *bank = is_same ? &from : &in;
  if (!status) status = faces_check(search->queries, search->database, &from, bank, is_same, search->told);
  if (!status) status = neighbours_take(search, &from, bank, measures, &count);
  for (int64_t i = 0; !status && i < cases->count; i++) units[i] = cases->items[i].unit;
  for (int g = 0; !status && g < search->groupings->count; g++) {
    groups[g] = malloc(((size_t)cases->count + 1) * sizeof **groups);
    if (!groups[g]) status = seer_fail(SEER_MACHINE, "no memory for groups of queries");
    for (int64_t i = 0; !status && i < cases->count; i++) groups[g][i] = -1;
    for (int64_t i = 0; !status && i < from.vectors.count; i++)
      groups[g][from.cases[i]] = search->groupings->items[g].groups[from.cases[i]];
  }
  json_t *extra = status ? NULL
                         : json_pack("{s:o, s:o, s:s, s:I, s:o}", "same", seer_text_pack(search->same), "database",
                                     seer_text_pack(is_same ? search->options->manifest : search->options->database),
                                     "database_xxh3_128", search->database->cases.hash, "database_pictures",
                                     (json_int_t)bank->vectors.count, "by_chance",
                                     chance_pack(bank, &search->database->cases.words));
  SeerStudy study = {.protocol = "retrieval",
                     .program = search->program,
                     .options = search->options,
                     .set = search->queries,
                     .told = search->told,
                     .case_count = cases->count,
                     .unit_count = cases->units.count,
                     .units = units,
                     .groupings = search->groupings,
                     .groups = (const int32_t *const *)groups,
                     .measures = measures,
                     .measure_count = count,
                     .extra = extra};
  if (!status) status = seer_study_result(&study, result);
  json_decref(extra);
  for (int g = 0; g < SEER_GROUPINGS_MAX; g++) free(groups[g]);
  seer_measures_release(measures, count);
  free(units);
  faces_release(&from);
  faces_release(&in);
  return status;
}

// Gender, skin and age of the queries, and gender crossed with skin, as far as they are known.
static void by_default(const SeerCases *cases, char by[256]) {
  bool gender = seer_cases_attribute(cases, "gender") >= 0, skin = seer_cases_attribute(cases, "skin") >= 0;
  bool age = seer_cases_attribute(cases, "age") >= 0;
  snprintf(by, 256, "%s%s%s%s", gender ? ",gender" : "", skin ? ",skin" : "", age ? ",age" : "",
           gender && skin ? ",gender+skin" : "");
}

SeerStatus seer_study_retrieval(const SeerProgram *program, const SeerOptions *options, SeerTold *told,
                                json_t **result) {
  SeerStudySource query = {.cases = {options->manifest, options->layout, options->pictures_in, options->unit, NULL},
                           .file = options->features_in,
                           .what = "query",
                           .option = "manifest",
                           .file_option = "features"};
  SeerStudySource bank = {
      .cases = {options->database, options->database_layout, options->database_pictures, NULL, NULL},
      .file = options->database_features,
      .what = "picture of the database",
      .option = "database",
      .file_option = "database-features"};
  SeerStudySet queries, database = {.rows = NULL};
  SeerGroupings groupings = {.count = 0};
  char by[256];
  if (!options->database && (options->database_features || options->database_pictures || options->database_layout))
    return seer_fail(SEER_USAGE, "whose are the features, pictures or layout of the database?\nnote: --database FILE");
  if (options->weights && query.file && (bank.file || !options->database))
    return seer_fail(SEER_USAGE, "nothing is left to be made with --weights: all features are read from files");
  SeerStatus status = seer_study_set_make(program, options, &query, told, &queries);
  if (status) return status;
  if (options->database) status = seer_study_set_make(program, options, &bank, told, &database);
  by_default(&queries.cases, by);
  if (!status && !options->by && !*by)
    status = seer_fail(SEER_USAGE,
                       "which groups?\nnote: the manifest has none of gender, skin and age; name its attributes "
                       "with --by");
  if (!status) status = seer_groupings_make(&queries.cases, options->by ? options->by : by + 1, &groupings);
  Search search = {program,
                   options,
                   told,
                   &queries,
                   options->database ? &database : &queries,
                   &groupings,
                   options->same ? options->same : "gender"};
  if (!status) status = search_run(&search, result);
  seer_groupings_release(&groupings);
  seer_study_set_release(&queries);
  seer_study_set_release(&database);
  return status;
}
