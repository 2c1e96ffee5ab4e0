// Cases with what the network makes of them: from a file, joined by name, or made here; see study.h.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/data/source.h"
#include "runtime/engine.h"
#include "runtime/evaluate/head.h"
#include "runtime/evaluate/probe.h"
#include "runtime/evaluate/study.h"
#include "runtime/features.h"
#include "runtime/init.h"
#include "runtime/weights/load.h"

static SeerStatus no_memory(const SeerStudySet *set) {
  return seer_fail(SEER_MACHINE, "no memory for what is known of %lld pictures", (long long)set->cases.count);
}

static const char *name_of(const SeerStudySet *set, int64_t at) {
  return set->cases.words.items[set->cases.items[at].name];
}

// ---- rows of a file ----

static const char *base_of(const char *name) {
  const char *slash = strrchr(name, '/');
  return slash ? slash + 1 : name;
}

// Whether one is the other, or ends in it behind a '/'.
static bool name_ends_in(const char *name, const char *end) {
  size_t length = strlen(name), tail = strlen(end);
  if (length < tail) return name_ends_in(end, name);
  return strcmp(name + length - tail, end) == 0 && (length == tail || name[length - tail - 1] == '/');
}

// Rows of a table by whole name, and by the last part of it where no other row has the same.
typedef struct Names {
  SeerWords whole, base;
  int64_t *of_base;  // [base.count] row; -1: several
  bool *taken;       // [rows]
} Names;

static SeerStatus names_make(const SeerStudySet *set, Names *names) {
  const SeerFeatureTable *table = &set->table;
  names->of_base = malloc(((size_t)table->count + 1) * sizeof *names->of_base);
  names->taken = calloc((size_t)table->count + 1, sizeof *names->taken);
  if (!names->of_base || !names->taken) return no_memory(set);
  for (int64_t i = 0; i < table->count; i++) {
    int32_t bases = names->base.count, wholes = names->whole.count;
    int32_t base = seer_words_add(&names->base, base_of(table->names[i]));
    int32_t whole = seer_words_add(&names->whole, table->names[i]);
    if (base < 0 || whole < 0) return no_memory(set);
    if (whole < wholes)
      return seer_fail(SEER_INPUT, "'%s' has two rows of the name '%.300s'", table->origin, table->names[i]);
    names->of_base[base] = base == bases ? i : -1;
  }
  return SEER_OK;
}

static int64_t row_find(const SeerStudySet *set, const Names *names, const char *name) {
  int32_t whole = seer_words_find(&names->whole, name);
  if (whole >= 0) return whole;
  int32_t base = seer_words_find(&names->base, base_of(name));
  int64_t row = base >= 0 ? names->of_base[base] : -1;
  return row >= 0 && name_ends_in(set->table.names[row], name) ? row : -1;
}

static SeerStatus rows_join(const char *what, SeerTold *told, SeerStudySet *set) {
  Names names = {.of_base = NULL};
  SeerStatus status = names_make(set, &names);
  for (int64_t i = 0; !status && i < set->cases.count; i++) {
    SeerCase *item = &set->cases.items[i];
    int64_t row = row_find(set, &names, name_of(set, i));
    if (row >= 0 && names.taken[row])
      status =
          seer_fail(SEER_INPUT, "two pictures are the row '%.300s' of '%s', the second '%.300s'\nnote: give them keys",
                    set->table.names[row], set->table.origin, name_of(set, i));
    if (row < 0 && item->used) seer_told_add(told, true, name_of(set, i), "the %s has no row in the file", what);
    if (row < 0) item->used = false;
    if (row >= 0) names.taken[row] = true;
    set->rows[i] = item->used ? row : -1;
  }
  for (int64_t i = 0; !status && i < set->table.count; i++) {
    if (!names.taken[i])
      seer_told_add(told, false, set->table.names[i], "rows of the file that no %s of the manifest has", what);
  }
  seer_words_release(&names.whole);
  seer_words_release(&names.base);
  free(names.of_base);
  free(names.taken);
  return status;
}

// Boxes in pixels; those in sides of pictures are known only with the picture.
static void boxes_check(int least, SeerTold *told, SeerStudySet *set) {
  for (int64_t i = 0; i < set->cases.count; i++) {
    SeerCase *item = &set->cases.items[i];
    const double *box = item->box;
    if (!item->used || !item->has_box) continue;
    if (set->cases.relative) {
      seer_told_add(told, false, name_of(set, i),
                    "the sizes of boxes were not checked: the file's rows say which are used");
    } else if (rint(box[2]) - rint(box[0]) < least || rint(box[3]) - rint(box[1]) < least) {
      seer_told_add(told, false, name_of(set, i), SEER_CUT_SMALL ": a side has fewer than %d pixels", least);
      item->used = false;
    }
  }
}

// ---- rows made here ----

static int threads_of(const SeerOptions *options) {
  return options->threads > 0 ? (int)options->threads : seer_cpu_count();
}

static int least_of(const SeerOptions *options) {
  return options->box_side >= 0 ? (int)(options->box_side < INT32_MAX ? options->box_side : INT32_MAX) : SEER_BOX_LEAST;
}

typedef struct Listing {
  const char **paths;
  SeerCut *cuts;
  int64_t *cases, count;
} Listing;

// Its boxes are made square as the released protocol makes them.
static bool is_miap(const SeerStudySet *set) { return strcmp(set->cases.layout, "miap") == 0; }

static SeerStatus listing_make(const SeerStudySet *set, int least, Listing *listing) {
  size_t n = (size_t)set->cases.count + 1;
  *listing = (Listing){malloc(n * sizeof *listing->paths), malloc(n * sizeof *listing->cuts),
                       malloc(n * sizeof *listing->cases), 0};
  if (!listing->paths || !listing->cuts || !listing->cases) return no_memory(set);
  for (int64_t i = 0; i < set->cases.count; i++) {
    const SeerCase *item = &set->cases.items[i];
    const double *box = item->box;
    if (!item->used) continue;
    listing->paths[listing->count] = set->cases.words.items[item->picture];
    listing->cuts[listing->count] = (SeerCut){.whole = true};
    if (item->has_box)
      listing->cuts[listing->count] = (SeerCut){.left = box[0],
                                                .top = box[1],
                                                .right = box[2],
                                                .bottom = box[3],
                                                .relative = set->cases.relative,
                                                .squared = is_miap(set),
                                                .least = least};
    listing->cases[listing->count++] = i;
  }
  return listing->count > 0 ? SEER_OK : seer_fail(SEER_INPUT, "no picture of the manifest can be used");
}

// Why a picture has no features: it is decoded again.
static void failure_tell(const SeerProgram *program, const SeerSource *source, int64_t picture, SeerTold *told) {
  SeerPicture decoded = {0};
  const char *reason = "cannot be made a view for want of memory";
  seer_source_decode(source, picture, program->max_pixels, &decoded, &reason);
  bool is_small = strncmp(reason, SEER_CUT_SMALL, sizeof SEER_CUT_SMALL - 1) == 0;
  bool is_box = strncmp(reason, "the box", 7) == 0;
  seer_told_add(told, !is_small, seer_source_name(source, picture), "%s%s", is_box ? "" : "the picture ", reason);
  seer_picture_release(&decoded);
}

// The rows of the set, as a table. Takes the features over.
static SeerStatus rows_take(const SeerProgram *program, const SeerSource *source, const Listing *listing,
                            SeerFeatureSet *features, SeerTold *told, SeerStudySet *set) {
  SeerFeatureTable *table = &set->table;
  *table =
      (SeerFeatureTable){.count = features->count, .passes = 1, .layer_count = 1, .undecodable = features->skipped};
  table->layers[0] = (SeerLayer){.name = "features", .channels = features->width, .cells = 1};
  table->layers[0].values = features->features[0];
  features->features[0] = NULL;
  table->origin = strdup("the pictures of the manifest");
  table->names = calloc((size_t)features->count + 1, sizeof *table->names);
  table->labels = calloc((size_t)features->count + 1, sizeof *table->labels);
  bool made = table->origin && table->names && table->labels;
  for (int64_t picture = 0, row = 0; made && picture < listing->count; picture++) {
    int64_t at = listing->cases[picture];
    if (row < features->count && features->pictures[row] == picture) {
      table->labels[row] = -1;
      made = (table->names[row] = strdup(name_of(set, at))) != NULL;
      set->rows[at] = row++;
    } else {
      set->cases.items[at].used = false;
      failure_tell(program, source, picture, told);
    }
  }
  snprintf(table->program, sizeof table->program, "%s", program->name);
  snprintf(table->network, sizeof table->network, "%016llx", (unsigned long long)program->model_hash);
  return made ? SEER_OK : no_memory(set);
}

// ---- scores of labels ----

static const SeerTensor *tensor_find(const SeerProgram *program, const char *name) {
  for (int i = 0; i < program->tensor_count; i++) {
    if (strcmp(program->tensors[i].name, name) == 0) return &program->tensors[i];
  }
  return NULL;
}

// The classifier that the network was trained with, as a head that normalises nothing.
static SeerStatus classifier_take(const SeerEngine *engine, int width, SeerHead *head) {
  const SeerProgram *program = engine->program;
  const SeerTensor *weight = tensor_find(program, "fc.weight"), *bias = tensor_find(program, "fc.bias");
  if (!weight || !bias || weight->rank != 2 || weight->size[1] != width)
    return seer_fail(SEER_INPUT,
                     "'%s' was not trained with labels: it has no classifier\nnote: give one that was trained on its "
                     "features with --head, or scores that are there already with --predictions",
                     program->name);
  SeerStatus status = seer_head_make(head, width, 1, (int)weight->size[0], 0);
  if (status) return status;
  memcpy(head->weight, engine->context.state + weight->offset, sizeof(float) * (size_t)head->classes * (size_t)width);
  memcpy(head->bias, engine->context.state + bias->offset, sizeof(float) * (size_t)head->classes);
  for (int i = 0; i < width; i++) head->variance[i] = (float)(1 - SEER_HEAD_EPSILON);
  return SEER_OK;
}

// Names of labels, one a line.
static SeerStatus label_names_read(const char *path, SeerHeadFile *file) {
  char *text = NULL;
  uint64_t bytes = 0;
  int classes = file->head.classes, count = 0;
  SeerStatus status = seer_file_read(path, 1 << 26, &text, &bytes);
  if (status) return status;
  file->label_names = calloc((size_t)classes + 1, sizeof *file->label_names);
  bool made = file->label_names != NULL;
  for (char *at = text, *end; made && *at; at = end, count++) {
    size_t length = strcspn(at, "\r\n");
    end = at + length + strspn(at + length, "\r\n");
    if (count < classes) made = (file->label_names[count] = strndup(at, length)) != NULL;
  }
  free(text);
  if (!made) return seer_fail(SEER_MACHINE, "no memory for the names of labels");
  if (count == classes) return SEER_OK;
  return seer_fail(SEER_INPUT, "'%s' names %d labels, and the classifier has %d\nnote: one a line, in their order",
                   path, count, classes);
}

// Before any picture is decoded: what features are to be turned into scores with.
static SeerStatus head_get(const SeerEngine *engine, const SeerOptions *options, SeerHeadFile *file) {
  int width = engine->program->feature_width;
  if (options->head_in) {
    SeerStatus status = seer_head_load(options->head_in, file);
    if (!status && seer_head_width(&file->head) != width)
      status = seer_fail(SEER_INPUT, "the head '%s' takes %lld features, and the network makes %d", options->head_in,
                         (long long)seer_head_width(&file->head), width);
    return status;
  }
  SeerStatus status = classifier_take(engine, width, &file->head);
  if (!status && !options->label_names)
    status =
        seer_fail(SEER_USAGE,
                  "what are the classifier's %d labels called?\nnote: --label-names FILE, one a line, in the order "
                  "of training: that of the folders' names",
                  file->head.classes);
  return status ? status : label_names_read(options->label_names, file);
}

// Scores in place of features, with the labels' names, which are taken over.
static SeerStatus rows_classify(const SeerEngine *engine, SeerHeadFile *file, SeerStudySet *set) {
  SeerFeatureTable *table = &set->table;
  float *scores = malloc(((size_t)table->count * (size_t)file->head.classes + 1) * sizeof *scores);
  if (!scores) return no_memory(set);
  SeerStatus status =
      seer_head_score(&file->head, table->layers[0].values, NULL, table->count, engine->context.pool, scores);
  free(table->layers[0].values);
  table->layers[0] = (SeerLayer){.name = "features", .channels = file->head.classes, .cells = 1, .values = scores};
  table->label_names = file->label_names;
  table->label_count = file->head.classes;
  file->label_names = NULL;
  return status;
}

// ---- all of it ----

static SeerStatus rows_make(const SeerProgram *program, const SeerOptions *options, bool classifies, SeerTold *told,
                            SeerStudySet *set) {
  SeerEngine engine = {.program = program};
  SeerSource *source = NULL;
  SeerFeatureSet features = {.count = 0};
  SeerHeadFile head = {.label_names = NULL};
  SeerWeights weights;
  Listing listing;
  SeerStatus status = listing_make(set, least_of(options), &listing);
  if (!status) status = seer_source_list(listing.paths, listing.cuts, listing.count, &source);
  if (!status) status = seer_engine_make(program, NULL, threads_of(options), false, &engine);
  if (!status) {
    seer_state_init(program, program->seed, 0, engine.context.pool, engine.context.state);
    bool own_head = classifies && !options->head_in && tensor_find(program, "fc.weight");
    SeerWeightUse use = own_head ? SEER_USE_ALL : SEER_USE_TRUNK;
    status = seer_weights_load(program, options->weights, use, 0, engine.context.state, &weights);
    seer_engine_state_changed(&engine);
  }
  if (!status && classifies) status = head_get(&engine, options, &head);
  SeerFeatureRequest request = {.engine = &engine,
                                .states = {engine.context.state},
                                .state_count = 1,
                                .source = source,
                                .stretch = options->stretch || is_miap(set),
                                .quiet = options->quiet || options->json};
  if (!status) status = seer_features_make(&request, &features);
  if (!status) status = rows_take(program, source, &listing, &features, told, set);
  if (!status && classifies) status = rows_classify(&engine, &head, set);
  seer_head_file_release(&head);
  seer_features_release(&features);
  seer_source_close(source);
  if (engine.context.pool) seer_engine_release(&engine);
  free(listing.paths);
  free(listing.cuts);
  free(listing.cases);
  return status;
}

static SeerStatus rows_load(const SeerOptions *options, const SeerStudySource *source, SeerTold *told,
                            SeerStudySet *set) {
  SeerStatus status = seer_table_load(source->file, "features", &set->table);
  int64_t width = status ? 0 : seer_layer_width(&set->table.layers[0]);
  if (!status && source->classifies && set->table.label_count != width)
    status = seer_fail(SEER_INPUT,
                       "'%s' has %lld scores a picture and names %d labels\nnote: 'label_names' in its metadata "
                       "is a JSON list of a name for each score",
                       source->file, (long long)width, set->table.label_count);
  boxes_check(least_of(options), told, set);
  return status ? status : rows_join(source->what, told, set);
}

SeerStudySource seer_study_source_of_labels(const SeerOptions *options) {
  return (SeerStudySource){
      .cases = {options->manifest, options->layout, options->pictures_in, options->unit, options->concept_in},
      .file = options->predictions_in,
      .classifies = true,
      .what = "picture",
      .option = "manifest",
      .file_option = "predictions"};
}

SeerStatus seer_study_set_make(const SeerProgram *program, const SeerOptions *options, const SeerStudySource *source,
                               SeerTold *told, SeerStudySet *set) {
  *set = (SeerStudySet){.rows = NULL};
  if (!source->cases.manifest) return seer_fail(SEER_USAGE, "which pictures?\nnote: --%s FILE", source->option);
  if (source->file && source->classifies && options->weights)
    return seer_fail(SEER_USAGE, "scores are either made, with --weights, or read from a file");
  if (!source->file && !options->weights)
    return seer_fail(SEER_USAGE, "which network?\nnote: --weights RUN, SNAPSHOT or FILE.safetensors, or --%s FILE",
                     source->file_option);
  SeerStatus status = seer_cases_load(&source->cases, told, &set->cases);
  if (status) return status;
  set->rows = malloc(((size_t)set->cases.count + 1) * sizeof *set->rows);
  if (!set->rows) status = no_memory(set);
  for (int64_t i = 0; !status && i < set->cases.count; i++) set->rows[i] = -1;
  if (!status)
    status = source->file ? rows_load(options, source, told, set)
                          : rows_make(program, options, source->classifies, told, set);
  int64_t used = 0;
  for (int64_t i = 0; !status && i < set->cases.count; i++) used += set->rows[i] >= 0;
  if (!status && used == 0)
    status = seer_fail(SEER_INPUT, "none of the %lld pictures of '%s' can be used%s%s%s%s", (long long)set->cases.named,
                       source->cases.manifest, told->count ? "\nnote: " : "", told->count ? told->rows[0].what : "",
                       told->count ? ", the first " : "", told->count ? told->rows[0].example : "");
  if (status) seer_study_set_release(set);
  return status;
}

void seer_study_set_release(SeerStudySet *set) {
  seer_cases_release(&set->cases);
  seer_table_release(&set->table);
  free(set->rows);
  set->rows = NULL;
}

// ---- the first labels ----

// Whether all rows are probabilities already.
static bool is_probabilities(const SeerFeatureTable *table) {
  int64_t width = seer_layer_width(&table->layers[0]);
  for (int64_t i = 0; i < table->count; i++) {
    const float *row = table->layers[0].values + i * width;
    double sum = 0;
    for (int64_t c = 0; c < width; c++) {
      if (!(row[c] >= 0 && row[c] <= 1)) return false;
      sum += (double)row[c];
    }
    if (fabs(sum - 1) > 1e-3) return false;
  }
  return true;
}

static void row_rank(const float *row, int64_t width, bool from_logits, int32_t *labels, float *probabilities) {
  int found = 0;
  double sum = 0;
  for (int64_t c = 0; c < width; c++) {
    if (found == SEER_TOP && !(row[c] > row[labels[SEER_TOP - 1]])) continue;
    int at = found < SEER_TOP ? found++ : SEER_TOP - 1;
    for (; at > 0 && row[c] > row[labels[at - 1]]; at--) labels[at] = labels[at - 1];
    labels[at] = (int32_t)c;
  }
  double most = (double)row[labels[0]];
  for (int64_t c = 0; from_logits && c < width; c++) sum += exp((double)row[c] - most);
  for (int i = 0; i < SEER_TOP; i++) {
    if (i >= found) labels[i] = -1;
    double score = i < found ? (double)row[labels[i]] : 0;
    probabilities[i] = (float)(i >= found ? 0 : from_logits ? exp(score - most) / sum : score);
  }
}

SeerStatus seer_top_labels_make(const SeerStudySet *set, const char *scores, SeerTopLabels *top) {
  const SeerFeatureTable *table = &set->table;
  int64_t width = seer_layer_width(&table->layers[0]);
  size_t room = ((size_t)set->cases.count + 1) * SEER_TOP;
  *top = (SeerTopLabels){malloc(room * sizeof *top->labels), malloc(room * sizeof *top->probabilities), true};
  if (!top->labels || !top->probabilities) return no_memory(set);
  if (scores && strcmp(scores, "logits") != 0 && strcmp(scores, "probabilities") != 0)
    return seer_fail(SEER_USAGE, "'--scores' is logits or probabilities, not '%.100s'", scores);
  bool sound = is_probabilities(table);
  if (scores && strcmp(scores, "probabilities") == 0 && !sound)
    return seer_fail(SEER_INPUT, "the scores of '%s' are no probabilities: not all rows are of 0 to 1 and of sum 1",
                     table->origin);
  top->from_logits = scores ? strcmp(scores, "logits") == 0 : !sound;
  for (int64_t i = 0; i < set->cases.count; i++) {
    if (set->rows[i] < 0) continue;
    row_rank(table->layers[0].values + set->rows[i] * width, width, top->from_logits, top->labels + i * SEER_TOP,
             top->probabilities + i * SEER_TOP);
  }
  return SEER_OK;
}

void seer_top_labels_release(SeerTopLabels *top) {
  free(top->labels);
  free(top->probabilities);
  *top = (SeerTopLabels){.labels = NULL};
}
