// The rates of a machine's description, cluster.rates; and how they are written.
#ifndef SEER_DRIVER_RATES_SPEC_H
#define SEER_DRIVER_RATES_SPEC_H

#include "compiler/plan/machine.h"
#include "lang/spec.h"

// Sets rates, at train.precision of `spec`, and cores of the machine from a description; the rest of the machine is
// there. A description without any changes nothing; one without rates of that precision takes those there are away.
void rates_from_spec(Arena *arena, const Spec *described, const Spec *spec, PlanMachine *machine);
// As the element of the list that it is read from.
void rate_print(RateKind kind, const char *precision, const Rate *rate, Writer *out);

#endif
