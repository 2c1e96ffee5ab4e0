// The command `plan`: the plan that this trainer was built from, as seerc printed it, as a page, or in a few lines read
// from it.
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/commands.h"
#include "runtime/engine.h"
#include "runtime/plan_page.h"
#include "runtime/worlds.h"

static const json_t *member(const json_t *object, const char *key) { return json_object_get(object, key); }

static double number(const json_t *object, const char *key) { return json_number_value(member(object, key)); }

static void bytes_print(const char *name, double bytes, const char *rest) {
  static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  int unit = 0;
  for (; unit < 4 && bytes >= 1024; unit++) bytes /= 1024;
  printf("  %-24s %12.*f %s%s\n", name, unit ? 1 : 0, bytes, units[unit], rest);
}

static void seconds_print(const char *name, double seconds) {
  bool small = seconds < 1;
  printf("  %-24s %12.3f %s\n", name, small ? seconds * 1e3 : seconds, small ? "ms" : "s");
}

static void model_print(const SeerProgram *program, const json_t *model) {
  double trunk = number(model, "parameters_trunk"), total = number(model, "parameters_total");
  if (total > 0) printf("  %-24s %12.0f (trunk %.0f)\n", "parameters", total, trunk);
  printf("  %-24s %12d pictures in %d micro-step%s\n", "batch", program->batch, program->accumulate,
         program->accumulate > 1 ? "s" : "");
}

static void step_print(const json_t *step) {
  static const struct {
    const char *key, *name;
  } parts[] = {{"compute_seconds", "  compute"},
               {"recompute_seconds", "  computed again"},
               {"update_seconds", "  update"},
               {"exposed_communication_seconds", "  waiting for the network"}};
  double flops = number(step, "flops"), seconds = number(step, "time_seconds");
  if (flops > 0)
    printf("  %-24s %12.2f GFLOP, %.1f %% of them again\n", "work per step", flops / 1e9,
           100 * number(step, "recompute_flops") / flops);
  if (seconds <= 0) return;
  seconds_print("estimated step", seconds);
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
    double part = number(step, parts[i].key);
    if (part > 0) seconds_print(parts[i].name, part);
  }
}

static void memory_print(const SeerProgram *program, const json_t *memory) {
  bytes_print("state", (double)program->state_bytes, "");
  char each[64] = "";
  int slices = seer_rank_slices(program);
  if (slices > 1)
    snprintf(each, sizeof each, ", %d slices of %.1f MiB", slices, (double)program->slice_bytes / 1048576);
  bytes_print("arena", (double)program->arena_bytes, each);
  bytes_print("pictures decoded ahead", (double)program->ring_bytes, "");
  if (program->snapshot_bytes) bytes_print("snapshot being written", (double)program->snapshot_bytes, "");
  bytes_print("peak: all of these", (double)seer_program_bytes(program), "");
  if (program->host_bytes) bytes_print("offloaded, on the host", (double)program->host_bytes, "");
  const char *kind;
  json_t *bytes;
  json_object_foreach((json_t *)(uintptr_t)member(memory, "by_kind"), kind, bytes) {
    char name[64];
    snprintf(name, sizeof name, "  of it %s", kind);
    if (json_number_value(bytes) > 0) bytes_print(name, json_number_value(bytes), "");
  }
  size_t index;
  json_t *item;
  double outside = 0;
  json_array_foreach(member(memory, "outside"), index, item) outside += number(item, "bytes");
  if (outside > 0) bytes_print("besides it, at most", outside, "");
  double least = number(memory, "minimum_budget_bytes");
  const char *set_by = json_string_value(member(memory, "minimum_set_by"));
  char rest[96];
  snprintf(rest, sizeof rest, ", set by '%.64s'", set_by ? set_by : "");
  if (least > 0) bytes_print("smallest budget", least, rest);
}

static bool is_alike(const json_t *a, const json_t *b) {
  static const char *const keys[] = {"stage", "mode", "recomputed", "residency", "offload"};
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
    if (!json_equal(member(a, keys[i]), member(b, keys[i]))) return false;
  }
  return true;
}

static const char *name_of(const json_t *block) {
  const char *name = json_string_value(member(block, "name"));
  return name ? name : "";
}

// Neighbours of a stage that are treated alike share a line.
static void blocks_print(const json_t *checkpoint) {
  const json_t *blocks = member(checkpoint, "blocks");
  size_t count = json_array_size(blocks);
  if (count) printf("  %-24s what the forward keeps for the backward\n", "blocks");
  for (size_t i = 0, end; i < count; i = end) {
    const json_t *block = json_array_get(blocks, i);
    for (end = i + 1; end < count && is_alike(block, json_array_get(blocks, end)); end++) continue;
    const char *mode = json_string_value(member(block, "mode"));
    char name[128];
    snprintf(name, sizeof name, end > i + 1 ? "  %.56s to %.56s" : "  %.56s", name_of(block),
             name_of(json_array_get(blocks, end - 1)));
    printf("  %-24s %s", name, mode ? mode : "");
    int again = (int)number(block, "recomputed");
    if (again > 0) printf(", forward again %d time%s", again, again > 1 ? "s" : "");
    printf("\n");
  }
  const char *proof = json_string_value(member(checkpoint, "proof"));
  if (proof) printf("  %s\n", proof);
}

static SeerStatus plan_summary(const SeerProgram *program) {
  char *text = seer_pieces_join(program->plan_json);
  if (!text) return seer_fail(SEER_MACHINE, "no memory for the plan");
  json_error_t error;
  json_t *plan = json_loads(text, 0, &error);
  free(text);
  if (!plan) return seer_fail(SEER_BUG, "the plan in this trainer is no JSON: %s", error.text);
  printf("%s\n", program->name);
  model_print(program, member(plan, "model"));
  step_print(member(plan, "step"));
  memory_print(program, member(plan, "memory"));
  blocks_print(member(plan, "checkpoint"));
  json_decref(plan);
  return SEER_OK;
}

SeerStatus seer_command_plan(const SeerProgram *program, const SeerOptions *options) {
  if (options->json && options->html)
    return seer_fail(SEER_USAGE, "'--json' and '--html' are two answers\nnote: give one of them");
  if (options->world > 0) {
    int ranks = options->world < INT_MAX ? (int)options->world : INT_MAX;
    program = seer_world_find(ranks);
    if (!program) return seer_world_missing(ranks);
  }
  if (options->json) {
    seer_pieces_print(stdout, program->plan_json);
    return SEER_OK;
  }
  if (!options->html) return plan_summary(program);
  if (!program->plan_page || !seer_plan_page_print(stdout, program->plan_page, program->plan_json))
    return seer_fail(SEER_BUG, "this trainer carries no page to put its plan into");
  return SEER_OK;
}
