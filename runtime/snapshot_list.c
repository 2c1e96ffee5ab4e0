// The snapshots of a run folder: their list, the newest sound one, what is put aside. See snapshot.h.
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/snapshot_reader.h"

SeerStatus seer_snapshot_folder(const char *run, int64_t step, SeerPath *folder) {
  return seer_path_print(folder, "%s/snapshots/step-%lld", run, (long long)step);
}

static int step_compare(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return x < y ? -1 : x > y;
}

// "step-120" -> 120; -1: another name.
static int64_t step_parse(const char *name) {
  if (strncmp(name, "step-", 5) != 0 || name[5] < '0' || name[5] > '9') return -1;
  char *end = NULL;
  errno = 0;
  long long step = strtoll(name + 5, &end, 10);
  return *end || errno ? -1 : step;
}

SeerStatus seer_snapshot_list(const char *run, SeerSnapshotList *list) {
  *list = (SeerSnapshotList){0};
  SeerPath parent;
  SeerStatus status = seer_path_print(&parent, "%s/snapshots", run);
  if (status) return status;
  DIR *stream = opendir(parent.text);
  if (!stream) {
    if (errno == ENOENT || errno == ENOTDIR) return SEER_OK;
    return seer_fail(SEER_MACHINE, "cannot read folder '%s': %s", parent.text, strerror(errno));
  }
  for (struct dirent *entry; (entry = readdir(stream)) != NULL && !status;) {
    int64_t step = step_parse(entry->d_name);
    if (step < 0) continue;
    int64_t *grown = realloc(list->steps, ((size_t)list->count + 1) * sizeof *grown);
    if (grown)
      (list->steps = grown)[list->count++] = step;
    else
      status = seer_fail(SEER_MACHINE, "no memory to list '%s'", parent.text);
  }
  closedir(stream);
  if (list->count) qsort(list->steps, (size_t)list->count, sizeof *list->steps, step_compare);
  return status;
}

void seer_snapshot_list_release(SeerSnapshotList *list) {
  free(list->steps);
  *list = (SeerSnapshotList){0};
}

static SeerStatus damaged_put_aside(const char *folder) {
  SeerPath aside;
  SeerStatus status = seer_path_print(&aside, "%s.damaged", folder);
  if (!status) status = seer_folder_remove(aside.text);
  if (!status && rename(folder, aside.text) != 0) {
    status = seer_fail(SEER_MACHINE, "cannot rename '%s': %s", folder, strerror(errno));
  }
  return status;
}

SeerStatus seer_snapshot_leftovers_remove(const char *run) {
  SeerPath parent, leftover;
  SeerStatus status = seer_path_print(&parent, "%s/snapshots", run);
  DIR *stream = status ? NULL : opendir(parent.text);
  for (struct dirent *entry; stream && !status && (entry = readdir(stream)) != NULL;) {
    if (strncmp(entry->d_name, ".step-", 6) != 0) continue;
    status = seer_path_print(&leftover, "%s/%s", parent.text, entry->d_name);
    if (!status) status = seer_folder_remove(leftover.text);
  }
  if (stream) closedir(stream);
  return status;
}

// Sound, broken, or neither: then the run cannot go on, whatever else it has.
typedef enum Verdict { VERDICT_SOUND, VERDICT_DAMAGED, VERDICT_ERROR } Verdict;

// The worst that any rank found. A broken snapshot is warned of, an error stays recorded: by the first that found it,
// or by `each` that did, where they looked at different files.
static SeerStatus verdict_agree(SeerComm *comm, const char *folder, bool each, Verdict *verdict) {
  int ranks = seer_comm_size(comm), rank = seer_comm_rank(comm), mine = (int)*verdict;
  int *all = calloc((size_t)ranks, sizeof *all);
  if (!all) return seer_fail(SEER_MACHINE, "no memory to read '%s'", folder);
  SeerStatus status = seer_comm_all_gather(comm, &mine, sizeof mine, all);
  int first = 0;
  for (int i = 1; i < ranks; i++) first = all[i] > all[first] ? i : first;
  *verdict = (Verdict)all[first];
  free(all);
  if (status) return status;
  if (mine == VERDICT_DAMAGED && *verdict == VERDICT_DAMAGED && (each || rank == first))
    fprintf(stderr, "warning: %s\n", seer_error());
  if (mine != VERDICT_SOUND && (mine != VERDICT_ERROR || rank != first)) seer_error_clear();
  return SEER_OK;
}

// A folder that rank 0 finds sound and another does not find at all is not broken: it is not shared.
static Verdict begin_verdict(SeerComm *comm, SeerStatus status, bool sound_for_first) {
  if (!status) return VERDICT_SOUND;
  if (!sound_for_first) return VERDICT_DAMAGED;
  seer_context(status, "rank %d does not find what rank 0 has read; all need the same run folder",
               seer_comm_rank(comm));
  return VERDICT_ERROR;
}

static SeerStatus begin_agree(SeerComm *comm, const char *folder, SeerSnapshotReader *reader, Verdict *verdict) {
  SeerStatus mine = seer_snapshot_reader_begin(folder, reader);
  int *all = calloc((size_t)seer_comm_size(comm), sizeof *all), status_number = (int)mine;
  if (!all) return seer_fail(SEER_MACHINE, "no memory to read '%s'", folder);
  SeerStatus status = seer_comm_all_gather(comm, &status_number, sizeof status_number, all);
  *verdict = begin_verdict(comm, mine, all[0] == SEER_OK);
  free(all);
  return status ? status : verdict_agree(comm, folder, false, verdict);
}

// One snapshot into the state of every rank. Collective; after VERDICT_ERROR one rank at least has an error recorded.
static SeerStatus one_load(const SeerProgram *program, SeerComm *comm, const char *folder, unsigned char *state,
                           SeerSnapshot *snapshot, Verdict *verdict) {
  SeerSnapshotReader reader;
  int rank = seer_comm_rank(comm);
  SeerStatus status = begin_agree(comm, folder, &reader, verdict);
  if (!status && !*verdict) {
    *verdict = seer_snapshot_reader_verify(&reader, rank, seer_comm_size(comm)) ? VERDICT_DAMAGED : VERDICT_SOUND;
    status = verdict_agree(comm, folder, true, verdict);
  }
  if (!status && !*verdict) {
    bool damaged = true;
    SeerStatus mine = seer_snapshot_reader_open(&reader);
    if (!mine) mine = seer_snapshot_reader_check(&reader, program, &damaged);
    if (!mine) mine = seer_snapshot_reader_fill(&reader, program, rank, state);
    *verdict = !mine ? VERDICT_SOUND : damaged ? VERDICT_DAMAGED : VERDICT_ERROR;
    status = verdict_agree(comm, folder, false, verdict);
  }
  *snapshot = reader.manifest.snapshot;
  seer_snapshot_reader_release(&reader);
  return status;
}

// Rank 0 reads the list, the others learn from it: a folder on a network may look different from elsewhere for a while.
static SeerStatus list_agree(SeerComm *comm, const char *run, SeerSnapshotList *list) {
  *list = (SeerSnapshotList){0};
  SeerStatus status = SEER_OK;
  int ranks = seer_comm_size(comm);
  if (seer_comm_rank(comm) == 0) {
    status = seer_snapshot_leftovers_remove(run);
    if (!status) status = seer_snapshot_list(run, list);
  }
  status = seer_comm_agree(comm, status);
  if (status) return status;
  status = seer_comm_largest(comm, &list->count);
  int64_t mine = 0, *all = calloc((size_t)ranks, sizeof *all);
  if (!list->steps) list->steps = calloc((size_t)list->count + 1, sizeof *list->steps);
  status = seer_comm_agree(comm, status               ? status
                                 : all && list->steps ? SEER_OK
                                                      : seer_fail(SEER_MACHINE, "no memory to list '%s'", run));
  for (int i = 0; i < list->count && !status; i++) {
    mine = list->steps[i];
    status = seer_comm_all_gather(comm, &mine, sizeof mine, all);
    list->steps[i] = all[0];
  }
  free(all);
  return status;
}

SeerStatus seer_snapshot_load_newest(const SeerProgram *program, SeerComm *comm, const char *run, unsigned char *state,
                                     SeerSnapshot *snapshot, bool *found) {
  SeerSnapshotList list;
  *found = false;
  SeerStatus status = list_agree(comm, run, &list);
  Verdict verdict = VERDICT_DAMAGED;
  for (int i = list.count - 1; i >= 0 && !status && verdict == VERDICT_DAMAGED; i--) {
    SeerPath folder;
    status = seer_snapshot_folder(run, list.steps[i], &folder);
    if (!status) status = one_load(program, comm, folder.text, state, snapshot, &verdict);
    if (!status && verdict == VERDICT_ERROR) status = SEER_INPUT;
    if (status || verdict == VERDICT_SOUND) break;
    status = seer_comm_agree(comm, seer_comm_rank(comm) == 0 ? damaged_put_aside(folder.text) : SEER_OK);
  }
  *found = !status && list.count > 0 && verdict == VERDICT_SOUND;
  if (!status && !*found && list.count > 0) {
    status = SEER_INPUT;
    if (seer_comm_rank(comm) == 0)
      seer_fail(status,
                "no snapshot of '%s' is sound: all %d are damaged, see above\nnote: start a new run with --out, or "
                "restore a snapshot from a copy",
                run, list.count);
  }
  seer_snapshot_list_release(&list);
  return status;
}

SeerStatus seer_snapshot_find_newest(const char *run, SeerPath *folder) {
  SeerSnapshotList list;
  SeerStatus status = seer_snapshot_list(run, &list);
  bool found = false;
  for (int i = list.count - 1; i >= 0 && !status && !found; i--) {
    SeerSnapshotReader reader;
    status = seer_snapshot_folder(run, list.steps[i], folder);
    if (status) break;
    found = !seer_snapshot_reader_begin(folder->text, &reader) && !seer_snapshot_reader_verify(&reader, 0, 1);
    seer_snapshot_reader_release(&reader);
    if (found) continue;
    fprintf(stderr, "warning: %s\n", seer_error());
    seer_error_clear();
  }
  if (!status && !found) {
    status = seer_fail(SEER_INPUT,
                       "'%s' holds no sound snapshot\nnote: --weights takes a run folder, a snapshot folder or a "
                       "safetensors file",
                       run);
  }
  seer_snapshot_list_release(&list);
  return status;
}
