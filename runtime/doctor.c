// The command doctor: can this machine, and every other of the run's, run this trainer, and what does it lack?
#include <dlfcn.h>
#include <inttypes.h>
#include <jansson.h>
#include <jpeglib.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>
#include <webp/decode.h>
#include <xxhash.h>
#include <zlib.h>

#include "runtime/accelerator.h"
#include "runtime/comm/mpi.h"
#include "runtime/commands.h"
#include "runtime/doctor.h"
#include "runtime/worlds.h"

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

static void ranks_print(const SeerComm *comm, const SeerRankFacts *all) {
  int ranks = seer_comm_size(comm), hosts = 0;
  const char *built = seer_world_find(ranks) ? "" : "; not built for so many: they would not train";
  if (!comm) {
    printf("  %-14s 1, started alone%s\n", "ranks", built);
    return;
  }
  for (int i = 0; i < ranks; i++) hosts += seer_host_leads(all, i);
  printf("  %-14s %d on %d host%s, %s%s\n", "ranks", ranks, hosts, hosts == 1 ? "" : "s", seer_comm_library(comm),
         built);
  for (int i = 0; i < ranks; i++) {
    SeerHostShare share = seer_host_share(all, ranks, i);
    printf("    rank %-7d %s, %d ranks there: %d threads on %d cores%s, %.1f MiB of %.1f MiB", i, all[i].host,
           share.ranks, all[i].bound ? all[i].threads : share.threads, all[i].cores,
           all[i].bound ? " it is bound to" : "", (double)share.needed / 1048576, (double)all[i].available / 1048576);
    if (all[i].pictures >= 0) printf(", %" PRId64 " pictures", all[i].pictures);
    if (strcmp(all[i].program, all[0].program) != 0) printf(", another trainer");
    if (*all[i].folder) printf(", no common folder");
    if (*all[i].gpu) printf(", %s", all[i].gpu);
    if (*all[i].no_gpu) printf(", no GPU");
    printf("\n");
  }
  printf("  %-14s %.1f ms apart at most\n", "clocks", 1e3 * seer_clocks_apart(all, ranks));
}

static void pictures_print(const SeerRankFacts *facts) {
  if (facts->pictures < 0)
    printf("  %-14s none named: give --data to have them looked for\n", "pictures");
  else
    printf("  %-14s %" PRId64 "\n", "pictures", facts->pictures);
}

static void doctor_print(const SeerProgram *program, const SeerComm *comm, const SeerRankFacts *all) {
  const SeerRankFacts *facts = &all[0];
  char huge_pages[96];
  huge_pages_read(huge_pages, sizeof huge_pages);
  printf("%s, built by seerc %s\n", program->name, program->seer_version);
  printf("  %-14s needs %s, this machine is %s%s%s\n", "processor", program->cpu, facts->level,
         *facts->missing ? ": lacks " : "", facts->missing);
  printf("  %-14s %d for the step, %d cores\n", "threads", facts->threads, facts->cores);
  printf("  %-14s needs %.1f MiB, %.1f MiB available\n", "memory", (double)facts->needed / 1048576,
         (double)facts->available / 1048576);
  if (program->accelerator) printf("  %-14s %s\n", "GPU", *facts->no_gpu ? "none that it could use" : facts->gpu);
  printf("  %-14s %s\n", "huge pages", huge_pages);
  printf("  %-14s %.1f MiB a snapshot, %.1f MiB for a run, %.1f MiB free\n", "disk", (double)facts->snapshot / 1048576,
         (double)seer_run_disk_bytes(program, facts) / 1048576, (double)facts->disk / 1048576);
  printf("  %-14s %s\n", "run folder", *facts->folder ? "cannot be written" : "can be written");
  pictures_print(facts);
  libraries_print();
  ranks_print(comm, all);
}

static json_t *rank_describe(const SeerRankFacts *facts) {
  return json_pack("{s:s, s:s, s:i, s:i, s:I, s:I, s:f, s:b, s:s}", "gpu", facts->gpu, "host", facts->host, "cores",
                   (int)facts->cores, "threads", (int)facts->threads, "memory_available_bytes",
                   (json_int_t)facts->available, "pictures", (json_int_t)facts->pictures, "clock_seconds",
                   facts->clock_seconds, "folder_ok", !*facts->folder, "program", facts->program);
}

static void doctor_print_json(const SeerProgram *program, const SeerComm *comm, const SeerRankFacts *all, bool ok) {
  const SeerRankFacts *facts = &all[0];
  json_t *ranks = json_array();
  for (int i = 0; i < seer_comm_size(comm); i++) json_array_append_new(ranks, rank_describe(&all[i]));
  json_t *root = json_pack("{s:s, s:s, s:b, s:i, s:i, s:I, s:I, s:I, s:I, s:s, s:i, s:o, s:b}", "cpu_needed",
                           program->cpu, "cpu", facts->level, "cpu_ok", !*facts->missing, "cores", (int)facts->cores,
                           "threads", (int)facts->threads, "memory_needed_bytes", (json_int_t)facts->needed,
                           "memory_available_bytes", (json_int_t)facts->available, "snapshot_bytes",
                           (json_int_t)facts->snapshot, "disk_free_bytes", (json_int_t)facts->disk, "mpi",
                           seer_comm_library(comm), "ranks_built", program->ranks, "ranks", ranks, "ok", ok);
  json_dumpf(root, stdout, JSON_INDENT(2));
  printf("\n");
  json_decref(root);
}

static SeerStatus ranks_look(const SeerProgram *program, const SeerOptions *options, SeerComm *comm) {
  int ranks = seer_comm_size(comm);
  SeerRankFacts *all = calloc((size_t)ranks, sizeof *all);
  if (!all) return seer_fail(SEER_MACHINE, "out of memory");
  SeerStatus status = seer_doctor_look(program, options, comm, all);
  // Every rank comes to the same verdict; the first one tells it.
  SeerStatus verdict = status ? status : seer_doctor_judge(program, all, ranks);
  if (!status && seer_comm_rank(comm) == 0) {
    seer_doctor_warn(all, ranks);
    if (options->json) {
      doctor_print_json(program, comm, all, !verdict);
    } else {
      doctor_print(program, comm, all);
      if (!verdict) printf("%s can run this trainer\n", ranks > 1 ? "these machines" : "this machine");
    }
  }
  free(all);
  return verdict;
}

// For scripts that start srun: the words for its --mpi that an MPI of this machine understands.
static void mpi_words_print(void) {
  static const struct {
    SeerMpiFlavour flavour;
    const char *word;
  } words[] = {{SEER_MPI_OPEN_MPI, "pmix"}, {SEER_MPI_MPICH, "pmi2"}};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
    SeerMpi mpi;
    if (seer_mpi_open(words[i].flavour, &mpi) == SEER_OK) {
      printf("%s\n", words[i].word);
      dlclose(mpi.library);
    }
    seer_error_clear();
  }
}

SeerStatus seer_command_doctor(const SeerProgram *program, const SeerOptions *options) {
  SeerComm *comm = NULL;
  if (options->mpi) {
    mpi_words_print();
    return SEER_OK;
  }
  double patience = options->patience > 0 ? options->patience : program->patience_seconds;
  SeerStatus status = seer_comm_open(program->name, patience, &comm);
  if (status) return status;
  const SeerProgram *own = seer_world_find(seer_comm_size(comm));
  status = ranks_look(own ? own : program, options, comm);
  if (seer_comm_rank(comm) > 0) seer_error_clear();
  if (comm) seer_error_print(program->name);
  seer_comm_close(comm);
  return status;
}
