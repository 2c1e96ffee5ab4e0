// Running a linear probe; see probe.h.
#include "runtime/evaluate/probe.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/evaluate/meter.h"

SeerStatus seer_scores_judge(const float *scores, int classes, const int32_t *labels, const int64_t *rows,
                             int64_t count, SeerProbeFigure *figure) {
  int64_t first = 0, among_five = 0, *of_class = calloc(2 * (size_t)classes + 1, sizeof *of_class);
  if (!of_class) return seer_fail(SEER_MACHINE, "no memory to judge %d classes", classes);
  for (int64_t i = 0; i < count; i++) {
    const float *row = scores + i * classes;
    int32_t label = labels[rows ? rows[i] : i];
    int better = 0;
    for (int c = 0; c < classes; c++) better += row[c] > row[label] || (row[c] >= row[label] && c < label);
    first += better < 1;
    among_five += better < 5;
    of_class[2 * label]++;
    of_class[2 * label + 1] += better < 1;
  }
  double sum = 0;
  int present = 0;
  for (int c = 0; c < classes; c++) {
    if (of_class[2 * c]) sum += (double)of_class[2 * c + 1] / (double)of_class[2 * c];
    present += of_class[2 * c] > 0;
  }
  free(of_class);
  figure->top1 = count ? (double)first / (double)count : 0;
  figure->top5 = count ? (double)among_five / (double)count : 0;
  figure->per_class = present ? sum / present : 0;
  return SEER_OK;
}

// The test set's labels as the training set numbers them. Classes that the training set has no picture of are an error:
// left out they would flatter, and no head can name them.
static SeerStatus labels_align(const SeerFeatureTable *train, SeerFeatureTable *test) {
  int32_t *numbers = calloc((size_t)test->label_count + 1, sizeof *numbers);
  bool *present = calloc((size_t)train->label_count + 1, sizeof *present);
  int64_t unknown = 0;
  const char *first = NULL;
  if (numbers && present) {
    for (int64_t i = 0; i < train->count; i++) {
      if (train->labels[i] >= 0) present[train->labels[i]] = true;
    }
    for (int i = 0; i < test->label_count; i++) {
      numbers[i] = -1;
      for (int j = 0; j < train->label_count && numbers[i] < 0; j++) {
        if (present[j] && !strcmp(test->label_names[i], train->label_names[j])) numbers[i] = j;
      }
    }
  }
  for (int64_t i = 0; numbers && present && i < test->count; i++) {
    int32_t label = test->labels[i];
    if (label >= 0 && numbers[label] < 0 && !unknown++) first = test->label_names[label];
    if (label >= 0) test->labels[i] = numbers[label];
  }
  bool made = numbers && present;
  free(numbers);
  free(present);
  if (!made) return seer_fail(SEER_MACHINE, "no memory for labels");
  if (!unknown) return SEER_OK;
  return seer_fail(SEER_INPUT,
                   "%lld pictures of '%s' are of classes that '%s' has no picture of, '%s' the first of them\n"
                   "note: give both sets the same classes",
                   (long long)unknown, test->origin, train->origin, first);
}

static SeerStatus classes_check(const SeerFeatureTable *train, const int64_t *rows, int64_t count) {
  if (!count)
    return seer_fail(SEER_INPUT,
                     "no picture of '%s' has a label\nnote: sort pictures into folders by class, or give --labels",
                     train->origin);
  for (int64_t i = 1; i < count; i++) {
    if (train->labels[rows[i]] != train->labels[rows[0]]) return SEER_OK;
  }
  return seer_fail(SEER_INPUT,
                   "all %lld labelled pictures of '%s' are of one class, '%s': there is nothing to tell apart",
                   (long long)count, train->origin, train->label_names[train->labels[rows[0]]]);
}

static SeerStatus splits_make(SeerProbe *probe, const int64_t *rows, int64_t count) {
  const SeerProbePlan *plan = probe->plan;
  bool holds_out = plan->rate_count > 1 || probe->train->layer_count > 1;
  probe->splits = calloc((size_t)plan->share_count * (size_t)plan->seed_count, sizeof *probe->splits);
  if (!probe->splits) return seer_fail(SEER_MACHINE, "no memory for a probe");
  for (int share = 0; share < plan->share_count; share++) {
    for (int seed = 0; seed < plan->seed_count; seed++) {
      SeerProbeSplit *split = &probe->splits[share * plan->seed_count + seed];
      SeerStatus status = seer_probe_split(probe->train, rows, count, plan->shares[share], holds_out,
                                           plan->seed + (uint64_t)seed, split);
      if (status) return status;
      if (holds_out && !split->held_count)
        return seer_fail(SEER_INPUT,
                         "a share of %g %% has one picture of each class: none can be held out to choose a learning "
                         "rate or layer by\nnote: name one learning rate and one layer, or a larger share",
                         100 * plan->shares[share]);
    }
  }
  return SEER_OK;
}

static int64_t heads_of(const SeerProbe *probe) { return seer_probe_at(probe, probe->plan->share_count, 0, 0, 0); }

static SeerStatus heads_make(SeerProbe *probe) {
  const SeerProbePlan *plan = probe->plan;
  probe->heads = calloc((size_t)heads_of(probe), sizeof *probe->heads);
  probe->figures = calloc((size_t)heads_of(probe), sizeof *probe->figures);
  if (!probe->heads || !probe->figures) return seer_fail(SEER_MACHINE, "no memory for a probe");
  for (int64_t i = 0; i < heads_of(probe); i++) {
    int64_t group = i / plan->rate_count;
    const SeerLayer *layer = &probe->train->layers[group / plan->seed_count % probe->train->layer_count];
    SeerStatus status = seer_head_make(&probe->heads[i], layer->channels, layer->cells, probe->classes,
                                       plan->seed + (uint64_t)(group % plan->seed_count));
    if (status) return status;
  }
  return SEER_OK;
}

static SeerStatus heads_train(SeerProbe *probe, SeerPool *pool, bool quiet) {
  const SeerProbePlan *plan = probe->plan;
  const SeerFeatureTable *train = probe->train;
  int groups = plan->share_count * train->layer_count * plan->seed_count;
  SeerHeadGroup *list = calloc((size_t)groups, sizeof *list);
  double rates[SEER_PROBE_LIST_MAX];
  if (!list) return seer_fail(SEER_MACHINE, "no memory for a probe");
  for (int i = 0; i < plan->rate_count; i++) rates[i] = plan->rates[i] * plan->recipe.batch / 256;
  for (int i = 0; i < groups; i++) {
    int seed = i % plan->seed_count, share = i / plan->seed_count / train->layer_count;
    const SeerProbeSplit *split = &probe->splits[share * plan->seed_count + seed];
    list[i] = (SeerHeadGroup){.features = train->layers[i / plan->seed_count % train->layer_count].values,
                              .total = train->count,
                              .passes = train->passes,
                              .labels = train->labels,
                              .rows = split->train,
                              .count = split->train_count,
                              .seed = plan->seed + (uint64_t)seed,
                              .head_count = plan->rate_count,
                              .heads = probe->heads + (int64_t)i * plan->rate_count,
                              .rates = rates};
  }
  SeerMeter meter = seer_meter_make("linear probe", quiet);
  SeerStatus status = seer_heads_train(&plan->recipe, list, groups, pool, seer_meter_tell, &meter);
  seer_meter_end(&meter);
  free(list);
  return status;
}

static SeerStatus heads_judge(SeerProbe *probe, const int64_t *test_rows, SeerPool *pool) {
  const SeerProbePlan *plan = probe->plan;
  int64_t most = probe->test_count > probe->train->count ? probe->test_count : probe->train->count;
  float *scores = calloc((size_t)most * (size_t)probe->classes + 1, sizeof *scores);
  SeerStatus status = scores ? SEER_OK : seer_fail(SEER_MACHINE, "no memory for the scores of a probe");
  for (int64_t i = 0; i < heads_of(probe) && !status; i++) {
    int64_t group = i / plan->rate_count, seed = group % plan->seed_count;
    int64_t share = group / plan->seed_count / probe->train->layer_count;
    const SeerProbeSplit *split = &probe->splits[share * plan->seed_count + seed];
    const SeerLayer *layer = &probe->train->layers[group / plan->seed_count % probe->train->layer_count];
    SeerProbeFigure *figure = &probe->figures[i];
    status = seer_head_score(&probe->heads[i], layer->values, split->held, split->held_count, pool, scores);
    if (!status)
      status = seer_scores_judge(scores, probe->classes, probe->train->labels, split->held, split->held_count, figure);
    figure->held = split->held_count ? figure->top1 : -1;
    const float *values = seer_table_layer(probe->test, layer->name)->values;
    if (!status) status = seer_head_score(&probe->heads[i], values, test_rows, probe->test_count, pool, scores);
    if (!status)
      status = seer_scores_judge(scores, probe->classes, probe->test->labels, test_rows, probe->test_count, figure);
  }
  free(scores);
  return status;
}

// Of each share the layer and the rate with the best mean over seeds on what was held out, the first of equals.
static void choices_make(SeerProbe *probe) {
  const SeerProbePlan *plan = probe->plan;
  for (int share = 0; share < plan->share_count; share++) {
    double best = -1e9;
    for (int layer = 0; layer < probe->train->layer_count; layer++) {
      for (int rate = 0; rate < plan->rate_count; rate++) {
        double sum = 0;
        for (int seed = 0; seed < plan->seed_count; seed++)
          sum += probe->figures[seer_probe_at(probe, share, layer, seed, rate)].held;
        if (sum <= best) continue;
        best = sum;
        probe->choices[share] = (SeerProbeChoice){layer, rate};
      }
    }
  }
}

SeerStatus seer_probe_run(const SeerProbePlan *plan, SeerFeatureTable *train, SeerFeatureTable *test, SeerPool *pool,
                          bool quiet, SeerProbe *probe) {
  *probe = (SeerProbe){.plan = plan, .train = train, .test = test, .classes = train->label_count};
  SeerStatus status = seer_tables_match(train, test);
  int64_t count = 0, *rows = seer_table_labelled(train, quiet, &count);
  int64_t *test_rows = seer_table_labelled(test, quiet, &probe->test_count);
  if (!status && (!rows || !test_rows)) status = seer_fail(SEER_MACHINE, "no memory for a probe");
  if (!status) status = classes_check(train, rows, count);
  if (!status && !probe->test_count)
    status = seer_fail(SEER_INPUT, "no picture of '%s' has a label: there is nothing to test on", test->origin);
  if (!status) status = labels_align(train, test);
  if (!status) status = splits_make(probe, rows, count);
  if (!status) status = heads_make(probe);
  if (!status) status = heads_train(probe, pool, quiet);
  if (!status) status = heads_judge(probe, test_rows, pool);
  if (!status) choices_make(probe);
  free(rows);
  free(test_rows);
  if (status) seer_probe_release(probe);
  return status;
}

void seer_probe_release(SeerProbe *probe) {
  for (int64_t i = 0; probe->heads && i < heads_of(probe); i++) seer_head_release(&probe->heads[i]);
  for (int i = 0; probe->splits && i < probe->plan->share_count * probe->plan->seed_count; i++)
    seer_probe_split_release(&probe->splits[i]);
  free(probe->splits);
  free(probe->heads);
  free(probe->figures);
  *probe = (SeerProbe){.plan = NULL};
}
