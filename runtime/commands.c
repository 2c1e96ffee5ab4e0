// The small commands: check, doctor.
#include "runtime/commands.h"

#include <jansson.h>
#include <jpeglib.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>
#include <webp/decode.h>
#include <xxhash.h>
#include <zlib.h>

#include "runtime/engine.h"
#include "runtime/init.h"
#include "runtime/rundir.h"
#include "runtime/snapshot.h"

typedef struct CheckCount {
  int sound, damaged, other;
} CheckCount;

static SeerStatus snapshot_check(const SeerProgram *program, const char *run, int64_t step, json_t *results,
                                 CheckCount *count) {
  SeerPath folder;
  SeerSnapshot snapshot;
  bool damaged = false;
  SeerStatus status = seer_snapshot_folder(run, step, &folder);
  if (status) return status;
  status = seer_snapshot_verify(program, folder.text, &snapshot, &damaged);
  const char *verdict = !status ? "sound" : damaged ? "damaged" : "of another model";
  *(!status ? &count->sound : damaged ? &count->damaged : &count->other) += 1;
  json_array_append_new(results, json_pack("{s:I, s:s, s:s*}", "step", (json_int_t)step, "verdict", verdict, "reason",
                                           status ? seer_error() : NULL));
  seer_error_clear();
  return SEER_OK;
}

SeerStatus seer_command_check(const SeerProgram *program, const SeerOptions *options) {
  const char *run = options->operand ? options->operand : options->out;
  if (!run) return seer_fail(SEER_USAGE, "which run folder?\nnote: %s check RUN", options->program);
  if (!seer_path_is_folder(run)) return seer_fail(SEER_INPUT, "there is no run folder '%s'", run);
  SeerSnapshotList list;
  SeerStatus status = seer_snapshot_list(run, &list);
  json_t *results = json_array();
  CheckCount count = {0};
  for (int i = 0; i < list.count && !status; i++) status = snapshot_check(program, run, list.steps[i], results, &count);
  size_t index;
  json_t *result;
  if (!status && options->json) {
    json_t *root = json_pack("{s:s, s:O}", "run", run, "snapshots", results);
    json_dumpf(root, stdout, JSON_INDENT(2));
    printf("\n");
    json_decref(root);
  } else if (!status) {
    json_array_foreach(results, index, result) {
      const char *reason = json_string_value(json_object_get(result, "reason"));
      printf("step %-10lld %s%s%s\n", (long long)json_integer_value(json_object_get(result, "step")),
             json_string_value(json_object_get(result, "verdict")), reason ? ": " : "", reason ? reason : "");
    }
  }
  json_decref(results);
  seer_snapshot_list_release(&list);
  if (status) return status;
  if (list.count == 0 && count.sound + count.damaged + count.other == 0)
    return seer_fail(SEER_INPUT, "'%s' holds no snapshot", run);
  if (count.damaged + count.other == 0) return SEER_OK;
  return seer_fail(SEER_INPUT, "%d of %d snapshots of '%s' cannot be used\nnote: --resume takes the newest sound one",
                   count.damaged + count.other, count.sound + count.damaged + count.other, run);
}

typedef struct DoctorFacts {
  const char *level, *missing;
  int cores, threads, decode_threads;
  uint64_t needed, available, snapshot, disk;
  char huge_pages[96];
} DoctorFacts;

static void doctor_look(const SeerProgram *program, const SeerOptions *options, DoctorFacts *facts) {
  *facts = (DoctorFacts){.level = seer_cpu_level(),
                         .cores = seer_cpu_count(),
                         .needed = seer_program_bytes(program),
                         .available = seer_memory_available()};
  seer_cpu_supports(program->cpu, &facts->missing);
  facts->threads = options->threads > 0 ? (int)options->threads : facts->cores;
  facts->decode_threads = options->decode_threads > 0 ? (int)options->decode_threads : program->decode_threads;
  for (int i = 0; i < program->tensor_count; i++) {
    if (seer_tensor_is_kept(&program->tensors[i])) facts->snapshot += seer_tensor_bytes(&program->tensors[i]);
  }
  facts->disk = seer_folder_free_bytes(options->out && seer_path_is_folder(options->out) ? options->out : ".");
  FILE *file = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "re");
  if (!file || !fgets(facts->huge_pages, sizeof facts->huge_pages, file))
    snprintf(facts->huge_pages, sizeof facts->huge_pages, "unknown");
  if (file) fclose(file);
  facts->huge_pages[strcspn(facts->huge_pages, "\n")] = '\0';
}

static uint64_t disk_needed(const SeerProgram *program, const DoctorFacts *facts) {
  return facts->snapshot * (uint64_t)(program->save_keep + 1);
}

static void doctor_print(const SeerProgram *program, const DoctorFacts *facts) {
  unsigned webp = (unsigned)WebPGetDecoderVersion();
  printf("%s, built by seerc %s\n", program->name, program->seer_version);
  printf("  %-14s needs %s, this machine is %s%s%s\n", "processor", program->cpu, facts->level,
         facts->missing ? ": lacks " : "", facts->missing ? facts->missing : "");
  printf("  %-14s %d for the step, %d cores\n", "threads", facts->threads, facts->cores);
  printf("  %-14s needs %.1f MiB, %.1f MiB available\n", "memory", (double)facts->needed / 1048576,
         (double)facts->available / 1048576);
  printf("  %-14s %s\n", "huge pages", facts->huge_pages);
  printf("  %-14s %.1f MiB a snapshot, %.1f MiB for a run, %.1f MiB free\n", "disk", (double)facts->snapshot / 1048576,
         (double)disk_needed(program, facts) / 1048576, (double)facts->disk / 1048576);
  printf("  %-14s jpeg %d, png %s, webp %u.%u.%u, zlib %s, jansson %s, xxhash %u.%u.%u\n", "libraries",
         JPEG_LIB_VERSION, png_get_libpng_ver(NULL), webp >> 16, webp >> 8 & 255, webp & 255, zlibVersion(),
         jansson_version_str(), XXH_versionNumber() / 10000, XXH_versionNumber() / 100 % 100,
         XXH_versionNumber() % 100);
}

SeerStatus seer_command_doctor(const SeerProgram *program, const SeerOptions *options) {
  DoctorFacts facts;
  doctor_look(program, options, &facts);
  bool memory = facts.needed <= facts.available, disk = disk_needed(program, &facts) <= facts.disk;
  if (options->json) {
    json_t *root = json_pack("{s:s, s:s, s:b, s:i, s:i, s:I, s:I, s:I, s:I, s:b}", "cpu_needed", program->cpu, "cpu",
                             facts.level, "cpu_ok", facts.missing == NULL, "cores", facts.cores, "threads",
                             facts.threads, "memory_needed_bytes", (json_int_t)facts.needed, "memory_available_bytes",
                             (json_int_t)facts.available, "snapshot_bytes", (json_int_t)facts.snapshot,
                             "disk_free_bytes", (json_int_t)facts.disk, "ok", !facts.missing && memory && disk);
    json_dumpf(root, stdout, JSON_INDENT(2));
    printf("\n");
    json_decref(root);
  } else {
    doctor_print(program, &facts);
  }
  if (facts.missing)
    return seer_fail(SEER_MACHINE, "this processor lacks '%s'\nnote: rebuild with `seerc build --cpu %s`",
                     facts.missing, facts.level);
  if (!memory)
    return seer_fail(SEER_MACHINE, "not enough memory\nnote: stop other programs, or build with a smaller train.batch");
  if (!disk)
    return seer_fail(SEER_MACHINE, "not enough disk space\nnote: free some, or choose another folder with --out");
  if (!options->json) printf("this machine can run this trainer\n");
  return SEER_OK;
}
