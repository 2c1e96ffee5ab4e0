// Collects the facts of a start; see handshake.h.
#include "runtime/handshake.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <xxhash.h>

#include "runtime/comm/facts.h"
#include "runtime/worlds.h"

enum { FACTS_MAX = 64, BLOCK_BYTES = 1 << 16 };

typedef struct FactList {
  SeerFact items[FACTS_MAX];
  int count;
} FactList;

static void fact_add(FactList *list, const char *what, const char *value) {
  if (list->count < FACTS_MAX) seer_fact_set(&list->items[list->count++], what, value);
}

static void hash_add(FactList *list, const char *what, uint64_t hash) {
  char text[24];
  snprintf(text, sizeof text, "%016" PRIx64, hash);
  fact_add(list, what, text);
}

static uint64_t pieces_hash(SeerPieces pieces) {
  uint64_t hash = 0;
  for (; pieces && *pieces; pieces++) hash = XXH3_64bits_withSeed(*pieces, strlen(*pieces), hash);
  return hash;
}

// Of the running program's file: builds that differ compute other bits.
static SeerStatus file_hash(uint64_t *hash) {
  FILE *file = fopen("/proc/self/exe", "rbe");
  if (!file) return seer_fail(SEER_MACHINE, "cannot read the trainer's own file: %s", strerror(errno));
  static unsigned char block[BLOCK_BYTES];
  *hash = 0;
  for (size_t got; (got = fread(block, 1, sizeof block, file)) > 0;) *hash = XXH3_64bits_withSeed(block, got, *hash);
  bool failed = ferror(file) != 0;
  fclose(file);
  return failed ? seer_fail(SEER_MACHINE, "cannot read the trainer's own file: %s", strerror(errno)) : SEER_OK;
}

static bool may_differ(const char *option) {
  static const char *const names[] = {"threads", "decode-threads", "quiet", "no-report"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    if (strcmp(option, names[i]) == 0) return true;
  }
  return false;
}

static void options_add(FactList *list, const SeerOptions *options) {
  static char value[1 << 16];
  const char *name;
  for (int at = 0; (name = seer_options_next(options, &at, value, sizeof value)) != NULL;) {
    char what[SEER_FACT_NAME_BYTES];
    snprintf(what, sizeof what, "--%s", name);
    if (!may_differ(name)) fact_add(list, what, value);
  }
}

SeerStatus seer_handshake(SeerComm *comm, const SeerProgram *program, const SeerOptions *options) {
  if (!comm) return SEER_OK;
  static FactList list;
  const SeerProgram *declared = seer_world_declared();
  uint64_t file = 0;
  SeerStatus status = seer_comm_agree(comm, file_hash(&file));
  if (status) return status;
  list.count = 0;
  // The version first: another one may have other facts.
  fact_add(&list, "the version of seerc", declared->seer_version);
  fact_add(&list, "the trainer's name", declared->name);
  hash_add(&list, "the spec (its hash)", pieces_hash(declared->spec_text));
  hash_add(&list, "the plan (its hash)", program ? pieces_hash(program->plan_json) : 0);
  hash_add(&list, "the trainer's file (its hash)", file);
  options_add(&list, options);
  return seer_facts_compare(comm, list.items, list.count,
                            "start the same trainer with the same options on every rank");
}
