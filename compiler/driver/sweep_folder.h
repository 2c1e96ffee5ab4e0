// A sweep's folder: made, locked, and held against what it was begun with.
#ifndef SEER_DRIVER_SWEEP_FOLDER_H
#define SEER_DRIVER_SWEEP_FOLDER_H

#include "compiler/driver/sweep.h"

// Makes and locks the folder, waiting for trainers that a killed sweep has left behind; then reads sweep.json, refuses
// that of another sweep, adds those of its variants that are not asked for now behind `variants`, and writes it anew.
// EXIT_DONE, or an exit code after saying why.
int sweep_folder_open(Sweep *sweep);
// Of a folder whose sweep is elsewhere or over: everything that sweep.json says. Takes no lock.
int sweep_folder_read(Sweep *sweep);
void sweep_folder_close(Sweep *sweep);
// Reads how far a variant is. Released by sweep_variant_forget.
void sweep_variant_look(const Sweep *sweep, SweepVariant *variant);
void sweep_variant_forget(SweepVariant *variant);

#endif
