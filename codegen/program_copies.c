// A check of the program, apart from the plan's: replays the launches and demands that a copy to the host or back has
// its two ends to itself until it is finished. Launches tell where they begin to read and write, not how far: what lies
// between is plan_verify's.
#include <string.h>

#include "codegen/program_launches.h"

typedef struct Copy {
  bool fetches;
  uint64_t arena, host, bytes;
} Copy;

typedef struct Copies {
  Copy *items;
  size_t count, capacity;
} Copies;

typedef struct Replay {
  const Program *program;
  Arena *arena;
  Copies flying, landed;  // landed: on the host
} Replay;

static bool overlap(uint64_t a, uint64_t a_bytes, uint64_t b, uint64_t b_bytes) {
  return a < b + b_bytes && b < a + a_bytes;
}

static void forget_overwritten(Copies *copies, const Copy *copy) {
  size_t kept = 0;
  for (size_t i = 0; i < copies->count; i++) {
    const Copy *old = &copies->items[i];
    if (!overlap(old->host, old->bytes, copy->host, copy->bytes)) copies->items[kept++] = *old;
  }
  copies->count = kept;
}

static bool is_on_host(const Replay *replay, const Copy *copy) {
  for (size_t i = 0; i < replay->landed.count; i++) {
    const Copy *there = &replay->landed.items[i];
    if (there->host == copy->host && there->bytes == copy->bytes) return true;
  }
  return false;
}

static const char *start(Replay *replay, size_t index, bool fetches) {
  const ProgramLaunch *launch = &replay->program->launches.items[index];
  Copy copy = {.fetches = fetches,
               .arena = launch->operands[0].offset,
               .host = (uint64_t)launch->constants[0].integer,
               .bytes = (uint64_t)launch->constants[1].integer};
  if (copy.host + copy.bytes > replay->program->plan->host_bytes ||
      copy.arena + copy.bytes > replay->program->plan->arena_bytes)
    return arena_printf(replay->arena, "launch %zu copies beyond the arena or the host's memory", index);
  for (size_t i = 0; i < replay->flying.count; i++) {
    const Copy *other = &replay->flying.items[i];
    if (overlap(copy.arena, copy.bytes, other->arena, other->bytes) ||
        overlap(copy.host, copy.bytes, other->host, other->bytes))
      return arena_printf(replay->arena, "launch %zu copies where another copy is not finished", index);
  }
  if (fetches && !is_on_host(replay, &copy))
    return arena_printf(replay->arena, "launch %zu fetches what has not landed on the host", index);
  if (!fetches) forget_overwritten(&replay->landed, &copy);
  arena_push(replay->arena, &replay->flying, Copy, copy);
  return NULL;
}

static const char *finish(Replay *replay, size_t index, bool fetches) {
  size_t kept = 0, count = replay->flying.count;
  for (size_t i = 0; i < count; i++) {
    Copy copy = replay->flying.items[i];
    if (copy.fetches != fetches) {
      replay->flying.items[kept++] = copy;
    } else if (!fetches) {
      arena_push(replay->arena, &replay->landed, Copy, copy);
    }
  }
  replay->flying.count = kept;
  return kept < count ? NULL : arena_printf(replay->arena, "launch %zu finishes a copy that was not started", index);
}

// What comes may not be touched, what goes only read.
static const char *check_operands(const Replay *replay, size_t index) {
  const ProgramLaunch *launch = &replay->program->launches.items[index];
  const KernelInfo *info = kernel_info(launch->kernel);
  for (int p = 0; p < info->pointer_count; p++) {
    const KernelOperand *operand = &launch->operands[p];
    bool reads = strncmp(info->pointer_types[p], "const ", strlen("const ")) == 0;
    for (size_t i = 0; operand->space == SPACE_ARENA && i < replay->flying.count; i++) {
      const Copy *copy = &replay->flying.items[i];
      if ((copy->fetches || !reads) && overlap(operand->offset, 1, copy->arena, copy->bytes))
        return arena_printf(replay->arena, "launch %zu: argument '%s' of %s is on its way %s the host", index,
                            info->pointers[p], info->name, copy->fetches ? "from" : "to");
    }
  }
  return NULL;
}

const char *program_verify_copies(const Program *program, Arena *arena) {
  Replay replay = {.program = program, .arena = arena};
  const char *error = NULL;
  for (size_t i = 0; !error && i < program->launches.count; i++) {
    const ProgramLaunch *launch = &program->launches.items[i];
    if (replay.flying.count && launch->step >= program->plan->update_begin) return "an entry ends before its copies";
    switch (launch->kernel) {
      case KERNEL_offload_start: error = start(&replay, i, false); break;
      case KERNEL_fetch_start: error = start(&replay, i, true); break;
      case KERNEL_offload_finish: error = finish(&replay, i, false); break;
      case KERNEL_fetch_finish: error = finish(&replay, i, true); break;
      default: error = check_operands(&replay, i);
    }
  }
  return error || !replay.flying.count ? error : "an entry ends before its copies";
}
