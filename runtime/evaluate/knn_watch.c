// Nearest neighbours while a network trains; see knn_watch.h.
#include "runtime/evaluate/knn_watch.h"

#include <stdlib.h>

#include "runtime/features.h"
#include "runtime/knn.h"

struct SeerKnnWatch {
  SeerSource *own;           // NULL: the run's
  const SeerSource *source;  // what is looked at
  int64_t limit;
};

int64_t seer_knn_watch_every(const SeerProgram *program, const SeerOptions *options) {
  return options->knn_every >= 0 ? options->knn_every : program->knn_every;
}

SeerStatus seer_knn_watch_make(const SeerProgram *program, const SeerOptions *options, const SeerSource *training,
                               SeerKnnWatch **result) {
  *result = NULL;
  SeerKnnWatch *watch = calloc(1, sizeof *watch);
  if (!watch) return seer_fail(SEER_MACHINE, "no memory");
  *watch = (SeerKnnWatch){.source = training, .limit = program->knn_pictures};
  const char *const asked[] = {options->eval_data, NULL};
  const char *const *pictures = options->eval_data ? asked : program->evaluate_pictures;
  SeerStatus status = SEER_OK;
  if (pictures && pictures[0]) {
    const char *labels = options->eval_data ? options->eval_labels : program->evaluate_labels;
    status = seer_source_open(pictures, labels, &watch->own);
    watch->source = watch->own;
  }
  if (!status && seer_source_label_count(watch->source) == 0)
    status =
        seer_fail(SEER_INPUT,
                  "nearest neighbours in training need labels, and the pictures have none\nnote: name pictures that "
                  "have with evaluate.pictures or --eval-data, or say --knn-every 0");
  if (!status && seer_source_count(watch->source) < 2)
    status = seer_fail(SEER_INPUT, "nearest neighbours in training need more than one picture");
  if (status)
    seer_knn_watch_release(watch);
  else
    *result = watch;
  return status;
}

void seer_knn_watch_release(SeerKnnWatch *watch) {
  if (!watch) return;
  seer_source_close(watch->own);
  free(watch);
}

static double figure_measure(const SeerVectors *vectors, const SeerNeighbour *neighbours, int stride, int labels, int k,
                             double temperature) {
  const SeerVote vote = {.k = k < stride ? k : stride, .stride = stride, .labels = labels, .temperature = temperature};
  return seer_neighbours_accuracy(vectors, vectors, &vote, neighbours);
}

static SeerStatus set_judge(const SeerKnnWatch *watch, SeerEngine *engine, const SeerFeatureSet *set,
                            SeerKnnLook *look) {
  static const int ks[] = {20, 200};
  static const double temperatures[] = {0.07, 0.1};
  const SeerProgram *program = engine->program;
  SeerPool *pool = engine->context.pool;
  SeerVectors vectors = {set->count, set->width, set->features[0], set->labels};
  int64_t others = set->count - 1, wanted = program->neighbours > ks[1] ? program->neighbours : ks[1];
  int stride = (int)(wanted < others ? wanted : others), labels = seer_source_label_count(watch->source);
  if (stride < 1) return seer_fail(SEER_INPUT, "one picture that could be decoded has no neighbours");
  SeerNeighbour *neighbours = calloc((size_t)set->count * (size_t)stride, sizeof *neighbours);
  if (!neighbours) return seer_fail(SEER_MACHINE, "no memory for neighbours of %lld pictures", (long long)set->count);
  seer_vectors_normalize(&vectors, pool);
  SeerStatus status = seer_neighbours_find(&vectors, &vectors, stride, pool, neighbours);
  if (!status) {
    *look = (SeerKnnLook){.pictures = set->count, .skipped = set->skipped};
    look->accuracy =
        figure_measure(&vectors, neighbours, stride, labels, program->neighbours, program->knn_temperature);
    for (int i = 0; i < SEER_KNN_FIGURES; i++) {
      int k = ks[i / 2] < stride ? ks[i / 2] : stride;
      double temperature = temperatures[i % 2];
      look->figures[i] =
          (SeerKnnFigure){k, temperature, figure_measure(&vectors, neighbours, stride, labels, k, temperature)};
    }
  }
  free(neighbours);
  return status;
}

SeerStatus seer_knn_watch_look(SeerKnnWatch *watch, SeerEngine *engine, SeerKnnLook *look) {
  SeerFeatureRequest request = {.engine = engine,
                                .states = {engine->context.state},
                                .state_count = 1,
                                .source = watch->source,
                                .limit = watch->limit,
                                .quiet = true};
  SeerFeatureSet set = {.count = 0};
  SeerStatus status = seer_features_make(&request, &set);
  if (!status) status = set_judge(watch, engine, &set, look);
  seer_features_release(&set);
  return status;
}
