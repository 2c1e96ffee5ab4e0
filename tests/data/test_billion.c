// A billion pictures: an index of 10^9 entries, sparse on disk, of which those are written that the order calls for.
// Opening it and each look-up take no time that grows with it, and the loader over it holds next to nothing in memory.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "cm.h"
#include "runtime/clock.h"
#include "runtime/crc32c.h"
#include "runtime/data/index.h"
#include "runtime/data/loader.h"
#include "runtime/data/picture_set.h"
#include "runtime/random.h"
#include "tests/data/memory.h"

enum { SAMPLES = 10000, SEED = 7, NAME_BYTES = 12, MOST_ANONYMOUS_KIB = 100 << 10, DRAWS = 1 << 20, SMALL = 1000003 };
static const int64_t billion = 1000000000;

static char folder[] = "/tmp/seer-billion-XXXXXX";
static char path[80], shard_path[80];
static const char *picture_path;
static uint8_t *picture;
static size_t picture_bytes;

static void store(uint8_t *at, uint64_t value, size_t bytes) { memcpy(at, &value, bytes); }

static void write_at(int file, const void *bytes, size_t count, uint64_t at) {
  assert_int_equal(pwrite(file, bytes, count, (off_t)at), count);
}

typedef struct Places {
  uint64_t entries, names;
} Places;

static void entry_write(int file, const Places *places, int64_t number) {
  uint8_t entry[SEER_INDEX_ENTRY_BYTES] = {0}, name[NAME_BYTES + 4];
  char text[NAME_BYTES + 8];
  snprintf(text, sizeof text, "%08lld.jpg", (long long)number % 100000000);
  memcpy(name, text, NAME_BYTES);
  store(name + NAME_BYTES, seer_crc32c(name, NAME_BYTES), 4);
  store(entry + 8, XXH3_64bits(picture, picture_bytes), 8);
  store(entry + 16, (uint64_t)number * sizeof name, 8);
  store(entry + 24, picture_bytes, 4);
  store(entry + 32, (uint64_t)number % 2, 4);
  store(entry + 40, NAME_BYTES, 2);
  uint64_t as_number = (uint64_t)number;
  store(entry + 44, seer_crc32c_extend(seer_crc32c(&as_number, 8), entry, 44), 4);
  write_at(file, entry, sizeof entry, places->entries + as_number * sizeof entry);
  write_at(file, name, sizeof name, places->names + as_number * sizeof name);
}

// Header, table, one shard, two labels; entries and names are holes.
static int index_begin(Places *places) {
  enum { HEAD = 64 + 4 * 32, SHARDS = 8 + 24 + 8 + 16 + 5, LABELS = 8 + 24 + 2 };
  uint8_t head[HEAD + 64] = {0}, *shards = head + HEAD, labels[LABELS] = {0};
  uint64_t entries_bytes = (uint64_t)billion * SEER_INDEX_ENTRY_BYTES;
  uint64_t names_bytes = (uint64_t)billion * (NAME_BYTES + 4);
  *places = (Places){HEAD + 64, HEAD + 64 + entries_bytes};
  uint64_t labels_at = places->names + names_bytes, end = labels_at + (LABELS + 7) / 8 * 8;
  store(shards, 1, 8);
  store(shards + 8, picture_bytes, 8);
  store(shards + 32, 1, 8);
  store(shards + 48, 5, 8);
  memcpy(shards + 56, "a.tar", 5);
  store(labels, 2, 8);
  store(labels + 16, 1, 8);
  store(labels + 24, 2, 8);
  memcpy(labels + 32, "xy", 2);
  const uint64_t rows[4][3] = {{HEAD, SHARDS, seer_crc32c(shards, SHARDS)},
                               {places->entries, entries_bytes, 0},
                               {places->names, names_bytes, 0},
                               {labels_at, LABELS, seer_crc32c(labels, LABELS)}};
  memcpy(head, SEER_INDEX_MAGIC, 8);
  store(head + 8, SEER_INDEX_VERSION, 4);
  store(head + 12, 4, 4);
  store(head + 16, (uint64_t)billion, 8);
  store(head + 24, end, 8);
  for (size_t i = 0; i < 4; i++) {
    store(head + 64 + i * 32, i + 1, 4);
    store(head + 64 + i * 32 + 8, rows[i][0], 8);
    store(head + 64 + i * 32 + 16, rows[i][1], 8);
    store(head + 64 + i * 32 + 24, rows[i][2], 4);
  }
  store(head + 60, seer_crc32c(head, HEAD), 4);
  int file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0666);
  assert_true(file >= 0);
  assert_int_equal(ftruncate(file, (off_t)end), 0);
  write_at(file, head, sizeof head, 0);
  write_at(file, labels, sizeof labels, labels_at);
  return file;
}

static void files_write(void) {
  struct stat info;
  int from = open(picture_path, O_RDONLY), shard = open(shard_path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
  assert_true(from >= 0 && shard >= 0 && fstat(from, &info) == 0);
  picture_bytes = (size_t)info.st_size;
  picture = malloc(picture_bytes);
  assert_non_null(picture);
  assert_int_equal(read(from, picture, picture_bytes), picture_bytes);
  assert_int_equal(write(shard, picture, picture_bytes), picture_bytes);
  close(from);
  close(shard);
}

static void test_look_ups(void **state) {
  Places places;
  int file = index_begin(&places);
  SeerRandom random = seer_random_make(5, SEER_STREAM_STEP, 0, 0, 0);
  static int64_t positions[SAMPLES];
  for (int i = 0; i < SAMPLES; i++) {
    positions[i] = i == 0 ? 0 : i == 1 ? billion - 1 : (int64_t)seer_random_below(&random, (uint32_t)billion);
    entry_write(file, &places, seer_permutation(SEED, 3, billion, positions[i]));
  }
  close(file);
  long before = anonymous_kib();
  double start = seer_seconds_now();
  SeerIndex *index;
  assert_int_equal(seer_index_open(path, &index), SEER_OK);
  double opened = seer_seconds_now();
  assert_int_equal(seer_index_count(index), billion);
  for (int i = 0; i < SAMPLES; i++) {
    int64_t number = seer_permutation(SEED, 3, billion, positions[i]);
    SeerIndexEntry entry;
    char wanted[32];
    snprintf(wanted, sizeof wanted, "%08lld.jpg", (long long)number % 100000000);
    assert_true(seer_index_entry(index, number, &entry));
    const char *name = seer_index_name(index, &entry);
    assert_non_null(name);
    assert_memory_equal(name, wanted, NAME_BYTES);
    assert_int_equal(entry.label, number % 2);
  }
  double looked_up = seer_seconds_now();
  long grown = anonymous_kib() - before;
  print_message("opened in %.3f ms; %.2f us a look-up; %ld KiB beyond the mapping\n", 1e3 * (opened - start),
                1e6 * (looked_up - opened) / SAMPLES, grown);
  assert_true(opened - start < 0.1);
  assert_true(looked_up - opened < SAMPLES * 200e-6);  // a page from a disk takes as long; what grows with 10^9 longer
  assert_true(grown < 4 << 10);
  // What was never written is no picture.
  SeerIndexEntry entry;
  int64_t hole = 1;
  while (seer_index_entry(index, hole, &entry)) hole++;
  assert_in_range(hole, 1, 20);
  seer_index_close(index);
  (void)state;
}

static void test_loader(void **state) {
  enum { BATCH = 8, BATCHES = 6, THREADS = 2, AHEAD = 400, HOLE = 5 };
  static const int64_t stride = 618000001;  // see loader.h
  static const SeerViews views = {
      .size_group_count = 1, .size_groups = {{2, 64, 0.14, 1.0}}, .aspect_low = 0.75, .aspect_high = 4.0 / 3.0};
  Places places;
  int file = index_begin(&places);
  int64_t first = billion / 8 * 8 - 3 * BATCH;  // over the end of an epoch
  for (int64_t i = 0; i < AHEAD; i++) {
    uint32_t epoch = i < 3 * BATCH ? 0 : 1;
    int64_t place = (first + i) % (billion / BATCH * BATCH);
    if (i == HOLE) place = (place + stride) % billion;  // the picture itself stays a hole
    entry_write(file, &places, seer_permutation(SEED, epoch, billion, place));
  }
  close(file);
  const char *patterns[] = {folder, NULL};
  SeerSource *source;
  SeerLoader *loader;
  long before = anonymous_kib();
  assert_int_equal(seer_source_open(patterns, NULL, &source), SEER_OK);
  assert_int_equal(seer_source_count(source), billion);
  assert_int_equal(seer_source_label_count(source), 2);
  SeerLoaderConfig config = {.views = &views,
                             .batch = BATCH,
                             .ranks = 1,
                             .seed = SEED,
                             .threads = THREADS,
                             .first_position = first,
                             .max_undecodable = 0.5,
                             .max_pixels = 1 << 26,
                             .ring_depth = 2};
  config.ring = aligned_alloc(SEER_ALIGNMENT, (size_t)seer_loader_ring_bytes(&views, BATCH, config.ring_depth));
  assert_non_null(config.ring);
  assert_int_equal(seer_loader_make(&config, source, &loader), SEER_OK);
  for (int i = 0; i < BATCHES; i++) {
    SeerBatch batch;
    if (seer_loader_next(loader, &batch) != SEER_OK) fail_msg("%s", seer_error());
    for (int j = 0; j < BATCH; j++) {
      int64_t place = (first + i * BATCH + j) % (billion / BATCH * BATCH);
      if (i * BATCH + j == HOLE) place = (place + stride) % billion;
      int64_t wanted = seer_permutation(SEED, i < 3 ? 0 : 1, billion, place);
      assert_int_equal(batch.pictures[j], wanted);
      assert_int_equal(batch.labels[j], batch.pictures[j] % 2);
    }
  }
  long grown = anonymous_kib() - before;
  print_message("source and loader hold %ld KiB beyond the mapping\n", grown);
  assert_true(grown <= MOST_ANONYMOUS_KIB);
  seer_loader_release(loader);
  seer_source_close(source);
  free(config.ring);
  (void)state;
}

// Images of 2^20 different positions of 10^9 are all different (of draws by chance some 550 pairs would be equal), and
// of a small set every number comes up once.
static void test_permutation(void **state) {
  SeerPictureSet met = {0};
  double start = seer_seconds_now();
  for (int64_t i = 0; i < DRAWS; i++) {
    int64_t image = seer_permutation(SEED, 2, billion, i * 953 % billion);
    bool fresh;
    assert_in_range(image, 0, billion - 1);
    assert_true(seer_picture_set_add(&met, image, &fresh) && fresh);
  }
  print_message("%.2f us a position of 10^9\n", 1e6 * (seer_seconds_now() - start) / DRAWS);
  free(met.slots);
  uint8_t *seen = calloc(SMALL + 1, 1);
  assert_non_null(seen);
  for (int64_t i = 0; i < SMALL; i++) {
    int64_t image = seer_permutation(SEED, 4, SMALL, i);
    assert_true(image >= 0 && image < SMALL && !seen[image]);
    seen[image] = 1;
  }
  free(seen);
  (void)state;
}

// Samples are dealt to ranks, not shards: each has as many of an epoch as any other, and together they have all.
static void test_ranks(void **state) {
  enum { BATCH = 32 };
  for (int ranks = 1; ranks <= 512; ranks = ranks * 2 + 1) {
    int64_t step = (int64_t)BATCH * ranks, epoch = billion / step * step, tasks = epoch / ranks;
    for (int rank = 0; rank < ranks; rank += 1 + ranks / 5) {
      SeerLoaderConfig config = {.batch = BATCH, .rank = rank, .ranks = ranks};
      int64_t last = seer_loader_position(&config, tasks - 1), next = seer_loader_position(&config, tasks);
      assert_true(last < epoch && next >= epoch);
      assert_int_equal(last / step, billion / step - 1);
      assert_int_equal(seer_loader_position(&config, 0), (int64_t)rank * BATCH);
    }
  }
  (void)state;
}

int main(int count, char **arguments) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_look_ups),
      cmocka_unit_test(test_loader),
      cmocka_unit_test(test_permutation),
      cmocka_unit_test(test_ranks),
  };
  static char given[4096];
  if (count < 2 || mkdtemp(folder) == NULL) { return 2; }
  snprintf(given, sizeof given, "%s/photos/cats/1.jpg", arguments[1]);
  picture_path = given;
  snprintf(path, sizeof path, "%s/%s", folder, SEER_INDEX_NAME);
  snprintf(shard_path, sizeof shard_path, "%s/a.tar", folder);
  files_write();
  int result = cmocka_run_group_tests(tests, NULL, NULL);
  unlink(path);
  unlink(shard_path);
  rmdir(folder);
  free(picture);
  return result;
}
