// What heads on memes have found, as a table, JSON and predictions; see hate_speech.h.
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/evaluate/hate_speech.h"
#include "runtime/files.h"
#include "runtime/json_text.h"

static const SeerMemeHalf alone[] = {SEER_MEMES_PICTURE, SEER_MEMES_TEXT};

static void leaks_print(const SeerHate *hate, FILE *out) {
  for (int a = 0; a < SEER_MEMES_PARTS; a++) {
    for (int b = a + 1; b < SEER_MEMES_PARTS; b++) {
      const SeerLeak *leak = &hate->leaks[a][b];
      if (leak->first)
        fprintf(
            out,
            "leaks from %s to %s, allowed: %lld ids, %lld pictures, %lld texts, %lld near texts; the first is '%s'\n",
            seer_meme_part_names[a], seer_meme_part_names[b], (long long)leak->ids, (long long)leak->pictures,
            (long long)leak->texts, (long long)leak->near_texts, leak->first);
    }
  }
}

static void ranking_print(const SeerHate *hate, const char *name, const SeerRanking *ranking, FILE *out) {
  char deviations[2][32] = {"", ""};
  if (hate->plan->seed_count > 1) {
    snprintf(deviations[0], sizeof deviations[0], " ± %.4f", ranking->auroc_deviation);
    snprintf(deviations[1], sizeof deviations[1], " ± %.2f", 100 * ranking->accuracy_deviation);
  }
  fprintf(out, "  %-8s AUROC %.4f%s (%.4f to %.4f)   accuracy %.2f%s %% (%.2f to %.2f)\n", name, ranking->auroc,
          deviations[0], ranking->auroc_interval.low, ranking->auroc_interval.high, 100 * ranking->accuracy,
          deviations[1], 100 * ranking->accuracy_interval.low, 100 * ranking->accuracy_interval.high);
}

static SeerStatus part_print(const SeerHate *hate, int part, FILE *out) {
  const SeerRanking *rankings = hate->rankings[part];
  fprintf(out, "%s, %lld memes\n", seer_meme_part_names[part], (long long)hate->parts[part].count);
  for (int half = 0; half < SEER_MEMES_HALVES; half++)
    ranking_print(hate, seer_meme_half_names[half], &rankings[half], out);
  for (int i = 0; i < 2; i++) {
    SeerInterval interval;
    SeerStatus status = seer_ranking_difference(&rankings[SEER_MEMES_BOTH], &rankings[alone[i]], &interval);
    if (status) return status;
    fprintf(out, "  both over %s alone: AUROC %+.4f (%+.4f to %+.4f)\n", seer_meme_half_names[alone[i]],
            rankings[SEER_MEMES_BOTH].auroc - rankings[alone[i]].auroc, interval.low, interval.high);
  }
  return SEER_OK;
}

SeerStatus seer_hate_print(const SeerHate *hate, FILE *out) {
  const SeerHatePlan *plan = hate->plan;
  fprintf(out,
          "hate speech: %lld memes to train on, %lld numbers of a picture and %lld of a text, %d hidden, %d epochs, %d "
          "seed%s\n",
          (long long)hate->parts[SEER_MEMES_TRAIN].count, (long long)hate->pictures.width, (long long)hate->texts.width,
          plan->hidden, plan->recipe.epochs, plan->seed_count, plan->seed_count > 1 ? "s" : "");
  if (plan->seed_count > 1)
    fprintf(out, "(mean ± deviation over seeds; in brackets 95 %% over memes drawn again, %d times)\n", SEER_RESAMPLES);
  leaks_print(hate, out);
  SeerStatus status = SEER_OK;
  for (int part = SEER_MEMES_DEV; part < SEER_MEMES_PARTS && !status; part++) {
    if (hate->ranked[part]) status = part_print(hate, part, out);
  }
  return status;
}

// ---- JSON ----

static json_t *leaks_json(const SeerHate *hate) {
  json_t *list = json_array();
  for (int a = 0; a < SEER_MEMES_PARTS; a++) {
    for (int b = a + 1; b < SEER_MEMES_PARTS; b++) {
      const SeerLeak *leak = &hate->leaks[a][b];
      if (!hate->parts[b].count) continue;
      json_array_append_new(
          list, json_pack("{s:s, s:s, s:I, s:I, s:I, s:I}", "from", seer_meme_part_names[a], "to",
                          seer_meme_part_names[b], "ids", (json_int_t)leak->ids, "pictures", (json_int_t)leak->pictures,
                          "texts", (json_int_t)leak->texts, "near_texts", (json_int_t)leak->near_texts));
    }
  }
  return list;
}

static json_t *ranking_json(const SeerRanking *ranking) {
  return json_pack("{s:f, s:f, s:[f, f], s:f, s:f, s:[f, f]}", "auroc", ranking->auroc, "auroc_deviation",
                   ranking->auroc_deviation, "auroc_interval", ranking->auroc_interval.low,
                   ranking->auroc_interval.high, "accuracy", ranking->accuracy, "accuracy_deviation",
                   ranking->accuracy_deviation, "accuracy_interval", ranking->accuracy_interval.low,
                   ranking->accuracy_interval.high);
}

static json_t *part_json(const SeerHate *hate, int part) {
  json_t *object = json_pack("{s:I}", "memes", (json_int_t)hate->parts[part].count);
  for (int half = 0; half < SEER_MEMES_HALVES; half++)
    json_object_set_new(object, seer_meme_half_names[half], ranking_json(&hate->rankings[part][half]));
  for (int i = 0; i < 2; i++) {
    SeerInterval interval;
    char key[32];
    const SeerRanking *both = &hate->rankings[part][SEER_MEMES_BOTH], *other = &hate->rankings[part][alone[i]];
    snprintf(key, sizeof key, "both_over_%s", seer_meme_half_names[alone[i]]);
    if (seer_ranking_difference(both, other, &interval) != SEER_OK) break;
    json_object_set_new(
        object, key,
        json_pack("{s:f, s:[f, f]}", "auroc", both->auroc - other->auroc, "interval", interval.low, interval.high));
  }
  return object;
}

char *seer_hate_json(const SeerHate *hate) {
  const SeerHatePlan *plan = hate->plan;
  json_t *object = json_pack(
      "{s:o, s:I, s:I, s:I, s:i, s:i, s:i, s:f, s:f, s:f, s:I, s:i, s:o}", "train",
      seer_text_pack(hate->parts[SEER_MEMES_TRAIN].path), "train_memes",
      (json_int_t)hate->parts[SEER_MEMES_TRAIN].count, "picture_width", (json_int_t)hate->pictures.width, "text_width",
      (json_int_t)hate->texts.width, "hidden", plan->hidden, "epochs", plan->recipe.epochs, "batch", plan->recipe.batch,
      "learning_rate", plan->recipe.rate, "dropout", plan->recipe.dropout, "weight_decay", plan->recipe.weight_decay,
      "first_seed", (json_int_t)plan->seed, "seeds", plan->seed_count, "leaks", leaks_json(hate));
  for (int part = SEER_MEMES_DEV; part < SEER_MEMES_PARTS; part++) {
    if (hate->ranked[part]) json_object_set_new(object, seer_meme_part_names[part], part_json(hate, part));
  }
  char *text = object ? json_dumps(object, JSON_INDENT(1) | JSON_REAL_PRECISION(9)) : NULL;
  json_decref(object);
  return text;
}

// Ids with what CSV cannot hold bare are quoted.
static void csv_print(FILE *file, const char *text) {
  if (!strpbrk(text, ",\"\n\r")) {
    fputs(text, file);
    return;
  }
  fputc('"', file);
  for (; *text; text++) fprintf(file, *text == '"' ? "\"\"" : "%c", *text);
  fputc('"', file);
}

SeerStatus seer_hate_predictions_write(const SeerHate *hate, SeerMemePart part, const char *path) {
  const SeerMemes *memes = &hate->parts[part];
  char *text = NULL;
  size_t bytes = 0;
  FILE *stream = open_memstream(&text, &bytes);
  if (!stream) return seer_fail(SEER_MACHINE, "no memory for predictions");
  fprintf(stream, "id,proba,label\n");
  for (int64_t i = 0; i < memes->count; i++) {
    double sum = 0;
    for (int seed = 0; seed < hate->plan->seed_count; seed++)
      sum += (double)hate->probabilities[part][SEER_MEMES_BOTH][seed * memes->count + i];
    double mean = sum / hate->plan->seed_count;
    csv_print(stream, memes->items[i].id);
    fprintf(stream, ",%.9g,%d\n", mean, mean >= 0.5);
  }
  SeerStatus status =
      fclose(stream) == 0 ? seer_file_replace(path, text, bytes) : seer_fail(SEER_MACHINE, "no memory for predictions");
  free(text);
  return status;
}
