// Loss spikes; see spikes.h. The order of a rewind: note it as unsettled, remove younger snapshots, note it as settled.
// A crash in between is finished at the next start, so no snapshot of the time that was taken back is ever resumed.
#include "runtime/spikes.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/sample.h"

enum { SPIKES_FORMAT = 1, SPIKES_BYTES_MAX = 1 << 22 };

bool seer_spikes_on(const SeerSpikes *spikes) { return spikes->rule && spikes->rule->rewind > 0; }

static SeerStatus spike_add(SeerSpikes *spikes, SeerSpike spike) {
  SeerSpike *grown = realloc(spikes->list, ((size_t)spikes->count + 1) * sizeof *grown);
  if (!grown) return seer_fail(SEER_MACHINE, "out of memory");
  spikes->list = grown;
  spikes->list[spikes->count++] = spike;
  return SEER_OK;
}

static SeerStatus list_save(const SeerSpikes *spikes, bool settled) {
  json_t *list = json_array();
  for (int i = 0; i < spikes->count; i++) {
    const SeerSpike *spike = &spikes->list[i];
    json_t *loss = isfinite(spike->loss) ? json_real(spike->loss) : json_null();
    json_array_append_new(list, json_pack("{s:I, s:o, s:I, s:I}", "step", (json_int_t)spike->step, "loss", loss, "to",
                                          (json_int_t)spike->to, "skipped_pictures", (json_int_t)spike->pictures));
  }
  json_t *root = json_pack("{s:i, s:b, s:o}", "format", SPIKES_FORMAT, "settled", settled, "spikes", list);
  char *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
  json_decref(root);
  SeerPath path;
  SeerStatus status = text ? seer_path_print(&path, "%s/spikes.json", spikes->folder.text)
                           : seer_fail(SEER_MACHINE, "no memory to write 'spikes.json'");
  if (!status) status = seer_file_replace(path.text, text, strlen(text));
  free(text);
  return status;
}

static SeerStatus list_unpack(SeerSpikes *spikes, json_t *root, const char *path, bool *settled) {
  int format = 0, is_settled = 0;
  json_t *list = NULL;
  bool sound = json_unpack(root, "{s:i, s:b, s:o}", "format", &format, "settled", &is_settled, "spikes", &list) == 0 &&
               format == SPIKES_FORMAT && json_is_array(list);
  SeerStatus status = SEER_OK;
  for (size_t i = 0; sound && !status && i < json_array_size(list); i++) {
    json_int_t step = 0, to = 0, pictures = 0;
    json_t *loss = NULL;
    sound = json_unpack(json_array_get(list, i), "{s:I, s:o, s:I, s:I}", "step", &step, "loss", &loss, "to", &to,
                        "skipped_pictures", &pictures) == 0 &&
            step > to && to >= 0 && pictures >= 0;
    if (sound)
      status = spike_add(spikes, (SeerSpike){step, to, pictures, json_is_real(loss) ? json_real_value(loss) : NAN});
  }
  *settled = is_settled != 0;
  if (sound) return status;
  return seer_fail(SEER_INPUT,
                   "'%s' is damaged: which pictures this run has passed over is not known\nnote: restore it from a "
                   "copy, or start a new run with --out and --weights",
                   path);
}

static SeerStatus list_load(SeerSpikes *spikes, bool *settled) {
  SeerPath path;
  char *text = NULL;
  uint64_t bytes = 0;
  *settled = true;
  SeerStatus status = seer_path_print(&path, "%s/spikes.json", spikes->folder.text);
  if (status || !seer_path_exists(path.text)) return status;
  status = seer_file_read(path.text, SPIKES_BYTES_MAX, &text, &bytes);
  if (status) return status;
  json_t *root = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, NULL);
  status = list_unpack(spikes, root, path.text, settled);
  json_decref(root);
  free(text);
  return status;
}

// Rank 0: takes back the time after the last spike's snapshot.
static SeerStatus settle(const SeerSpikes *spikes) {
  SeerStatus status = seer_snapshot_remove_after(spikes->folder.text, spikes->list[spikes->count - 1].to);
  return status ? status : list_save(spikes, true);
}

SeerStatus seer_spikes_open(const SeerProgram *program, SeerComm *comm, const char *folder, SeerSpikes *spikes) {
  *spikes = (SeerSpikes){.rule = &program->spike_rule, .comm = comm, .losses = -1};
  bool settled = true;
  SeerStatus status = seer_path_print(&spikes->folder, "%s", folder);
  if (!status) status = list_load(spikes, &settled);
  status = seer_comm_agree(comm, status);
  if (!status && !settled && seer_comm_rank(comm) == 0) status = settle(spikes);
  if (!status && seer_spikes_on(spikes)) {
    size_t window = (size_t)spikes->rule->window;
    spikes->window = calloc(window, sizeof *spikes->window);
    spikes->sorted = calloc(window, sizeof *spikes->sorted);
    if (!spikes->window || !spikes->sorted) status = seer_fail(SEER_MACHINE, "out of memory");
  }
  return seer_comm_agree(comm, status);
}

static SeerStatus losses_open(SeerSpikes *spikes) {
  SeerPath path;
  SeerStatus status = seer_path_print(&path, "%s/losses", spikes->folder.text);
  if (status || spikes->losses >= 0) return status;
  spikes->losses = open(path.text, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  return spikes->losses >= 0 ? SEER_OK : seer_fail(SEER_MACHINE, "cannot write '%s': %s", path.text, strerror(errno));
}

// The last losses before `step`, the latest last; as many as the file has in a row.
static SeerStatus losses_read(SeerSpikes *spikes, int64_t step, double *losses, int64_t *count) {
  int64_t wanted = step < spikes->rule->window ? step : spikes->rule->window;
  SeerStatus status = losses_open(spikes);
  *count = 0;
  if (status || wanted == 0) return status;
  size_t bytes = (size_t)wanted * sizeof *losses;
  ssize_t got = pread(spikes->losses, losses, bytes, (off_t)((step - wanted) * (int64_t)sizeof *losses));
  if (got < 0) return seer_fail(SEER_MACHINE, "cannot read '%s/losses': %s", spikes->folder.text, strerror(errno));
  // A file that is too short is of a run that began without on_spike. So are zeros with a positive sign.
  if ((size_t)got < bytes) return SEER_OK;
  while (*count < wanted && (losses[wanted - 1 - *count] != 0 || signbit(losses[wanted - 1 - *count]))) ++*count;
  memmove(losses, losses + wanted - *count, (size_t)*count * sizeof *losses);
  return SEER_OK;
}

SeerStatus seer_spikes_start(SeerSpikes *spikes, int64_t step) {
  if (!seer_spikes_on(spikes)) return SEER_OK;
  // One rank reads, for files travel late between hosts: the number of losses, then the losses.
  int64_t window = spikes->rule->window, count = 0;
  size_t bytes = (size_t)(window + 1) * sizeof(double);
  double *mine = calloc(1, bytes), *all = calloc((size_t)seer_comm_size(spikes->comm), bytes);
  SeerStatus status = mine && all ? SEER_OK : seer_fail(SEER_MACHINE, "out of memory");
  if (!status && seer_comm_rank(spikes->comm) == 0) status = losses_read(spikes, step, mine + 1, &count);
  status = seer_comm_agree(spikes->comm, status);
  if (!status) {
    mine[0] = (double)count;
    status = seer_comm_all_gather(spikes->comm, mine, bytes, all);
  }
  if (!status) {
    spikes->known = (int64_t)all[0];
    spikes->next = spikes->known % window;
    memcpy(spikes->window, all + 1, (size_t)spikes->known * sizeof *all);
  }
  free(mine);
  free(all);
  return status;
}

void seer_spikes_release(SeerSpikes *spikes) {
  if (spikes->losses >= 0) close(spikes->losses);
  spikes->losses = -1;
  free(spikes->window);
  free(spikes->sorted);
  free(spikes->list);
}

int64_t seer_spikes_skipped(const SeerSpikes *spikes, int64_t step) {
  int64_t pictures = 0;
  for (int i = 0; i < spikes->count; i++) {
    if (spikes->list[i].to <= step) pictures += spikes->list[i].pictures;
  }
  return pictures;
}

const SeerSpike *seer_spikes_after(const SeerSpikes *spikes, int64_t step) {
  for (int i = spikes->count - 1; i >= 0; i--) {
    if (spikes->list[i].to == step) return &spikes->list[i];
  }
  return NULL;
}

double seer_spikes_median(const SeerSpikes *spikes) {
  size_t window = (size_t)spikes->rule->window;
  if (spikes->known < spikes->rule->window) return NAN;
  memcpy(spikes->sorted, spikes->window, window * sizeof *spikes->sorted);
  seer_sample_sort(spikes->sorted, (int)window);
  return (spikes->sorted[(window - 1) / 2] + spikes->sorted[window / 2]) / 2;
}

SeerStatus seer_spikes_look(SeerSpikes *spikes, int64_t step, double loss, bool *is_spike) {
  *is_spike = false;
  if (!seer_spikes_on(spikes)) return SEER_OK;
  double median = seer_spikes_median(spikes);
  *is_spike = !isfinite(loss) || (isfinite(median) && loss > spikes->rule->factor * median);
  if (*is_spike) return SEER_OK;
  spikes->window[spikes->next] = loss;
  spikes->next = (spikes->next + 1) % spikes->rule->window;
  if (spikes->known < spikes->rule->window) spikes->known++;
  if (spikes->losses < 0) return SEER_OK;
  if (loss == 0) loss = -0.0;
  if (pwrite(spikes->losses, &loss, sizeof loss, (off_t)((step - 1) * (int64_t)sizeof loss)) == sizeof loss)
    return SEER_OK;
  return seer_fail(SEER_MACHINE, "cannot write '%s/losses': %s\nnote: free some space and continue with --resume",
                   spikes->folder.text, strerror(errno));
}

SeerStatus seer_spikes_sync(SeerSpikes *spikes) {
  if (spikes->losses < 0 || fdatasync(spikes->losses) == 0) return SEER_OK;
  return seer_fail(SEER_MACHINE, "cannot write '%s/losses': %s", spikes->folder.text, strerror(errno));
}

// Spikes since the run last got further: went back to a later step than ever before.
static int rewinds_in_vain(const SeerSpikes *spikes, int64_t to) {
  int64_t furthest = -1;
  int count = 0;
  for (int i = 0; i < spikes->count; i++) {
    count = spikes->list[i].to > furthest ? 1 : count + 1;
    if (spikes->list[i].to > furthest) furthest = spikes->list[i].to;
  }
  return to > furthest ? 0 : count;
}

// Rank 0: loads the newest sound snapshot that is old enough, else the oldest there is.
static SeerStatus snapshot_choose(const SeerSpikes *spikes, const SeerProgram *program, int64_t step,
                                  unsigned char *state, SeerSnapshot *to) {
  SeerSnapshotList list;
  SeerStatus status = seer_snapshot_list(spikes->folder.text, &list);
  int at = list.count - 1;
  while (at > 0 && list.steps[at] > step - spikes->rule->rewind) at--;
  // Snapshots above `at` are too young, and only looked at when none below is sound.
  bool found = false;
  for (int i = 0; i < list.count && !status && !found; i++) {
    int64_t candidate = list.steps[i <= at ? at - i : i];
    SeerPath folder;
    bool damaged = false;
    if (candidate >= step) continue;
    status = seer_snapshot_folder(spikes->folder.text, candidate, &folder);
    if (!status) status = seer_snapshot_load(program, folder.text, 0, state, to, &damaged);
    found = !status;
    if (!status || !damaged) continue;
    fprintf(stderr, "warning: %s\n", seer_error());
    seer_error_clear();
    status = SEER_OK;
  }
  seer_snapshot_list_release(&list);
  if (status || found) return status;
  return seer_fail(SEER_INPUT, "the loss spikes in step %lld, and there is no snapshot to go back to", (long long)step);
}

static SeerStatus chosen_load(const SeerSpikes *spikes, const SeerProgram *program, int64_t step, unsigned char *state,
                              SeerSnapshot *to) {
  SeerPath folder;
  bool damaged = false;
  SeerStatus status = seer_snapshot_folder(spikes->folder.text, step, &folder);
  int rank = seer_comm_rank(spikes->comm);
  return status ? status : seer_snapshot_load(program, folder.text, rank, state, to, &damaged);
}

static SeerStatus given_up(const SeerSpikes *spikes, int64_t step) {
  return seer_fail(SEER_INPUT,
                   "the loss spikes again in step %lld: going back and passing over other pictures has not helped %lld "
                   "times in a row\nnote: lower the learning rate (schedule.peak), go back further (on_spike.rewind) "
                   "with more snapshots kept (save.keep), or raise on_spike.factor",
                   (long long)step, (long long)spikes->rule->limit);
}

SeerStatus seer_spikes_rewind(SeerSpikes *spikes, const SeerProgram *program, int64_t step, double loss,
                              unsigned char *state, SeerSnapshot *to) {
  int rank = seer_comm_rank(spikes->comm), ranks = seer_comm_size(spikes->comm);
  int64_t chosen = -1, *all = calloc((size_t)ranks, sizeof *all);
  SeerStatus status = all ? SEER_OK : seer_fail(SEER_MACHINE, "out of memory");
  if (!status && rank == 0) status = snapshot_choose(spikes, program, step, state, to);
  if (!status && rank == 0) chosen = to->step;
  status = seer_comm_agree(spikes->comm, status);
  if (!status) status = seer_comm_all_gather(spikes->comm, &chosen, sizeof chosen, all);
  if (!status) chosen = all[0];
  free(all);
  if (status) return status;
  if (rewinds_in_vain(spikes, chosen) >= spikes->rule->limit) {
    status = given_up(spikes, step);
    if (rank > 0) seer_error_clear();
    return status;
  }
  if (rank > 0) status = chosen_load(spikes, program, chosen, state, to);
  if (!status) status = spike_add(spikes, (SeerSpike){step, chosen, spikes->rule->skip * program->batch, loss});
  // Before rank 0 removes snapshots, all have read theirs.
  status = seer_comm_agree(spikes->comm, status);
  if (!status && rank == 0) status = list_save(spikes, false);
  if (!status && rank == 0) status = settle(spikes);
  status = seer_comm_agree(spikes->comm, status);
  return status ? status : seer_spikes_start(spikes, chosen);
}
