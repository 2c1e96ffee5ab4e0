// The slowest rank; see laggard.h.
#include "runtime/laggard.h"

static const double lasting_seconds = 30, again_seconds = 600, worth_telling = 0.1;

bool seer_laggard_look(SeerLaggard *laggard, const SeerStepRecord *record, double now_seconds) {
  if (record->slowest_rank < 0) return false;
  if (laggard->since <= 0 || record->slowest_rank != laggard->rank) {
    *laggard = (SeerLaggard){record->slowest_rank, now_seconds, laggard->told, record->rank_wait};
    return false;
  }
  laggard->wait = 0.9 * laggard->wait + 0.1 * record->rank_wait;
  bool told_lately = laggard->told > 0 && now_seconds - laggard->told < again_seconds;
  if (told_lately || now_seconds - laggard->since < lasting_seconds || laggard->wait < worth_telling) return false;
  laggard->told = now_seconds;
  return true;
}
