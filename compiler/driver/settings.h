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

// Bytes of the copy that one rank's share of a snapshot is written from; 0: it is written without one.
uint64_t snapshot_bytes_from_spec(Arena *arena, const Spec *spec, const Graph *train, const PlanShards *shards);

// Reads specs/machines/NAME.seer where the spec's cluster.machine names one, then lets the spec's own cluster keys
// override. `library` is the folder of shipped specs. False when the machine is unknown (a diagnostic says so).
bool machine_from_spec(Arena *arena, SourceMap *sources, DiagList *diags, const Spec *spec, const char *library,
                       PlanMachine *machine);
// The same machine under another number of ranks: nodes and ranks_per_node from the spec.
void machine_set_ranks(const Spec *spec, PlanMachine *machine);

#endif
