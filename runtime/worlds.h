// The programs of one trainer, one for each number of ranks: which one a start needs, and what to say where none fits.
#ifndef SEER_RUNTIME_WORLDS_H
#define SEER_RUNTIME_WORLDS_H

#include "runtime/program.h"
#include "runtime/status.h"

// The one that speaks for the trainer where the number of ranks does not matter: name, version, tensors.
const SeerProgram *seer_world_declared(void);
// The one of one rank: features, neighbours, pages.
const SeerProgram *seer_world_evaluation(void);
// NULL: there is none that trains on so many ranks.
const SeerProgram *seer_world_find(int ranks);
// Records why there is none, with those there are and the command that would add it. SEER_INPUT.
SeerStatus seer_world_missing(int ranks);

#endif
