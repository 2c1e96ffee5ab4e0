// The variants of a sweep and their specs, before anything is built.
#ifndef SEER_DRIVER_SWEEP_LOAD_H
#define SEER_DRIVER_SWEEP_LOAD_H

#include "compiler/driver/sweep.h"

// Fills keys, columns and variants.
void sweep_take_variants(Sweep *sweep, const Variants *variants);
// Reads the spec of each. Errors that single variants have are for the table; those that all have are the spec's, and a
// value that no spec could have is refused: EXIT_INPUT after saying why.
int sweep_load_specs(Sweep *sweep);

#endif
