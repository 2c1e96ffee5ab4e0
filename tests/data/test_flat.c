// The loader over many samples, bad pictures among them: memory, descriptors and threads are at the end what they were
// after a tenth. test_data_flat PICTURES [SAMPLES]: 20,000 unless told; a million take some minutes.
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cm.h"
#include "heap.h"
#include "runtime/data/loader.h"

enum { BATCH = 8, HEAP_SLACK = 1 << 17, RESIDENT_SLACK = 3 << 20 };

static const char *pictures_folder;
static int64_t samples = 20000;

typedef struct Usage {
  int64_t heap, resident;  // bytes
  int descriptors, threads;
} Usage;

static int entries_count(const char *folder) {
  int count = 0;
  DIR *listing = opendir(folder);
  assert_non_null(listing);
  for (struct dirent *entry; (entry = readdir(listing)) != NULL;) { count += entry->d_name[0] != '.'; }
  closedir(listing);
  return count;
}

static Usage usage_now(void) {
  long pages = 0;
  FILE *file = fopen("/proc/self/statm", "r");
  assert_non_null(file);
  assert_int_equal(fscanf(file, "%*d %ld", &pages), 1);
  fclose(file);
  return (Usage){.heap = atomic_load(&heap_held),
                 .resident = pages * sysconf(_SC_PAGESIZE),
                 .descriptors = entries_count("/proc/self/fd"),
                 .threads = entries_count("/proc/self/task")};
}

static SeerSource *source_open(void) {
  char folders[2][400];
  const char *patterns[] = {folders[0], folders[1], NULL};
  SeerSource *source = NULL;
  snprintf(folders[0], sizeof folders[0], "%s/orientations", pictures_folder);
  snprintf(folders[1], sizeof folders[1], "%s/damaged", pictures_folder);
  assert_int_equal(seer_source_open(patterns, NULL, &source), SEER_OK);
  return source;
}

static void flat_check(bool sandbox, int64_t count) {
  static const SeerViews views = {.size_group_count = 1,
                                  .size_groups = {{1, 16, 0.3, 1.0}},
                                  .flip = 0.5,
                                  .blur = 0.2,
                                  .blur_sigma_low = 0.1,
                                  .blur_sigma_high = 1,
                                  .aspect_low = 0.75,
                                  .aspect_high = 1.33};
  char list[] = "/tmp/seer-flat-XXXXXX";
  int file = mkstemp(list);
  assert_true(file >= 0);
  close(file);
  Usage start = usage_now();
  SeerSource *source = source_open();
  SeerLoader *loader = NULL;
  SeerLoaderConfig config = {.views = &views,
                             .batch = BATCH,
                             .ranks = 1,
                             .seed = 3,
                             .threads = 2,
                             .max_undecodable = 1,
                             .max_pixels = 1 << 20,
                             .scaled_decoding = true,
                             .sandbox = sandbox,
                             .quarantine_path = list,
                             .ring_depth = 2};
  config.ring = aligned_alloc(SEER_ALIGNMENT, (size_t)seer_loader_ring_bytes(&views, BATCH, 2));
  assert_non_null(config.ring);
  assert_int_equal(seer_loader_make(&config, source, &loader), SEER_OK);
  Usage early = start, late = start;
  for (int64_t i = 0; i < count; i += BATCH) {
    SeerBatch batch;
    if (seer_loader_next(loader, &batch) != SEER_OK) { fail_msg("%s", seer_error()); }
    if (i <= count / 10 && i + BATCH > count / 10) { early = usage_now(); }
  }
  late = usage_now();
  assert_int_equal(seer_loader_quarantined(loader), 5);
  print_message("%lld samples: heap %lld to %lld KiB, resident %lld to %lld KiB, %d descriptors, %d threads\n",
                (long long)count, (long long)early.heap >> 10, (long long)late.heap >> 10,
                (long long)early.resident >> 10, (long long)late.resident >> 10, late.descriptors, late.threads);
  // A reader may have a file open, or a buffer grown, at the moment of looking.
  assert_true(late.heap - early.heap < HEAP_SLACK);
  assert_true(abs(late.descriptors - early.descriptors) <= late.threads && late.threads == early.threads);
#ifndef HEAP_HOOKS  // the sanitizer keeps what was freed for a while
  assert_true(late.resident - early.resident < RESIDENT_SLACK);
#endif
  seer_loader_release(loader);
  seer_source_close(source);
  free(config.ring);
  unlink(list);
  Usage end = usage_now();
  print_message("%lld bytes of the heap are kept\n", (long long)(end.heap - start.heap));
  assert_true(end.heap - start.heap < HEAP_SLACK / 4);
  assert_int_equal(end.descriptors, start.descriptors);
  assert_int_equal(end.threads, start.threads);
}

static void test_flat(void **state) {
  flat_check(false, samples);
  (void)state;
}

static void test_flat_in_the_sandbox(void **state) {
  flat_check(true, samples / 4);
  (void)state;
}

int main(int count, char **arguments) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_flat), cmocka_unit_test(test_flat_in_the_sandbox)};
  if (count < 2) { return 2; }
  pictures_folder = arguments[1];
  if (count > 2) { samples = atoll(arguments[2]); }
  return cmocka_run_group_tests(tests, NULL, NULL);
}
