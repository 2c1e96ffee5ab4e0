// What a network has learnt, and the command that prints it; see evaluation.h.
#include "runtime/evaluation.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/commands.h"
#include "runtime/init.h"
#include "runtime/rundir.h"
#include "runtime/snapshot.h"
#include "runtime/weights/load.h"

static SeerStatus features_collect(const SeerEvaluationRequest *request, const SeerSource *source,
                                   unsigned char *untrained, SeerFeatureSet *set) {
  SeerFeatureRequest features = {.engine = request->engine,
                                 .states = {request->engine->context.state, untrained},
                                 .state_count = 2,
                                 .source = source,
                                 .limit = request->limit,
                                 .pixels = true,
                                 .quiet = request->quiet};
  return seer_features_make(&features, set);
}

// Neighbours and accuracy for one kind of vector. `keep`, unless NULL, gets the neighbours.
static SeerStatus accuracy_measure(const SeerEvaluationRequest *request, SeerEvaluation *evaluation,
                                   SeerVectors queries, SeerVectors bank, bool same, double *accuracy,
                                   SeerNeighbour **keep) {
  SeerPool *pool = request->engine->context.pool;
  SeerNeighbour *neighbours = calloc((size_t)queries.count * (size_t)evaluation->vote.stride, sizeof *neighbours);
  if (!neighbours)
    return seer_fail(SEER_MACHINE, "no memory for %d neighbours of %lld pictures\nnote: take fewer with --limit",
                     evaluation->vote.stride, (long long)queries.count);
  seer_vectors_normalize(&queries, pool);
  if (!same) seer_vectors_normalize(&bank, pool);
  SeerStatus status =
      seer_neighbours_find(&queries, same ? &queries : &bank, evaluation->vote.stride, pool, neighbours);
  if (!status) {
    *accuracy = seer_neighbours_accuracy(&queries, same ? &queries : &bank, &evaluation->vote, neighbours);
  }
  if (keep && !status)
    *keep = neighbours;
  else
    free(neighbours);
  return status;
}

static SeerStatus accuracies_measure(const SeerEvaluationRequest *request, SeerEvaluation *evaluation) {
  SeerFeatureSet *queries = &evaluation->queries;
  bool same = request->bank_source == NULL;
  SeerFeatureSet *bank = same ? queries : &evaluation->bank;
  double *const accuracies[] = {&evaluation->trained, &evaluation->untrained, &evaluation->pixels};
  SeerStatus status = SEER_OK;
  for (int i = 0; i < 3 && !status; i++) {
    int width = i < 2 ? queries->width : SEER_PIXEL_WIDTH;
    SeerVectors query = {queries->count, width, i < 2 ? queries->features[i] : queries->pixels, queries->labels};
    SeerVectors voters = {bank->count, width, i < 2 ? bank->features[i] : bank->pixels, bank->labels};
    status = accuracy_measure(request, evaluation, query, voters, same, accuracies[i],
                              i == 0 ? &evaluation->neighbours : NULL);
  }
  return status;
}

static SeerStatus neighbours_decide(const SeerEvaluationRequest *request, SeerEvaluation *evaluation) {
  const SeerProgram *program = request->engine->program;
  int64_t voters = request->bank_source ? evaluation->bank.count : evaluation->queries.count - 1;
  if (voters < 1) return seer_fail(SEER_INPUT, "one picture has no neighbours\nnote: name more pictures with --data");
  int64_t k = request->neighbours > 0 ? request->neighbours : program->neighbours;
  evaluation->vote.k = (int)(k > voters ? voters : k < 1 ? 1 : k);
  int64_t found = evaluation->vote.k < request->shown ? request->shown : evaluation->vote.k;
  evaluation->vote.stride = (int)(found > voters ? voters : found);
  evaluation->vote.temperature = request->temperature > 0 ? request->temperature : program->knn_temperature;
  return SEER_OK;
}

// Both sets name their classes; the bank's labels are turned into the queries' numbers by name.
static void labels_align(const SeerEvaluationRequest *request, SeerEvaluation *evaluation) {
  const SeerSource *from = request->bank_source, *to = request->source;
  evaluation->vote.labels = seer_source_label_count(to);
  for (int64_t i = 0; from && i < evaluation->bank.count; i++) {
    int32_t label = evaluation->bank.labels[i], match = -1;
    const char *name = label >= 0 ? seer_source_label_name(from, label) : NULL;
    for (int32_t j = 0; name && j < evaluation->vote.labels && match < 0; j++) {
      const char *other = seer_source_label_name(to, j);
      if (other && strcmp(name, other) == 0) match = j;
    }
    evaluation->bank.labels[i] = match;
  }
  const SeerFeatureSet *voters = from ? &evaluation->bank : &evaluation->queries;
  evaluation->majority = seer_labels_majority(voters->labels, voters->count, evaluation->vote.labels);
}

SeerStatus seer_evaluation_make(const SeerEvaluationRequest *request, SeerEvaluation *evaluation) {
  const SeerProgram *program = request->engine->program;
  *evaluation = (SeerEvaluation){.neighbours = NULL};
  unsigned char *untrained = NULL;
  SeerStatus status = seer_memory_map(program->state_bytes, "the untrained network", &untrained);
  if (!status) {
    seer_state_init(program, request->seed, 0, request->engine->context.pool, untrained);
    status = features_collect(request, request->source, untrained, &evaluation->queries);
  }
  if (!status && request->bank_source)
    status = features_collect(request, request->bank_source, untrained, &evaluation->bank);
  seer_memory_unmap(untrained, program->state_bytes);
  if (!status) labels_align(request, evaluation);
  if (!status) status = neighbours_decide(request, evaluation);
  if (!status) status = accuracies_measure(request, evaluation);
  if (status) seer_evaluation_release(evaluation);
  return status;
}

void seer_evaluation_release(SeerEvaluation *evaluation) {
  seer_features_release(&evaluation->queries);
  seer_features_release(&evaluation->bank);
  free(evaluation->neighbours);
  *evaluation = (SeerEvaluation){.neighbours = NULL};
}

static void result_print(const SeerEvaluation *evaluation, bool json) {
  long long pictures = (long long)evaluation->queries.count, skipped = (long long)evaluation->queries.skipped;
  if (json) {
    printf(
        "{\"trained\": %.6f, \"untrained\": %.6f, \"pixels\": %.6f, \"majority\": %.6f, \"pictures\": %lld, "
        "\"skipped\": %lld, "
        "\"labels\": %d, \"neighbours\": %d, \"temperature\": %g}\n",
        evaluation->trained, evaluation->untrained, evaluation->pixels, evaluation->majority, pictures, skipped,
        evaluation->vote.labels, evaluation->vote.k, evaluation->vote.temperature);
    return;
  }
  printf("nearest neighbours: %lld pictures, %d labels, %d neighbours, temperature %g\n", pictures,
         evaluation->vote.labels, evaluation->vote.k, evaluation->vote.temperature);
  const struct {
    const char *name;
    double share;
  } rows[] = {{"trained network", evaluation->trained},
              {"untrained network", evaluation->untrained},
              {"raw pixels", evaluation->pixels},
              {"largest class", evaluation->majority}};
  for (int i = 0; i < 4; i++) printf("  %-18s %5.1f %%\n", rows[i].name, 100 * rows[i].share);
  if (skipped) printf("  %lld pictures could not be decoded\n", skipped);
}

// The seed of a run, where --weights names one: the untrained network is then the one that training began with.
static uint64_t seed_decide(const SeerProgram *program, const SeerOptions *options) {
  if (options->seed >= 0) return (uint64_t)options->seed;
  uint64_t seed = program->seed;
  SeerRun run;
  if (seer_path_is_folder(options->weights)) {
    if (seer_run_read(options->weights, &run) == SEER_OK)
      seed = run.seed;
    else
      seer_error_clear();
    seer_run_release(&run);
  }
  return seed;
}

SeerStatus seer_command_knn(const SeerProgram *program, const SeerOptions *options) {
  if (!options->weights)
    return seer_fail(SEER_USAGE, "which network?\nnote: --weights RUN, SNAPSHOT or FILE.safetensors");
  if (!options->data.count && !(program->pictures && program->pictures[0])) {
    return seer_fail(SEER_USAGE, "which pictures?\nnote: --data FOLDER");
  }
  const char *labels = options->labels ? options->labels : options->data.count ? NULL : program->labels;
  const char *const bank[] = {options->train_data, NULL};
  SeerSource *source = NULL, *bank_source = NULL;
  SeerEngine engine = {.program = program};
  SeerWeights weights;
  SeerEvaluation evaluation = {.neighbours = NULL};
  int threads = options->threads > 0 ? (int)options->threads : seer_cpu_count();
  SeerStatus status = seer_source_open(options->data.count ? options->data.items : program->pictures, labels, &source);
  if (!status && seer_source_label_count(source) == 0) {
    status =
        seer_fail(SEER_INPUT, "the pictures have no labels\nnote: sort them into folders by class, or give --labels");
  }
  if (!status && options->train_data) status = seer_source_open(bank, options->train_labels, &bank_source);
  if (!status) status = seer_engine_make(program, NULL, threads, false, &engine);
  uint64_t seed = seed_decide(program, options);
  if (!status) seer_state_init(program, seed, 0, engine.context.pool, engine.context.state);
  if (!status) status = seer_weights_load(program, options->weights, SEER_USE_TRUNK, 0, engine.context.state, &weights);
  SeerEvaluationRequest request = {.engine = &engine,
                                   .seed = seed,
                                   .source = source,
                                   .bank_source = bank_source,
                                   .limit = options->limit,
                                   .neighbours = (int)options->neighbours,
                                   .temperature = options->temperature,
                                   .quiet = options->quiet || options->json};
  if (!status) status = seer_evaluation_make(&request, &evaluation);
  if (!status) result_print(&evaluation, options->json);
  seer_evaluation_release(&evaluation);
  if (engine.context.pool) seer_engine_release(&engine);
  seer_source_close(bank_source);
  seer_source_close(source);
  return status;
}
