// TRAINER probe: trains linear heads on features, or applies one that was saved; see probe.h.
#include <stdlib.h>
#include <string.h>

#include "runtime/commands.h"
#include "runtime/engine.h"
#include "runtime/evaluate/probe.h"

static SeerPool *pool_make(const SeerOptions *options) {
  return seer_pool_make(options->threads > 0 ? (int)options->threads : seer_cpu_count());
}

// From files, or from the network at hand; tables[0] is the training set where `count` is 2.
static SeerStatus tables_make(const SeerProgram *program, const SeerOptions *options, const char *layers, int count,
                              SeerFeatureTable *tables) {
  const char *const files[] = {options->features, options->test_features};
  if (options->features || options->test_features) {
    if (options->weights || options->untrained || options->data.count || options->test_data)
      return seer_fail(SEER_USAGE,
                       "features are given as files: --weights, --untrained, --data and --test-data are not "
                       "wanted then");
    if (!options->test_features || (count == 2 && !options->features))
      return seer_fail(SEER_USAGE, "which features?\nnote: %s--test-features F", count == 2 ? "--features F and " : "");
    for (int i = 0; i < count; i++) {
      SeerStatus status = seer_table_load(files[i + 2 - count], layers, &tables[i]);
      if (status && i) seer_table_release(&tables[0]);
      if (status) return status;
    }
    return SEER_OK;
  }
  if (!options->weights == !options->untrained)
    return seer_fail(SEER_USAGE,
                     "which network?\nnote: --weights RUN, SNAPSHOT or FILE.safetensors, or --untrained, or "
                     "features with --features F and --test-features F");
  if ((count == 2 && !options->data.count) || !options->test_data)
    return seer_fail(SEER_USAGE, "which pictures?\nnote: %s--test-data P", count == 2 ? "--data P and " : "");
  const char *const test[] = {options->test_data, NULL};
  SeerTableRequest requests[] = {
      {.program = program,
       .options = options,
       .pictures = options->data.items,
       .labels = options->labels,
       .views = options->views > 0 ? (int)options->views : 0,
       .seed = options->seed >= 0 ? (uint64_t)options->seed : program->seed,
       .layers = layers},
      {.program = program, .options = options, .pictures = test, .labels = options->test_labels, .layers = layers}};
  return seer_tables_extract(requests + 2 - count, count, tables);
}

static SeerStatus chosen_save(const SeerProbe *probe, const char *path) {
  SeerProbeChoice choice = probe->choices[0];
  const SeerHead *head = &probe->heads[seer_probe_at(probe, 0, choice.layer, 0, choice.rate)];
  return seer_head_save(head, &probe->train->layers[choice.layer], probe->train, path);
}

static SeerStatus probe_train(const SeerProgram *program, const SeerOptions *options) {
  SeerProbePlan plan;
  SeerFeatureTable tables[2];
  SeerProbe probe;
  SeerStatus status = seer_probe_plan_read(options, options->seed >= 0 ? (uint64_t)options->seed : 0, &plan);
  if (!status) status = tables_make(program, options, options->layers, 2, tables);
  if (status) return status;
  SeerPool *pool = pool_make(options);
  status = pool ? seer_probe_run(&plan, &tables[0], &tables[1], pool, options->quiet, &probe) : SEER_MACHINE;
  if (!status) {
    char *json = options->json ? seer_probe_json(&probe) : NULL;
    if (options->json && !json)
      status = seer_fail(SEER_MACHINE, "no memory for the result");
    else if (json)
      printf("%s\n", json);
    else
      seer_probe_print(&probe, stdout);
    free(json);
    if (!status && options->out) status = chosen_save(&probe, options->out);
    if (!status && options->out && !options->quiet && !options->json)
      printf("the head of %g %% and seed %llu is in '%s'\n", 100 * plan.shares[0], (unsigned long long)plan.seed,
             options->out);
    seer_probe_release(&probe);
  }
  seer_pool_release(pool);
  seer_table_release(&tables[0]);
  seer_table_release(&tables[1]);
  return status;
}

// ---- a head that was saved ----

static SeerStatus head_fits(const SeerHeadFile *file, const SeerFeatureTable *table) {
  const SeerLayer *layer = &table->layers[0];
  if (layer->channels != file->head.channels || layer->cells != file->head.cells)
    return seer_fail(SEER_INPUT, "the head is for features of %d x %d numbers, and those of '%s' have %d x %d",
                     file->head.channels, file->head.cells, table->origin, layer->channels, layer->cells);
  if (*file->network && *table->network && strcmp(file->network, table->network) != 0)
    return seer_fail(SEER_INPUT,
                     "the head is for features of another network: its network is '%s', that of '%s' is '%s'",
                     file->network, table->origin, table->network);
  return SEER_OK;
}

// The table's labels as the head numbers its classes; those it does not know are -1, and counted.
static SeerStatus labels_map(const SeerHeadFile *file, SeerFeatureTable *table, int64_t *known, int64_t *unknown) {
  *known = *unknown = 0;
  for (int64_t i = 0; i < table->count; i++) {
    int32_t label = table->labels[i], found = -1;
    for (int c = 0; label >= 0 && c < file->head.classes && found < 0; c++) {
      if (!strcmp(file->label_names[c], table->label_names[label])) found = c;
    }
    *unknown += label >= 0 && found < 0;
    *known += found >= 0;
    table->labels[i] = found;
  }
  if (!*unknown) return SEER_OK;
  return seer_fail(SEER_INPUT, "%lld pictures of '%s' are of classes that the head does not know", (long long)*unknown,
                   table->origin);
}

// The scores as a file of features, the head's classes as labels' names.
static SeerStatus scores_write(const SeerHeadFile *file, const SeerFeatureTable *table, float *scores,
                               const char *path) {
  SeerFeatureTable written = *table;
  written.layer_count = 1;
  written.layers[0] = (SeerLayer){.name = "features", .channels = file->head.classes, .cells = 1, .values = scores};
  written.label_count = file->head.classes;
  written.label_names = file->label_names;
  return seer_table_write(&written, path);
}

static SeerStatus head_apply(const SeerOptions *options, const SeerHeadFile *file, SeerFeatureTable *table) {
  int64_t known = 0, unknown = 0, count = 0;
  SeerProbeFigure figure = {.held = -1};
  SeerPool *pool = pool_make(options);
  float *scores = calloc((size_t)table->count * (size_t)file->head.classes + 1, sizeof *scores);
  SeerStatus status = !pool     ? SEER_MACHINE
                      : !scores ? seer_fail(SEER_MACHINE, "no memory for the scores of a head")
                                : head_fits(file, table);
  if (!status) status = labels_map(file, table, &known, &unknown);
  if (!status) status = seer_head_score(&file->head, table->layers[0].values, NULL, table->count, pool, scores);
  int64_t *rows = status || !known ? NULL : seer_table_labelled(table, options->quiet, &count);
  if (rows) status = seer_scores_judge(scores, file->head.classes, table->labels, rows, count, &figure);
  if (rows && !status)
    printf(options->json ? "{\"top1\": %.6f, \"top5\": %.6f, \"mean_per_class\": %.6f, \"pictures\": %lld}\n"
                         : "top-1 %.6f, top-5 %.6f, mean per class %.6f, of %lld pictures\n",
           figure.top1, figure.top5, figure.per_class, (long long)count);
  if (!status && options->out) status = scores_write(file, table, scores, options->out);
  if (!status && options->out && !options->quiet && !options->json)
    printf("scores of %lld pictures for %d classes in '%s'\n", (long long)table->count, file->head.classes,
           options->out);
  free(rows);
  free(scores);
  seer_pool_release(pool);
  return status;
}

static SeerStatus probe_apply(const SeerProgram *program, const SeerOptions *options) {
  SeerHeadFile file;
  SeerFeatureTable table;
  SeerStatus status = seer_head_load(options->head, &file);
  if (status) return status;
  const char *layer = *file.layer ? file.layer : "features";
  status = tables_make(program, options, layer, 1, &table);
  if (!status) {
    status = head_apply(options, &file, &table);
    seer_table_release(&table);
  }
  seer_head_file_release(&file);
  return status;
}

SeerStatus seer_command_probe(const SeerProgram *program, const SeerOptions *options) {
  return options->head ? probe_apply(program, options) : probe_train(program, options);
}
