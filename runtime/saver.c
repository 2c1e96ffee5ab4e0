// The saver; see saver.h. A snapshot goes through two pieces of work: every rank writes its file, then rank 0 commits.
// Each runs on a thread of its own; between them the ranks tell each other how they fared.
#include "runtime/saver.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

typedef enum Phase { PHASE_IDLE, PHASE_WRITING, PHASE_COMMITTING } Phase;

typedef SeerStatus Work(SeerSaver *saver);

struct SeerSaver {
  const SeerProgram *program;
  SeerComm *comm;
  const char *run;
  int64_t keep, step;  // step: of the newest snapshot begun
  unsigned char *staging;
  const unsigned char *state;
  SeerSnapshot snapshot;
  char *monitor;  // of the snapshot; owned
  Phase phase;
  SeerSnapshotFile *files;  // [ranks]

  Work *work;  // what the thread does, or did
  pthread_t thread;
  bool has_thread;
  atomic_bool done;
  SeerStatus status;
  SeerSnapshotFile file;
  char error[SEER_ERROR_BYTES];
};

SeerStatus seer_saver_make(const SeerProgram *program, SeerComm *comm, const char *run, int64_t keep, int64_t step,
                           unsigned char *staging, SeerSaver **saver) {
  *saver = calloc(1, sizeof **saver);
  if (!*saver) return seer_fail(SEER_MACHINE, "no memory to write snapshots");
  **saver = (SeerSaver){
      .program = program, .comm = comm, .run = run, .keep = keep, .step = step, .staging = staging, .done = true};
  (*saver)->files = calloc((size_t)seer_comm_size(comm), sizeof *(*saver)->files);
  return (*saver)->files ? SEER_OK : seer_fail(SEER_MACHINE, "no memory to write snapshots");
}

static SeerStatus file_write(SeerSaver *saver) {
  return seer_snapshot_write(saver->program, &saver->snapshot, saver->run, seer_comm_rank(saver->comm), saver->state,
                             saver->staging, &saver->file);
}

static SeerStatus commit(SeerSaver *saver) {
  return seer_snapshot_commit(saver->program, &saver->snapshot, saver->run, saver->files, saver->keep);
}

static void *thread_run(void *argument) {
  SeerSaver *saver = argument;
  seer_error_keep(saver->error);
  saver->status = saver->work(saver);
  atomic_store(&saver->done, true);
  return NULL;
}

// On a thread where there is a copy to work on and the system has a thread to give; else here and now.
static void work_start(SeerSaver *saver, Work *work) {
  sigset_t all, before;
  saver->work = work;
  saver->error[0] = '\0';
  atomic_store(&saver->done, false);
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);  // signals are the main thread's business
  saver->has_thread = saver->staging && pthread_create(&saver->thread, NULL, thread_run, saver) == 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (saver->has_thread) return;
  saver->status = work(saver);
  atomic_store(&saver->done, true);
}

// What became of the work; its error is now the caller's.
static SeerStatus work_end(SeerSaver *saver) {
  if (saver->has_thread) pthread_join(saver->thread, NULL);
  saver->has_thread = false;
  if (saver->status && saver->error[0]) seer_fail(saver->status, "%s", saver->error);
  return saver->status;
}

static SeerStatus abandon(SeerSaver *saver, SeerStatus status) {
  saver->phase = PHASE_IDLE;
  if (seer_comm_rank(saver->comm) == 0) seer_snapshot_abandon(&saver->snapshot, saver->run);
  return status;
}

// From one phase to the next, when this rank's work is done.
static SeerStatus advance(SeerSaver *saver) {
  SeerStatus status = seer_comm_agree(saver->comm, work_end(saver));
  if (status) return abandon(saver, status);
  if (saver->phase == PHASE_COMMITTING) {
    saver->phase = PHASE_IDLE;
    return SEER_OK;
  }
  status = seer_comm_all_gather(saver->comm, &saver->file, sizeof saver->file, saver->files);
  if (status) return abandon(saver, status);
  saver->phase = PHASE_COMMITTING;
  saver->status = SEER_OK;
  if (seer_comm_rank(saver->comm) == 0) work_start(saver, commit);
  return SEER_OK;
}

SeerStatus seer_saver_poll(SeerSaver *saver) {
  if (saver->phase == PHASE_IDLE) return SEER_OK;
  int busy = !atomic_load(&saver->done);
  SeerStatus status = seer_comm_largest(saver->comm, &busy);
  return status || busy ? status : advance(saver);
}

SeerStatus seer_saver_finish(SeerSaver *saver) {
  SeerStatus status = SEER_OK;
  while (!status && saver->phase != PHASE_IDLE) status = advance(saver);
  return status;
}

SeerStatus seer_saver_begin(SeerSaver *saver, const unsigned char *state, const SeerSnapshot *snapshot) {
  SeerStatus status = seer_saver_finish(saver);
  free(saver->monitor);
  saver->monitor = snapshot->monitor;
  if (status || saver->step == snapshot->step) return status;
  int rank = seer_comm_rank(saver->comm);
  if (rank == 0) status = seer_snapshot_prepare(saver->program, snapshot, saver->run);
  saver->snapshot = *snapshot;
  saver->state = state;
  status = seer_comm_agree(saver->comm, status);
  if (status) return abandon(saver, status);
  if (saver->staging) seer_snapshot_stage(saver->program, rank, state, saver->staging);
  saver->phase = PHASE_WRITING;
  saver->step = snapshot->step;
  work_start(saver, file_write);
  return saver->staging ? SEER_OK : seer_saver_finish(saver);
}

void seer_saver_rewind(SeerSaver *saver, int64_t step) { saver->step = step; }

void seer_saver_release(SeerSaver *saver) {
  if (!saver) return;
  if (saver->has_thread) pthread_join(saver->thread, NULL);
  free(saver->files);
  free(saver->monitor);
  free(saver);
}
