// The command doctor: can this machine, and every other of the run's, run this trainer, and what does it lack?
#include <jansson.h>
#include <jpeglib.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <webp/decode.h>
#include <xxhash.h>
#include <zlib.h>

#include "runtime/comm/comm.h"
#include "runtime/commands.h"
#include "runtime/engine.h"
#include "runtime/init.h"
#include "runtime/rundir.h"
#include "runtime/snapshot.h"
#include "runtime/worlds.h"

enum { NAME_BYTES = 64 };

// What a rank knows of itself and its host; travels between ranks as bytes.
typedef struct RankFacts {
  char host[NAME_BYTES], level[NAME_BYTES], missing[NAME_BYTES];  // missing: what the processor lacks, or ""
  int32_t cores, threads;
  uint64_t needed, available, snapshot, disk;  // bytes
} RankFacts;

// How many ranks share a rank's host, and what they need together.
typedef struct HostShare {
  int ranks, threads;
  uint64_t needed;
} HostShare;

static RankFacts rank_look(const SeerProgram *program, const SeerOptions *options, const SeerComm *comm) {
  RankFacts facts = {
      .cores = seer_cpu_count(), .needed = seer_program_bytes(program), .available = seer_memory_available()};
  const char *missing = NULL;
  seer_cpu_supports(program->cpu, &missing);
  snprintf(facts.level, sizeof facts.level, "%s", seer_cpu_level());
  snprintf(facts.missing, sizeof facts.missing, "%s", missing ? missing : "");
  if (gethostname(facts.host, sizeof facts.host - 1) != 0) snprintf(facts.host, sizeof facts.host, "unknown");
  facts.threads = options->threads > 0 ? (int32_t)options->threads : seer_cpu_share(seer_comm_local_size(comm));
  for (int i = 0; i < program->tensor_count; i++) {
    if (seer_tensor_is_kept(&program->tensors[i])) facts.snapshot += seer_tensor_bytes(&program->tensors[i]);
  }
  facts.disk = seer_folder_free_bytes(options->out && seer_path_is_folder(options->out) ? options->out : ".");
  return facts;
}

static HostShare host_share(const RankFacts *all, int ranks, int rank) {
  HostShare share = {0};
  for (int i = 0; i < ranks; i++) {
    if (strcmp(all[i].host, all[rank].host) != 0) continue;
    share.ranks++;
    share.threads += all[i].threads;
    share.needed += all[i].needed;
  }
  return share;
}

static uint64_t disk_needed(const SeerProgram *program, const RankFacts *facts) {
  return facts->snapshot * (uint64_t)(program->save_keep + 1);
}

static void huge_pages_read(char *text, int size) {
  FILE *file = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "re");
  if (!file || !fgets(text, size, file)) snprintf(text, (size_t)size, "unknown");
  if (file) fclose(file);
  text[strcspn(text, "\n")] = '\0';
}

static void libraries_print(void) {
  unsigned webp = (unsigned)WebPGetDecoderVersion();
  printf("  %-14s jpeg %d, png %s, webp %u.%u.%u, zlib %s, jansson %s, xxhash %u.%u.%u\n", "libraries",
         JPEG_LIB_VERSION, png_get_libpng_ver(NULL), webp >> 16, webp >> 8 & 255, webp & 255, zlibVersion(),
         jansson_version_str(), XXH_versionNumber() / 10000, XXH_versionNumber() / 100 % 100,
         XXH_versionNumber() % 100);
}

static void ranks_print(const SeerComm *comm, const RankFacts *all) {
  int ranks = seer_comm_size(comm), hosts = 0;
  if (!comm) {
    printf("  %-14s 1, started alone\n", "ranks");
    return;
  }
  for (int i = 0; i < ranks; i++) {
    bool first = true;
    for (int j = 0; j < i; j++) first = first && strcmp(all[i].host, all[j].host) != 0;
    hosts += first;
  }
  printf("  %-14s %d on %d host%s, %s\n", "ranks", ranks, hosts, hosts == 1 ? "" : "s", seer_comm_library(comm));
  for (int i = 0; i < ranks; i++) {
    HostShare share = host_share(all, ranks, i);
    printf("    rank %-7d %s, %d ranks there: %d threads on %d cores, %.1f MiB of %.1f MiB\n", i, all[i].host,
           share.ranks, share.threads, all[i].cores, (double)share.needed / 1048576,
           (double)all[i].available / 1048576);
  }
}

static void doctor_print(const SeerProgram *program, const SeerComm *comm, const RankFacts *all) {
  const RankFacts *facts = &all[0];
  char huge_pages[96];
  huge_pages_read(huge_pages, sizeof huge_pages);
  printf("%s, built by seerc %s\n", program->name, program->seer_version);
  printf("  %-14s needs %s, this machine is %s%s%s\n", "processor", program->cpu, facts->level,
         *facts->missing ? ": lacks " : "", facts->missing);
  printf("  %-14s %d for the step, %d cores\n", "threads", facts->threads, facts->cores);
  printf("  %-14s needs %.1f MiB, %.1f MiB available\n", "memory", (double)facts->needed / 1048576,
         (double)facts->available / 1048576);
  printf("  %-14s %s\n", "huge pages", huge_pages);
  printf("  %-14s %.1f MiB a snapshot, %.1f MiB for a run, %.1f MiB free\n", "disk", (double)facts->snapshot / 1048576,
         (double)disk_needed(program, facts) / 1048576, (double)facts->disk / 1048576);
  libraries_print();
  ranks_print(comm, all);
}

// What works, but slowly.
static void ranks_warn(const SeerComm *comm, const RankFacts *all) {
  for (int i = 0; i < seer_comm_size(comm); i++) {
    HostShare share = host_share(all, seer_comm_size(comm), i);
    if (share.ranks < 2 || share.threads <= all[i].cores) continue;
    fprintf(stderr, "warning: on host '%s' %d ranks share %d cores with %d threads: give --threads %d\n", all[i].host,
            share.ranks, all[i].cores, share.threads, all[i].cores > share.ranks ? all[i].cores / share.ranks : 1);
    return;
  }
}

// The first thing that a rank lacks, as the run's error.
static SeerStatus rank_judge(const SeerProgram *program, const RankFacts *all, int ranks, int rank) {
  const RankFacts *facts = &all[rank];
  HostShare share = host_share(all, ranks, rank);
  char who[2 * NAME_BYTES] = "";
  if (ranks > 1) snprintf(who, sizeof who, "rank %d on host '%.48s': ", rank, facts->host);
  if (*facts->missing)
    return seer_fail(SEER_MACHINE, "%sthis processor lacks '%s'\nnote: rebuild with `seerc build --cpu %s`", who,
                     facts->missing, facts->level);
  if (share.needed > facts->available)
    return seer_fail(SEER_MACHINE,
                     "%snot enough memory\nnote: stop other programs, %sor build with a smaller train.batch", who,
                     share.ranks > 1 ? "start fewer ranks on a host, " : "");
  if (disk_needed(program, facts) > facts->disk)
    return seer_fail(SEER_MACHINE, "%snot enough disk space\nnote: free some, or choose another folder with --out",
                     who);
  return SEER_OK;
}

static void doctor_print_json(const SeerProgram *program, const SeerComm *comm, const RankFacts *all, bool ok) {
  const RankFacts *facts = &all[0];
  json_t *ranks = json_array();
  for (int i = 0; i < seer_comm_size(comm); i++)
    json_array_append_new(ranks,
                          json_pack("{s:s, s:i, s:i, s:I}", "host", all[i].host, "cores", (int)all[i].cores, "threads",
                                    (int)all[i].threads, "memory_available_bytes", (json_int_t)all[i].available));
  json_t *root =
      json_pack("{s:s, s:s, s:b, s:i, s:i, s:I, s:I, s:I, s:I, s:s, s:o, s:b}", "cpu_needed", program->cpu, "cpu",
                facts->level, "cpu_ok", !*facts->missing, "cores", (int)facts->cores, "threads", (int)facts->threads,
                "memory_needed_bytes", (json_int_t)facts->needed, "memory_available_bytes",
                (json_int_t)facts->available, "snapshot_bytes", (json_int_t)facts->snapshot, "disk_free_bytes",
                (json_int_t)facts->disk, "mpi", seer_comm_library(comm), "ranks", ranks, "ok", ok);
  json_dumpf(root, stdout, JSON_INDENT(2));
  printf("\n");
  json_decref(root);
}

static SeerStatus ranks_look(const SeerProgram *program, const SeerOptions *options, SeerComm *comm) {
  int ranks = seer_comm_size(comm);
  RankFacts mine = rank_look(program, options, comm), *all = calloc((size_t)ranks, sizeof *all);
  if (!all) return seer_fail(SEER_MACHINE, "out of memory");
  SeerStatus status = seer_comm_all_gather(comm, &mine, sizeof mine, all);
  // Every rank comes to the same verdict; the first one tells it.
  SeerStatus verdict = SEER_OK;
  for (int i = 0; i < ranks && !status && !verdict; i++) verdict = rank_judge(program, all, ranks, i);
  if (!status && seer_comm_rank(comm) == 0) {
    ranks_warn(comm, all);
    if (options->json) {
      doctor_print_json(program, comm, all, !verdict);
    } else {
      doctor_print(program, comm, all);
      if (!verdict) printf("%s can run this trainer\n", ranks > 1 ? "these machines" : "this machine");
    }
  }
  free(all);
  return status ? status : verdict;
}

SeerStatus seer_command_doctor(const SeerProgram *program, const SeerOptions *options) {
  SeerComm *comm = NULL;
  double patience = options->patience > 0 ? options->patience : program->patience_seconds;
  SeerStatus status = seer_comm_open(program->name, patience, &comm);
  if (status) return status;
  const SeerProgram *own = seer_world_find(seer_comm_size(comm));
  if (!own && seer_comm_rank(comm) == 0) {
    seer_world_missing(seer_comm_size(comm));
    fprintf(stderr, "warning: %s\n", seer_error());
    seer_error_clear();
  }
  status = ranks_look(own ? own : program, options, comm);
  if (seer_comm_rank(comm) > 0) seer_error_clear();
  if (comm) seer_error_print(program->name);
  seer_comm_close(comm);
  return status;
}
