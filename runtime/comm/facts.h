// What all ranks of a run must have in common, and who is the odd one when they do not.
#ifndef SEER_RUNTIME_FACTS_H
#define SEER_RUNTIME_FACTS_H

#include "runtime/comm/comm.h"

enum { SEER_FACT_BYTES = 96, SEER_FACT_NAME_BYTES = 40 };

typedef struct SeerFact {
  char what[SEER_FACT_NAME_BYTES];  // "--seed", "the number of pictures"
  char value[SEER_FACT_BYTES];
} SeerFact;

// Texts that do not fit are cut, and end in a hash of the whole.
void seer_fact_set(SeerFact *fact, const char *what, const char *value);
// Compares the facts in order and stops at the first that differs, so that a first one can vouch for the rest of the
// list. Then every rank returns SEER_INPUT, and rank 0 has the message: the rank that is not like the majority, and
// both values. Collective; alone, all is well.
SeerStatus seer_facts_compare(SeerComm *comm, const SeerFact *facts, int count, const char *note);

#endif
