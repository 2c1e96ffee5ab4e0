// What a linear probe is asked for, and who is in its training set; see probe.h.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/evaluate/probe.h"
#include "runtime/random.h"

// "0.01,0.1" or "1%,10%,100%": numbers in (0, most].
static SeerStatus numbers_read(const char *option, const char *text, double most, double *numbers, int *count) {
  *count = 0;
  for (const char *at = text; at; at = strchr(at, ',')) {
    if (at != text) at++;
    char *end = NULL;
    double number = strtod(at, &end);
    if (end != at && *end == '%') {
      number /= 100;
      end++;
    }
    if (end == at || (*end && *end != ',') || !(number > 0) || number > most)
      return seer_fail(SEER_USAGE, "'--%s' takes numbers above 0%s, with commas between them, not '%s'", option,
                       most > 1 ? "" : " and up to 1 or 100%", text);
    if (*count == SEER_PROBE_LIST_MAX)
      return seer_fail(SEER_USAGE, "'--%s' takes up to %d numbers", option, SEER_PROBE_LIST_MAX);
    numbers[(*count)++] = number;
    at = end;
  }
  return SEER_OK;
}

SeerStatus seer_probe_plan_read(const SeerOptions *options, uint64_t seed, SeerProbePlan *plan) {
  *plan = (SeerProbePlan){.recipe = {.epochs = 28, .batch = 256, .momentum = 0.9, .weight_decay = 5e-4},
                          .rate_count = 1,
                          .share_count = 1,
                          .seed_count = 3,
                          .rates = {0.01},
                          .shares = {1},
                          .seed = seed};
  if (options->epochs > 0) plan->recipe.epochs = (int)options->epochs;
  if (options->epochs > 0 && (options->epochs > 1e6 || options->epochs != plan->recipe.epochs))
    return seer_fail(SEER_USAGE, "'--epochs' of a probe takes a whole number, not %g", options->epochs);
  if (options->head_batch > 1 << 20 || options->head_batch == 1)
    return seer_fail(SEER_USAGE, "'--batch' takes from 2 to %d pictures: one alone has no variance", 1 << 20);
  if (options->head_batch > 0) plan->recipe.batch = (int)options->head_batch;
  if (options->weight_decay > 0) plan->recipe.weight_decay = options->weight_decay;
  if (options->seeds > 1000) return seer_fail(SEER_USAGE, "'--seeds' takes up to 1000");
  if (options->seeds > 0) plan->seed_count = (int)options->seeds;
  const char *schedule = options->schedule ? options->schedule : "step";
  plan->recipe.cosine = !strcmp(schedule, "cosine");
  if (!plan->recipe.cosine && strcmp(schedule, "step") != 0)
    return seer_fail(SEER_USAGE, "'--schedule' is 'step' or 'cosine', not '%s'", schedule);
  SeerStatus status = SEER_OK;
  if (options->learning_rates)
    status = numbers_read("learning-rates", options->learning_rates, 1e6, plan->rates, &plan->rate_count);
  if (!status && options->shares) status = numbers_read("shares", options->shares, 1, plan->shares, &plan->share_count);
  return status;
}

// The rows of one class, in the order of a draw.
static void class_draw(const int64_t *rows, int64_t count, uint64_t seed, int label, int64_t *drawn) {
  // The complement keeps draws apart from the order of batches, which the seed itself gives.
  for (int64_t i = 0; i < count; i++) drawn[i] = rows[seer_permutation(~seed, (uint32_t)label, count, i)];
}

static int rows_compare(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

// `rows` sorted by class, stably: starts [label_count + 1].
static void classes_sort(const SeerFeatureTable *table, const int64_t *rows, int64_t count, int64_t *starts,
                         int64_t *sorted) {
  for (int64_t i = 0; i < count; i++) starts[table->labels[rows[i]] + 1]++;
  for (int i = 0; i < table->label_count; i++) starts[i + 1] += starts[i];
  for (int64_t i = 0; i < count; i++) sorted[starts[table->labels[rows[i]]]++] = rows[i];
  for (int i = table->label_count; i > 0; i--) starts[i] = starts[i - 1];
  starts[0] = 0;
}

static int64_t share_of(int64_t count, int64_t of_class, int present, double share) {
  if (share >= 1) return of_class;
  int64_t equal = (int64_t)(share * (double)count / present + 0.5);
  return equal < 1 ? 1 : equal < of_class ? equal : of_class;
}

SeerStatus seer_probe_split(const SeerFeatureTable *table, const int64_t *rows, int64_t count, double share,
                            bool holds_out, uint64_t seed, SeerProbeSplit *split) {
  size_t n = (size_t)count + 1;
  int64_t *starts = calloc((size_t)table->label_count + 2, sizeof *starts);
  int64_t *sorted = calloc(n, sizeof *sorted), *drawn = calloc(n, sizeof *drawn);
  *split = (SeerProbeSplit){.train = calloc(n, sizeof(int64_t)), .held = calloc(n, sizeof(int64_t)), .least = count};
  bool made = starts && sorted && drawn && split->train && split->held;
  int present = 0;
  if (made) classes_sort(table, rows, count, starts, sorted);
  for (int label = 0; made && label < table->label_count; label++) present += starts[label + 1] > starts[label];
  for (int label = 0; made && label < table->label_count; label++) {
    int64_t of_class = starts[label + 1] - starts[label];
    if (!of_class) continue;
    class_draw(sorted + starts[label], of_class, seed, label, drawn);
    int64_t taken = share_of(count, of_class, present, share), held = holds_out ? (taken + 5) / 10 : 0;
    if (holds_out && taken > 1 && held < 1) held = 1;
    memcpy(split->held + split->held_count, drawn, (size_t)held * sizeof *drawn);
    memcpy(split->train + split->train_count, drawn + held, (size_t)(taken - held) * sizeof *drawn);
    split->held_count += held;
    split->train_count += taken - held;
    if (taken < split->least) split->least = taken;
    if (taken > split->most) split->most = taken;
  }
  if (made) qsort(split->train, (size_t)split->train_count, sizeof(int64_t), rows_compare);
  if (made) qsort(split->held, (size_t)split->held_count, sizeof(int64_t), rows_compare);
  free(starts);
  free(sorted);
  free(drawn);
  if (made) return SEER_OK;
  seer_probe_split_release(split);
  return seer_fail(SEER_MACHINE, "no memory to draw among %lld pictures", (long long)count);
}

void seer_probe_split_release(SeerProbeSplit *split) {
  free(split->train);
  free(split->held);
  *split = (SeerProbeSplit){.train = NULL};
}
