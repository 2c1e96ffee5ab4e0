// Gathers facts and looks for the odd rank; see facts.h.
#include "runtime/comm/facts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

void seer_fact_set(SeerFact *fact, const char *what, const char *value) {
  size_t length = strlen(value);
  enum { KEPT = SEER_FACT_BYTES - 24 };
  *fact = (SeerFact){.what = ""};
  snprintf(fact->what, sizeof fact->what, "%s", what);
  if (length < SEER_FACT_BYTES)
    memcpy(fact->value, value, length);
  else
    snprintf(fact->value, sizeof fact->value, "%.*s... %016" PRIx64, KEPT, value, XXH3_64bits(value, length));
}

// How many ranks have the same value as `rank`.
static int alike_count(const char *all, int ranks, int rank) {
  int alike = 0;
  for (int i = 0; i < ranks; i++)
    alike += memcmp(all + (size_t)i * SEER_FACT_BYTES, all + (size_t)rank * SEER_FACT_BYTES, SEER_FACT_BYTES) == 0;
  return alike;
}

// The first rank with the value that most have.
static int common_find(const char *all, int ranks) {
  int common = 0, most = 0;
  for (int i = 0; i < ranks; i++) {
    int alike = alike_count(all, ranks, i);
    if (alike <= most) continue;
    most = alike;
    common = i;
  }
  return common;
}

static SeerStatus odd_report(const SeerFact *fact, const char *all, int ranks, const char *note) {
  int common = common_find(all, ranks), odd = 0, alike = alike_count(all, ranks, common);
  const char *usual = all + (size_t)common * SEER_FACT_BYTES;
  while (memcmp(all + (size_t)odd * SEER_FACT_BYTES, usual, SEER_FACT_BYTES) == 0) odd++;
  char others[64];
  if (2 * alike > ranks && ranks > 2)
    snprintf(others, sizeof others, "%d of the %d ranks have", alike, ranks);
  else
    snprintf(others, sizeof others, "rank %d has", common);
  return seer_fail(SEER_INPUT, "ranks differ in %s: rank %d has '%.*s', %s '%.*s'\nnote: %s", fact->what, odd,
                   SEER_FACT_BYTES, all + (size_t)odd * SEER_FACT_BYTES, others, SEER_FACT_BYTES, usual, note);
}

SeerStatus seer_facts_compare(SeerComm *comm, const SeerFact *facts, int count, const char *note) {
  if (!comm) return SEER_OK;
  int ranks = seer_comm_size(comm);
  char *all = malloc((size_t)ranks * SEER_FACT_BYTES);
  if (!all) return seer_fail(SEER_MACHINE, "out of memory");
  SeerStatus status = SEER_OK;
  for (int i = 0; i < count && !status; i++) {
    status = seer_comm_all_gather(comm, facts[i].value, SEER_FACT_BYTES, all);
    if (status || alike_count(all, ranks, 0) == ranks) continue;
    status = odd_report(&facts[i], all, ranks, note);
    if (seer_comm_rank(comm) > 0) seer_error_clear();
  }
  free(all);
  return status;
}
