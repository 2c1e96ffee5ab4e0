// The report page of a run; see report.h. What it shows is read from the run folder and measured with its network.
#include "runtime/report.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/commands.h"
#include "runtime/evaluation.h"
#include "runtime/init.h"
#include "runtime/manifest.h"
#include "runtime/monitor.h"
#include "runtime/page.h"
#include "runtime/rundir.h"
#include "runtime/history.h"
#include "runtime/snapshot.h"
#include "runtime/weights/load.h"
#include "runtime/who_page.h"

enum {
  PICTURES_DEFAULT = 1000,
  QUERIES = 10,
  SHOWN = 7,
  SIDE = 112,
  MAP_PICTURES = 160,
  MAP_SIDE = 46,
  MAP_WIDTH = 1040,
  MAP_HEIGHT = 620,
  POWER_STEPS = 60,
  PROTOTYPES_BYTES_MAX = 1 << 28
};

static void tile_print(FILE *page, const char *name, const char *format, double value) {
  fputs("<div class=\"tile\"><b>", page);
  char text[64];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
  snprintf(text, sizeof text, format, value);
#pragma GCC diagnostic pop
  seer_page_escape(page, text);
  fprintf(page, "</b><span>%s</span></div>", name);
}

static void tiles_print(FILE *page, const SeerHistory *history, const SeerEvaluation *evaluation, int prototypes) {
  int last = history->count - 1;
  fputs("<div class=\"tiles\">", page);
  if (evaluation && evaluation->vote.labels > 1)
    tile_print(page, "nearest-neighbour accuracy", "%.1f %%", 100 * evaluation->trained);
  tile_print(page, "loss at the end", "%.4g", seer_history_mean_end(history->loss, history->count));
  tile_print(page, "steps", "%.0f", history->step[last]);
  tile_print(page, "pictures per second", "%.1f", seer_history_mean_end(history->speed, history->count));
  tile_print(page, "memory planned, MiB", "%.1f", history->peak[last] / 1048576);
  if (prototypes > 0)
    tile_print(page, "prototype entropy", "%.1f %%", 100 * seer_history_mean_end(history->entropy, history->count));
  fputs("</div>\n", page);
}

static void race_print(FILE *page, const SeerEvaluation *evaluation, bool supervised) {
  const struct {
    const char *name;
    double share;
  } rows[] = {{"trained network", evaluation->trained},
              {"untrained network", evaluation->untrained},
              {"raw pixels", evaluation->pixels},
              {"largest class", evaluation->majority}};
  fprintf(page,
          "<section class=\"card\"><h2>What it learnt</h2><p class=\"note\">Share of %lld pictures whose label a vote "
          "of their "
          "%d nearest neighbours gets right, among %d labels.%s</p><div class=\"race\">",
          (long long)evaluation->queries.count, evaluation->vote.k, evaluation->vote.labels,
          supervised ? "" : " The network was trained without ever seeing a label.");
  for (int i = 0; i < 4; i++) {
    fprintf(page, "<span>%s</span><div class=\"bar%s\"><i style=\"width:%.2f%%\"></i></div><b>%.1f %%</b>",
            rows[i].name, i == 0 ? " first" : "", 100 * rows[i].share, 100 * rows[i].share);
  }
  fputs("</div></section>\n", page);
}

// Lines of steps after which nobody looked have 0 there.
static void knn_chart_print(FILE *page, const SeerHistory *history) {
  double *steps = calloc((size_t)history->count + 1, sizeof *steps);
  double *shares = calloc((size_t)history->count + 1, sizeof *shares);
  int count = 0;
  for (int i = 0; steps && shares && i < history->count; i++) {
    if (history->knn[i] <= 0) continue;
    steps[count] = history->step[i];
    shares[count++] = history->knn[i];
  }
  const SeerChart chart = {"Nearest neighbours in training",
                           "share of labelled pictures whose label their neighbours vote",
                           steps,
                           shares,
                           count,
                           "#c2410c",
                           false,
                           false};
  if (count > 0) seer_chart_print(page, &chart);
  free(steps);
  free(shares);
}

static void charts_print(FILE *page, const SeerHistory *history, int prototypes) {
  SeerChart charts[] = {
      {"Loss", "per step; the strong line is smoothed", history->step, history->loss, history->count, "#2f6fed", true,
       false},
      {"Learning rate", "per step", history->step, history->rate, history->count, "#d97b0d", false, true},
      {"Throughput", "pictures per second", history->step, history->speed, history->count, "#7a5af8", true, true},
      {"Prototype entropy", "1: every prototype is used alike; near 0: collapse", history->step, history->entropy,
       history->count, "#0f9d8a", true, false},
  };
  fputs("<div class=\"grid\">", page);
  for (int i = 0; i < (prototypes > 0 ? 4 : 3); i++) seer_chart_print(page, &charts[i]);
  knn_chart_print(page, history);
}

// Closes the grid that charts_print opened, after the histogram where there is one.
static void usage_print(FILE *page, const char *run) {
  SeerPath path;
  char *text = NULL;
  uint64_t bytes = 0;
  json_t *root = NULL;
  if (seer_path_print(&path, "%s/prototypes.json", run) == SEER_OK &&
      seer_file_read(path.text, PROTOTYPES_BYTES_MAX, &text, &bytes) == SEER_OK) {
    root = json_loadb(text, bytes, 0, NULL);
  } else {
    seer_error_clear();
  }
  const json_t *usage = json_object_get(root, "usage");
  int count = (int)json_array_size(usage);
  double *values = count > 0 ? calloc((size_t)count, sizeof *values) : NULL;
  for (int i = 0; values && i < count; i++) values[i] = json_number_value(json_array_get(usage, (size_t)i));
  if (values) {
    seer_bars_print(page, "Prototype usage",
                    "share of the codes over the last steps, most used first, as a multiple of the mean", values,
                    count);
  }
  fputs("</div>\n", page);
  free(values);
  free(text);
  json_decref(root);
}

static void caption_print(FILE *page, const SeerSource *source, int64_t picture, int32_t label) {
  const char *name = label >= 0 ? seer_source_label_name(source, label) : NULL;
  if (!name) {
    const char *path = seer_source_name(source, picture), *slash = strrchr(path, '/');
    name = slash ? slash + 1 : path;
  }
  fputs("<figcaption>", page);
  seer_page_escape(page, name);
  fputs("</figcaption></figure>", page);
}

static void gallery_print(FILE *page, const SeerReportRequest *request, const SeerEvaluation *evaluation) {
  const SeerFeatureSet *set = &evaluation->queries;
  int64_t max_pixels = request->engine->program->max_pixels;
  int queries = set->count < QUERIES ? (int)set->count : QUERIES,
      shown = evaluation->vote.stride < SHOWN ? evaluation->vote.stride : SHOWN;
  fputs(
      "<section class=\"card\" style=\"margin-top:18px\"><h2>Pictures and their nearest neighbours</h2><p "
      "class=\"note\">Left: a "
      "picture, taken at even distances through the data set. Right: what the trained network finds most alike, "
      "nearest first. "
      "A green frame means the same label.</p>",
      page);
  for (int q = 0; q < queries; q++) {
    int64_t row = (2 * q + 1) * set->count / (2 * queries);
    fputs("<div class=\"row\"><figure class=\"query\">", page);
    seer_thumbnail_print(page, request->decoder, set->pictures[row], max_pixels, SIDE, "");
    caption_print(page, request->source, set->pictures[row], set->labels[row]);
    fputs("<div class=\"arrow\">›</div>", page);
    for (int i = 0; i < shown; i++) {
      int64_t other = evaluation->neighbours[row * evaluation->vote.stride + i].index;
      bool same = set->labels[row] >= 0 && set->labels[other] == set->labels[row];
      fprintf(page, "<figure class=\"%s\">", same ? "same" : "other");
      seer_thumbnail_print(page, request->decoder, set->pictures[other], max_pixels, SIDE, "");
      caption_print(page, request->source, set->pictures[other], set->labels[other]);
    }
    fputs("</div>", page);
  }
  fputs("</section>\n", page);
}

// One principal direction of the rows by power iteration, orthogonal to `before`; projections of the rows go to `out`.
static void direction_find(const float *rows, int64_t count, int width, const double *mean, const double *before,
                           double *direction, double *out) {
  for (int i = 0; i < width; i++) direction[i] = 1.0 / (1 + i) - (i % 2) * 0.3;
  for (int step = 0; step <= POWER_STEPS; step++) {
    double overlap = 0, squares = 0;
    for (int i = 0; before && i < width; i++) overlap += direction[i] * before[i];
    for (int i = 0; i < width; i++) {
      if (before) direction[i] -= overlap * before[i];
      squares += direction[i] * direction[i];
    }
    for (int i = 0; i < width; i++) direction[i] *= squares > 0 ? 1 / sqrt(squares) : 0;
    for (int64_t r = 0; r < count; r++) {
      out[r] = 0;
      for (int i = 0; i < width; i++) out[r] += ((double)rows[r * width + i] - mean[i]) * direction[i];
    }
    if (step == POWER_STEPS) break;
    memset(direction, 0, (size_t)width * sizeof *direction);
    for (int64_t r = 0; r < count; r++) {
      for (int i = 0; i < width; i++) direction[i] += out[r] * ((double)rows[r * width + i] - mean[i]);
    }
  }
}

// Places by rank in each direction: the page is filled evenly, and what is near stays near.
static void ranks_make(const double *values, int64_t count, double *ranks) {
  for (int64_t i = 0; i < count; i++) {
    int64_t below = 0;
    for (int64_t j = 0; j < count; j++) below += values[j] < values[i] || (values[j] == values[i] && j < i);
    ranks[i] = count > 1 ? (double)below / (double)(count - 1) : 0.5;
  }
}

static void map_draw(FILE *page, const SeerReportRequest *request, const SeerFeatureSet *set, const double *x,
                     const double *y) {
  int64_t shown = set->count < MAP_PICTURES ? set->count : MAP_PICTURES;
  fprintf(page,
          "<section class=\"card\"><h2>A map of what it sees</h2><p class=\"note\">%lld pictures laid out by the two "
          "strongest "
          "directions of the features, by rank: pictures the network finds alike lie close together.</p>"
          "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"map of pictures\">",
          (long long)shown, MAP_WIDTH, MAP_HEIGHT);
  for (int64_t i = 0; i < shown; i++) {
    int64_t row = i * set->count / shown;
    char *uri =
        seer_thumbnail_uri(request->decoder, set->pictures[row], request->engine->program->max_pixels, MAP_SIDE);
    if (!uri) continue;
    fprintf(page, "<image href=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%d\" height=\"%d\"><title>", uri,
            x[row] * (MAP_WIDTH - MAP_SIDE), y[row] * (MAP_HEIGHT - MAP_SIDE), MAP_SIDE, MAP_SIDE);
    seer_page_escape(page, seer_source_name(request->source, set->pictures[row]));
    fputs("</title></image>", page);
    free(uri);
  }
  fputs("</svg></section>\n", page);
}

static void map_print(FILE *page, const SeerReportRequest *request, const SeerEvaluation *evaluation) {
  const SeerFeatureSet *set = &evaluation->queries;
  size_t width = (size_t)set->width, count = (size_t)set->count;
  double *memory = calloc(3 * width + 4 * count, sizeof *memory);
  if (!memory || count < 3) {
    free(memory);
    return;
  }
  double *mean = memory, *first = mean + width, *second = first + width, *a = second + width, *b = a + count,
         *x = b + count, *y = x + count;
  for (size_t r = 0; r < count; r++) {
    for (size_t i = 0; i < width; i++) mean[i] += (double)set->features[0][r * width + i] / (double)count;
  }
  direction_find(set->features[0], set->count, set->width, mean, NULL, first, a);
  direction_find(set->features[0], set->count, set->width, mean, first, second, b);
  ranks_make(a, set->count, x);
  ranks_make(b, set->count, y);
  map_draw(page, request, set, x, y);
  free(memory);
}

// What the newest snapshot that has one, and is as it was written, has counted. *found: there is one.
static SeerStatus monitor_find(const char *run, SeerMonitorFile *file, bool *found) {
  SeerSnapshotList list;
  SeerStatus status = seer_snapshot_list(run, &list);
  *found = false;
  for (int i = list.count - 1; i >= 0 && !status && !*found; i--) {
    SeerPath folder, path;
    SeerManifest manifest;
    status = seer_snapshot_folder(run, list.steps[i], &folder);
    if (!status) status = seer_path_print(&path, "%s/%s", folder.text, SEER_MONITOR_NAME);
    if (status || seer_manifest_read(folder.text, &manifest)) {
      seer_error_clear();
      continue;
    }
    *found = manifest.monitor.bytes > 0 && !seer_manifest_verify_monitor(&manifest, folder.text) &&
             !seer_monitor_file_read(path.text, file);
    seer_manifest_release(&manifest);
    if (!*found) seer_error_clear();
  }
  seer_snapshot_list_release(&list);
  return status;
}

// The references whose columns have the names that were counted, numbered as those.
static int references_match(const SeerMonitorRule *rule, const SeerMonitorFile *file,
                            SeerReference references[SEER_COLUMNS_MAX]) {
  int count = 0;
  for (int i = 0; i < rule->reference_count; i++) {
    for (int c = 0; c < file->columns && count < SEER_COLUMNS_MAX; c++) {
      if (strcmp(rule->columns[rule->references[i].column], file->names[c]) != 0) continue;
      references[count] = rule->references[i];
      references[count++].column = c;
    }
  }
  return count;
}

static SeerStatus who_show(FILE *page, const SeerReportRequest *request, const SeerMonitorFile *file,
                           const SeerComposition *composition) {
  char sample[320], chosen[96] = "";
  SeerReference references[SEER_COLUMNS_MAX];
  SeerDrift *drift = calloc(1, sizeof *drift);
  if (!drift) return seer_fail(SEER_MACHINE, "out of memory for the page");
  if (composition->pictures < file->seen)
    snprintf(chosen, sizeof chosen, "a uniform sample of %llu, at most %llu, of ",
             (unsigned long long)composition->pictures, (unsigned long long)file->sample);
  snprintf(sample, sizeof sample,
           "Counted: %sthe %llu pictures that the run was trained on, those of each epoch anew%s.", chosen,
           (unsigned long long)file->seen, file->since > 0 ? ", since it began to count" : "");
  SeerStatus status = seer_drift_read(request->run, composition, drift);
  SeerWho who = {.composition = composition,
                 .sample = sample,
                 .references = references,
                 .reference_count = references_match(&request->engine->program->monitor, file, references),
                 .drift = drift};
  if (!status) status = seer_who_print(page, &who);
  free(drift);
  return status;
}

static SeerStatus who_print(FILE *page, const SeerReportRequest *request) {
  SeerMonitorFile file;
  SeerComposition composition;
  bool found;
  SeerStatus status = monitor_find(request->run, &file, &found);
  if (status || !found) return status;
  status = seer_composition_make(&file.cells, file.level, file.names, file.columns, seer_monitor_file_text, &file,
                                 &composition);
  if (!status) {
    if (composition.pictures > 0) status = who_show(page, request, &file, &composition);
    seer_composition_release(&composition);
  }
  seer_monitor_file_release(&file);
  return status;
}

static void spec_print(FILE *page, const SeerProgram *program) {
  fputs("<section class=\"card\"><details><summary>The spec, resolved</summary><pre>", page);
  for (SeerPieces piece = program->spec_text; *piece; piece++) seer_page_escape(page, *piece);
  fputs("</pre></details></section>\n", page);
}

static SeerStatus page_print(FILE *page, const SeerReportRequest *request, const SeerHistory *history,
                             const SeerEvaluation *evaluation) {
  const SeerProgram *program = request->engine->program;
  int prototypes = program->task == SEER_SWAV ? program->prototypes : 0;
  seer_page_begin(page, program->name);
  fputs("<h1>", page);
  seer_page_escape(page, program->name);
  fputs("</h1><p class=\"sub\">", page);
  fprintf(page, "%s training of %.0f steps with batches of %d", prototypes ? "Self-supervised" : "Supervised",
          history->step[history->count - 1], program->batch);
  if (request->source) fprintf(page, " on %lld pictures", (long long)seer_source_count(request->source));
  fputs("</p>\n", page);
  tiles_print(page, history, evaluation, prototypes);
  if (evaluation && evaluation->vote.labels > 1) race_print(page, evaluation, prototypes == 0);
  charts_print(page, history, prototypes);
  usage_print(page, request->run);
  SeerStatus status = who_print(page, request);
  if (evaluation) {
    gallery_print(page, request, evaluation);
    map_print(page, request, evaluation);
  }
  spec_print(page, program);
  seer_page_end(page);
  return status;
}

SeerStatus seer_report_write(const SeerReportRequest *wanted, SeerPath *path) {
  SeerHistory history;
  SeerReportRequest with = *wanted, *request = &with;
  SeerEvaluation evaluation = {.neighbours = NULL};
  const SeerOptions *options = request->options;
  SeerStatus status = seer_path_print(path, "%s/report.html", request->run);
  SeerStatus read = status ? status : seer_history_read(request->run, &history);
  if (read) {
    if (!status) seer_history_release(&history);
    return read;
  }
  SeerEvaluationRequest evaluate = {.engine = request->engine,
                                    .seed = request->seed,
                                    .source = request->source,
                                    .limit = options->limit > 0 ? options->limit : PICTURES_DEFAULT,
                                    .neighbours = (int)options->neighbours,
                                    .shown = SHOWN,
                                    .temperature = options->temperature,
                                    .quiet = options->quiet};
  bool pictures = request->source && seer_source_count(request->source) > 1;
  if (pictures) status = seer_decoder_make(request->source, request->engine->program->sandbox, &request->decoder);
  if (pictures && !status) status = seer_evaluation_make(&evaluate, &evaluation);
  char *text = NULL;
  size_t bytes = 0;
  FILE *page = status ? NULL : open_memstream(&text, &bytes);
  if (page) status = page_print(page, request, &history, pictures ? &evaluation : NULL);
  bool written = page && fclose(page) == 0;
  if (written && !status)
    status = seer_file_replace(path->text, text, bytes);
  else if (!status)
    status = seer_fail(SEER_MACHINE, "no memory for the report page");
  free(text);
  seer_decoder_release(request->decoder);
  seer_evaluation_release(&evaluation);
  seer_history_release(&history);
  return status;
}

SeerStatus seer_command_report(const SeerProgram *program, const SeerOptions *options) {
  const char *folder = options->operand ? options->operand : options->out;
  if (!folder) return seer_fail(SEER_USAGE, "which run folder?\nnote: %s report RUN", options->program);
  SeerRun run;
  SeerSource *source = NULL;
  SeerEngine engine = {.program = program};
  SeerWeights weights;
  SeerPath path;
  int threads = options->threads > 0 ? (int)options->threads : seer_cpu_count();
  SeerStatus status = seer_run_read(folder, &run);
  const SeerTextList *data = options->data.count ? &options->data : &run.data;
  const char *labels = options->labels ? options->labels : options->data.count ? NULL : run.labels;
  if (!status && data->count > 0) status = seer_source_open(data->items, labels, &source);
  if (!status && source && program->keep && data == &run.data)
    status = seer_source_keep(source, program->keep, threads, folder, &run.kept);
  if (!status) status = seer_engine_make(program, NULL, threads, false, &engine);
  if (!status) seer_state_init(program, run.seed, 0, engine.context.pool, engine.context.state);
  if (!status)
    status = seer_weights_load(program, options->weights ? options->weights : folder, SEER_USE_TRUNK, 0,
                               engine.context.state, &weights);
  SeerReportRequest request = {
      .run = folder, .options = options, .engine = &engine, .source = source, .seed = run.seed};
  if (!status) status = seer_report_write(&request, &path);
  if (!status && !options->quiet) printf("report: %s\n", path.text);
  if (engine.context.pool) seer_engine_release(&engine);
  seer_source_close(source);
  seer_run_release(&run);
  return status;
}
