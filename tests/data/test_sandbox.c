// The sandbox of decoders: whatever is not memory ends the program with the call's and the picture's name, and what
// decodes in it gives the bytes and the list that decoding outside gives. The last call of libjpeg for a picture is
// wrapped here, so that a decoder can be made to do what one that was taken over would.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jpeglib.h>

#include "cm.h"
#include "runtime/data/decoder.h"
#include "runtime/data/loader.h"
#include "runtime/data/sandbox.h"

static const char *pictures_folder;
static void (*planted)(void);  // done by the decoder

boolean jpeg_finish_decompress(j_decompress_ptr jpeg) {
  static boolean (*finish)(j_decompress_ptr);
  if (finish == NULL) { *(void **)&finish = dlsym(RTLD_NEXT, "jpeg_finish_decompress"); }
  if (planted != NULL) { planted(); }
  return finish(jpeg);
}

static void file_open(void) { open("/etc/passwd", O_RDONLY); }

static void file_make(void) { open("/tmp/seer-sandbox-made", O_CREAT | O_WRONLY, 0600); }

static void connection_open(void) { socket(AF_INET, SOCK_STREAM, 0); }

static void program_start(void) { execl("/bin/true", "true", (char *)NULL); }

static void process_start(void) { fork(); }

static void descriptor_write(void) { write(STDOUT_FILENO, "x", 1); }

static void descriptor_read(void) {
  char byte;
  read(STDIN_FILENO, &byte, 1);
}

static void code_make(void) {
  mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void code_change(void) {
  void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  mprotect(page, 4096, PROT_READ | PROT_EXEC);
}

static void process_kill(void) { kill(getppid(), 0); }

static void threads_limit_lift(void) { prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); }

static SeerSource *source_open(const char *folder) {
  char path[400];
  const char *patterns[] = {path, NULL};
  SeerSource *source = NULL;
  snprintf(path, sizeof path, "%s/%s", pictures_folder, folder);
  assert_int_equal(seer_source_open(patterns, NULL, &source), SEER_OK);
  return source;
}

// What a process that decodes one JPEG writes to standard error, and how it ends.
static int outcome(bool sandboxed, void (*plant)(void), char *text, size_t room) {
  int pipes[2], status;
  size_t length = 0;
  assert_int_equal(pipe(pipes), 0);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    SeerDecoder *decoder;
    SeerPicture picture = {0};
    const char *reason = NULL;
    dup2(pipes[1], STDERR_FILENO);
    SeerSource *source = source_open("formats/baseline.jpg");
    if (seer_decoder_make(source, sandboxed, &decoder) != SEER_OK) { _exit(101); }
    planted = plant;
    if (seer_decoder_decode(decoder, 0, 1 << 20, &picture, &reason) != SEER_OK) { _exit(102); }
    planted = NULL;
    seer_decoder_release(decoder);
    _exit(0);
  }
  close(pipes[1]);
  for (ssize_t got; (got = read(pipes[0], text + length, room - 1 - length)) > 0;) { length += (size_t)got; }
  text[length] = '\0';
  close(pipes[0]);
  assert_int_equal(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

static void test_violations(void **state) {
  static const struct {
    void (*plant)(void);
    const char *call;
  } cases[] = {
      {file_open, "'openat' ("},   {file_make, "'openat' ("},      {connection_open, "'socket' ("},
      {program_start, "'execve'"}, {process_start, "'clone"},      {descriptor_write, "'write' ("},
      {descriptor_read, "'read'"}, {code_make, "'mmap' ("},        {code_change, "'mprotect' ("},
      {process_kill, "system"},    {threads_limit_lift, "'prctl"},
  };
  char text[8192];
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    assert_int_equal(outcome(true, cases[i].plant, text, sizeof text), SEER_INPUT);
    if (strstr(text, cases[i].call) == NULL || strstr(text, "formats/baseline.jpg: while it was decoded") == NULL ||
        strstr(text, "error: ") == NULL || strstr(text, "\nnote: ") == NULL) {
      fail_msg("case %d: '%s'", (int)i, text);
    }
  }
  assert_int_equal(access("/tmp/seer-sandbox-made", F_OK), -1);
  (void)state;
}

static void memory_use(void) {
  // Blocks of all sizes and back, which makes the C library ask the system for memory in every way it knows.
  void *blocks[64];
  for (int round = 0; round < 3; round++) {
    for (int i = 0; i < 64; i++) {
      size_t size = (size_t)1 << (4 + (i * 7 + round) % 22);
      blocks[i] = malloc(size);
      memset(blocks[i], i, size);
    }
    for (int i = 0; i < 64; i++) { blocks[i] = realloc(blocks[i], (size_t)1 << (4 + (i * 5 + round) % 22)); }
    for (int i = 0; i < 64; i++) { free(blocks[i]); }
  }
}

static void test_memory_is_left(void **state) {
  char text[8192];
  assert_int_equal(outcome(true, NULL, text, sizeof text), 0);
  assert_int_equal(outcome(true, memory_use, text, sizeof text), 0);
  assert_int_equal(outcome(false, file_open, text, sizeof text), 0);  // without a sandbox nothing is forbidden
  (void)state;
}

// The thread that asks for pictures keeps its rights.
static void test_others_are_free(void **state) {
  SeerSource *source = source_open("formats/baseline.jpg");
  SeerDecoder *decoder;
  SeerPicture picture = {0};
  const char *reason = NULL;
  assert_int_equal(seer_decoder_make(source, true, &decoder), SEER_OK);
  assert_int_equal(seer_decoder_decode(decoder, 0, 1 << 20, &picture, &reason), SEER_OK);
  assert_true(seer_decoder_source(decoder) == source);
  int file = open("/etc/passwd", O_RDONLY);
  assert_true(file >= 0);
  close(file);
  assert_int_equal(seer_decoder_decode(decoder, 0, 10, &picture, &reason), SEER_INPUT);
  assert_non_null(strstr(reason, "data.max_pixels"));
  seer_decoder_release(decoder);
  seer_picture_release(&picture);
  seer_source_close(source);
  (void)state;
}

typedef struct Epoch {
  uint8_t *bytes;
  size_t count;
  char *list;
  int64_t quarantined;
} Epoch;

static char *text_load(const char *path) {
  char *text = NULL;
  size_t room = 0;
  FILE *file = fopen(path, "r");
  assert_non_null(file);
  assert_true(getdelim(&text, &room, '\0', file) > 0);
  fclose(file);
  return text;
}

// All pictures of a folder through the loader, one batch behind the other, with the list of the bad ones.
static Epoch epoch_load(const char *folder, bool sandbox) {
  static const SeerViews views = {
      .size_group_count = 1, .size_groups = {{2, 48, 0.3, 1.0}}, .flip = 0.5, .aspect_low = 0.75, .aspect_high = 1.33};
  char list[] = "/tmp/seer-sandbox-XXXXXX";
  SeerSource *source = source_open(folder);
  SeerLoader *loader = NULL;
  int batches = (int)seer_source_count(source) / 2;
  int file = mkstemp(list);
  assert_true(file >= 0);
  close(file);
  SeerLoaderConfig config = {.views = &views,
                             .batch = 2,
                             .ranks = 1,
                             .seed = 5,
                             .threads = 2,
                             .max_undecodable = 1,
                             .max_pixels = 1 << 22,
                             .scaled_decoding = true,
                             .sandbox = sandbox,
                             .quarantine_path = list,
                             .ring_depth = 2};
  config.ring = aligned_alloc(SEER_ALIGNMENT, (size_t)seer_loader_ring_bytes(&views, 2, 2));
  size_t view_bytes = (size_t)2 * 2 * 48 * 48 * 3;
  Epoch epoch = {.bytes = malloc(view_bytes * (size_t)batches)};
  assert_true(config.ring != NULL && epoch.bytes != NULL);
  assert_int_equal(seer_loader_make(&config, source, &loader), SEER_OK);
  for (int i = 0; i < batches; i++, epoch.count += view_bytes) {
    SeerBatch batch;
    if (seer_loader_next(loader, &batch) != SEER_OK) { fail_msg("%s: %s", folder, seer_error()); }
    memcpy(epoch.bytes + epoch.count, batch.images[0], view_bytes);
  }
  epoch.quarantined = seer_loader_quarantined(loader);
  seer_loader_release(loader);
  seer_source_close(source);
  epoch.list = epoch.quarantined > 0 ? text_load(list) : strdup("");
  unlink(list);
  free(config.ring);
  return epoch;
}

static void test_same_bytes(void **state) {
  static const char *const folders[] = {"formats", "orientations", "damaged", "hostile/[a-bd-z]*", "large"};
  for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
    Epoch outside = epoch_load(folders[i], false), inside = epoch_load(folders[i], true);
    assert_int_equal(outside.count, inside.count);
    assert_memory_equal(outside.bytes, inside.bytes, outside.count);
    assert_string_equal(outside.list, inside.list);
    assert_true(outside.quarantined == inside.quarantined && (i < 2 || i == 4 || inside.quarantined >= 4));
    free(outside.bytes);
    free(outside.list);
    free(inside.bytes);
    free(inside.list);
  }
  (void)state;
}

int main(int count, char **arguments) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_violations), cmocka_unit_test(test_memory_is_left),
                                     cmocka_unit_test(test_others_are_free), cmocka_unit_test(test_same_bytes)};
  if (count < 2) { return 2; }
  pictures_folder = arguments[1];
  return cmocka_run_group_tests(tests, NULL, NULL);
}
