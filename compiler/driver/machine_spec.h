// The described machine: specs/machines/NAME.seer, or a file of the user's, under the spec's own cluster keys.
#ifndef SEER_DRIVER_MACHINE_SPEC_H
#define SEER_DRIVER_MACHINE_SPEC_H

#include "compiler/simulate/simulate.h"
#include "lang/spec.h"

// Reads the file that the spec's cluster.machine names, then lets the spec's own cluster keys override. `library` is
// the folder of shipped specs. False after a diagnostic: there is no such machine, or its file lacks a number that the
// spec needs and does not give.
bool machine_from_spec(Arena *arena, SourceMap *sources, DiagList *diags, const Spec *spec, const char *library,
                       PlanMachine *machine, Cluster *cluster);
// The same machine under another number of ranks: nodes and ranks_per_node from the spec.
void machine_set_ranks(const Spec *spec, PlanMachine *machine);

// What the spec says of the run: its length, where that is known before it, snapshots, pictures.
void cluster_set_run(const Spec *spec, uint64_t snapshot_bytes, Cluster *cluster);

#endif
