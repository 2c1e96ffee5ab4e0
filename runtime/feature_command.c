// The command features: of any number of ranks, which share the parts out and meet after each; the file has the same
// bytes whatever their number, and whatever has stopped the command before.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "runtime/clock.h"
#include "runtime/comm/comm.h"
#include "runtime/commands.h"
#include "runtime/feature_parts.h"
#include "runtime/handshake.h"
#include "runtime/init.h"
#include "runtime/progress.h"
#include "runtime/weights/load.h"
#include "runtime/worlds.h"

enum { PART_PICTURES = 2048 };
static const double line_seconds = 10;

typedef struct Featuring {
  const SeerProgram *program;
  const SeerOptions *options;
  SeerComm *comm;
  SeerSource *source;
  SeerEngine engine;
  SeerFeatureParts parts;
  SeerProgramLayer layer;
  double began, printed;
  int64_t found;  // parts that were there already
} Featuring;

// Of what a part is: weights as they lie in memory, pictures, view.
static SeerHash key_make(const Featuring *f) {
  const SeerProgram *program = f->program;
  SeerHash key;
  XXH3_state_t *state = XXH3_createState();
  if (!state) return (SeerHash){""};
  XXH3_128bits_reset(state);
  int64_t facts[] = {(int64_t)seer_source_hash(f->source),
                     seer_source_count(f->source),
                     f->options->limit,
                     program->evaluate_size,
                     program->evaluate_resize,
                     program->evaluate_batch,
                     f->layer.width};
  XXH3_128bits_update(state, facts, sizeof facts);
  XXH3_128bits_update(state, program->seer_version, strlen(program->seer_version));
  XXH3_128bits_update(state, f->layer.name, strlen(f->layer.name));
  for (int i = 0; i < program->tensor_count; i++) {
    const SeerTensor *tensor = &program->tensors[i];
    if (tensor->kind != SEER_PARAMETER && tensor->kind != SEER_STATISTIC) continue;
    XXH3_128bits_update(state, tensor->name, strlen(tensor->name));
    XXH3_128bits_update(state, seer_tensor_values(tensor, f->engine.context.state), seer_tensor_bytes(tensor));
  }
  XXH128_hash_t hash = XXH3_128bits_digest(state);
  snprintf(key.hex, sizeof key.hex, "%016llx%016llx", (unsigned long long)hash.high64, (unsigned long long)hash.low64);
  XXH3_freeState(state);
  return key;
}

static SeerStatus options_check(const SeerProgram *program, const SeerOptions *options) {
  if (!options->weights)
    return seer_fail(SEER_USAGE, "which network?\nnote: --weights RUN, SNAPSHOT or FILE.safetensors");
  if (!options->data.count && !(program->pictures && program->pictures[0]))
    return seer_fail(SEER_USAGE, "which pictures?\nnote: --data FOLDER");
  if (options->size > 0 && options->size != program->evaluate_size)
    return seer_fail(SEER_INPUT,
                     "this trainer's views for features have %d px, not %" PRId64
                     "\nnote: build one for that size: seerc build -D evaluate.size=%" PRId64
                     "px -D evaluate.resize=%" PRId64 "px SPEC -o TRAINER",
                     program->evaluate_size, options->size, options->size, options->size);
  return SEER_OK;
}

static SeerStatus open_all(Featuring *f) {
  const SeerProgram *program = f->program;
  const SeerOptions *options = f->options;
  SeerWeights weights;
  int threads = options->threads > 0 ? (int)options->threads : seer_cpu_share(seer_comm_local_size(f->comm));
  const char *labels = options->labels ? options->labels : options->data.count ? NULL : program->labels;
  SeerStatus status =
      seer_source_open(options->data.count ? options->data.items : program->pictures, labels, &f->source);
  if (!status) status = seer_engine_make(program, f->comm, threads, false, &f->engine);
  if (status) return status;
  seer_state_init(program, options->seed >= 0 ? (uint64_t)options->seed : program->seed, 0, f->engine.context.pool,
                  f->engine.context.state);
  bool head = strcmp(f->layer.name, "head") == 0;
  status = seer_weights_load(program, options->weights, head ? SEER_USE_ALL : SEER_USE_TRUNK, 0,
                             f->engine.context.state, &weights);
  if (status) return status;
  int64_t count = seer_source_count(f->source);
  return seer_feature_parts_plan(program, options->out ? options->out : "features.safetensors", key_make(f),
                                 f->layer.width, options->limit > 0 && options->limit < count ? options->limit : count,
                                 options->part > 0 ? options->part : PART_PICTURES, &f->parts);
}

// Weights and pictures are the same on every host, or the file would be of several.
static SeerStatus keys_compare(const Featuring *f) {
  int ranks = seer_comm_size(f->comm);
  if (!f->comm) return SEER_OK;
  SeerHash *all = calloc((size_t)ranks, sizeof *all);
  if (!all) return seer_fail(SEER_MACHINE, "out of memory");
  SeerStatus status = seer_comm_all_gather(f->comm, &f->parts.key, sizeof f->parts.key, all);
  for (int rank = 1; rank < ranks && !status; rank++) {
    if (strcmp(all[rank].hex, all[0].hex) == 0) continue;
    status = SEER_INPUT;
    if (seer_comm_rank(f->comm) == 0)
      seer_fail(status,
                "rank %d has other weights or other pictures than rank 0\nnote: give every host the same files "
                "at the same place",
                rank);
  }
  free(all);
  return status;
}

static SeerStatus part_make(Featuring *f, int64_t index) {
  bool found = false;
  SeerStatus status = seer_feature_part_find(&f->parts, index, &found);
  f->found += found;
  if (status || found) return status;
  SeerFeatureSet set;
  int64_t begin = index * f->parts.part, end = begin + f->parts.part;
  SeerFeatureRequest request = {.engine = &f->engine,
                                .states = {f->engine.context.state},
                                .state_count = 1,
                                .source = f->source,
                                .limit = f->options->limit,
                                .layers = &f->layer,
                                .layer_count = 1,
                                .begin = begin,
                                .end = end < f->parts.total ? end : f->parts.total,
                                .quiet = true};
  status = seer_features_make(&request, &set);
  if (!status) status = seer_feature_part_write(&f->parts, index, f->source, &set);
  seer_features_release(&set);
  return status;
}

static double pictures_made(const Featuring *f, int64_t parts_done) {
  int64_t done = parts_done * f->parts.part < f->parts.total ? parts_done * f->parts.part : f->parts.total;
  int64_t there = f->found * f->parts.part * seer_comm_size(f->comm);
  return (double)(done > there ? done - there : 0);
}

// A line that redraws itself on a terminal, one now and then elsewhere.
static void progress_print(Featuring *f, int64_t parts_done) {
  bool terminal = isatty(STDERR_FILENO) == 1;
  double now = seer_seconds_now(), seconds = now - f->began, made = pictures_made(f, parts_done);
  if (f->options->quiet || seer_comm_rank(f->comm) > 0 || made <= 0 || seconds <= 0 ||
      (!terminal && now - f->printed < line_seconds))
    return;
  f->printed = now;
  char eta[32];
  int64_t done = parts_done * f->parts.part, left = done < f->parts.total ? f->parts.total - done : 0;
  seer_duration_text(eta, sizeof eta, (double)left * seconds / made);
  fprintf(terminal ? stderr : stdout, "%sfeatures %" PRId64 "/%" PRId64 "  %.1f images/s  eta %s%s",
          terminal ? "\r" : "", f->parts.total - left, f->parts.total, made / seconds, eta, terminal ? "\033[K" : "\n");
  fflush(terminal ? stderr : stdout);
}

// In rounds of a part for each rank: who fails ends all of them, and nobody waits for longer than a part takes.
static SeerStatus parts_make(Featuring *f) {
  int ranks = seer_comm_size(f->comm), rank = seer_comm_rank(f->comm);
  SeerStatus status = rank == 0 ? seer_feature_parts_begin(&f->parts) : SEER_OK;
  status = seer_comm_agree(f->comm, status);
  f->began = f->printed = seer_seconds_now();
  for (int64_t first = 0; first < f->parts.count && !status; first += ranks) {
    seer_comm_work(f->comm, "features of a part", true);
    if (first + rank < f->parts.count) status = part_make(f, first + rank);
    status = seer_comm_agree(f->comm, status);
    if (!status) progress_print(f, first + ranks);
  }
  if (isatty(STDERR_FILENO) == 1 && rank == 0 && !f->options->quiet) fprintf(stderr, "\r\033[K");
  return status;
}

static SeerStatus file_make(Featuring *f) {
  SeerFeatureTotals totals;
  SeerStatus status = seer_feature_parts_join(&f->parts, f->program, f->source, &totals);
  if (status || f->options->quiet) return status;
  double seconds = seer_seconds_now() - f->began, made = pictures_made(f, f->parts.count);
  printf("features of %" PRId64 " pictures, %d wide, in '%s'", totals.pictures, f->parts.width, f->parts.file.text);
  if (totals.skipped) printf("; %" PRId64 " could not be decoded", totals.skipped);
  if (made > 0 && seconds > 0) printf("; %.1f images/s", made / seconds);
  printf("\n");
  return SEER_OK;
}

static SeerStatus features_run(Featuring *f) {
  SeerStatus status = seer_handshake(f->comm, f->program, f->options);
  if (!status) status = seer_comm_agree(f->comm, options_check(f->program, f->options));
  if (!status)
    status = seer_comm_agree(f->comm,
                             seer_layer_find(f->program, f->options->layer ? f->options->layer : "avgpool", &f->layer));
  if (!status) status = seer_comm_agree(f->comm, open_all(f));
  if (!status) status = keys_compare(f);
  if (!status) status = parts_make(f);
  if (status) return status;
  return seer_comm_agree(f->comm, seer_comm_rank(f->comm) == 0 ? file_make(f) : SEER_OK);
}

SeerStatus seer_command_features(const SeerProgram *program, const SeerOptions *options) {
  Featuring f = {.program = program, .options = options, .engine = {.program = program}};
  double patience = options->patience > 0 ? options->patience : program->patience_seconds;
  SeerStatus status = seer_comm_open(program->name, patience, &f.comm);
  if (status) return status;
  status = features_run(&f);
  if (f.engine.context.pool) seer_engine_release(&f.engine);
  seer_source_close(f.source);
  if (f.comm) seer_error_print(program->name);
  seer_comm_close(f.comm);
  return status;
}
