// Tries which blocks travel in pieces; see alternatives.h.
#include "compiler/plan/alternatives.h"

#include <stdlib.h>

struct PlanAlternatives {
  Arena *arena;
  PlanTask task;
  PlanProblem **problems;
  int made;         // problems so far
  uint64_t *sizes;  // of units of residual blocks, largest first, each once
  int size_count;
};

static uint64_t unit_bytes(const PlanUnit *unit) { return unit->parameter_bytes + unit->gradient_bytes; }

static int by_falling_size(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return x < y ? 1 : x > y ? -1 : 0;
}

// What follows the trunk stays in one piece: its ops wait for the loss of all pictures.
static void list_sizes(PlanAlternatives *alternatives, const PlanUnits *units) {
  alternatives->sizes = arena_array(alternatives->arena, uint64_t, units->count);
  for (int b = 0; b + 1 < units->count; b++) alternatives->sizes[b] = unit_bytes(&units->items[b]);
  qsort(alternatives->sizes, (size_t)units->count - 1, sizeof *alternatives->sizes, by_falling_size);
  int count = 0;
  for (int b = 0; b + 1 < units->count; b++) {
    if (alternatives->sizes[b] && (!count || alternatives->sizes[b] != alternatives->sizes[count - 1]))
      alternatives->sizes[count++] = alternatives->sizes[b];
  }
  alternatives->size_count = count;
}

PlanAlternatives *plan_alternatives_make(Arena *arena, const PlanTask *task, bool whole_blocks) {
  PlanAlternatives *alternatives = arena_new(arena, PlanAlternatives);
  *alternatives = (PlanAlternatives){.arena = arena, .task = *task, .made = 1};
  PlanProblem *whole = plan_problem_make(arena, task, task->follows ? task->follows->in_pieces : NULL);
  if (!whole_blocks && !task->follows) list_sizes(alternatives, whole->units);
  alternatives->problems = arena_array(arena, PlanProblem *, alternatives->size_count + 1);
  alternatives->problems[0] = whole;
  return alternatives;
}

PlanProblem *plan_alternatives_whole(PlanAlternatives *alternatives) { return alternatives->problems[0]; }

// Alternative `index`; NULL where nothing is left to be cut, or it would be longer than a chain can be.
static PlanProblem *alternative(PlanAlternatives *alternatives, int index) {
  if (index < alternatives->made) return alternatives->problems[index];
  if (index > alternatives->size_count) return NULL;
  const PlanUnits *units = alternatives->problems[0]->units;
  bool *in_pieces = arena_array(alternatives->arena, bool, units->count);
  for (int b = 0; b + 1 < units->count; b++)
    in_pieces[b] = unit_bytes(&units->items[b]) >= alternatives->sizes[index - 1];
  PlanProblem *problem = plan_problem_make(alternatives->arena, &alternatives->task, in_pieces);
  if (!problem) return NULL;
  alternatives->problems[alternatives->made++] = problem;
  return problem;
}

PlanProblem *plan_alternatives_smallest(PlanAlternatives *alternatives) {
  PlanProblem *best = alternatives->problems[0], *next;
  for (int i = 1; (next = alternative(alternatives, i)); i++) {
    if (plan_problem_least(next) >= plan_problem_least(best)) break;
    best = next;
  }
  return best;
}

typedef struct Candidate {
  PlanProblem *problem;
  bool fits;
  int64_t cost_ns;
} Candidate;

static Candidate candidate_of(PlanProblem *problem, const PlanPolicy *policy, uint64_t arena_bytes) {
  Candidate candidate = {.problem = problem};
  PlanAnswer answer = {0};
  if (plan_problem_least(problem) <= arena_bytes) answer = plan_problem_solve(problem, policy, arena_bytes);
  candidate.fits = answer.fits;
  candidate.cost_ns = answer.solution.cost_ns;
  return candidate;
}

static bool is_better(const Candidate *a, const Candidate *b) {
  if (a->fits != b->fits) return a->fits;
  return a->fits ? a->cost_ns < b->cost_ns : plan_problem_least(a->problem) < plan_problem_least(b->problem);
}

// Is it dearer than what is at hand, without a search?
static bool is_dearer(const PlanProblem *problem, const Candidate *best, uint64_t arena_bytes) {
  return best->fits && plan_problem_least(problem) <= arena_bytes && arena_bytes < (uint64_t)CHAIN_MAX_BYTES &&
         chain_floor_ns(problem->solver, (int64_t)arena_bytes) > best->cost_ns;
}

// The first cut is looked at before the whole: large networks take long to be solved whole, and are dearer then.
static PlanProblem *cheapest(PlanAlternatives *alternatives, const PlanPolicy *policy, uint64_t arena_bytes) {
  PlanProblem *whole = alternatives->problems[0], *next = alternative(alternatives, 1);
  if (!next) return whole;
  Candidate best = candidate_of(next, policy, arena_bytes);
  if (!is_dearer(whole, &best, arena_bytes)) {
    Candidate candidate = candidate_of(whole, policy, arena_bytes);
    if (!is_better(&best, &candidate)) return whole;
  }
  for (int i = 2; (next = alternative(alternatives, i)); i++) {
    if (is_dearer(next, &best, arena_bytes)) break;
    Candidate candidate = candidate_of(next, policy, arena_bytes);
    if (!is_better(&candidate, &best)) break;
    best = candidate;
  }
  return best.problem;
}

// Where gaps keep the cheapest from fitting, the smallest is taken.
static PlanAnswer fit_best(PlanAlternatives *alternatives, const PlanPolicy *policy, uint64_t arena_bytes,
                           PlanProblem **problem) {
  PlanProblem *smallest = plan_alternatives_smallest(alternatives);
  *problem = smallest;
  if (arena_bytes < plan_problem_minimum(smallest)) return (PlanAnswer){0};
  PlanProblem *best = cheapest(alternatives, policy, arena_bytes);
  PlanAnswer answer = plan_problem_fit(best, policy, arena_bytes, true);
  if (!answer.fits) return plan_problem_fit(smallest, policy, arena_bytes, true);
  *problem = best;
  return answer;
}

PlanAnswer plan_alternatives_fit(PlanAlternatives *alternatives, const PlanPolicy *policy, uint64_t arena_bytes,
                                 PlanProblem **problem) {
  enum { RANDOM_ALTERNATIVES = 3 };
  if (policy->placement == PLACEMENT_OPTIMAL) return fit_best(alternatives, policy, arena_bytes, problem);
  *problem = alternatives->problems[0];
  for (int i = 1; policy->placement == PLACEMENT_RANDOM && i <= (int)(policy->seed % RANDOM_ALTERNATIVES); i++) {
    PlanProblem *next = alternative(alternatives, i);
    if (next) *problem = next;
  }
  return plan_problem_fit(*problem, policy, arena_bytes, true);
}
