// Hate speech in memes: a head on features of pictures and of texts, one behind the other, beside heads on each alone.
#ifndef SEER_RUNTIME_EVALUATE_HATE_SPEECH_H
#define SEER_RUNTIME_EVALUATE_HATE_SPEECH_H

#include "runtime/evaluate/memes.h"
#include "runtime/evaluate/mlp.h"
#include "runtime/evaluate/ranking.h"

typedef enum SeerMemePart { SEER_MEMES_TRAIN, SEER_MEMES_DEV, SEER_MEMES_TEST, SEER_MEMES_PARTS } SeerMemePart;
typedef enum SeerMemeHalf { SEER_MEMES_PICTURE, SEER_MEMES_TEXT, SEER_MEMES_BOTH, SEER_MEMES_HALVES } SeerMemeHalf;

extern const char *const seer_meme_part_names[SEER_MEMES_PARTS];
extern const char *const seer_meme_half_names[SEER_MEMES_HALVES];

typedef struct SeerHatePlan {
  SeerMlpRecipe recipe;
  int hidden, seed_count;
  uint64_t seed;
} SeerHatePlan;

SeerStatus seer_hate_plan_read(const SeerOptions *options, SeerHatePlan *plan);

typedef struct SeerHate {
  const SeerHatePlan *plan;
  SeerMemes parts[SEER_MEMES_PARTS];                   // the test part may be empty
  SeerLeak leaks[SEER_MEMES_PARTS][SEER_MEMES_PARTS];  // [a][b], a < b
  SeerKeyedVectors pictures, texts;
  // [part][half]: probabilities [seed][count]; rankings of dev, and of test where all its items have labels.
  float *probabilities[SEER_MEMES_PARTS][SEER_MEMES_HALVES];
  SeerRanking rankings[SEER_MEMES_PARTS][SEER_MEMES_HALVES];
  bool ranked[SEER_MEMES_PARTS];
} SeerHate;

// Trains and judges: parts, pictures and texts are there.
SeerStatus seer_hate_run(const SeerHatePlan *plan, SeerPool *pool, bool quiet, SeerHate *hate);
void seer_hate_release(SeerHate *hate);

SeerStatus seer_hate_print(const SeerHate *hate, FILE *out);
char *seer_hate_json(const SeerHate *hate);
// `id,proba,label`, the challenge's format: of the mean over seeds of the heads on both.
SeerStatus seer_hate_predictions_write(const SeerHate *hate, SeerMemePart part, const char *path);

#endif
