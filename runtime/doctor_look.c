// What the doctor finds on each rank: processor, memory, the running file, the run's folder, clock, pictures.
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "runtime/accelerator.h"
#include "runtime/data/source.h"
#include "runtime/doctor.h"
#include "runtime/engine.h"
#include "runtime/files.h"
#include "runtime/init.h"
#include "runtime/snapshot.h"

enum { CLOCK_ROUNDS = 8, FOLDER_TRIES = 60 };

// Of the folder where the run will lie, which may not be there yet.
static SeerStatus folder_find(const SeerOptions *options, SeerPath *folder) {
  SeerStatus status = seer_path_print(folder, "%s", options->out ? options->out : ".");
  while (!status && !seer_path_is_folder(folder->text)) {
    char *slash = strrchr(folder->text, '/');
    if (!slash) return seer_path_print(folder, ".");
    if (slash == folder->text) return seer_path_print(folder, "/");
    *slash = '\0';
  }
  return status;
}

// The file that rank 0 leaves for the others to see.
typedef struct Mark {
  SeerStatus status;
  SeerPath path;
  char text[SEER_NAME_BYTES];
} Mark;

static void mark_make(const SeerOptions *options, Mark *mark) {
  SeerPath folder;
  SeerFile file;
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  snprintf(mark->text, sizeof mark->text, "%lld.%09ld %ld", (long long)now.tv_sec, now.tv_nsec, (long)getpid());
  mark->status = folder_find(options, &folder);
  if (!mark->status)
    mark->status = seer_path_print(&mark->path, "%s/.seer-doctor-%ld-%09ld", folder.text, (long)getpid(), now.tv_nsec);
  if (!mark->status) mark->status = seer_file_create(&file, mark->path.text);
  if (mark->status) return;
  mark->status = seer_file_finish(&file, seer_file_write(&file, mark->text, strlen(mark->text)), NULL);
}

// A network's file system may take a moment to show what another host wrote.
static void mark_look(const Mark *mark, char *why) {
  const struct timespec pause = {.tv_nsec = 50000000};
  char text[SEER_NAME_BYTES] = "";
  for (int i = 0; i < FOLDER_TRIES; i++) {
    int fd = open(mark->path.text, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    snprintf(why, SEER_MESSAGE_BYTES, "%s", fd < 0 ? strerror(errno) : "it holds something else");
    if (fd >= 0) close(fd);
    if (got == (ssize_t)strlen(mark->text) && memcmp(text, mark->text, (size_t)got) == 0) {
      *why = '\0';
      return;
    }
    nanosleep(&pause, NULL);
  }
}

// The recorded error becomes a fact.
static void error_keep(char *message) {
  snprintf(message, SEER_MESSAGE_BYTES, "%s", seer_error());
  seer_error_clear();
}

static SeerStatus folder_look(const SeerOptions *options, SeerComm *comm, SeerRankFacts *facts) {
  int ranks = seer_comm_size(comm);
  Mark mine = {0}, *all = calloc((size_t)ranks, sizeof *all);
  if (!all) return seer_fail(SEER_MACHINE, "out of memory");
  if (seer_comm_rank(comm) == 0) mark_make(options, &mine);
  if (mine.status) error_keep(facts->folder);
  SeerStatus status = seer_comm_all_gather(comm, &mine, sizeof mine, all);
  if (!status && !all[0].status) mark_look(&all[0], facts->folder);
  // Only when all have looked.
  int32_t done = 1, *others = (int32_t *)(void *)all;
  if (!status) status = seer_comm_all_gather(comm, &done, sizeof done, others);
  if (mine.path.text[0]) unlink(mine.path.text);
  free(all);
  return status;
}

static double clock_read(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

// All read their clocks when they come out of the same collective; the round where that was closest counts.
static SeerStatus clock_look(SeerComm *comm, SeerRankFacts *facts) {
  int ranks = seer_comm_size(comm), rank = seer_comm_rank(comm);
  double *all = malloc((size_t)ranks * sizeof *all);
  if (!all) return seer_fail(SEER_MACHINE, "out of memory");
  SeerStatus status = SEER_OK;
  double mine = 0;
  for (int round = 0; round <= CLOCK_ROUNDS && !status; round++) {
    status = seer_comm_all_gather(comm, &mine, sizeof mine, all);
    double ahead = all[rank] - all[0];
    if (round == 1 || (round > 1 && fabs(ahead) < fabs(facts->clock_seconds))) facts->clock_seconds = ahead;
    mine = clock_read();
  }
  free(all);
  return status;
}

static void data_look(const SeerProgram *program, const SeerOptions *options, SeerRankFacts *facts) {
  bool given = options->data.count > 0;
  const char *const *patterns = given ? options->data.items : program->pictures;
  facts->pictures = -1;
  if (!patterns || !patterns[0]) return;
  SeerSource *source = NULL;
  SeerKeepCounts kept = {0};
  SeerStatus status =
      seer_source_open(patterns, options->labels ? options->labels : given ? NULL : program->labels, &source);
  if (!status && program->keep) status = seer_source_keep(source, program->keep, seer_cpu_count(), "/tmp", &kept);
  if (status) {
    seer_source_close(source);
    error_keep(facts->data);
    facts->pictures = 0;
    return;
  }
  facts->pictures = seer_source_count(source);
  seer_source_close(source);
}

static void rank_look(const SeerProgram *program, const SeerOptions *options, const SeerComm *comm,
                      SeerRankFacts *facts) {
  const char *missing = NULL;
  SeerHash hash = {""};
  SeerPath folder;
  seer_cpu_supports(program->cpu, &missing);
  snprintf(facts->level, sizeof facts->level, "%s", seer_cpu_level());
  snprintf(facts->missing, sizeof facts->missing, "%s", missing ? missing : "");
  snprintf(facts->mpi, sizeof facts->mpi, "%s", seer_comm_library(comm));
  if (gethostname(facts->host, sizeof facts->host - 1) != 0) snprintf(facts->host, sizeof facts->host, "unknown");
  if (seer_file_hash("/proc/self/exe", &hash)) seer_error_clear();
  snprintf(facts->program, sizeof facts->program, "%s", hash.hex);
  facts->cores = seer_cpu_count();
  // A rank that is bound to cores does not divide them among the ranks of its host.
  facts->bound = seer_cpu_share(2) == facts->cores && sysconf(_SC_NPROCESSORS_ONLN) > 1;
  facts->threads = options->threads > 0 ? (int32_t)options->threads : seer_cpu_share(seer_comm_local_size(comm));
  facts->needed = seer_machine_bytes(program, true);
  facts->available = seer_memory_available();
  for (int i = 0; i < program->tensor_count; i++) {
    if (seer_tensor_is_kept(&program->tensors[i])) facts->snapshot += seer_tensor_bytes(&program->tensors[i]);
  }
  if (folder_find(options, &folder)) {
    error_keep(facts->folder);
    return;
  }
  facts->disk = seer_folder_free_bytes(folder.text);
}

SeerStatus seer_doctor_look(const SeerProgram *program, const SeerOptions *options, SeerComm *comm,
                            SeerRankFacts *all) {
  SeerRankFacts mine;
  memset(&mine, 0, sizeof mine);  // padding travels, too
  rank_look(program, options, comm, &mine);
  data_look(program, options, &mine);
  if (program->accelerator && program->accelerator->look(program, comm, mine.gpu, sizeof mine.gpu))
    error_keep(mine.no_gpu);
  SeerStatus status = folder_look(options, comm, &mine);
  if (!status) status = clock_look(comm, &mine);
  if (!status) status = seer_comm_all_gather(comm, &mine, sizeof mine, all);
  return status;
}
