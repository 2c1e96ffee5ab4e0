// Statistics of a study as one JSON object; see study.h. Shares stand in it as they are, 0 to 1; bounds that nothing is
// known of are null.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/engine.h"
#include "runtime/evaluate/study.h"
#include "runtime/utf8.h"

SeerStatus seer_measure_make(SeerStudyMeasure *measure, int64_t case_count, bool divides) {
  *measure = (SeerStudyMeasure){.column = calloc((size_t)case_count + 1, sizeof *measure->column)};
  if (divides) measure->divisor = calloc((size_t)case_count + 1, sizeof *measure->divisor);
  if (measure->column && (measure->divisor || !divides)) return SEER_OK;
  return seer_fail(SEER_MACHINE, "no memory for what was counted in %lld pictures", (long long)case_count);
}

void seer_measures_release(SeerStudyMeasure *measures, int count) {
  for (int i = 0; measures && i < count; i++) {
    free(measures[i].column);
    free(measures[i].divisor);
  }
  free(measures);
}

static json_t *interval_pack(const SeerEstimate *interval) {
  json_t *list = json_array();
  json_array_append_new(list, seer_number_pack(interval->value));
  json_array_append_new(list, seer_number_pack(interval->low));
  json_array_append_new(list, seer_number_pack(interval->high));
  return list;
}

static json_t *group_pack(const SeerStudy *study, const SeerStatistics *statistics, int grouping, int group) {
  int at = statistics->first[grouping] + group;
  const SeerGroupSize *size = &statistics->sizes[at];
  json_t *values = json_array(), *apart = json_array();
  for (int m = 0; m < study->measure_count; m++) {
    size_t place = (size_t)at * (size_t)study->measure_count + (size_t)m;
    json_array_append_new(values, interval_pack(&statistics->values[place]));
    json_array_append_new(apart, interval_pack(&statistics->apart[place]));
  }
  return json_pack("{s:o, s:I, s:I, s:b, s:o, s:o}", "name",
                   seer_text_pack(study->groupings->items[grouping].names[group]), "cases", (json_int_t)size->cases,
                   "units", (json_int_t)size->units, "small", size->small, "values", values, "from_others", apart);
}

static json_t *disparity_pack(const SeerStudy *study, const SeerStatistics *statistics, int grouping, int measure) {
  const SeerDisparity *disparity =
      &statistics->disparities[(size_t)grouping * (size_t)study->measure_count + (size_t)measure];
  char *const *names = study->groupings->items[grouping].names;
  if (disparity->high < 0) return json_null();
  return json_pack("{s:o, s:o, s:o, s:o, s:b, s:i, s:i, s:i}", "high", seer_text_pack(names[disparity->high]), "low",
                   seer_text_pack(names[disparity->low]), "difference", interval_pack(&disparity->difference), "ratio",
                   interval_pack(&disparity->ratio), "clear", disparity->is_clear, "groups", disparity->compared,
                   "pairs", disparity->pairs, "clear_pairs", disparity->clear_pairs);
}

static json_t *groupings_pack(const SeerStudy *study, const SeerStatistics *statistics) {
  json_t *list = json_array();
  for (int g = 0; g < study->groupings->count; g++) {
    json_t *groups = json_array(), *largest = json_array();
    int small = 0;
    for (int i = 0; i < study->groupings->items[g].group_count; i++) {
      small += statistics->sizes[statistics->first[g] + i].small;
      json_array_append_new(groups, group_pack(study, statistics, g, i));
    }
    for (int m = 0; m < study->measure_count; m++)
      json_array_append_new(largest, disparity_pack(study, statistics, g, m));
    json_array_append_new(list, json_pack("{s:o, s:o, s:i, s:o}", "by", seer_text_pack(study->groupings->items[g].name),
                                          "groups", groups, "small_groups", small, "largest", largest));
  }
  return list;
}

static json_t *told_pack(const SeerTold *told) {
  json_t *list = json_array();
  for (int i = 0; i < told->count; i++)
    json_array_append_new(list, json_pack("{s:o, s:o, s:I, s:b}", "what", seer_text_pack(told->rows[i].what), "first",
                                          seer_text_pack(told->rows[i].example), "count",
                                          (json_int_t)told->rows[i].count, "loss", told->rows[i].is_loss));
  return list;
}

double seer_model_parameters(const SeerProgram *program, const SeerOptions *options) {
  double count = 0;
  if (options->parameters > 0) return options->parameters;
  for (int i = 0; i < program->tensor_count; i++) {
    const SeerTensor *tensor = &program->tensors[i];
    double elements = 1;
    if (tensor->kind != SEER_PARAMETER) continue;
    for (int d = 0; d < tensor->rank; d++) elements *= (double)tensor->size[d];
    count += elements;
  }
  return count;
}

static json_t *measures_pack(const SeerStudy *study) {
  json_t *list = json_array();
  for (int m = 0; m < study->measure_count; m++)
    json_array_append_new(list, json_pack("{s:o, s:s, s:b}", "name", seer_text_pack(study->measures[m].name), "at",
                                          study->measures[m].at, "detail", study->measures[m].is_detail));
  return list;
}

static SeerStatus result_pack(const SeerStudy *study, const SeerBootstrap *bootstrap, const SeerStatistics *statistics,
                              json_t **packed) {
  const SeerCases *cases = &study->set->cases;
  int64_t used = 0;
  for (int64_t i = 0; i < cases->count; i++) used += study->set->rows[i] >= 0 && cases->items[i].used;
  json_t *result = json_pack("{s:i, s:s, s:o, s:f, s:o, s:s, s:s, s:o, s:I, s:I, s:I, s:I, s:i, s:f, s:I}",
                             "seer_fairness", SEER_RESULT_FORMAT, "indicator", study->protocol, "model",
                             seer_text_pack(study->options->model ? study->options->model : study->program->name),
                             "parameters", seer_model_parameters(study->program, study->options), "manifest",
                             seer_text_pack(study->options->manifest), "manifest_xxh3_128", cases->hash, "layout",
                             cases->layout, "unit", seer_text_pack(cases->unit ? cases->unit : "picture"), "units",
                             (json_int_t)statistics->sizes[0].units, "pictures", (json_int_t)cases->named,
                             "pictures_used", (json_int_t)used, "least", (json_int_t)bootstrap->least, "replicates",
                             bootstrap->replicates, "confidence", SEER_CONFIDENCE, "seed", (json_int_t)bootstrap->seed);
  if (!result || json_object_set_new(result, "told", told_pack(study->told)) != 0 ||
      json_object_set_new(result, "measures", measures_pack(study)) != 0 ||
      json_object_set_new(result, "by", groupings_pack(study, statistics)) != 0 ||
      (study->extra && json_object_update(result, study->extra) != 0)) {
    json_decref(result);
    return seer_fail(SEER_MACHINE, "no memory for the result");
  }
  *packed = result;
  return SEER_OK;
}

static SeerStatus statistics_of(const SeerStudy *study, const SeerBootstrap *bootstrap, SeerStatistics *statistics) {
  size_t measures = (size_t)study->measure_count;
  const float **columns = calloc(2 * measures + 1, sizeof *columns);
  SeerMeasureColumns *wanted = calloc(measures + 1, sizeof *wanted);
  SeerPartition partitions[SEER_GROUPINGS_MAX];
  int column_count = 0, threads = study->options->threads > 0 ? (int)study->options->threads : seer_cpu_count();
  SeerPool *pool = seer_pool_make(threads);
  SeerStatus status = columns && wanted ? SEER_OK : seer_fail(SEER_MACHINE, "no memory for statistics");
  if (!status && !pool) status = SEER_MACHINE;
  for (int m = 0; !status && m < study->measure_count; m++) {
    wanted[m] = (SeerMeasureColumns){column_count, -1};
    columns[column_count++] = study->measures[m].column;
    if (!study->measures[m].divisor) continue;
    // Measures of one threshold share their divisor.
    for (int c = 0; c < column_count; c++) {
      if (columns[c] == study->measures[m].divisor) wanted[m].denominator = c;
    }
    if (wanted[m].denominator >= 0) continue;
    wanted[m].denominator = column_count;
    columns[column_count++] = study->measures[m].divisor;
  }
  for (int g = 0; g < study->groupings->count; g++)
    partitions[g] = (SeerPartition){study->groupings->items[g].group_count,
                                    study->groups ? study->groups[g] : study->groupings->items[g].groups};
  SeerObservations observations = {study->case_count, study->unit_count,    study->units, column_count,
                                   columns,           study->measure_count, wanted,       study->groupings->count,
                                   partitions};
  if (!status) status = seer_statistics_make(&observations, bootstrap, pool, statistics);
  seer_pool_release(pool);
  free(columns);
  free(wanted);
  return status;
}

SeerStatus seer_study_result(const SeerStudy *study, json_t **result) {
  const SeerOptions *options = study->options;
  SeerBootstrap bootstrap = {.seed = options->seed >= 0 ? (uint64_t)options->seed : 0,
                             .replicates = options->replicates > 0 ? (int)options->replicates : SEER_REPLICATES,
                             .least = options->least > 0 ? options->least : SEER_GROUP_LEAST};
  SeerStatistics statistics;
  SeerStatus status = statistics_of(study, &bootstrap, &statistics);
  if (status) return status;
  status = result_pack(study, &bootstrap, &statistics, result);
  seer_statistics_release(&statistics);
  return status;
}
