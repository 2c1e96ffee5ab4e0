// What the doctor thinks of what it found: the first thing that would keep the trainer from running, and what would
// slow it down.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "runtime/doctor.h"
#include "runtime/worlds.h"

// Files on a shared folder, and what a watchdog reads of other hosts, carry times.
static const double clock_limit_seconds = 1;

SeerHostShare seer_host_share(const SeerRankFacts *all, int ranks, int rank) {
  SeerHostShare share = {0};
  for (int i = 0; i < ranks; i++) {
    if (strcmp(all[i].host, all[rank].host) != 0) continue;
    share.ranks++;
    share.threads += all[i].threads;
    share.needed += all[i].needed;
  }
  return share;
}

bool seer_host_leads(const SeerRankFacts *all, int rank) {
  for (int i = 0; i < rank; i++) {
    if (strcmp(all[i].host, all[rank].host) == 0) return false;
  }
  return true;
}

double seer_clocks_apart(const SeerRankFacts *all, int ranks) {
  double low = 0, high = 0;
  for (int i = 0; i < ranks; i++) {
    low = all[i].clock_seconds < low ? all[i].clock_seconds : low;
    high = all[i].clock_seconds > high ? all[i].clock_seconds : high;
  }
  return high - low;
}

uint64_t seer_run_disk_bytes(const SeerProgram *program, const SeerRankFacts *facts) {
  return facts->snapshot * (uint64_t)(program->save_keep + 1);
}

void seer_doctor_warn(const SeerRankFacts *all, int ranks) {
  for (int i = 0; i < ranks; i++) {
    SeerHostShare share = seer_host_share(all, ranks, i);
    if (all[i].bound && all[i].threads > all[i].cores) {
      fprintf(stderr, "warning: rank %d is bound to %d of the cores of host '%s' with %d threads: give --threads %d\n",
              i, all[i].cores, all[i].host, all[i].threads, all[i].cores);
      break;
    }
    if (all[i].bound || share.ranks < 2 || share.threads <= all[i].cores) continue;
    fprintf(stderr, "warning: on host '%s' %d ranks share %d cores with %d threads: give --threads %d\n", all[i].host,
            share.ranks, all[i].cores, share.threads, all[i].cores > share.ranks ? all[i].cores / share.ranks : 1);
    break;
  }
  double apart = seer_clocks_apart(all, ranks);
  if (apart > clock_limit_seconds)
    fprintf(stderr, "warning: clocks are %.1f s apart: let all hosts follow one time server\n", apart);
}

// What a host must have.
static SeerStatus host_judge(const SeerProgram *program, const SeerRankFacts *all, int ranks, int rank,
                             const char *who) {
  const SeerRankFacts *facts = &all[rank];
  SeerHostShare share = seer_host_share(all, ranks, rank);
  if (*facts->missing)
    return seer_fail(SEER_MACHINE, "%sthis processor lacks '%s'\nnote: rebuild with `seerc build --cpu %s`", who,
                     facts->missing, facts->level);
  if (*facts->no_gpu) return seer_fail(SEER_MACHINE, "%s%s", who, facts->no_gpu);
  if (share.needed > facts->available)
    return seer_fail(SEER_MACHINE,
                     "%snot enough memory\nnote: stop other programs, %sor build with a smaller train.batch", who,
                     share.ranks > 1 ? "start fewer ranks on a host, " : "");
  if (seer_run_disk_bytes(program, facts) > facts->disk)
    return seer_fail(SEER_MACHINE, "%snot enough disk space\nnote: free some, or choose another folder with --out",
                     who);
  return SEER_OK;
}

// What it must have in common with rank 0.
static SeerStatus rank_judge(const SeerRankFacts *all, int rank, const char *who) {
  const SeerRankFacts *facts = &all[rank];
  if (strcmp(facts->program, all[0].program) != 0)
    return seer_fail(SEER_INPUT, "%sanother trainer than rank 0's\nnote: copy one file to all hosts", who);
  if (strcmp(facts->mpi, all[0].mpi) != 0)
    return seer_fail(SEER_MACHINE, "%s%s, rank 0 has %s\nnote: install one version on all hosts", who, facts->mpi,
                     all[0].mpi);
  if (*facts->folder && rank == 0) return seer_fail(SEER_MACHINE, "%s%s", who, facts->folder);
  if (*facts->folder)
    return seer_fail(SEER_MACHINE,
                     "%sdoes not see what rank 0 writes where the run will lie: %s\nnote: choose a folder that all "
                     "hosts share with --out",
                     who, facts->folder);
  if (*facts->data) return seer_fail(SEER_INPUT, "%s%s", who, facts->data);
  if (facts->pictures != all[0].pictures)
    return seer_fail(SEER_INPUT,
                     "%ssees %" PRId64 " pictures, rank 0 sees %" PRId64
                     "\nnote: give every host the same pictures at the same place",
                     who, facts->pictures, all[0].pictures);
  return SEER_OK;
}

SeerStatus seer_doctor_judge(const SeerProgram *program, const SeerRankFacts *all, int ranks) {
  SeerStatus status = SEER_OK;
  for (int rank = 0; rank < ranks && !status; rank++) {
    char who[2 * SEER_NAME_BYTES] = "";
    if (ranks > 1) snprintf(who, sizeof who, "rank %d on host '%.48s': ", rank, all[rank].host);
    status = host_judge(program, all, ranks, rank, who);
    if (!status) status = rank_judge(all, rank, who);
  }
  // A trainer for several ranks may be asked alone about the machine it stands on.
  return status || ranks == 1 || seer_world_find(ranks) ? status : seer_world_missing(ranks);
}
