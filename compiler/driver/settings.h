// From a checked spec to what the other rooms ask for: the trainer's settings, the report's model and machine.
#ifndef SEER_DRIVER_SETTINGS_H
#define SEER_DRIVER_SETTINGS_H

#include "compiler/plan/report.h"
#include "lang/spec.h"
#include "runtime/program.h"

// What gradients travel in between ranks.
SeerFormat reduce_format_from_spec(const Spec *spec);

// Everything of SeerProgram that a spec alone decides; tables, addresses and texts are left zero.
SeerProgram settings_from_spec(Arena *arena, const Spec *spec);

// Loads the tables of monitor.reference into `rule`, which is of settings_from_spec. False after a diagnostic.
bool references_from_spec(Arena *arena, DiagList *diags, const Spec *spec, SeerMonitorRule *rule);

// Bytes of one rank's share of a snapshot.
uint64_t snapshot_bytes_from_spec(Arena *arena, const Spec *spec, const Graph *train, const PlanShards *shards);

#endif
