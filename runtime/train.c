// The training loop: loader, step, metrics, snapshots, until the run is done, fails, or is asked to stop.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/comm/comm.h"
#include "runtime/comm/record.h"
#include "runtime/comm/traffic.h"
#include "runtime/comm/facts.h"
#include "runtime/commands.h"
#include "runtime/data/loader.h"
#include "runtime/engine.h"
#include "runtime/evaluate/knn_watch.h"
#include "runtime/handshake.h"
#include "runtime/init.h"
#include "runtime/laggard.h"
#include "runtime/metrics.h"
#include "runtime/monitor.h"
#include "runtime/picture_list.h"
#include "runtime/progress.h"
#include "runtime/report.h"
#include "runtime/rundir.h"
#include "runtime/saver.h"
#include "runtime/schedule.h"
#include "runtime/spikes.h"
#include "runtime/step.h"
#include "runtime/stop.h"
#include "runtime/weights/load.h"
#include "runtime/worlds.h"

typedef struct Training {
  const SeerProgram *program;
  const SeerOptions *options;
  SeerComm *comm;        // NULL: alone
  SeerTraffic *traffic;  // of the program's units; NULL: none
  uint64_t sent;         // bytes, before the step at hand
  int rank;        // 0 writes and speaks for all
  SeerRun run;
  SeerEngine engine;
  SeerSource *source;
  SeerLoader *loader;
  SeerPictureList pictures;
  SeerSaver *saver;
  SeerMetrics metrics;
  SeerProgress progress;
  SeerSpikes spikes;
  SeerMonitor *monitor;  // NULL: nothing is counted
  SeerLaggard laggard;
  SeerKnnWatch *watch;   // of rank 0; NULL: nothing is looked at
  int64_t knn_every;     // steps, 0: never
  SeerStepRecord record; // of the last step, until it is told
  char *monitor_line;    // likewise; NULL: nothing to tell
  double waited;         // seconds in collectives that the other ranks know of
  SeerStatus logged;     // how the last step's line of metrics fared; told to all with the next step
  int64_t step, steps;   // done, length
  int64_t save_every, keep;
  double *usage, *usage_recent;  // [prototypes] of this step, and decaying over steps
} Training;

static const double usage_decay = 0.99;

// What rank 0 found when it opened the run.
typedef struct RunFound {
  SeerStatus status;
  bool existed;
  char folder[sizeof(SeerPath)];
} RunFound;

static SeerStatus ranks_join(Training *training) {
  double patience = training->options->patience > 0 ? training->options->patience : training->program->patience_seconds;
  SeerStatus status = seer_comm_open(training->program->name, patience, &training->comm);
  if (status) return status;
  int started = seer_comm_size(training->comm);
  const SeerProgram *program = seer_world_find(started);
  training->rank = seer_comm_rank(training->comm);
  status = seer_handshake(training->comm, program, training->options);
  if (status) return status;
  if (program) {
    training->program = program;
    return SEER_OK;
  }
  status = seer_world_missing(started);
  if (training->rank > 0) seer_error_clear();
  return status;
}

// Says what ended the run that this one continues, when that did not end by itself.
static SeerStatus run_settle(const SeerRun *run) {
  char text[1024];
  SeerPath records;
  SeerStatus status = seer_run_path(run, "ranks", &records);
  if (!status) status = seer_records_settle(records.text, text, sizeof text);
  if (!status && *text) fprintf(stderr, "warning: the run in '%s' broke off: %s\n", run->folder.text, text);
  return status;
}

// Rank 0 opens the folder, which the others see, too.
static SeerStatus run_open(Training *training) {
  const SeerProgram *program = training->program;
  if (!training->comm) {
    SeerStatus status = seer_run_open(program, training->options, &training->run);
    return status ? status : run_settle(&training->run);
  }
  int ranks = seer_comm_size(training->comm);
  RunFound mine = {0}, *all = calloc((size_t)ranks, sizeof *all);
  if (!all) return seer_fail(SEER_MACHINE, "out of memory");
  if (training->rank == 0) {
    mine.status = seer_run_open(program, training->options, &training->run);
    if (!mine.status) mine.status = run_settle(&training->run);
    mine.existed = training->run.existed;
    snprintf(mine.folder, sizeof mine.folder, "%s", training->run.folder.text);
  }
  SeerStatus status = seer_comm_all_gather(training->comm, &mine, sizeof mine, all);
  if (!status && !all[0].status && training->rank > 0)
    status = seer_run_join(program, training->options, all[0].folder, all[0].existed, &training->run);
  free(all);
  return status ? status : mine.status;
}

// Every rank must see the same pictures, or their order would not be one.
static SeerStatus source_agree(Training *training) {
  if (!training->comm) return SEER_OK;
  SeerFact facts[2];
  char text[32];
  snprintf(text, sizeof text, "%lld", (long long)seer_source_count(training->source));
  seer_fact_set(&facts[0], "the number of pictures", text);
  snprintf(text, sizeof text, "%016llx", (unsigned long long)seer_source_hash(training->source));
  seer_fact_set(&facts[1], "the list of pictures (its hash)", text);
  return seer_facts_compare(training->comm, facts, 2, "give every host the same pictures at the same place");
}

// All must have loaded the same snapshot.
static SeerStatus start_agree(Training *training) {
  SeerFact facts[2];
  char text[32];
  snprintf(text, sizeof text, "%lld", (long long)training->step);
  seer_fact_set(&facts[0], "the step that they start at", text);
  snprintf(text, sizeof text, "%llu", (unsigned long long)training->run.seed);
  seer_fact_set(&facts[1], "the run's seed", text);
  return seer_facts_compare(training->comm, facts, 2, "every host must see the same run folder");
}

static SeerStatus steps_decide(Training *training) {
  const SeerProgram *program = training->program;
  int64_t pictures = seer_source_count(training->source), micro_batch = program->batch / program->accumulate;
  if (pictures < micro_batch) {
    return seer_fail(SEER_INPUT,
                     "the data set holds %lld pictures, fewer than one batch of %lld\nnote: add pictures, or build "
                     "with a smaller train.batch",
                     (long long)pictures, (long long)micro_batch);
  }
  SeerRun *run = &training->run;
  if (run->pictures > 0 && run->pictures != pictures && training->rank == 0) {
    fprintf(stderr,
            "warning: the data set holds %lld pictures, %lld when the run began: their order changes from here\n",
            (long long)pictures, (long long)run->pictures);
  }
  run->pictures = pictures;
  if (run->steps <= 0) run->steps = seer_schedule_steps(run->epochs, pictures, program->batch, program->accumulate);
  training->steps = run->steps;
  return SEER_OK;
}

static SeerStatus source_open(Training *training) {
  SeerRun *run = &training->run;
  if (run->data.count == 0) {
    return seer_fail(SEER_INPUT, "no pictures are named\nnote: give --data FOLDER, or set data.pictures in the spec");
  }
  SeerStatus status = seer_source_open(run->data.items, run->labels, &training->source);
  const SeerKeep *keep = training->program->keep;
  if (status || !keep) return status;
  return seer_source_keep(training->source, keep, seer_cpu_share(seer_comm_local_size(training->comm)),
                          run->folder.text, &run->kept);
}

static SeerStatus weights_start(Training *training) {
  SeerWeights weights;
  const SeerOptions *options = training->options;
  SeerStatus status =
      seer_weights_load(training->program, options->weights, options->new_head ? SEER_USE_NEW_HEAD : SEER_USE_ALL,
                        training->rank, training->engine.context.state, &weights);
  seer_engine_state_changed(&training->engine);
  if (status) return status;
  seer_progress_note(&training->progress, "weights: %d tensors from '%s', in the names of '%s'", weights.loaded,
                     options->weights, weights.format);
  if (weights.head_missing || weights.aside)
    seer_progress_note(&training->progress, "  the head's %d start at random; %d of other heads are not used",
                       weights.head_missing, weights.aside);
  return SEER_OK;
}

// A run of another precision left none.
static void loss_scale_restore(Training *training, const SeerSnapshot *snapshot) {
  if (training->program->scales_loss && snapshot->loss_scale.scale > 0)
    training->engine.loss_scale = snapshot->loss_scale;
}

static void resume(Training *training, const SeerSnapshot *snapshot) {
  char world[64] = "";
  if (snapshot->ranks != training->program->ranks)
    snprintf(world, sizeof world, ", by %d rank%s, now by %d", snapshot->ranks, snapshot->ranks > 1 ? "s" : "",
             training->program->ranks);
  if (snapshot->steps != training->steps) {
    seer_progress_note(&training->progress,
                       "note: the run's length changes from %lld to %lld steps, and its learning rates with it",
                       (long long)snapshot->steps, (long long)training->steps);
  }
  training->step = snapshot->step;
  training->run.seed = snapshot->seed;
  loss_scale_restore(training, snapshot);
  seer_progress_note(&training->progress, "resuming '%s' at step %lld%s", training->run.folder.text,
                     (long long)snapshot->step, world);
}

// The state at the step where this process begins. *saved: there is a snapshot of it.
static SeerStatus state_start(Training *training, bool *saved) {
  SeerRun *run = &training->run;
  unsigned char *state = training->engine.context.state;
  *saved = false;
  if (run->existed) {
    SeerSnapshot snapshot;
    SeerStatus status =
        seer_snapshot_load_newest(training->program, training->comm, run->folder.text, state, &snapshot, saved);
    if (status) return status;
    if (*saved) {
      resume(training, &snapshot);
      return SEER_OK;
    }
    seer_progress_note(&training->progress, "'%s' has no snapshot yet: starting at step 0", run->folder.text);
  }
  seer_state_init(training->program, run->seed, training->rank, training->engine.context.pool, state);
  return training->options->weights ? weights_start(training) : SEER_OK;
}

static int decode_threads(const Training *training) {
  if (training->options->decode_threads > 0) return (int)training->options->decode_threads;
  if (training->program->decode_threads > 0) return training->program->decode_threads;
  int threads = seer_pool_threads(training->engine.context.pool) / 2;
  return threads < 1 ? 1 : threads > 8 ? 8 : threads;
}

// Pictures that the run has had before its next step, those that a spike passed over among them.
static int64_t position_of(const Training *training) {
  return training->step * training->program->batch + seer_spikes_skipped(&training->spikes, training->step);
}

static SeerStatus loader_start(Training *training) {
  const SeerProgram *program = training->program;
  SeerPath quarantine;
  char name[64] = "quarantine.jsonl";
  if (training->rank > 0) snprintf(name, sizeof name, "quarantine-rank%d.jsonl", training->rank);
  SeerStatus status = seer_run_path(&training->run, name, &quarantine);
  SeerLoaderConfig config = {
      .views = &program->views,
      .batch = seer_rank_batch(program),
      .slices = seer_rank_slices(program),
      .rank = training->rank,
      .ranks = program->ranks,
      .seed = training->run.seed,
      .threads = decode_threads(training),
      .first_position = position_of(training),
      .max_undecodable = program->max_undecodable,
      .max_pixels = program->max_pixels,
      .sandbox = program->sandbox,
      .scaled_decoding = program->scaled_decoding,
      .columns = seer_monitor_columns(training->monitor),
      .quarantine_path = quarantine.text,
      .ring = training->engine.ring,
      .ring_depth = program->ring_depth,
  };
  if (!status && training->options->list_pictures)
    status = seer_picture_list_open(training->run.folder.text, training->rank, &training->pictures);
  return status ? status : seer_loader_make(&config, training->source, &training->loader);
}

static SeerStatus usage_save(const Training *training) {
  int count = training->program->prototypes;
  if (!training->usage_recent || count == 0) return SEER_OK;
  size_t capacity = (size_t)count * 32 + 128;
  char *text = malloc(capacity);
  SeerPath path;
  SeerStatus status =
      text ? seer_run_path(&training->run, "prototypes.json", &path) : seer_fail(SEER_MACHINE, "no memory");
  if (!status) {
    size_t at = (size_t)snprintf(text, capacity, "{\"step\": %lld, \"usage\": [", (long long)training->step);
    for (int i = 0; i < count; i++) {
      at += (size_t)snprintf(text + at, capacity - at, "%s%.6g", i ? ", " : "", training->usage_recent[i]);
    }
    snprintf(text + at, capacity - at, "]}\n");
    status = seer_file_replace(path.text, text, strlen(text));
  }
  free(text);
  return status;
}

// Returns when the state may change again; what is written then is for the saver to finish.
static SeerStatus state_save(Training *training) {
  SeerSnapshot snapshot = {training->step,
                           training->steps,
                           position_of(training),
                           training->run.seed,
                           training->program->ranks,
                           training->engine.loss_scale,
                           NULL};
  SeerStatus status = training->logged;
  training->logged = SEER_OK;
  seer_comm_work(training->comm, "writing a snapshot", true);
  if (!status) status = seer_spikes_sync(&training->spikes);
  status = seer_comm_agree(training->comm, status);
  if (!status) status = seer_monitor_save(training->monitor, &snapshot.monitor);
  status = seer_comm_agree(training->comm, status);
  if (!status) status = seer_engine_state_fetch(&training->engine);
  if (status)
    free(snapshot.monitor);
  else
    status = seer_saver_begin(training->saver, training->engine.context.state, &snapshot);
  if (!status && training->rank == 0) status = usage_save(training);
  status = seer_comm_agree(training->comm, status);
  seer_comm_work(training->comm, "the step", false);
  return status;
}

static SeerStatus state_save_and_wait(Training *training) {
  SeerStatus status = state_save(training);
  return status ? status : seer_saver_finish(training->saver);
}

static SeerStatus batch_next(void *source, SeerBatch *batch) {
  Training *training = source;
  SeerStatus status = seer_loader_next(training->loader, batch);
  if (!status) seer_monitor_take(training->monitor, batch);
  if (status || training->pictures.fd < 0) return status;
  return seer_picture_list_add(&training->pictures, training->step + 1, batch->pictures,
                               seer_rank_batch(training->program));
}

static SeerStepRecord record_make(const Training *training, const SeerStepResult *result, double seconds) {
  const SeerProgram *program = training->program;
  int64_t micro_batch = program->batch / program->accumulate;
  int64_t epoch_pictures = seer_source_count(training->source) / micro_batch * micro_batch;
  const SeerSpike *spike = seer_spikes_after(&training->spikes, training->step - 1);
  return (SeerStepRecord){
      .step = training->step,
      .loss = result->loss,
      .learning_rate = result->learning_rate,
      .loss_scale = training->engine.loss_scale.scale,
      .passed_over = result->passed_over,
      .images_per_second = seconds > 0 ? program->batch / seconds : 0,
      .seconds = seconds,
      .epoch = (double)position_of(training) / (double)epoch_pictures,
      .loader_wait = seconds > 0 ? result->wait_seconds / seconds : 0,
      .prototype_entropy = training->usage ? seer_entropy_share(training->usage, program->prototypes) : -1,
      .quarantined = seer_loader_quarantined(training->loader),
      .peak_bytes = seer_program_bytes(program),
      .resident_bytes = seer_memory_resident_peak(),
      .slowest_rank = result->slowest_rank,
      .rank_wait = seconds > 0 ? result->rank_seconds / seconds : 0,
      .sent_bytes = seer_traffic_sent_bytes(training->traffic) - training->sent,
      .rewound_from = spike ? spike->step : 0,
      .skipped = spike ? spike->pictures : 0,
  };
}

// After every so many steps, and after the last.
static bool knn_is_due(const Training *training) {
  return training->knn_every && (training->step % training->knn_every == 0 || training->step == training->steps);
}

// The same on every rank.
static bool step_is_logged(const Training *training) {
  return training->step % training->program->log_every == 0 || training->step == training->steps ||
         knn_is_due(training);
}

static void laggard_tell(Training *training, const SeerStepRecord *record) {
  if (!seer_laggard_look(&training->laggard, record, seer_seconds_now())) return;
  seer_progress_note(&training->progress, "note: the other ranks wait for rank %d on '%s', %.0f %% of each step",
                     record->slowest_rank, seer_comm_host(training->comm, record->slowest_rank),
                     100 * training->laggard.wait);
}

// *stop: a request of some rank, on which nothing was done. *loss: of the step; NAN: not finite, nothing was updated.
static SeerStatus step_advance(Training *training, int *stop, double *loss) {
  const SeerProgram *program = training->program;
  double began = seer_seconds_now();
  SeerStepResult result;
  seer_monitor_drop(training->monitor);
  for (int i = 0; training->usage && i < program->prototypes; i++) training->usage[i] = 0;
  training->sent = seer_traffic_sent_bytes(training->traffic);
  seer_comm_step(training->comm, training->step + 1);
  // Launchers send a signal to all ranks, people to one.
  SeerStepAsk ask = {training->logged, seer_stop_requested(), training->waited};
  training->logged = SEER_OK;
  SeerStatus status = seer_step_run(&training->engine, batch_next, training, ask, training->step, training->steps,
                                    training->usage, &result);
  training->waited = result.waited;
  *stop = result.stop;
  *loss = result.not_finite ? NAN : result.loss;
  if (status || *stop) return status;
  if (training->usage) status = seer_comm_sum(training->comm, training->usage, program->prototypes);
  if (status) return status;
  training->step++;
  for (int i = 0; training->usage && i < program->prototypes; i++) {
    training->usage_recent[i] = usage_decay * training->usage_recent[i] + training->usage[i];
  }
  bool logged = step_is_logged(training);
  status = seer_monitor_step(training->monitor, training->step, logged);
  if (status) return status;
  // Taken before a snapshot of this step is written, which goes on counting behind the line.
  free(training->monitor_line);
  training->monitor_line = NULL;
  if (logged && training->rank == 0) training->monitor_line = seer_monitor_line(training->monitor);
  training->record = record_make(training, &result, seer_seconds_now() - began);
  return SEER_OK;
}

// After a step that stands.
static void step_tell(Training *training) {
  SeerStepRecord *record = &training->record;
  if (step_is_logged(training) && training->rank == 0) {
    record->monitor = training->monitor_line;
    SeerStatus status = seer_metrics_write(&training->metrics, record);
    if (!training->logged) training->logged = status;
    record->monitor = NULL;
  }
  free(training->monitor_line);
  training->monitor_line = NULL;
  seer_progress_step(&training->progress, record);
  laggard_tell(training, record);
}

// After a failed step: the state before it is sound, and worth keeping.
static SeerStatus step_failed(Training *training, SeerStatus status) {
  seer_progress_end(&training->progress);
  char error[4096];
  snprintf(error, sizeof error, "%s", seer_error());
  seer_error_clear();
  bool saved = state_save_and_wait(training) == SEER_OK;
  // Where the state is lost, with a GPU, what was being written is the last there is.
  if (!saved && seer_comm_size(training->comm) == 1) seer_saver_finish(training->saver);
  seer_error_clear();
  if (!*error) return status;
  if (saved)
    return seer_fail(status, "%s\nnote: the state before the failure is saved as '%s/snapshots/step-%lld'", error,
                     training->run.folder.text, (long long)training->step);
  return seer_fail(status, "%s", error);
}

static SeerStatus stopped(Training *training, const char *why) {
  seer_progress_end(&training->progress);
  SeerStatus status = state_save_and_wait(training);
  if (status) return status;
  if (training->rank > 0) return SEER_STOPPED;
  fprintf(stderr, "%s: stopped on %s at step %lld of %lld, snapshot written; continue with %s --resume '%s'\n",
          training->program->name, why, (long long)training->step, (long long)training->steps,
          training->options->program, training->run.folder.text);
  return SEER_STOPPED;
}

// Of several ranks none has the whole network: the first looks at the snapshot of the step.
static SeerStatus snapshot_look(Training *training, SeerKnnLook *look) {
  const SeerProgram *program = seer_world_evaluation();
  SeerEngine engine = {.program = program};
  SeerPath folder;
  SeerWeights weights;
  int threads = seer_pool_threads(training->engine.context.pool);
  SeerStatus status = seer_snapshot_folder(training->run.folder.text, training->step, &folder);
  if (!status) status = seer_engine_make(program, NULL, threads, false, &engine);
  if (!status) status = seer_weights_load(program, folder.text, SEER_USE_TRUNK, 0, engine.context.state, &weights);
  if (!status) status = seer_knn_watch_look(training->watch, &engine, look);
  if (engine.context.pool) seer_engine_release(&engine);
  return status;
}

// A look that fails is told, and the run goes on. Collective.
static SeerStatus knn_look(Training *training) {
  bool alone = training->program->ranks == 1;
  SeerStatus status = alone ? SEER_OK : state_save_and_wait(training);
  if (status) return status;
  seer_comm_work(training->comm, "looking at nearest neighbours", true);
  if (training->watch) {
    status = alone ? seer_knn_watch_look(training->watch, &training->engine, &training->record.knn)
                   : snapshot_look(training, &training->record.knn);
    training->record.knn_looked = !status;
    if (status)
      fprintf(stderr, "warning: no nearest neighbours at step %lld: %s\n", (long long)training->step, seer_error());
    if (status) seer_error_clear();
  }
  status = seer_comm_agree(training->comm, SEER_OK);
  seer_comm_work(training->comm, "the step", false);
  return status;
}

static SeerStatus watch_open(Training *training) {
  const SeerProgram *program = training->program;
  training->knn_every = seer_knn_watch_every(program, training->options);
  if (!training->knn_every) return SEER_OK;
  if (program->ranks > 1 && training->knn_every % training->save_every)
    return seer_fail(SEER_INPUT,
                     "several ranks look at nearest neighbours in their snapshots, and evaluate.knn_every (%lld steps) "
                     "is no multiple of save.every (%lld)\nnote: set one of them, or --knn-every and --save-every",
                     (long long)training->knn_every, (long long)training->save_every);
  if (training->rank > 0) return SEER_OK;
  return seer_knn_watch_make(program, training->options, training->source, &training->watch);
}

// Of several ranks the first looks at the whole network, on its own GPU, which needs room for it beside the step.
static SeerStatus watch_check(const Training *training) {
  const SeerProgram *program = seer_world_evaluation();
  if (!training->watch || training->program->ranks == 1 || !program->accelerator) return SEER_OK;
  char text[256];
  SeerStatus status = program->accelerator->look(program, training->comm, text, sizeof text);
  if (!status) return SEER_OK;
  snprintf(text, sizeof text, "%.*s", (int)strcspn(seer_error(), "\n"), seer_error());
  seer_error_clear();
  return seer_fail(status,
                   "no room to look at nearest neighbours beside the step: %s\n"
                   "note: --knn-every 0, and beside the run: %s knn --weights '%s'",
                   text, training->options->program, training->run.folder.text);
}

static SeerStatus metrics_begin(Training *training) {
  if (training->rank > 0) return SEER_OK;
  seer_metrics_close(&training->metrics);
  return seer_metrics_open(&training->metrics, training->run.folder.text, training->step,
                           training->program->tensorboard);
}

// What was counted up to the step at hand, of which there is a snapshot if `saved`.
static SeerStatus monitor_restore(Training *training, bool saved) {
  SeerPath folder;
  bool fresh;
  SeerStatus status = saved ? seer_snapshot_folder(training->run.folder.text, training->step, &folder) : SEER_OK;
  if (!status)
    status = seer_monitor_load(training->monitor, saved ? folder.text : NULL, position_of(training), &fresh);
  if (!status && fresh && training->step > 0)
    seer_progress_note(&training->progress, "note: the snapshot has not counted these monitor.columns: the sample "
                                            "begins with step %lld",
                       (long long)training->step + 1);
  return status;
}

// After a spike in step `step`. The error of a loss that is not finite is told in passing, for the run goes on.
static SeerStatus rewind_run(Training *training, int64_t step, double loss) {
  char why[512] = "not finite";
  SeerSpikes *spikes = &training->spikes;
  SeerSnapshot to;
  if (isfinite(loss))
    snprintf(why, sizeof why, "%.4g, above %g times the median %.4g", loss, spikes->rule->factor,
             seer_spikes_median(spikes));
  seer_error_clear();
  seer_progress_end(&training->progress);
  seer_comm_work(training->comm, "going back to a snapshot", true);
  SeerStatus status = seer_saver_finish(training->saver);
  if (!status)
    status = seer_spikes_rewind(spikes, training->program, step, loss, training->engine.context.state, &to);
  seer_engine_state_changed(&training->engine);
  if (status) return status;
  training->step = to.step;
  loss_scale_restore(training, &to);
  seer_saver_rewind(training->saver, training->step);
  training->logged = SEER_OK;
  for (int i = 0; training->usage_recent && i < training->program->prototypes; i++) training->usage_recent[i] = 0;
  seer_loader_release(training->loader);
  training->loader = NULL;
  status = monitor_restore(training, true);
  if (!status) status = metrics_begin(training);
  if (!status) status = loader_start(training);
  seer_comm_work(training->comm, "the step", false);
  if (training->rank == 0)
    fprintf(stderr,
            "warning: the loss of step %lld is %s: back to step %lld, without the %lld pictures that followed it\n",
            (long long)step, why, (long long)training->step, (long long)spikes->list[spikes->count - 1].pictures);
  return seer_comm_agree(training->comm, status);
}

// After a step without an error, or one whose numbers went wrong. *spike: the run has gone back.
static SeerStatus spike_look(Training *training, SeerStatus status, double loss, bool *spike) {
  *spike = false;
  bool failed = status != SEER_OK;
  if (failed && (!isnan(loss) || !seer_spikes_on(&training->spikes))) return status;
  int64_t step = training->step + (failed ? 1 : 0);
  status = seer_spikes_look(&training->spikes, step, loss, spike);
  if (*spike) return rewind_run(training, step, loss);
  if (!training->logged) training->logged = status;
  return SEER_OK;
}

static SeerStatus loop_run(Training *training) {
  int64_t stop_at = training->options->stop_after > 0 ? training->step + training->options->stop_after : INT64_MAX;
  seer_comm_work(training->comm, "the step", false);
  while (training->step < training->steps) {
    if (training->step >= stop_at) return stopped(training, "--stop-after");
    int stop = 0;
    double loss = 0;
    bool spike = false;
    SeerStatus status = step_advance(training, &stop, &loss);
    if (!status && stop) return stopped(training, seer_stop_name(stop));
    status = spike_look(training, status, loss, &spike);
    if (status) return spike ? status : step_failed(training, status);
    if (!spike && knn_is_due(training)) status = knn_look(training);
    if (status) return status;
    if (!spike) step_tell(training);
    bool due = !spike && (training->step % training->save_every == 0 || training->step == training->steps);
    status = due ? state_save(training) : seer_saver_poll(training->saver);
    if (status) return status;
  }
  seer_progress_end(&training->progress);
  return seer_saver_finish(training->saver);
}

static SeerStatus training_prepare(Training *training) {
  const SeerOptions *options = training->options;
  const SeerProgram *program = training->program;
  training->save_every = options->save_every > 0   ? options->save_every
                         : program->save_every > 0 ? program->save_every
                                                   : 1000;
  training->keep = options->keep > 0 ? options->keep : program->save_keep > 0 ? program->save_keep : 1;
  int threads = options->threads > 0 ? (int)options->threads : seer_cpu_share(seer_comm_local_size(training->comm));
  seer_comm_work(training->comm, "reading the list of pictures", true);
  SeerStatus status = seer_comm_agree(training->comm, source_open(training));
  if (!status) status = source_agree(training);
  if (!status) status = steps_decide(training);
  if (!status) status = seer_comm_agree(training->comm, watch_open(training));
  if (!status)
    status = seer_comm_agree(training->comm,
                             seer_engine_make(program, training->comm, threads, true, &training->engine));
  if (!status)
    status = seer_comm_agree(training->comm, seer_engine_join(&training->engine, training->comm, options->exchange));
  if (!status) status = seer_comm_agree(training->comm, watch_check(training));
  if (!status)
    status = seer_comm_agree(training->comm,
                             seer_traffic_make(training->comm, program, seer_engine_unit_memory(&training->engine),
                                               &training->traffic));
  if (!status && program->norm_ranks > 1 && program->norm_ranks < program->ranks)
    status = seer_comm_agree(training->comm, seer_comm_group_make(training->comm, program->norm_ranks));
  training->engine.context.traffic = training->traffic;
  training->engine.context.shard = training->rank / (program->group > 0 ? program->group : 1);
  if (!status && program->task == SEER_SWAV && program->prototypes > 0) {
    training->usage = calloc((size_t)program->prototypes, sizeof *training->usage);
    training->usage_recent = calloc((size_t)program->prototypes, sizeof *training->usage_recent);
    if (!training->usage || !training->usage_recent) status = seer_fail(SEER_MACHINE, "no memory for prototype usage");
  }
  bool saved = false;
  status = seer_comm_agree(training->comm, status);
  seer_comm_work(training->comm, "reading the snapshot", true);
  if (!status) status = seer_spikes_open(program, training->comm, training->run.folder.text, &training->spikes);
  // Before rank 0 writes, all have read.
  if (!status) status = seer_comm_agree(training->comm, state_start(training, &saved));
  if (!status) status = start_agree(training);
  if (!status) status = seer_spikes_start(&training->spikes, training->step);
  // Its sample is drawn by the run's seed, which the snapshot has.
  if (!status)
    status = seer_comm_agree(training->comm, seer_monitor_make(program, training->source, training->comm,
                                                               training->run.seed, &training->monitor));
  if (!status) status = monitor_restore(training, saved);
  if (!status)
    status = seer_saver_make(program, training->comm, training->run.folder.text, training->keep,
                             saved ? training->step : -1, training->engine.staging, &training->saver);
  if (!status && training->rank == 0) status = seer_run_describe(program, &training->run);
  if (!status) status = metrics_begin(training);
  status = seer_comm_agree(training->comm, status);
  // Something to go back to.
  if (!status && seer_spikes_on(&training->spikes) && !saved) status = state_save(training);
  return status;
}

static void training_announce(Training *training) {
  char rest[64] = "";
  int64_t quarantined = seer_loader_quarantined(training->loader);
  if (quarantined) snprintf(rest, sizeof rest, ", %lld undecodable", (long long)quarantined);
  seer_progress_note(&training->progress, "%s: %lld pictures%s, batch %d, %lld steps, %d threads, %.1f MiB, in '%s'",
                     training->program->name, (long long)seer_source_count(training->source), rest,
                     training->program->batch, (long long)training->steps,
                     seer_pool_threads(training->engine.context.pool),
                     (double)seer_program_bytes(training->program) / 1048576, training->run.folder.text);
  const SeerKeep *keep = training->program->keep;
  if (keep) {
    char text[512];
    seer_keep_describe(keep, &training->run.kept, text, sizeof text);
    seer_progress_note(&training->progress, "%s", text);
  }
  const char *exchange = seer_engine_exchange(&training->engine);
  if (exchange) seer_progress_note(&training->progress, "%s", exchange);
  const char *libraries = seer_engine_libraries(&training->engine);
  if (libraries) seer_progress_note(&training->progress, "%s", libraries);
}

static void training_release(Training *training) {
  seer_metrics_close(&training->metrics);
  seer_loader_release(training->loader);
  seer_traffic_release(training->traffic);
  seer_picture_list_close(&training->pictures);
  seer_saver_release(training->saver);
  if (training->engine.program) seer_engine_release(&training->engine);
  seer_knn_watch_release(training->watch);
  seer_monitor_release(training->monitor);
  seer_source_close(training->source);
  seer_spikes_release(&training->spikes);
  seer_run_release(&training->run);
  free(training->usage);
  free(training->usage_recent);
  free(training->monitor_line);
}

// Features are one rank's work: of several, this one makes room and loads what has just been written.
static SeerStatus engine_for_evaluation(Training *training) {
  const SeerProgram *program = seer_world_evaluation();
  if (training->program == program) return SEER_OK;
  int threads = seer_pool_threads(training->engine.context.pool);
  SeerPath folder;
  SeerWeights weights;
  seer_loader_release(training->loader);
  training->loader = NULL;
  seer_engine_release(&training->engine);
  SeerStatus status = seer_snapshot_folder(training->run.folder.text, training->step, &folder);
  if (!status) status = seer_engine_make(program, NULL, threads, false, &training->engine);
  if (status) return status;
  return seer_weights_load(program, folder.text, SEER_USE_ALL, 0, training->engine.context.state, &weights);
}

// The page is a nicety: a run that is done stays done when it cannot be written.
static void report_finish(Training *training) {
  SeerReportRequest request = {.run = training->run.folder.text,
                               .options = training->options,
                               .engine = &training->engine,
                               .source = training->source,
                               .seed = training->run.seed};
  SeerPath path;
  seer_progress_note(&training->progress, "writing the report page");
  SeerStatus status = engine_for_evaluation(training);
  if (!status) status = seer_report_write(&request, &path);
  if (!status) {
    seer_progress_note(&training->progress, "report: %s", path.text);
    return;
  }
  fprintf(stderr, "warning: no report page: %s\n", seer_error());
  seer_error_clear();
}

static SeerStatus training_run(Training *training) {
  const SeerOptions *options = training->options;
  bool quiet = options->quiet || training->rank > 0;
  seer_progress_begin(&training->progress, quiet, 0, 0);
  SeerStatus status = seer_comm_agree(training->comm, run_open(training));
  SeerPath records;
  if (!status) status = seer_run_path(&training->run, "ranks", &records);
  if (!status) status = seer_comm_watch(training->comm, records.text);
  if (!status) status = training_prepare(training);
  if (status) return status;
  if (training->step >= training->steps) {
    seer_progress_note(&training->progress,
                       "the run in '%s' is complete: %lld steps; for more: --resume with --steps N",
                       training->run.folder.text, (long long)training->steps);
    return SEER_OK;
  }
  status = seer_comm_agree(training->comm, loader_start(training));
  if (status) return status;
  training_announce(training);
  seer_progress_begin(&training->progress, quiet, training->step, training->steps);
  status = loop_run(training);
  seer_comm_work(training->comm, "writing the report page", true);
  if (!status && !options->no_report && training->rank == 0) report_finish(training);
  // The others wait for the page here, where the watch knows that it may take long.
  return status ? status : seer_comm_agree(training->comm, SEER_OK);
}

SeerStatus seer_command_train(const SeerProgram *program, const SeerOptions *options) {
  Training training = {
      .program = program, .options = options, .metrics = {.fd = -1, .events = {.fd = -1}}, .run = {.lock = -1},
      .pictures = {.fd = -1}, .spikes = {.losses = -1}};
  if (options->new_head && !options->weights)
    return seer_fail(SEER_USAGE, "'--new-head' says how to use other weights: --weights W --new-head");
  seer_stop_listen();
  SeerStatus status = ranks_join(&training);
  if (!status) status = training_run(&training);
  training_release(&training);
  if (training.comm) seer_error_print(training.program->name);
  seer_comm_close(training.comm);
  return status;
}
