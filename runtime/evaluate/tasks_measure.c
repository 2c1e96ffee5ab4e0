// Runs the probe on a list of data sets; see tasks.h. The result is written after every task, so that a run that was
// stopped goes on where it was; features are kept until their task is done.
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "runtime/clock.h"
#include "runtime/data/source.h"
#include "runtime/engine.h"
#include "runtime/evaluate/probe.h"
#include "runtime/evaluate/study.h"
#include "runtime/evaluate/tasks.h"
#include "runtime/features.h"
#include "runtime/files.h"
#include "runtime/progress.h"
#include "runtime/weights/names.h"

// One side of a task as it lies on the disk now.
typedef struct Side {
  int64_t pictures;  // that are to be taken
  char hash[17];     // of names, labels and what is known of sizes
} Side;

typedef struct Work {
  Side sides[2];
  json_t *row;  // of the result: what is known of the task; NULL: to be measured
} Work;

typedef struct Run {
  const SeerProgram *program;
  const SeerOptions *options;
  const char *out;
  SeerTaskList list;
  SeerProbePlan plan;
  SeerEngine engine;
  char weights[33];
  char layers[SEER_TABLE_LAYERS_MAX * (SEER_LAYER_NAME_MAX + 1)];  // "features,s3", by their names in tables
  bool has_head;                                                   // among them: what the network says, not its trunk
  Work *work;                                                      // [list.count]
  json_t *result;                                                  // without tasks
  SeerPath cache;
  bool keeps_cache;
  int64_t pictures, done;  // that are to be looked at, and were
  double began;
} Run;

static int views_asked(const Run *run) { return run->options->views > 0 ? (int)run->options->views : 0; }

static bool is_square(const Run *run, int task) { return strcmp(run->list.rows[task].view, "square") == 0; }

// Random crops that a side is seen in; 0: one view of its own.
static int crops_of(const Run *run, int task, int side) {
  return side == SEER_TRAIN && !is_square(run, task) ? views_asked(run) : 0;
}

static int passes_of(const Run *run, int task, int side) {
  int crops = crops_of(run, task, side);
  return crops > 1 ? crops : 1;
}

// A crop's number, or one of these.
enum { VIEW_CENTRE = -1, VIEW_SQUARE = -2 };

static int view_of(const Run *run, int task, int side, int pass) {
  return crops_of(run, task, side) ? pass : is_square(run, task) ? VIEW_SQUARE : VIEW_CENTRE;
}

static uint64_t view_seed(const Run *run) {
  return run->options->seed >= 0 ? (uint64_t)run->options->seed : run->program->seed;
}

// ---- what is measured, and how ----

// Of the trunk's numbers, and the head's where it is a layer.
static SeerStatus weights_hash(Run *run) {
  XXH3_state_t *hash = XXH3_createState();
  if (!hash) return seer_fail(SEER_MACHINE, "no memory to hash the weights");
  XXH3_128bits_reset(hash);
  for (int i = 0; i < run->program->tensor_count; i++) {
    const SeerTensor *tensor = &run->program->tensors[i];
    size_t bytes = sizeof(float);
    if (tensor->kind != SEER_PARAMETER && tensor->kind != SEER_STATISTIC) continue;
    if (!run->has_head && seer_tensor_name_is_head(tensor->name)) continue;
    for (int d = 0; d < tensor->rank; d++) bytes *= (size_t)tensor->size[d];
    XXH3_128bits_update(hash, tensor->name, strlen(tensor->name) + 1);
    XXH3_128bits_update(hash, run->engine.context.state + tensor->offset, bytes);
  }
  XXH128_hash_t sum = XXH3_128bits_digest(hash);
  XXH3_freeState(hash);
  snprintf(run->weights, sizeof run->weights, "%016llx%016llx", (unsigned long long)sum.high64,
           (unsigned long long)sum.low64);
  return SEER_OK;
}

static SeerStatus layers_name(Run *run) {
  const char *asked = run->options->layers ? run->options->layers : "features";
  size_t used = 0;
  for (const char *at = asked; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
    SeerProgramLayer layer;
    char name[SEER_LAYER_NAME_MAX];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(at, ","), at);
    SeerStatus status = seer_layer_find(run->program, name, &layer);
    if (status) return status;
    run->has_head = run->has_head || strcmp(layer.name, "head") == 0;
    used += (size_t)snprintf(run->layers + used, sizeof run->layers - used, "%s%s", used ? "," : "", layer.name);
    if (used >= sizeof run->layers) return seer_fail(SEER_USAGE, "'--layers' names too many layers");
  }
  return SEER_OK;
}

// Results compare when this is the same.
static json_t *protocol_make(const Run *run) {
  const SeerProbePlan *plan = &run->plan;
  json_t *rates = json_array();
  for (int i = 0; i < plan->rate_count; i++) json_array_append_new(rates, json_real(plan->rates[i]));
  return json_pack("{s:i, s:i, s:f, s:s, s:o, s:i, s:I, s:f, s:s, s:i, s:I, s:i, s:i}", "epochs", plan->recipe.epochs,
                   "batch", plan->recipe.batch, "weight_decay", plan->recipe.weight_decay, "schedule",
                   plan->recipe.cosine ? "cosine" : "step", "learning_rates", rates, "seeds", plan->seed_count,
                   "first_seed", (json_int_t)plan->seed, "share", plan->shares[0], "layers", run->layers, "views",
                   views_asked(run), "limit", (json_int_t)(run->options->limit > 0 ? run->options->limit : 0), "size",
                   run->program->evaluate_size, "resize", run->program->evaluate_resize);
}

static SeerStatus result_begin(Run *run) {
  const SeerOptions *options = run->options;
  run->result =
      json_pack("{s:i, s:o, s:f, s:o, s:o, s:s, s:o, s:o}", "seer_tasks", SEER_TASKS_FORMAT, "model",
                seer_text_pack(options->model ? options->model : run->program->name), "parameters",
                seer_model_parameters(run->program, options), "program", seer_text_pack(run->program->name), "weights",
                seer_text_pack(options->weights ? options->weights : "untrained"), "weights_xxh3_128", run->weights,
                "list", seer_text_pack(run->list.grid.path), "protocol", protocol_make(run));
  return run->result ? SEER_OK : seer_fail(SEER_MACHINE, "no memory for a result");
}

static SeerStatus result_write(const Run *run) {
  json_t *rows = json_array();
  for (int i = 0; i < run->list.count; i++) {
    if (run->work[i].row) json_array_append(rows, run->work[i].row);
  }
  json_object_set_new(run->result, "task_count", json_integer(run->list.count));
  json_object_set_new(run->result, "tasks", rows);
  char *text = json_dumps(run->result, JSON_INDENT(1));
  if (!text) return seer_fail(SEER_MACHINE, "no memory to write the result");
  SeerStatus status = seer_file_replace(run->out, text, strlen(text));
  free(text);
  return status;
}

static json_t *row_begin(const SeerTaskRow *task) {
  json_t *row =
      json_pack("{s:o, s:o, s:s, s:s, s:o, s:o, s:o, s:o}", "name", seer_text_pack(task->name), "group",
                seer_text_pack(task->group), "metric", task->metric, "view", task->view, "train",
                seer_text_pack(task->data[SEER_TRAIN]), "test", seer_text_pack(task->data[SEER_TEST]), "train_labels",
                seer_text_pack(task->labels[SEER_TRAIN]), "test_labels", seer_text_pack(task->labels[SEER_TEST]));
  for (int i = 0; row && i < SEER_TASK_SETTINGS; i++)
    json_object_set_new(row, seer_task_settings[i], seer_text_pack(task->settings[i]));
  return row;
}

// The recorded error becomes the task's.
static void row_fail(Work *work, const SeerTaskRow *task, bool quiet) {
  json_decref(work->row);
  work->row = row_begin(task);
  if (!quiet) fprintf(stderr, "task '%s': error: %s\n", task->name, seer_error());
  if (work->row) json_object_set_new(work->row, "error", seer_text_pack(seer_error()));
  seer_error_clear();
}

// ---- what is there already ----

static SeerStatus earlier_check(const Run *run, const json_t *earlier) {
  const json_t *there = json_object_get(earlier, "protocol"), *here = json_object_get(run->result, "protocol");
  const char *key;
  json_t *value;
  if (strcmp(seer_result_text(earlier, "weights_xxh3_128"), run->weights) != 0)
    return seer_fail(SEER_INPUT,
                     "'%s' is of other weights: of '%.300s', whose numbers are not those of '%.300s'\nnote: write to "
                     "another file with --out, or remove that one",
                     run->out, seer_result_text(earlier, "weights"), seer_result_text(run->result, "weights"));
  json_object_foreach((json_t *)(uintptr_t)here, key, value) {
    const json_t *other = json_object_get(there, key);
    if (json_equal(value, other)) continue;
    char *now = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
    char *then = json_dumps(other, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
    SeerStatus status = seer_fail(SEER_INPUT,
                                  "'%s' was measured otherwise: '%s' is %.200s there, and %.200s here\nnote: write to "
                                  "another file with --out, or remove that one",
                                  run->out, key, then ? then : "not told", now ? now : "not told");
    free(now);
    free(then);
    return status;
  }
  return SEER_OK;
}

// Is a row of an earlier result of this row of the list, as it is written there?
static bool row_is(const json_t *row, const SeerTaskRow *task) {
  json_t *wanted = row_begin(task);
  const char *key;
  json_t *value;
  bool same = wanted && !json_object_get(row, "error");
  json_object_foreach(wanted, key, value) {
    const json_t *there = json_object_get(row, key);  // none: a setting that the list did not know of
    same = same && (strcmp(key, "group") == 0 || (there ? json_equal(value, there) : !*json_string_value(value)));
  }
  json_decref(wanted);
  return same;
}

static bool row_holds(const json_t *row, const Work *work) {
  return strcmp(seer_result_text(row, "train_hash"), work->sides[SEER_TRAIN].hash) == 0 &&
         strcmp(seer_result_text(row, "test_hash"), work->sides[SEER_TEST].hash) == 0;
}

// Takes over what an earlier run has measured and what still holds; says what does not.
static SeerStatus earlier_take(Run *run) {
  json_t *earlier = NULL;
  bool quiet = run->options->quiet;
  if (!seer_path_exists(run->out)) return SEER_OK;
  SeerStatus status = seer_tasks_load(run->out, &earlier);
  if (!status) status = earlier_check(run, earlier);
  const json_t *rows = json_object_get(earlier, "tasks");
  int kept = 0;
  for (size_t r = 0; r < json_array_size(rows) && !status; r++) {
    json_t *row = json_array_get(rows, r);
    const char *name = seer_result_text(row, "name");
    int at = 0;
    while (at < run->list.count && strcmp(run->list.rows[at].name, name) != 0) at++;
    Work *work = at < run->list.count ? &run->work[at] : NULL;
    if (json_object_get(row, "error")) continue;
    if (!work) {
      if (!quiet) fprintf(stderr, "note: task '%s' is not in '%s' and leaves the result\n", name, run->list.grid.path);
    } else if (row_is(row, &run->list.rows[at]) && (work->row || row_holds(row, work))) {
      if (work->row && !quiet) fprintf(stderr, "note: task '%s' keeps the value that it had\n", name);
      json_object_set_new(row, "group", seer_text_pack(run->list.rows[at].group));
      json_decref(work->row);
      work->row = json_incref(row);
      kept++;
    } else if (!work->row && !quiet) {
      fprintf(stderr, "note: task '%s' has changed since and is measured again\n", name);
    }
  }
  if (kept && !quiet) fprintf(stderr, "%d of %d tasks are in '%s' already\n", kept, run->list.count, run->out);
  json_decref(earlier);
  return status;
}

// ---- what lies on the disk ----

static SeerStatus side_look(const Run *run, const SeerTaskRow *task, int which, Side *side) {
  const char *const patterns[] = {task->data_path[which], NULL};
  SeerSource *source = NULL;
  if (!patterns[0])
    return seer_fail(SEER_INPUT, "no pictures are named to %s on\nnote: fill in the column '%s'",
                     which == SEER_TRAIN ? "train" : "test", which == SEER_TRAIN ? "train" : "test");
  SeerStatus status = seer_source_open(patterns, task->labels_path[which], &source);
  if (status) return status;
  int64_t limit = run->options->limit;
  side->pictures = seer_source_count(source);
  if (limit > 0 && limit < side->pictures) side->pictures = limit;
  snprintf(side->hash, sizeof side->hash, "%016llx", (unsigned long long)seer_source_hash(source));
  seer_source_close(source);
  return SEER_OK;
}

// Faults of the machine end the run; those of a task are the task's.
static SeerStatus tasks_look(Run *run) {
  for (int i = 0; i < run->list.count; i++) {
    SeerStatus status = SEER_OK;
    for (int side = 0; side < 2 && !status; side++)
      status = side_look(run, &run->list.rows[i], side, &run->work[i].sides[side]);
    if (status && status != SEER_INPUT) return status;
    if (status) row_fail(&run->work[i], &run->list.rows[i], run->options->quiet);
  }
  return SEER_OK;
}

static int64_t work_pictures(const Run *run, int task) {
  const Work *work = &run->work[task];
  int64_t views = passes_of(run, task, SEER_TRAIN);
  return work->row ? 0 : work->sides[SEER_TRAIN].pictures * views + work->sides[SEER_TEST].pictures;
}

// ---- features ----

// One pass over one side: whatever changes a feature is in the name.
static SeerStatus cache_name(const Run *run, int task, int side, int view, SeerPath *path) {
  char text[sizeof run->layers + 512];
  snprintf(text, sizeof text, "%s %s %s %lld %d %llu %d %d %016llx", run->weights, run->layers,
           run->work[task].sides[side].hash, (long long)run->work[task].sides[side].pictures, view,
           view < 0 ? 0ULL : (unsigned long long)view_seed(run), run->program->evaluate_size,
           run->program->evaluate_resize, (unsigned long long)run->program->model_hash);
  XXH128_hash_t sum = XXH3_128bits(text, strlen(text));
  return seer_path_print(path, "%s/%016llx%016llx.safetensors", run->cache.text, (unsigned long long)sum.high64,
                         (unsigned long long)sum.low64);
}

// From the cache, or made and put there. A file that was cut short is made again.
static SeerStatus pass_get(Run *run, int task, int side, int pass, SeerFeatureTable *table) {
  const SeerTaskRow *row = &run->list.rows[task];
  const char *const patterns[] = {row->data_path[side], NULL};
  int view = view_of(run, task, side, pass);
  SeerTableRequest request = {.program = run->program,
                              .options = run->options,
                              .pictures = patterns,
                              .labels = row->labels_path[side],
                              .layers = run->layers,
                              .views = view < 0 ? 0 : 1,
                              .first_view = view < 0 ? 0 : view,
                              .stretch = view == VIEW_SQUARE,
                              .seed = view_seed(run)};
  SeerPath path;
  SeerStatus status = cache_name(run, task, side, view, &path);
  if (status) return status;
  if (seer_path_exists(path.text)) {
    if (!seer_table_load(path.text, run->layers, table)) return SEER_OK;
    if (!run->options->quiet) fprintf(stderr, "note: features are made again: %s\n", seer_error());
    seer_error_clear();
  }
  status = seer_table_extract(&request, &run->engine, table);
  if (status) return status;
  status = seer_folder_make(run->cache.text);
  if (!status) status = seer_table_write(table, path.text);
  if (status) seer_table_release(table);
  return status;
}

// Room for more passes behind the first.
static bool passes_grow(SeerFeatureTable *table, int passes) {
  for (int i = 0; i < table->layer_count && passes > 1; i++) {
    SeerLayer *layer = &table->layers[i];
    size_t floats = (size_t)passes * (size_t)table->count * (size_t)seer_layer_width(layer);
    float *values = realloc(layer->values, floats * sizeof *values + 1);
    if (!values) return false;
    layer->values = values;
  }
  return true;
}

static SeerStatus pass_append(SeerFeatureTable *table, int pass, const SeerFeatureTable *next) {
  if (next->count != table->count)
    return seer_fail(SEER_INPUT, "'%s' changed while it was read: %lld pictures could be decoded, then %lld",
                     table->origin, (long long)table->count, (long long)next->count);
  SeerStatus status = seer_tables_match(table, next);
  for (int i = 0; i < table->layer_count && !status; i++) {
    SeerLayer *layer = &table->layers[i];
    int64_t floats = table->count * seer_layer_width(layer);
    memcpy(layer->values + pass * floats, seer_table_layer(next, layer->name)->values,
           (size_t)floats * sizeof *layer->values);
  }
  return status;
}

static SeerStatus side_get(Run *run, int task, int side, SeerFeatureTable *table) {
  int passes = passes_of(run, task, side);
  SeerStatus status = pass_get(run, task, side, 0, table);
  if (status) return status;
  free(table->origin);
  table->origin = strdup(run->list.rows[task].data[side]);
  if (!table->origin || !passes_grow(table, passes))
    status = seer_fail(SEER_MACHINE, "no memory for %d x %lld pictures' features", passes, (long long)table->count);
  for (int pass = 1; pass < passes && !status; pass++) {
    SeerFeatureTable next;
    status = pass_get(run, task, side, pass, &next);
    if (status) break;
    status = pass_append(table, pass, &next);
    seer_table_release(&next);
  }
  table->passes = passes;
  if (status) seer_table_release(table);
  return status;
}

// Does a task that is still to be measured want the features of this side?
static bool side_is_wanted(const Run *run, int task, int side) {
  for (int i = 0; i < run->list.count; i++) {
    for (int other = 0; other < 2 && !run->work[i].row; other++) {
      if (strcmp(run->work[i].sides[other].hash, run->work[task].sides[side].hash) == 0 &&
          view_of(run, i, other, 0) == view_of(run, task, side, 0))
        return true;
    }
  }
  return false;
}

static void cache_drop(const Run *run, int task) {
  SeerPath path;
  for (int side = 0; side < 2 && !run->keeps_cache; side++) {
    if (side_is_wanted(run, task, side)) continue;
    for (int pass = 0; pass < passes_of(run, task, side); pass++) {
      if (!cache_name(run, task, side, view_of(run, task, side, pass), &path)) unlink(path.text);
    }
  }
  // Gone with the last of them; another run's stay.
  if (!run->keeps_cache) rmdir(run->cache.text);
}

// ---- one task ----

static void row_fill(json_t *row, const SeerProbe *probe, const Work *work, bool per_class) {
  SeerProbeChoice choice = probe->choices[0];
  int n = probe->plan->seed_count;
  double sum = 0, squares = 0;
  json_t *seeds = json_array();
  for (int seed = 0; seed < n; seed++) {
    const SeerProbeFigure *figure = &probe->figures[seer_probe_at(probe, 0, choice.layer, seed, choice.rate)];
    double value = per_class ? figure->per_class : figure->top1;
    json_array_append_new(seeds, json_real(value));
    sum += value;
  }
  for (int seed = 0; seed < n; seed++) {
    double apart = json_real_value(json_array_get(seeds, (size_t)seed)) - sum / n;
    squares += apart * apart;
  }
  int64_t asked = work->sides[SEER_TRAIN].pictures + work->sides[SEER_TEST].pictures;
  json_t *facts = json_pack(
      "{s:f, s:f, s:o, s:s, s:f, s:I, s:I, s:I, s:i, s:I, s:s, s:s}", "value", sum / n, "deviation",
      n > 1 ? sqrt(squares / (n - 1)) : 0, "seeds", seeds, "layer", probe->train->layers[choice.layer].name,
      "learning_rate", probe->plan->rates[choice.rate], "train_pictures", (json_int_t)probe->train->count, "held_out",
      (json_int_t)probe->splits[0].held_count, "test_pictures", (json_int_t)probe->test_count, "classes",
      probe->classes, "undecodable", (json_int_t)(asked - probe->train->count - probe->test->count), "train_hash",
      work->sides[SEER_TRAIN].hash, "test_hash", work->sides[SEER_TEST].hash);
  json_object_update(row, facts);
  json_decref(facts);
}

static SeerStatus task_measure(Run *run, int task) {
  const SeerTaskRow *row = &run->list.rows[task];
  Work *work = &run->work[task];
  SeerFeatureTable tables[2];
  SeerProbePlan plan;
  SeerProbe probe;
  int made = 0;
  SeerStatus status = seer_task_plan_read(&run->list, task, run->options, &plan);
  for (; made < 2 && !status; made += !status) status = side_get(run, task, made, &tables[made]);
  if (!status)
    status = seer_probe_run(&plan, &tables[0], &tables[1], run->engine.context.pool, run->options->quiet, &probe);
  if (!status) {
    work->row = row_begin(row);
    if (work->row)
      row_fill(work->row, &probe, work, strcmp(row->metric, "mean_per_class") == 0);
    else
      status = seer_fail(SEER_MACHINE, "no memory for a result");
    seer_probe_release(&probe);
  }
  for (int i = 0; i < made; i++) seer_table_release(&tables[i]);
  return status;
}

// By the pictures that are left, at the pace so far.
static void task_tell(const Run *run, int task) {
  char eta[32] = "not known yet";
  double passed = seer_seconds_now() - run->began;
  if (run->options->quiet) return;
  if (run->done > 0)
    seer_duration_text(eta, sizeof eta, passed / (double)run->done * (double)(run->pictures - run->done));
  fprintf(stderr, "task %d of %d, '%s': %lld pictures to train on, %lld to test on; eta of all: %s\n", task + 1,
          run->list.count, run->list.rows[task].name, (long long)run->work[task].sides[SEER_TRAIN].pictures,
          (long long)run->work[task].sides[SEER_TEST].pictures, eta);
}

static SeerStatus tasks_run(Run *run) {
  for (int i = 0; i < run->list.count; i++) run->pictures += work_pictures(run, i);
  run->began = seer_seconds_now();
  SeerStatus status = result_write(run);
  for (int i = 0; i < run->list.count && !status; i++) {
    int64_t pictures = work_pictures(run, i);
    if (run->work[i].row) continue;
    task_tell(run, i);
    status = task_measure(run, i);
    if (status == SEER_INPUT) {
      row_fail(&run->work[i], &run->list.rows[i], run->options->quiet);
      status = SEER_OK;
    } else if (status) {
      break;
    }
    status = result_write(run);
    if (!status) cache_drop(run, i);
    run->done += pictures;
  }
  return status;
}

// ---- all of it ----

static SeerStatus run_begin(Run *run) {
  const SeerOptions *options = run->options;
  SeerStatus status = seer_probe_plan_read(options, options->seed >= 0 ? (uint64_t)options->seed : 0, &run->plan);
  if (!status && run->plan.share_count > 1)
    status = seer_fail(SEER_USAGE,
                       "'--shares' of tasks takes one share: a result has one value a task\nnote: run again "
                       "for another share, with another --out");
  run->keeps_cache = options->cache != NULL;
  if (!status)
    status =
        seer_path_print(&run->cache, options->cache ? "%s" : "%s.features", options->cache ? options->cache : run->out);
  return status;
}

SeerStatus seer_tasks_measure(const SeerProgram *program, const SeerOptions *options, const char *list, const char *out,
                              json_t **result) {
  Run run = {.program = program, .options = options, .out = out};
  *result = NULL;
  SeerStatus status = run_begin(&run);
  if (!status) status = layers_name(&run);
  if (!status) status = seer_task_list_load(list, &run.list);
  SeerProbePlan plan;
  for (int i = 0; i < run.list.count && !status; i++) status = seer_task_plan_read(&run.list, i, options, &plan);
  if (!status && !(run.work = calloc((size_t)run.list.count, sizeof *run.work)))
    status = seer_fail(SEER_MACHINE, "no memory for a list of tasks");
  bool has_engine = false;
  if (!status) {
    status = seer_table_engine_make(program, options, run.layers, &run.engine);
    has_engine = !status;
  }
  if (!status) status = weights_hash(&run);
  if (!status) status = result_begin(&run);
  if (!status) status = tasks_look(&run);
  if (!status) status = earlier_take(&run);
  if (!status) status = tasks_run(&run);
  if (has_engine) seer_engine_release(&run.engine);
  for (int i = 0; run.work && i < run.list.count; i++) json_decref(run.work[i].row);
  free(run.work);
  seer_task_list_release(&run.list);
  if (status)
    json_decref(run.result);
  else
    *result = run.result;
  return status;
}
