// Counting while training; see monitor.h. Reading and writing lie in monitor_file.c.
#include "runtime/monitor_count.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/random.h"
#include "runtime/utf8.h"

SeerStatus seer_monitor_no_memory(void) {
  return seer_fail(SEER_MACHINE, "out of memory to count what is in the data\nnote: name fewer monitor.columns");
}

SeerStatus seer_monitor_make(const SeerProgram *program, const SeerSource *source, SeerComm *comm, uint64_t seed,
                             SeerMonitor **monitor) {
  const SeerMonitorRule *rule = &program->monitor;
  *monitor = NULL;
  if (rule->column_count == 0) return SEER_OK;
  for (int i = 0; i < rule->column_count; i++) {
    if (!seer_utf8_is(rule->columns[i]))
      return seer_fail(SEER_INPUT, "the name of column %d of monitor.columns is no UTF-8", i + 1);
  }
  SeerMonitor *made = calloc(1, sizeof *made);
  if (made == NULL) return seer_monitor_no_memory();
  int width = rule->column_count;
  int64_t fold_every = SEER_MONITOR_PICTURES / program->batch;
  *made = (SeerMonitor){.rule = rule,
                        .comm = comm,
                        .seed = seed,
                        .width = width,
                        .fold_every = fold_every > 0 ? fold_every : 1,
                        .pending = {.width = width + 1},
                        .cells = {.width = width + 1}};
  for (int i = 0; i < width; i++) made->sums[i].width = made->window[i].width = 2;
  size_t room = (size_t)seer_rank_batch(program) * (size_t)program->accumulate;
  made->taken = calloc(room * (size_t)(width + 1), sizeof *made->taken);
  SeerStatus status = made->taken != NULL ? SEER_OK : seer_monitor_no_memory();
  if (status == SEER_OK) status = seer_columns_open(source, rule->columns, width, &made->columns);
  if (status != SEER_OK) {
    seer_monitor_release(made);
    return seer_context(status, "monitor.columns");
  }
  made->taken_room = room;
  made->rank_batch = seer_rank_batch(program);
  *monitor = made;
  return SEER_OK;
}

void seer_monitor_release(SeerMonitor *monitor) {
  if (monitor == NULL) return;
  seer_cells_release(&monitor->pending);
  seer_cells_release(&monitor->cells);
  for (int i = 0; i < monitor->width; i++) {
    seer_cells_release(&monitor->sums[i]);
    seer_cells_release(&monitor->window[i]);
  }
  seer_columns_close(monitor->columns);
  free(monitor->taken);
  free(monitor);
}

const SeerColumns *seer_monitor_columns(const SeerMonitor *monitor) {
  return monitor != NULL ? monitor->columns : NULL;
}

// ---- this rank's pictures ----

// Leading zero bits of 64 that (seed, place) names.
static uint64_t level_of(uint64_t seed, int64_t position) {
  SeerRandom random = seer_random_make(seed, SEER_STREAM_SAMPLE, 0, (uint64_t)position, 0);
  uint32_t high = seer_random_word(&random), low = seer_random_word(&random);
  uint64_t bits = (uint64_t)high << 32 | low;
  return bits != 0 ? (uint64_t)__builtin_clzll(bits) : SEER_MONITOR_LEVELS - 1;
}

void seer_monitor_take(SeerMonitor *monitor, const SeerBatch *batch) {
  if (monitor == NULL || batch->codes == NULL) return;
  size_t width = (size_t)monitor->width;
  for (int slot = 0; slot < monitor->rank_batch && monitor->taken_seen < monitor->taken_room; slot++) {
    uint64_t level = level_of(monitor->seed, batch->first_position + slot);
    monitor->taken_seen++;
    if (level < monitor->least) continue;
    uint64_t *key = monitor->taken + monitor->taken_count++ * (width + 1);
    memcpy(key, batch->codes + (size_t)slot * width, width * sizeof *key);
    key[width] = level;
  }
}

void seer_monitor_drop(SeerMonitor *monitor) {
  if (monitor != NULL) monitor->taken_count = monitor->taken_seen = 0;
}

static SeerStatus taken_count(SeerMonitor *monitor) {
  for (size_t i = 0; i < monitor->taken_count; i++) {
    if (!seer_cells_add(&monitor->pending, monitor->taken + i * (size_t)(monitor->width + 1), 1))
      return seer_monitor_no_memory();
  }
  monitor->pending_seen += monitor->taken_seen;
  seer_monitor_drop(monitor);
  return SEER_OK;
}

// ---- rank 0's sum ----

// Drops the cells whose level, at place `at` of the key, is below `level`.
static SeerStatus cells_raise(SeerCells *cells, int at, uint64_t level) {
  SeerCells kept = {.width = cells->width};
  for (uint32_t i = 0; i < cells->count; i++) {
    const uint64_t *key = seer_cells_key(cells, i);
    if (key[at] >= level && !seer_cells_add(&kept, key, cells->counts[i])) {
      seer_cells_release(&kept);
      return seer_monitor_no_memory();
    }
  }
  seer_cells_release(cells);
  *cells = kept;
  return SEER_OK;
}

SeerStatus seer_monitor_settle(SeerMonitor *monitor) {
  uint64_t total = 0, level = monitor->level;
  for (uint64_t l = level; l < SEER_MONITOR_LEVELS; l++) total += monitor->totals[l];
  while (total > (uint64_t)monitor->rule->sample && level + 1 < SEER_MONITOR_LEVELS) total -= monitor->totals[level++];
  monitor->sampled = total;
  if (level == monitor->level) return SEER_OK;
  monitor->level = level;
  SeerStatus status = cells_raise(&monitor->cells, monitor->width, level);
  for (int i = 0; i < monitor->width && status == SEER_OK; i++) {
    status = cells_raise(&monitor->sums[i], 1, level);
    if (status == SEER_OK) status = cells_raise(&monitor->window[i], 1, level);
  }
  return status;
}

SeerStatus seer_monitor_add(SeerMonitor *monitor, const uint64_t *key, uint64_t count, bool to_window) {
  uint64_t level = key[monitor->width];
  if (level < monitor->level || level >= SEER_MONITOR_LEVELS) return SEER_OK;
  bool added = seer_cells_add(&monitor->cells, key, count);
  for (int i = 0; i < monitor->width && added; i++) {
    const uint64_t pair[2] = {key[i], level};
    added = seer_cells_add(&monitor->sums[i], pair, count);
    if (added && to_window) added = seer_cells_add(&monitor->window[i], pair, count);
  }
  monitor->totals[level] += count;
  return added ? SEER_OK : seer_monitor_no_memory();
}

// What a rank says before it sends its cells.
typedef struct Offer {
  uint64_t cells, seen, level;
} Offer;

// `rows`: of all ranks [most][width + 2], a key with its count each.
static SeerStatus rows_merge(SeerMonitor *monitor, const Offer *offers, const uint64_t *rows, uint64_t most) {
  size_t row = (size_t)monitor->width + 2;
  SeerStatus status = SEER_OK;
  for (int rank = 0; rank < seer_comm_size(monitor->comm); rank++) {
    const uint64_t *at = rows + (size_t)rank * most * row;
    for (uint64_t i = 0; i < offers[rank].cells && status == SEER_OK; i++, at += row)
      status = seer_monitor_add(monitor, at, at[row - 1], true);
    monitor->seen += offers[rank].seen;
  }
  return status == SEER_OK ? seer_monitor_settle(monitor) : status;
}

static void rows_fill(const SeerMonitor *monitor, uint64_t *rows) {
  size_t row = (size_t)monitor->width + 2;
  for (uint32_t i = 0; i < monitor->pending.count; i++, rows += row) {
    memcpy(rows, seer_cells_key(&monitor->pending, i), (row - 1) * sizeof *rows);
    rows[row - 1] = monitor->pending.counts[i];
  }
}

// What all ranks have counted since they last did this goes to rank 0.
static SeerStatus ranks_sum(SeerMonitor *monitor) {
  size_t ranks = (size_t)seer_comm_size(monitor->comm), row = (size_t)monitor->width + 2;
  Offer mine = {monitor->pending.count, monitor->pending_seen, monitor->level};
  Offer *offers = calloc(ranks, sizeof *offers);
  if (offers == NULL) return seer_monitor_no_memory();
  SeerStatus status = seer_comm_all_gather(monitor->comm, &mine, sizeof mine, offers);
  uint64_t most = 0, *rows = NULL;
  for (size_t rank = 0; rank < ranks; rank++) most = offers[rank].cells > most ? offers[rank].cells : most;
  if (status == SEER_OK) {
    rows = calloc((ranks + 1) * most * row + 1, sizeof *rows);
    if (rows == NULL) status = seer_monitor_no_memory();
  }
  if (status == SEER_OK) {
    uint64_t *own = rows + ranks * most * row;
    rows_fill(monitor, own);
    if (most > 0) status = seer_comm_all_gather(monitor->comm, own, most * row * sizeof *rows, rows);
  }
  if (status == SEER_OK && seer_comm_rank(monitor->comm) == 0) status = rows_merge(monitor, offers, rows, most);
  // Levels that rank 0 had dropped when it last summed need not be counted.
  monitor->least = offers[0].level > monitor->least ? offers[0].level : monitor->least;
  seer_cells_clear(&monitor->pending);
  monitor->pending_seen = 0;
  free(rows);
  free(offers);
  return status;
}

// ---- too many combinations ----

typedef struct Fold {
  const SeerCells *combined;  // combinations, of all levels
  uint32_t *order, *cells;    // by number: of a combination, and how many cells it has
  bool *kept;
} Fold;

static int frequency_compare(const void *a, const void *b, void *data) {
  const SeerCells *combined = data;
  uint32_t one = *(const uint32_t *)a, other = *(const uint32_t *)b;
  if (combined->counts[one] != combined->counts[other]) return combined->counts[one] < combined->counts[other] ? 1 : -1;
  const uint64_t *key = seer_cells_key(combined, one), *other_key = seer_cells_key(combined, other);
  for (int i = 0; i < combined->width; i++) {
    if (key[i] != other_key[i]) return key[i] > other_key[i] ? 1 : -1;
  }
  return 0;
}

// The most frequent combinations keep their cells, up to half of those that there may be.
static void fold_choose(Fold *fold, SeerCells *combined) {
  uint64_t used = 0;
  for (uint32_t i = 0; i < combined->count; i++) fold->order[i] = i;
  qsort_r(fold->order, combined->count, sizeof *fold->order, frequency_compare, combined);
  for (uint32_t i = 0; i < combined->count; i++) {
    used += fold->cells[fold->order[i]];
    if (used > SEER_MONITOR_CELLS / 2) return;
    fold->kept[fold->order[i]] = true;
  }
}

static SeerStatus fold_apply(SeerMonitor *monitor, const Fold *fold) {
  SeerCells before = monitor->cells, window[SEER_COLUMNS_MAX];
  uint64_t others[SEER_COLUMNS_MAX + 1];
  SeerStatus status = SEER_OK;
  monitor->cells = (SeerCells){.width = before.width};
  memset(monitor->totals, 0, sizeof monitor->totals);
  for (int i = 0; i < monitor->width; i++) {
    others[i] = SEER_CODE_OTHERS;
    seer_cells_clear(&monitor->sums[i]);
    window[i] = monitor->window[i];
    monitor->window[i] = (SeerCells){.width = 2};
  }
  for (uint32_t i = 0; i < before.count && status == SEER_OK; i++) {
    const uint64_t *key = seer_cells_key(&before, i);
    others[monitor->width] = key[monitor->width];
    bool kept = fold->kept[seer_cells_find(fold->combined, key)];
    status = seer_monitor_add(monitor, kept ? key : others, before.counts[i], false);
  }
  for (int c = 0; c < monitor->width; c++) {
    for (uint32_t i = 0; i < window[c].count && status == SEER_OK; i++) {
      const uint64_t *key = seer_cells_key(&window[c], i);
      const uint64_t other[2] = {SEER_CODE_OTHERS, key[1]};
      bool known = seer_cells_find(&monitor->sums[c], key) != UINT32_MAX;
      if (!seer_cells_add(&monitor->window[c], known ? key : other, window[c].counts[i]))
        status = seer_monitor_no_memory();
    }
    seer_cells_release(&window[c]);
  }
  seer_cells_release(&before);
  return status;
}

static SeerStatus cells_fold(SeerMonitor *monitor) {
  if (monitor->cells.count <= SEER_MONITOR_CELLS) return SEER_OK;
  SeerCells combined = {.width = monitor->width};
  Fold fold = {.combined = &combined,
               .order = calloc(monitor->cells.count, sizeof *fold.order),
               .cells = calloc(monitor->cells.count, sizeof *fold.cells),
               .kept = calloc(monitor->cells.count, sizeof *fold.kept)};
  bool made = fold.order != NULL && fold.cells != NULL && fold.kept != NULL;
  for (uint32_t i = 0; i < monitor->cells.count && made; i++) {
    const uint64_t *key = seer_cells_key(&monitor->cells, i);
    made = seer_cells_add(&combined, key, monitor->cells.counts[i]);
    if (made) fold.cells[seer_cells_find(&combined, key)]++;
  }
  SeerStatus status = made ? SEER_OK : seer_monitor_no_memory();
  if (made) {
    fold_choose(&fold, &combined);
    status = fold_apply(monitor, &fold);
  }
  seer_cells_release(&combined);
  free(fold.order);
  free(fold.cells);
  free(fold.kept);
  return status;
}

SeerStatus seer_monitor_step(SeerMonitor *monitor, int64_t step, bool line) {
  if (monitor == NULL) return SEER_OK;
  bool folds = step % monitor->fold_every == 0;
  SeerStatus status = taken_count(monitor);
  if (status == SEER_OK && (line || folds)) status = ranks_sum(monitor);
  if (status == SEER_OK && folds && seer_comm_rank(monitor->comm) == 0) status = cells_fold(monitor);
  return status;
}

SeerStatus seer_monitor_save(SeerMonitor *monitor, char **text) {
  *text = NULL;
  if (monitor == NULL) return SEER_OK;
  SeerStatus status = ranks_sum(monitor);
  return status == SEER_OK && seer_comm_rank(monitor->comm) == 0 ? seer_monitor_print(monitor, text) : status;
}

void seer_monitor_forget(SeerMonitor *monitor, uint64_t since) {
  seer_monitor_drop(monitor);
  seer_cells_clear(&monitor->pending);
  seer_cells_clear(&monitor->cells);
  for (int i = 0; i < monitor->width; i++) {
    seer_cells_clear(&monitor->sums[i]);
    seer_cells_clear(&monitor->window[i]);
  }
  memset(monitor->totals, 0, sizeof monitor->totals);
  monitor->pending_seen = monitor->seen = monitor->sampled = 0;
  monitor->least = monitor->level = 0;
  monitor->since = since;
}
