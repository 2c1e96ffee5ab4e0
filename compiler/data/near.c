// Joins hashes that are near each other; see near.h.
#include "compiler/data/near.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/data/jobs.h"
#include "compiler/data/list.h"

enum { PARTS = 4, PART_BITS = 16, PART_VALUES = 1 << PART_BITS, VALUES_A_JOB = 64 };
enum { SHOWN_GROUPS = 10, SHOWN_NAMES = 4 };

typedef struct Near {
  uint64_t *hashes;  // different ones, in ascending order
  size_t count;
  int distance;
  uint16_t *masks;  // by which a part may differ
  size_t mask_count;
  int part;              // at hand:
  uint32_t *starts;      // [PART_VALUES + 2] of a part's value in
  uint64_t *sorted;      // the hashes by that value,
  uint32_t *places;      // and their places in `hashes`
  pthread_mutex_t lock;  // of `group`
  uint32_t *group;       // a forest: the parent of each, the roots their own
} Near;

static SeerStatus no_memory(void) { return seer_fail(SEER_MACHINE, "out of memory to compare pictures"); }

static int number_compare(const void *a, const void *b) {
  uint64_t one = *(const uint64_t *)a, other = *(const uint64_t *)b;
  return (one > other) - (one < other);
}

static uint32_t part_of(uint64_t hash, int part) { return (uint32_t)(hash >> part * PART_BITS) & (PART_VALUES - 1); }

// ---- a forest of groups ----

static uint32_t root_of(uint32_t *group, uint32_t place) {
  while (group[place] != place) {
    group[place] = group[group[place]];
    place = group[place];
  }
  return place;
}

static void join(Near *near, uint32_t one, uint32_t other) {
  pthread_mutex_lock(&near->lock);
  uint32_t a = root_of(near->group, one), b = root_of(near->group, other);
  if (a < b) near->group[b] = a;
  if (b < a) near->group[a] = b;
  pthread_mutex_unlock(&near->lock);
}

// ---- pairs ----

// Every mask of at most `most` bits.
static bool masks_make(Near *near, int most) {
  near->masks = malloc(PART_VALUES * sizeof *near->masks);
  for (uint32_t mask = 0; near->masks != NULL && mask < PART_VALUES; mask++) {
    if (__builtin_popcount(mask) <= most) near->masks[near->mask_count++] = (uint16_t)mask;
  }
  return near->masks != NULL;
}

static void part_sort(Near *near) {
  uint32_t *starts = near->starts;
  memset(starts, 0, (PART_VALUES + 2) * sizeof *starts);
  for (size_t i = 0; i < near->count; i++) starts[part_of(near->hashes[i], near->part) + 2]++;
  for (uint32_t value = 1; value <= PART_VALUES; value++) starts[value + 1] += starts[value];
  for (size_t i = 0; i < near->count; i++) {
    uint32_t at = starts[part_of(near->hashes[i], near->part) + 1]++;
    near->sorted[at] = near->hashes[i];
    near->places[at] = (uint32_t)i;
  }
}

// Those with one value of the part against those with another, or against each other.
static void buckets_compare(Near *near, uint32_t value, uint32_t other) {
  uint32_t end = near->starts[value + 1], other_end = near->starts[other + 1];
  for (uint32_t i = near->starts[value]; i < end; i++) {
    for (uint32_t j = value == other ? i + 1 : near->starts[other]; j < other_end; j++) {
      if (__builtin_popcountll(near->sorted[i] ^ near->sorted[j]) <= near->distance)
        join(near, near->places[i], near->places[j]);
    }
  }
}

static SeerStatus pairs_find(void *context, size_t job, int worker) {
  (void)worker;
  Near *near = context;
  for (uint32_t value = (uint32_t)job * VALUES_A_JOB; value < ((uint32_t)job + 1) * VALUES_A_JOB; value++) {
    for (size_t i = 0; i < near->mask_count; i++) {
      uint32_t other = value ^ near->masks[i];
      if (other >= value) buckets_compare(near, value, other);
    }
  }
  return SEER_OK;
}

static void near_release(Near *near) {
  free(near->masks);
  free(near->starts);
  free(near->sorted);
  free(near->places);
  free(near->group);
  free(near->hashes);
  pthread_mutex_destroy(&near->lock);
}

static SeerStatus groups_find(Near *near, int jobs) {
  near->starts = malloc((PART_VALUES + 2) * sizeof *near->starts);
  near->sorted = malloc((near->count + 1) * sizeof *near->sorted);
  near->places = malloc((near->count + 1) * sizeof *near->places);
  near->group = malloc((near->count + 1) * sizeof *near->group);
  bool fine = near->starts != NULL && near->sorted != NULL && near->places != NULL && near->group != NULL &&
              masks_make(near, near->distance / PARTS);
  SeerStatus status = fine ? SEER_OK : no_memory();
  for (size_t i = 0; fine && i < near->count; i++) near->group[i] = (uint32_t)i;
  for (near->part = 0; status == SEER_OK && near->part < PARTS; near->part++) {
    part_sort(near);
    status = data_jobs_run(jobs, PART_VALUES / VALUES_A_JOB, pairs_find, near);
  }
  return status;
}

SeerStatus data_near_groups(const uint64_t *hashes, size_t count, int distance, int jobs, uint32_t *groups) {
  if (count > UINT32_MAX - 1) return seer_fail(SEER_INPUT, "more than 4,294,967,294 pictures are not compared");
  Near near = {.hashes = malloc((count + 1) * sizeof *hashes), .distance = distance};
  uint32_t *first = malloc((count + 1) * sizeof *first);  // of the place in `hashes`: the first picture that has it
  pthread_mutex_init(&near.lock, NULL);
  SeerStatus status = near.hashes != NULL && first != NULL ? SEER_OK : no_memory();
  if (status == SEER_OK) {
    if (count > 0) memcpy(near.hashes, hashes, count * sizeof *hashes);
    qsort(near.hashes, count, sizeof *hashes, number_compare);
    for (size_t i = 0; i < count; i++) {
      if (near.count == 0 || near.hashes[near.count - 1] != near.hashes[i]) near.hashes[near.count++] = near.hashes[i];
    }
    status = groups_find(&near, jobs);
  }
  if (status == SEER_OK) {
    memset(first, 0xFF, (count + 1) * sizeof *first);
    for (size_t i = 0; i < count; i++) {
      const uint64_t *at = bsearch(&hashes[i], near.hashes, near.count, sizeof *hashes, number_compare);
      uint32_t root = at != NULL ? root_of(near.group, (uint32_t)(at - near.hashes)) : 0;
      if (first[root] == UINT32_MAX) first[root] = (uint32_t)i;
      groups[i] = first[root];
    }
  }
  free(first);
  near_release(&near);
  return status;
}

// ---- what is told ----

typedef struct Member {
  uint32_t group, size;  // group: the place of its first
  uint32_t place;
} Member;

typedef struct Alike {
  const SeerIndex *index;
  uint64_t *hashes;
  int64_t *pictures;  // that have a hash
  uint32_t *groups;
  size_t count;
  Member *members;  // of groups of two and more, the largest groups first
  size_t member_count, group_count;
} Alike;

static int member_compare(const void *a, const void *b) {
  const Member *one = a, *other = b;
  if (one->size != other->size) return one->size < other->size ? 1 : -1;
  if (one->group != other->group) return one->group < other->group ? -1 : 1;
  return (one->place > other->place) - (one->place < other->place);
}

static SeerStatus members_sort(Alike *alike) {
  uint32_t *sizes = calloc(alike->count + 1, sizeof *sizes);
  alike->members = malloc((alike->count + 1) * sizeof *alike->members);
  if (sizes == NULL || alike->members == NULL) {
    free(sizes);
    return no_memory();
  }
  for (size_t i = 0; i < alike->count; i++) sizes[alike->groups[i]]++;
  for (size_t i = 0; i < alike->count; i++) {
    uint32_t group = alike->groups[i];
    alike->group_count += group == i && sizes[group] > 1;
    if (sizes[group] > 1) alike->members[alike->member_count++] = (Member){group, sizes[group], (uint32_t)i};
  }
  qsort(alike->members, alike->member_count, sizeof *alike->members, member_compare);
  free(sizes);
  return SEER_OK;
}

static SeerStatus alike_find(Alike *alike, int distance, int jobs) {
  size_t count = (size_t)seer_index_count(alike->index);
  alike->hashes = malloc((count + 1) * sizeof *alike->hashes);
  alike->pictures = malloc((count + 1) * sizeof *alike->pictures);
  alike->groups = malloc((count + 1) * sizeof *alike->groups);
  if (alike->hashes == NULL || alike->pictures == NULL || alike->groups == NULL) return no_memory();
  for (size_t i = 0; i < count; i++) {
    uint64_t hash = seer_index_perceptual(alike->index, (int64_t)i);
    if (hash == 0) continue;
    alike->hashes[alike->count] = hash;
    alike->pictures[alike->count++] = (int64_t)i;
  }
  SeerStatus status = data_near_groups(alike->hashes, alike->count, distance, jobs, alike->groups);
  return status == SEER_OK ? members_sort(alike) : status;
}

static void place_print(const Alike *alike, const Member *member, bool json, Writer *out) {
  SeerIndexEntry entry;
  char path[2 * SEER_INDEX_NAME_MAX];
  int64_t picture = alike->pictures[member->place];
  const char *name = seer_index_entry(alike->index, picture, &entry) &&
                             seer_index_shard_path(alike->index, entry.shard, path, sizeof path)
                         ? seer_index_name(alike->index, &entry)
                         : NULL;
  Writer place = {0};
  if (name == NULL)
    writer_printf(&place, "%s#%" PRId64, seer_index_path(alike->index), picture);
  else if (entry.is_whole_file)
    writer_text(&place, path);
  else
    writer_printf(&place, "%s:%.*s", path, entry.name_length, name);
  (json ? data_json_text : data_plain_text)(out, place.text, place.size);
  writer_release(&place);
}

static void groups_print_json(const Alike *alike, int distance, Writer *out) {
  writer_printf(out, ",\"near_duplicates\":{\"distance\":%d,\"compared\":%zu,\"pictures\":%zu,\"groups\":[", distance,
                alike->count, alike->member_count);
  for (size_t i = 0; i < alike->member_count; i++) {
    bool begins = i == 0 || alike->members[i].group != alike->members[i - 1].group;
    writer_text(out, !begins ? "," : i == 0 ? "[" : "],[");
    place_print(alike, &alike->members[i], true, out);
  }
  writer_text(out, alike->member_count > 0 ? "]]}" : "]}");
}

static void groups_print_text(const Alike *alike, int distance, Writer *out) {
  writer_printf(out, "near duplicates: %zu pictures in %zu groups, at most %d of 64 bits from one to the next",
                alike->member_count, alike->group_count, distance);
  size_t without = (size_t)seer_index_count(alike->index) - alike->count;
  if (without > 0) writer_printf(out, "; %zu pictures were not compared", without);
  writer_text(out, "\n");
  size_t groups = 0, shown = 0;
  for (size_t i = 0; i < alike->member_count; i++) {
    const Member *member = &alike->members[i];
    bool begins = i == 0 || member->group != member[-1].group;
    shown = begins ? 0 : shown + 1;
    groups += begins;
    if (groups > SHOWN_GROUPS) break;
    if (begins) writer_printf(out, "  %12u  ", member->size);
    if (shown < SHOWN_NAMES) {
      if (!begins) writer_text(out, "  ");
      place_print(alike, member, false, out);
    }
    bool ends = i + 1 == alike->member_count || member[1].group != member->group;
    if (ends && member->size > SHOWN_NAMES) writer_printf(out, "  and %u more", member->size - SHOWN_NAMES);
    if (ends) writer_text(out, "\n");
  }
  if (groups > SHOWN_GROUPS) writer_printf(out, "  %12s  and %zu groups more\n", "", alike->group_count - SHOWN_GROUPS);
}

SeerStatus data_near_print(const SeerIndex *index, int distance, int jobs, bool json, Writer *out) {
  Alike alike = {.index = index};
  SeerStatus status = seer_index_perceptual_check(index);
  if (status == SEER_OK) status = alike_find(&alike, distance, jobs);
  if (status == SEER_OK) (json ? groups_print_json : groups_print_text)(&alike, distance, out);
  free(alike.hashes);
  free(alike.pictures);
  free(alike.groups);
  free(alike.members);
  return status;
}
