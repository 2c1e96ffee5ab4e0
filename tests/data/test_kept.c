// Subsets of pictures: the k-th of those kept is found whatever the density, in memory and in a file; and a condition
// over an index of 20 million pictures, or as many as the second argument says, takes little time and next to no
// memory. The index is sparse: most of its blocks are zeros, which are pictures without a value.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cm.h"
#include "runtime/clock.h"
#include "runtime/crc32c.h"
#include "runtime/data/index_bytes.h"
#include "runtime/data/keep.h"
#include "runtime/random.h"
#include "tests/data/memory.h"

enum { WRITTEN = 6, BLOCK = SEER_INDEX_BLOCK_BYTES / 4, SAMPLES = 200000, MOST_ANONYMOUS_KIB = 24 << 10 };

static int64_t pictures = 20000000;
static char folder[] = "/tmp/seer-kept-XXXXXX";
static char path[80];

// ---- bits ----

static void select_check(int64_t count, unsigned shares, uint64_t seed) {
  SeerKept kept;
  SeerRandom random = seer_random_make(seed, SEER_STREAM_STEP, 0, 0, 0);
  int64_t *wanted = malloc((size_t)count * sizeof *wanted), found = 0;
  assert_non_null(wanted);
  assert_int_equal(seer_kept_make(count, folder, &kept), SEER_OK);
  for (int64_t i = 0; i < count; i++) {
    if (seer_random_below(&random, 1000) >= shares) continue;
    kept.bits[i / 64] |= (uint64_t)1 << i % 64;
    wanted[found++] = i;
  }
  seer_kept_count(&kept);
  assert_int_equal(kept.count, found);
  for (int64_t i = 0; i < found; i++) {
    assert_int_equal(seer_kept_select(&kept, i), wanted[i]);
    assert_true(seer_kept_has(&kept, wanted[i]));
  }
  seer_kept_release(&kept);
  free(wanted);
}

static void test_select(void **state) {
  static const int64_t sizes[] = {0, 1, 63, 64, 65, 4095, 4096, 4097, 16384, 16385, 100000};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    for (unsigned shares = 0; shares <= 1000; shares = shares * 4 + 5) select_check(sizes[i], shares, i);
    select_check(sizes[i], 1000, i);
  }
  (void)state;
}

static void test_file(void **state) {
  SeerKept kept;
  int64_t count = (int64_t)SEER_KEPT_MOST_BYTES * 8 + 77;
  assert_int_equal(seer_kept_make(count, "/no/such/folder", &kept), SEER_MACHINE);
  assert_non_null(strstr(seer_error(), "'/no/such/folder'"));
  seer_error_clear();
  long before = anonymous_kib();
  assert_int_equal(seer_kept_make(count, folder, &kept), SEER_OK);
  for (int64_t i = 0; i < count; i += 1000) kept.bits[i / 64] |= (uint64_t)1 << i % 64;
  seer_kept_count(&kept);
  for (int64_t i = 0; i < kept.count; i += 97) assert_int_equal(seer_kept_select(&kept, i), i * 1000);
  assert_true(anonymous_kib() - before < 1 << 10);
  seer_kept_release(&kept);
  assert_int_equal(rmdir(folder), 0);  // it has left nothing there
  assert_int_equal(mkdir(folder, 0700), 0);
  (void)state;
}

// ---- an index of as many pictures as one likes ----

static void store(uint8_t *at, uint64_t value, size_t bytes) { memcpy(at, &value, bytes); }

static void write_at(int file, const void *bytes, size_t count, uint64_t at) {
  assert_int_equal(pwrite(file, bytes, count, (off_t)at), count);
}

typedef struct Sparse {
  int file;
  uint64_t values_at, sums_at, sums_bytes;
  uint8_t *sums;
  int64_t blocks[WRITTEN];          // in ascending order
  uint32_t values[WRITTEN][BLOCK];  // of those; the rest have none
} Sparse;

// Words "country", "FR", "us": values 1 and 2.
static void index_write(Sparse *sparse) {
  enum { HEAD = 64 + 7 * 32, EMPTY = 16, SHARDS = 8 + 16, WORDS = 8 + 32 + 11 };
  static uint8_t head[HEAD + SHARDS], zeros[SEER_INDEX_BLOCK_BYTES];
  uint8_t words[56] = {0}, empty[EMPTY] = {0};
  uint64_t count = (uint64_t)pictures, block_count = (count * 4 + SEER_INDEX_BLOCK_BYTES - 1) / SEER_INDEX_BLOCK_BYTES;
  uint64_t entries_at = HEAD + SHARDS, names_at = entries_at + count * SEER_INDEX_ENTRY_BYTES, labels_at = names_at;
  uint64_t words_at = labels_at + EMPTY;
  sparse->values_at = words_at + sizeof words;
  sparse->sums_at = (sparse->values_at + count * 4 + 7) / 8 * 8;
  sparse->sums_bytes = block_count * 4;
  sparse->sums = malloc(sparse->sums_bytes);
  assert_non_null(sparse->sums);
  store(words, 3, 8);
  store(words + 16, 7, 8);
  store(words + 24, 9, 8);
  store(words + 32, 11, 8);
  memcpy(words + 40, "countryFRus", 11);
  uint32_t of_zeros = seer_crc32c(zeros, sizeof zeros);
  uint64_t rest = count * 4 % SEER_INDEX_BLOCK_BYTES;
  for (uint64_t i = 0; i < block_count; i++) store(sparse->sums + i * 4, of_zeros, 4);
  if (rest > 0) store(sparse->sums + (block_count - 1) * 4, seer_crc32c(zeros, rest), 4);
  sparse->file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0666);
  assert_true(sparse->file >= 0);
  SeerRandom random = seer_random_make(3, SEER_STREAM_STEP, 0, 0, 0);
  int64_t last = (int64_t)block_count - 1;
  const int64_t blocks[WRITTEN] = {0, 1, last / 3, last / 2, last - 1, last};
  for (int i = 0; i < WRITTEN; i++) {
    uint64_t at = (uint64_t)blocks[i] * BLOCK, here = count - at < BLOCK ? count - at : BLOCK;
    sparse->blocks[i] = blocks[i];
    for (uint64_t k = 0; k < here; k++) sparse->values[i][k] = seer_random_below(&random, 3);
    store(sparse->sums + blocks[i] * 4, seer_crc32c(sparse->values[i], here * 4), 4);
    write_at(sparse->file, sparse->values[i], here * 4, sparse->values_at + at * 4);
  }
  const uint64_t rows[7][5] = {
      {1, 0, HEAD, SHARDS, seer_crc32c(head, SHARDS)},  // all zero
      {2, 0, entries_at, count * SEER_INDEX_ENTRY_BYTES, 0},
      {3, 0, names_at, 0, 0},
      {4, 0, labels_at, EMPTY, seer_crc32c(empty, EMPTY)},
      {5, 0, words_at, WORDS, seer_crc32c(words, WORDS)},
      {6, 0, sparse->values_at, count * 4, 0},
      {7, 0, sparse->sums_at, sparse->sums_bytes, seer_crc32c(sparse->sums, sparse->sums_bytes)}};
  uint64_t end = (sparse->sums_at + sparse->sums_bytes + 7) / 8 * 8;
  memset(head, 0, sizeof head);
  memcpy(head, SEER_INDEX_MAGIC, 8);
  store(head + 8, SEER_INDEX_VERSION, 4);
  store(head + 12, 7, 4);
  store(head + 16, count, 8);
  store(head + 24, end, 8);
  for (size_t i = 0; i < 7; i++) {
    store(head + 64 + i * 32, rows[i][0], 4);
    store(head + 64 + i * 32 + 8, rows[i][2], 8);
    store(head + 64 + i * 32 + 16, rows[i][3], 8);
    store(head + 64 + i * 32 + 24, rows[i][4], 4);
  }
  store(head + 60, seer_crc32c(head, HEAD), 4);
  assert_int_equal(ftruncate(sparse->file, (off_t)end), 0);
  write_at(sparse->file, head, sizeof head, 0);
  write_at(sparse->file, words, sizeof words, words_at);
  write_at(sparse->file, sparse->sums, sparse->sums_bytes, sparse->sums_at);
}

static const SeerKeepTerm has_none = {.text = "country == unknown", .column = "country", .relation = SEER_KEEP_UNKNOWN};
static const char *const america[] = {"USA"};
static const SeerKeepTerm american = {
    .text = "country == USA", .column = "country", .relation = SEER_KEEP_IN, .words = america, .word_count = 1};
static const SeerKeepStep alone[] = {{SEER_KEEP_TERM, 0}};
static const SeerKeepStep negated[] = {{SEER_KEEP_TERM, 0}, {SEER_KEEP_NOT, 0}};

// Pictures before `picture` that have a value for which `counts` says so.
static int64_t before(const Sparse *sparse, int64_t picture, bool (*counts)(uint32_t value)) {
  int64_t found = 0;
  for (int i = 0; i < WRITTEN; i++) {
    int64_t first = sparse->blocks[i] * BLOCK;
    for (int64_t k = 0; k < BLOCK && first + k < picture; k++) found += counts(sparse->values[i][k]);
  }
  return found;
}

static bool is_some(uint32_t value) { return value > 0; }
static bool is_american(uint32_t value) { return value == 2; }
static bool is_french(uint32_t value) { return value == 1; }

static SeerIndex *index_keep(const SeerKeep *keep, int threads, SeerKeepCounts *counts) {
  SeerIndex *index;
  if (seer_index_open(path, &index) != SEER_OK) fail_msg("%s", seer_error());
  if (seer_index_keep(index, keep, threads, folder, counts) != SEER_OK) fail_msg("%s", seer_error());
  return index;
}

static void test_most_are_kept(Sparse *sparse) {
  const SeerKeep keep = {.text = "x", .terms = &has_none, .term_count = 1, .steps = alone, .step_count = 1};
  SeerKeepCounts counts = {0};
  long resident = anonymous_kib();
  double start = seer_seconds_now();
  SeerIndex *index = index_keep(&keep, 2, &counts);
  double chosen = seer_seconds_now();
  int64_t some = before(sparse, pictures, is_some);
  assert_int_equal(counts.pictures, pictures);
  assert_int_equal(counts.kept, pictures - some);
  assert_int_equal(counts.unknown, 0);
  assert_int_equal(seer_index_count(index), pictures - some);
  SeerRandom random = seer_random_make(9, SEER_STREAM_STEP, 0, 0, 0);
  double select_seconds = 0;
  for (int i = 0; i < SAMPLES; i++) {
    int64_t number =
        i < 2 ? (i == 0 ? 0 : counts.kept - 1) : (int64_t)seer_random_below(&random, (uint32_t)counts.kept);
    double begin = i % 100 == 0 ? seer_seconds_now() : 0;
    int64_t picture = seer_kept_select(&index->kept, number);
    if (i % 100 == 0) select_seconds += seer_seconds_now() - begin;
    assert_true(seer_kept_has(&index->kept, picture));
    if (i % 1000 < 2) assert_int_equal(picture - before(sparse, picture, is_some), number);
  }
  long grown = anonymous_kib() - resident;
  print_message("%lld pictures: %.2f s on 2 threads, %.0f ns to find one, %ld KiB beyond mappings\n",
                (long long)pictures, chosen - start, 1e9 * select_seconds / (SAMPLES / 100), grown);
  assert_true(grown < MOST_ANONYMOUS_KIB);
  assert_true(chosen - start < 120);
  assert_true(select_seconds < SAMPLES / 100 * 20e-6);
  seer_index_close(index);
}

static void test_few_are_kept(Sparse *sparse) {
  const SeerKeep keeps[2] = {{.text = "x", .terms = &american, .term_count = 1, .steps = alone, .step_count = 1},
                             {.text = "y", .terms = &american, .term_count = 1, .steps = negated, .step_count = 2}};
  bool (*const counts_of[2])(uint32_t) = {is_american, is_french};
  for (int i = 0; i < 2; i++) {
    SeerKeepCounts counts = {0};
    SeerIndex *index = index_keep(&keeps[i], 3, &counts);
    int64_t wanted = before(sparse, pictures, counts_of[i]), number = 0;
    assert_int_equal(counts.kept, wanted);
    assert_int_equal(counts.unknown, pictures - before(sparse, pictures, is_some));
    assert_int_equal(counts.holds[0], before(sparse, pictures, is_american));
    SeerIndexColumn column;
    assert_int_equal(seer_index_column_open(index, 0, &column), SEER_OK);
    for (int b = 0; b < WRITTEN; b++) {
      for (int64_t k = 0; k < BLOCK && sparse->blocks[b] * BLOCK + k < pictures; k++) {
        if (!counts_of[i](sparse->values[b][k])) continue;
        uint32_t word;
        assert_int_equal(seer_kept_select(&index->kept, number), sparse->blocks[b] * BLOCK + k);
        assert_int_equal(seer_index_column_word(&column, number, &word), SEER_OK);
        assert_int_equal(word, sparse->values[b][k]);
        number++;
      }
    }
    assert_int_equal(number, wanted);
    seer_index_column_close(&column);
    seer_index_close(index);
  }
}

// A block that is not what its checksum says ends the choice; no thread goes on.
static void test_damage(Sparse *sparse) {
  const SeerKeep keep = {.text = "x", .terms = &american, .term_count = 1, .steps = alone, .step_count = 1};
  uint32_t other = sparse->values[3][7] ^ 1;
  write_at(sparse->file, &other, 4, sparse->values_at + ((uint64_t)sparse->blocks[3] * BLOCK + 7) * 4);
  SeerKeepCounts counts = {0};
  SeerIndex *index;
  assert_int_equal(seer_index_open(path, &index), SEER_OK);
  assert_int_equal(seer_index_keep(index, &keep, 3, folder, &counts), SEER_INPUT);
  assert_non_null(strstr(seer_error(), "do not have their checksum"));
  seer_error_clear();
  assert_int_equal(seer_index_count(index), pictures);
  seer_index_close(index);
}

static void test_index(void **state) {
  static Sparse sparse;
  index_write(&sparse);
  test_most_are_kept(&sparse);
  test_few_are_kept(&sparse);
  test_damage(&sparse);
  close(sparse.file);
  free(sparse.sums);
  (void)state;
}

int main(int count, char **arguments) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_select),
      cmocka_unit_test(test_file),
      cmocka_unit_test(test_index),
  };
  if (mkdtemp(folder) == NULL) return 2;
  if (count > 2) pictures = atoll(arguments[2]);
  snprintf(path, sizeof path, "%s/a.index", folder);
  int result = cmocka_run_group_tests(tests, NULL, NULL);
  unlink(path);
  rmdir(folder);
  return result;
}
