// Finds the program for a number of ranks; see worlds.h.
#include "runtime/worlds.h"

#include <stdio.h>

enum { TEXT_BYTES = 256 };

const SeerProgram *seer_world_declared(void) { return seer_programs[0]; }

const SeerProgram *seer_world_evaluation(void) {
  for (int i = 0; i < seer_program_count; i++) {
    if (seer_programs[i]->ranks == 1) return seer_programs[i];
  }
  return seer_programs[0];
}

const SeerProgram *seer_world_find(int ranks) {
  for (int i = 0; i < seer_program_count; i++) {
    if (seer_programs[i]->ranks == ranks && seer_programs[i]->train) return seer_programs[i];
  }
  return NULL;
}

// The smallest number of ranks above `ranks` that trains; 0: none.
static int world_next(int ranks) {
  int next = 0;
  for (int i = 0; i < seer_program_count; i++) {
    const SeerProgram *program = seer_programs[i];
    if (program->train && program->ranks > ranks && (!next || program->ranks < next)) next = program->ranks;
  }
  return next;
}

// "1, 2 and 8 ranks", or, for a list of the spec, "1, 2, 8".
static void worlds_print(char *text, bool spoken) {
  size_t used = 0;
  text[0] = '\0';
  for (int ranks = world_next(0), next; ranks && used < TEXT_BYTES; ranks = next) {
    next = world_next(ranks);
    const char *comma = !next ? "" : spoken && !world_next(next) ? " and " : ", ";
    const char *end = next || !spoken ? "" : ranks == 1 ? " rank" : " ranks";
    used += (size_t)snprintf(text + used, TEXT_BYTES - used, "%d%s%s", ranks, comma, end);
  }
}

// The divisors of `whole` next to a number that is none; above is 0 where there is none.
static void divisors_find(int whole, int number, int *below, int *above) {
  *below = number < whole ? number : whole;
  while (whole % *below) --*below;
  *above = number;
  while (*above <= whole && whole % *above) ++*above;
  if (*above > whole) *above = 0;
}

static SeerStatus does_not_divide(const char *worlds, int shared, const char *what, int ranks) {
  int below, above;
  char nearest[64];
  divisors_find(shared, ranks, &below, &above);
  if (above)
    snprintf(nearest, sizeof nearest, "the nearest that do are %d and %d", below, above);
  else
    snprintf(nearest, sizeof nearest, "at most %d do", below);
  return seer_fail(SEER_INPUT,
                   "this trainer was built for %s, and %d were started\nnote: %d ranks cannot share the %d %s evenly: "
                   "%s",
                   worlds, ranks, ranks, shared, what, nearest);
}

SeerStatus seer_world_missing(int ranks) {
  const SeerProgram *declared = seer_world_declared(), *alone = seer_world_evaluation();
  char worlds[TEXT_BYTES], list[TEXT_BYTES];
  int pictures = declared->batch / declared->accumulate;
  worlds_print(worlds, true);
  worlds_print(list, false);
  if (declared->slices % ranks)
    return does_not_divide(worlds, declared->slices, "slices of a reproducible step", ranks);
  if (pictures % ranks) return does_not_divide(worlds, pictures, "pictures of a micro-step", ranks);
  if (ranks == 1 && alone->ranks == 1 && alone->minimum_bytes)
    return seer_fail(SEER_INPUT,
                     "this trainer was built for %s: training on one takes at least %.1f MiB, and the budget of a rank "
                     "is %.1f MiB\nnote: start as many with mpirun, or build it with `-D checkpoint.budget=%lluB`, a "
                     "smaller train.batch or a larger train.accumulate",
                     worlds, (double)alone->minimum_bytes / 1048576, (double)alone->budget_bytes / 1048576,
                     (unsigned long long)alone->minimum_bytes);
  return seer_fail(SEER_INPUT,
                   "this trainer was built for %s, and %d %s started\nnote: start one of these numbers with `mpirun "
                   "-n`, or build it for %d, too: `seerc build %s.seer -D 'cluster.worlds=[%s, %d]'`",
                   worlds, ranks, ranks == 1 ? "was" : "were", ranks, declared->name, list, ranks);
}
