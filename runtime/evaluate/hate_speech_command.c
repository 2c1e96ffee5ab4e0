// TRAINER hate-speech: reads the sets, looks for leaks between them, trains heads and judges them; see hate_speech.h.
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "runtime/commands.h"
#include "runtime/engine.h"
#include "runtime/evaluate/hate_speech.h"
#include "runtime/files.h"

static SeerStatus usage_check(const SeerOptions *options) {
  if (!options->memes_train || !options->memes_dev)
    return seer_fail(SEER_USAGE, "which memes?\nnote: --train F.jsonl and --dev F.jsonl");
  if (!options->text_features)
    return seer_fail(SEER_USAGE,
                     "which features of the texts?\nnote: --text-features F; docs/hate-speech.md tells how to "
                     "get them");
  if (!options->picture_features == !options->weights)
    return seer_fail(SEER_USAGE,
                     "which features of the pictures?\nnote: --picture-features F, or --weights W and "
                     "--pictures FOLDER");
  if (options->weights && !options->pictures)
    return seer_fail(SEER_USAGE, "which pictures?\nnote: --pictures FOLDER, in which 'img' of the memes lies");
  if (options->near_texts > 1) return seer_fail(SEER_USAGE, "'--near-texts' takes a share of common words, up to 1");
  return SEER_OK;
}

static SeerStatus parts_load(const SeerOptions *options, SeerHate *hate) {
  const char *const paths[] = {options->memes_train, options->memes_dev, options->memes_test};
  SeerStatus status = SEER_OK;
  for (int part = 0; part < SEER_MEMES_PARTS && !status; part++) {
    if (paths[part]) status = seer_memes_load(paths[part], part != SEER_MEMES_TEST, &hate->parts[part]);
  }
  return status;
}

// "img/1.png" of the folder, or the file alone where the folder is the one of the pictures.
static SeerStatus picture_path(const char *folder, const char *picture, SeerPath *path, bool *found) {
  const char *name = strrchr(picture, '/');
  SeerStatus status = seer_path_print(path, "%s/%s", folder, picture);
  *found = !status && seer_path_exists(path->text);
  if (status || *found || !name) return status;
  status = seer_path_print(path, "%s%s", folder, name);
  *found = !status && seer_path_exists(path->text);
  return status;
}

static SeerStatus files_mark(const char *folder, const SeerMemes *memes, uint64_t *marks) {
  int64_t missing = 0, first = 0;
  for (int64_t i = 0; i < memes->count; i++) {
    SeerPath path;
    SeerHash hash;
    bool found = false;
    SeerStatus status = picture_path(folder, memes->items[i].picture, &path, &found);
    if (!status && found) status = seer_file_hash(path.text, &hash);
    if (status) return status;
    if (!found && !missing++) first = i;
    if (found) marks[i] = XXH3_64bits(hash.hex, sizeof hash.hex);
  }
  if (!missing) return SEER_OK;
  return seer_fail(SEER_INPUT, "%lld of %lld pictures of '%s' are not in '%s', '%s' the first of them",
                   (long long)missing, (long long)memes->count, memes->path, folder, memes->items[first].picture);
}

static SeerStatus features_mark(const SeerMemes *memes, const SeerKeyedVectors *vectors, int64_t *next_row,
                                uint64_t *marks) {
  int64_t *rows = NULL;
  SeerStatus status = seer_memes_rows(memes, vectors, true, next_row, &rows);
  for (int64_t i = 0; i < memes->count && !status; i++)
    marks[i] = XXH3_64bits(vectors->values + rows[i] * vectors->width, (size_t)vectors->width * sizeof(float));
  free(rows);
  return status;
}

static SeerStatus marks_make(const SeerOptions *options, const SeerHate *hate, SeerMemeMarks *marks) {
  int64_t next_row = 0;
  SeerStatus status = SEER_OK;
  for (int part = 0; part < SEER_MEMES_PARTS && !status; part++) {
    const SeerMemes *memes = &hate->parts[part];
    uint64_t *pictures = calloc((size_t)memes->count + 1, sizeof *pictures);
    if (!pictures) status = seer_fail(SEER_MACHINE, "no memory to compare the sets");
    if (!status)
      status = options->pictures ? files_mark(options->pictures, memes, pictures)
                                 : features_mark(memes, &hate->pictures, &next_row, pictures);
    if (!status) status = seer_memes_mark(memes, pictures, &marks[part]);
    free(pictures);
  }
  return status;
}

static SeerStatus leak_tell(const SeerHate *hate, int a, int b) {
  const SeerLeak *leak = &hate->leaks[a][b];
  char near[64] = "";
  if (leak->near_texts) snprintf(near, sizeof near, ", %lld nearly the same text", (long long)leak->near_texts);
  return seer_fail(
      SEER_INPUT,
      "of %lld memes of '%s', %lld have an id, %lld a picture, %lld a text%s that is in '%s', too, '%s' the "
      "first of them: figures on them would flatter\nnote: take them out of one of the sets, or say "
      "--allow-leaks",
      (long long)hate->parts[b].count, hate->parts[b].path, (long long)leak->ids, (long long)leak->pictures,
      (long long)leak->texts, near, hate->parts[a].path, leak->first);
}

static SeerStatus leaks_look(const SeerOptions *options, SeerHate *hate) {
  SeerMemeMarks marks[SEER_MEMES_PARTS] = {{.words = NULL}};
  SeerStatus status = marks_make(options, hate, marks);
  for (int a = 0; a < SEER_MEMES_PARTS && !status; a++) {
    for (int b = a + 1; b < SEER_MEMES_PARTS && !status; b++) {
      if (!hate->parts[b].count) continue;
      status = seer_memes_leaks(&hate->parts[a], &marks[a], &hate->parts[b], &marks[b],
                                options->near_texts > 0 ? options->near_texts : 0, &hate->leaks[a][b]);
      if (!status && hate->leaks[a][b].first && !options->allow_leaks) status = leak_tell(hate, a, b);
    }
  }
  for (int part = 0; part < SEER_MEMES_PARTS; part++) seer_memes_marks_release(&marks[part], hate->parts[part].count);
  return status;
}

static SeerStatus pictures_extract(const SeerProgram *program, const SeerOptions *options, SeerHate *hate) {
  const char *const pictures[] = {options->pictures, NULL};
  SeerTableRequest request = {.program = program, .options = options, .pictures = pictures};
  SeerFeatureTable table;
  SeerStatus status = seer_tables_extract(&request, 1, &table);
  if (!status) seer_vectors_take(&table, &hate->pictures);
  return status;
}

static SeerStatus results_write(const SeerHate *hate, const SeerOptions *options) {
  char *json = options->json || options->out ? seer_hate_json(hate) : NULL;
  SeerStatus status = SEER_OK;
  if ((options->json || options->out) && !json) status = seer_fail(SEER_MACHINE, "no memory for the result");
  if (!status && options->json) printf("%s\n", json);
  if (!status && !options->json) status = seer_hate_print(hate, stdout);
  if (!status && options->out) status = seer_file_replace(options->out, json, strlen(json));
  SeerMemePart part = hate->parts[SEER_MEMES_TEST].count ? SEER_MEMES_TEST : SEER_MEMES_DEV;
  if (!status && options->predictions) status = seer_hate_predictions_write(hate, part, options->predictions);
  if (!status && options->predictions && !options->quiet && !options->json)
    printf("predictions for %lld memes of %s in '%s'\n", (long long)hate->parts[part].count, seer_meme_part_names[part],
           options->predictions);
  free(json);
  return status;
}

SeerStatus seer_command_hate_speech(const SeerProgram *program, const SeerOptions *options) {
  SeerHatePlan plan;
  SeerHate hate = {.plan = NULL};
  SeerPool *pool = NULL;
  SeerStatus status = usage_check(options);
  if (!status) status = seer_hate_plan_read(options, &plan);
  if (!status) status = parts_load(options, &hate);
  if (!status) status = seer_vectors_load(options->text_features, &hate.texts);
  if (!status && options->picture_features) status = seer_vectors_load(options->picture_features, &hate.pictures);
  if (!status) status = leaks_look(options, &hate);
  if (!status && options->weights) status = pictures_extract(program, options, &hate);
  if (!status && !(pool = seer_pool_make(options->threads > 0 ? (int)options->threads : seer_cpu_count())))
    status = SEER_MACHINE;
  if (!status) status = seer_hate_run(&plan, pool, options->quiet, &hate);
  if (!status) status = results_write(&hate, options);
  seer_pool_release(pool);
  seer_hate_release(&hate);
  return status;
}
