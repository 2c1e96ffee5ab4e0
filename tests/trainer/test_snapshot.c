// Snapshots between worlds, without MPI: what each rank of one world writes, each rank of another reads. The state is
// told by its names and indices alone, so every part can be made anew and compared bit by bit.
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/init.h"
#include "runtime/manifest.h"
#include "runtime/snapshot_reader.h"

enum { MAX_TENSORS = 16, STATE_FLOATS = 1 << 14, WORLD_COUNT = 6, MAX_RANKS = 8 };

static const int worlds[WORLD_COUNT] = {1, 2, 3, 4, 6, 8};
static char run[] = "/tmp/seer-snapshot-XXXXXX";
static SeerPool *pool;

typedef struct World {
  SeerTensor tensors[MAX_TENSORS];
  SeerProgram program;
} World;

// `chunks`: 0, kept whole by all; 1, one chunk a rank; more: rows dealt out in turn, `chunks` of them at a time.
static void tensor_add(World *world, const char *name, SeerTensorKind kind, int64_t rows, int64_t columns, int shards,
                       int chunks) {
  SeerTensor *tensor = &world->tensors[world->program.tensor_count++];
  uint64_t count = (uint64_t)(rows * columns), ranks = (uint64_t)shards;
  *tensor = (SeerTensor){
      .name = name, .kind = kind, .rank = 2, .size = {rows, columns}, .init = SEER_INIT_NORMAL, .init_a = 1};
  tensor->offset = world->program.state_bytes;
  if (chunks > 0 && shards > 1) {
    tensor->shards = shards;
    tensor->chunk = chunks == 1 ? (count + ranks - 1) / ranks : (uint64_t)(chunks * columns);
    uint64_t all = (count + tensor->chunk - 1) / tensor->chunk;
    tensor->part = (all + ranks - 1) / ranks * tensor->chunk;
  }
  world->program.state_bytes += (seer_part_count(tensor) * sizeof(float) + 63) / 64 * 64;
  assert_true(world->program.state_bytes <= STATE_FLOATS * sizeof(float));
}

static void world_make(World *world, int ranks) {
  memset(world, 0, sizeof *world);
  int groups = ranks % 2 ? ranks : ranks / 2;  // two ranks of an even world keep the same
  world->program =
      (SeerProgram){.name = "test", .seer_version = "0", .model_hash = 7, .ranks = ranks, .tensors = world->tensors};
  tensor_add(world, "a.weight", SEER_PARAMETER, 16, 27, ranks, 1);
  tensor_add(world, "a.bias", SEER_PARAMETER, 1, 3, ranks, 1);  // some ranks keep none of it
  tensor_add(world, "a.weight.accumulator", SEER_ACCUMULATOR, 16, 27, ranks, 1);
  tensor_add(world, "b.weight", SEER_PARAMETER, 5, 7, ranks, 1);
  tensor_add(world, "b.weight.velocity", SEER_VELOCITY, 5, 7, ranks, 1);
  tensor_add(world, "group.weight", SEER_PARAMETER, 11, 13, groups, 1);
  tensor_add(world, "norm.weight", SEER_PARAMETER, 64, 1, ranks, 0);
  tensor_add(world, "norm.running_mean", SEER_STATISTIC, 64, 1, ranks, 0);
  tensor_add(world, "one", SEER_STATISTIC, 1, 1, ranks, 0);
  tensor_add(world, "whole.weight", SEER_PARAMETER, 31, 32, ranks, 0);
  tensor_add(world, "queue", SEER_QUEUE, 48, 10, ranks, 2);
  tensor_add(world, "queue.odd", SEER_QUEUE, 23, 5, ranks, 3);
  tensor_add(world, "queue.short", SEER_QUEUE, 4, 5, ranks, 2);
}

// What a rank of this world keeps; accumulators, which no snapshot holds, are zero.
static void state_make(const World *world, int rank, float *state) {
  memset(state, 0, STATE_FLOATS * sizeof *state);
  seer_state_init(&world->program, 5, rank, pool, (unsigned char *)state);
  const SeerTensor *accumulator = &world->tensors[2];
  memset(seer_tensor_values(accumulator, (unsigned char *)state), 0, seer_part_count(accumulator) * sizeof *state);
}

static SeerSnapshot snapshot_of(const World *world, int64_t step) {
  return (SeerSnapshot){.step = step, .steps = 100, .position = step * 24, .seed = 5, .ranks = world->program.ranks};
}

static uint64_t data_bytes(const char *path) {
  SeerSafetensors *file = NULL;
  assert_int_equal(seer_safetensors_open(path, &file), SEER_OK);
  int count = seer_safetensors_count(file);
  uint64_t bytes = count ? seer_safetensors_tensor(file, count - 1)->end : 0;
  seer_safetensors_close(file);
  return bytes;
}

static void snapshot_save(const World *world, int64_t step, bool staged) {
  static float state[STATE_FLOATS], staging[STATE_FLOATS];
  const SeerProgram *program = &world->program;
  SeerSnapshot snapshot = snapshot_of(world, step);
  SeerSnapshotFile files[MAX_RANKS];
  assert_int_equal(seer_snapshot_prepare(program, &snapshot, run), SEER_OK);
  for (int rank = program->ranks - 1; rank >= 0; rank--) {
    state_make(world, rank, state);
    if (staged) {
      seer_snapshot_stage(program, rank, (unsigned char *)state, (unsigned char *)staging);
      memset(state, 0xff, sizeof state);  // training goes on, whatever it does
    }
    assert_int_equal(seer_snapshot_write(program, &snapshot, run, rank, (unsigned char *)state,
                                         staged ? (unsigned char *)staging : NULL, &files[rank]),
                     SEER_OK);
  }
  assert_int_equal(seer_snapshot_commit(program, &snapshot, run, files, 100), SEER_OK);
}

static SeerPath folder_of(int64_t step) {
  SeerPath folder;
  assert_int_equal(seer_snapshot_folder(run, step, &folder), SEER_OK);
  return folder;
}

static void every_world_reads_every_other(void **context) {
  (void)context;
  static World from, to;
  static float state[STATE_FLOATS], expected[STATE_FLOATS];
  for (int a = 0; a < WORLD_COUNT; a++) {
    world_make(&from, worlds[a]);
    snapshot_save(&from, a + 1, a % 2);
    SeerPath folder = folder_of(a + 1);
    for (int b = 0; b < WORLD_COUNT; b++) {
      world_make(&to, worlds[b]);
      for (int rank = 0; rank < worlds[b]; rank++) {
        SeerSnapshot snapshot;
        bool damaged;
        memset(state, 0, sizeof state);
        state_make(&to, rank, expected);
        assert_int_equal(
            seer_snapshot_load(&to.program, folder.text, rank, (unsigned char *)state, &snapshot, &damaged), SEER_OK);
        assert_memory_equal(state, expected, sizeof state);
        assert_int_equal(snapshot.ranks, worlds[a]);
        assert_int_equal(snapshot.position, 24 * (a + 1));
      }
    }
  }
}

// Each rank writes what it has, and of what all have an even share; staging has room for it and no more.
static void ranks_share_the_writing(void **context) {
  (void)context;
  static World world;
  for (int w = 0; w < WORLD_COUNT; w++) {
    world_make(&world, worlds[w]);
    uint64_t sum = 0, most = 0, room = seer_snapshot_share_bytes(world.tensors, world.program.tensor_count, worlds[w]);
    for (int rank = 0; rank < worlds[w]; rank++) {
      SeerPath folder = folder_of(w + 1), path;
      assert_int_equal(seer_manifest_file(folder.text, rank, worlds[w], &path), SEER_OK);
      uint64_t bytes = data_bytes(path.text);
      sum += bytes;
      if (bytes > most) most = bytes;
    }
    uint64_t whole = 0, padding = 0;
    for (int i = 0; i < world.program.tensor_count; i++) {
      const SeerTensor *tensor = &world.tensors[i];
      if (!seer_tensor_is_kept(tensor)) continue;
      whole += seer_tensor_bytes(tensor);
      if (tensor->shards > 1)
        padding += tensor->part * (uint64_t)tensor->shards * sizeof(float) - seer_tensor_bytes(tensor);
    }
    assert_int_equal(sum, whole);
    assert_true(most <= room && room <= most + padding + sizeof(float));
  }
}

static uint64_t bytes_read_so_far(void) {
  FILE *file = fopen("/proc/self/io", "re");
  uint64_t bytes = 0;
  assert_non_null(file);
  assert_int_equal(fscanf(file, "rchar: %" SCNu64, &bytes), 1);
  fclose(file);
  return bytes;
}

static void a_rank_reads_what_it_keeps(void **context) {
  (void)context;
  static World to;
  static float state[STATE_FLOATS];
  for (int a = 0; a < WORLD_COUNT; a++) {
    SeerPath folder = folder_of(a + 1);
    SeerSnapshotReader reader;
    assert_int_equal(seer_snapshot_reader_begin(folder.text, &reader), SEER_OK);
    assert_int_equal(seer_snapshot_reader_open(&reader), SEER_OK);
    world_make(&to, 6);
    uint64_t before = bytes_read_so_far(), idle = bytes_read_so_far() - before, needed = 0;
    for (int i = 0; i < to.program.tensor_count; i++) {
      if (!seer_tensor_is_kept(&to.tensors[i])) continue;
      for (SeerPiece piece = {0}; seer_part_next(&to.tensors[i], 4, &piece);) needed += piece.count * sizeof(float);
    }
    before = bytes_read_so_far();
    assert_int_equal(seer_snapshot_reader_fill(&reader, &to.program, 4, (unsigned char *)state), SEER_OK);
    uint64_t read = bytes_read_so_far() - before;
    assert_true(read >= needed && read <= needed + idle + 8);
    seer_snapshot_reader_release(&reader);
  }
}

static void refused(const World *world, int64_t step, bool is_damage, const char *reason) {
  static float state[STATE_FLOATS];
  SeerPath folder = folder_of(step);
  SeerSnapshot snapshot;
  bool damaged = !is_damage;
  SeerStatus status = seer_snapshot_load(&world->program, folder.text, 0, (unsigned char *)state, &snapshot, &damaged);
  assert_int_not_equal(status, SEER_OK);
  assert_int_equal(damaged, is_damage);
  if (!strstr(seer_error(), reason)) fail_msg("'%s' lacks '%s'", seer_error(), reason);
  seer_error_clear();
}

static void byte_flip(const char *path, off_t at) {
  int file = open(path, O_RDWR);
  unsigned char byte = 0;
  assert_int_equal(pread(file, &byte, 1, at), 1);
  byte ^= 1;
  assert_int_equal(pwrite(file, &byte, 1, at), 1);
  close(file);
}

static void damage_names_rank_and_file(void **context) {
  (void)context;
  static World world;
  world_make(&world, 4);
  snapshot_save(&world, 40, false);
  SeerPath folder = folder_of(40), path, aside;
  assert_int_equal(seer_manifest_file(folder.text, 2, 4, &path), SEER_OK);
  assert_int_equal(seer_path_print(&aside, "%s.aside", path.text), SEER_OK);
  byte_flip(path.text, 3000);
  refused(&world, 40, true, "model-00003-of-00004.safetensors' of rank 2 is damaged: its content");
  byte_flip(path.text, 3000);
  assert_int_equal(rename(path.text, aside.text), 0);
  refused(&world, 40, true, "model-00003-of-00004.safetensors' of rank 2: No such file");
  assert_int_equal(rename(aside.text, path.text), 0);
  SeerSnapshot snapshot;
  bool damaged;
  assert_int_equal(seer_snapshot_verify(&world.program, folder.text, &snapshot, &damaged), SEER_OK);
  assert_int_equal(truncate(path.text, 100), 0);
  refused(&world, 40, true, "model-00003-of-00004.safetensors' of rank 2 is damaged: it has 100 bytes");
}

// Right hashes do not make up for pieces that do not fit together: rank 2's part is there twice, or not at all.
static void pieces_must_make_the_whole(void **context) {
  (void)context;
  static World world, other;
  static float state[STATE_FLOATS];
  const char *const reasons[] = {"it holds 'a.weight' from 216 on twice",
                                 "of 'a.weight', none of its files holds number 216 of 432"};
  for (int fault = 0; fault < 2; fault++) {
    world_make(&world, 4);
    world_make(&other, 4);
    SeerSnapshot snapshot = snapshot_of(&world, 41 + fault);
    SeerSnapshotFile files[4];
    SeerPath temporary, one, two;
    assert_int_equal(seer_snapshot_prepare(&world.program, &snapshot, run), SEER_OK);
    assert_int_equal(seer_path_print(&temporary, "%s/snapshots/.step-%d.tmp", run, 41 + fault), SEER_OK);
    assert_int_equal(seer_manifest_file(temporary.text, 2, 4, &two), SEER_OK);
    assert_int_equal(seer_manifest_file(temporary.text, 3, 4, &one), SEER_OK);
    for (int rank = 0; rank < 4; rank++) {
      bool missing = fault == 1 && rank == 2, twice = fault == 0 && rank == 3;
      other.tensors[0].kind = missing ? SEER_ACCUMULATOR : SEER_PARAMETER;
      state_make(&world, twice ? 2 : rank, state);
      if (twice) assert_int_equal(rename(two.text, one.text), 0);
      assert_int_equal(seer_snapshot_write(&other.program, &snapshot, run, twice ? 2 : rank, (unsigned char *)state,
                                           NULL, &files[rank]),
                       SEER_OK);
    }
    assert_int_equal(seer_snapshot_commit(&world.program, &snapshot, run, files, 100), SEER_OK);
    refused(&world, 41 + fault, true, reasons[fault]);
  }
}

static void other_models_are_refused(void **context) {
  (void)context;
  static World world;
  world_make(&world, 3);
  world.tensors[0].size[0] = 15;
  refused(&world, 3, false, "'a.weight' is [16, 27] there and [15, 27] in this trainer");
  world_make(&world, 3);
  world.program.tensor_count--;
  refused(&world, 3, false, "it has 'queue.short', this trainer has not");
  world_make(&world, 3);
  world.tensors[0].name = "z";
  refused(&world, 3, false, "it lacks 'z'");
  world_make(&world, 3);
  world.program.model_hash++;
  refused(&world, 3, false, "its tensors have other roles");
}

static void what_is_not_finite_is_refused(void **context) {
  (void)context;
  static World world;
  static float state[STATE_FLOATS];
  world_make(&world, 2);
  SeerSnapshot snapshot = snapshot_of(&world, 60);
  SeerSnapshotFile file;
  for (int i = 0; i < world.program.tensor_count; i++) {
    const SeerTensor *tensor = &world.tensors[i];
    int refusals = 0;
    for (int rank = 0; rank < 2; rank++) {
      assert_int_equal(seer_snapshot_prepare(&world.program, &snapshot, run), SEER_OK);
      state_make(&world, rank, state);
      seer_tensor_values(tensor, (unsigned char *)state)[0] = NAN;
      SeerStatus status =
          seer_snapshot_write(&world.program, &snapshot, run, rank, (unsigned char *)state, NULL, &file);
      refusals += status == SEER_INPUT && strstr(seer_error(), tensor->name) && strstr(seer_error(), "not finite");
      seer_error_clear();
    }
    SeerPiece none = {0};
    int keepers = tensor->kind == SEER_ACCUMULATOR ? 0 : tensor->shards > 1 ? 2 : 1;
    if (keepers == 2 && !seer_part_next(tensor, 1, &none)) keepers = 1;
    assert_int_equal(refusals, keepers);
  }
  seer_snapshot_abandon(&snapshot, run);
  SeerPath temporary;
  assert_int_equal(seer_path_print(&temporary, "%s/snapshots/.step-60.tmp", run), SEER_OK);
  assert_false(seer_path_exists(temporary.text));
}

static int folder_setup(void **context) {
  (void)context;
  pool = seer_pool_make(1);
  return mkdtemp(run) && pool ? 0 : -1;
}

static int folder_teardown(void **context) {
  (void)context;
  SeerPath snapshots;
  seer_pool_release(pool);
  return seer_path_print(&snapshots, "%s/snapshots", run) || seer_folder_remove(snapshots.text) || rmdir(run);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_world_reads_every_other), cmocka_unit_test(ranks_share_the_writing),
      cmocka_unit_test(a_rank_reads_what_it_keeps),    cmocka_unit_test(damage_names_rank_and_file),
      cmocka_unit_test(pieces_must_make_the_whole),    cmocka_unit_test(other_models_are_refused),
      cmocka_unit_test(what_is_not_finite_is_refused),
  };
  return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
