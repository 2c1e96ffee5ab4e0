// The command check: verifies every snapshot of a run folder.
#include "runtime/commands.h"

#include <jansson.h>
#include <string.h>

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
