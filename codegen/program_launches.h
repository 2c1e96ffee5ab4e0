// Inside of program.c: the plan's steps as launches, and a check of what travels beside them. Not for other rooms.
#ifndef SEER_CODEGEN_PROGRAM_LAUNCHES_H
#define SEER_CODEGEN_PROGRAM_LAUNCHES_H

#include "codegen/program.h"

// Appends the launches of every step, addresses resolved, with what starts and finishes the traffic between ranks.
void program_add_launches(Program *program, const Lowering *lowering);
// Gives an operand of a launch its space and offset.
void program_resolve_operand(const Program *program, const ProgramLaunch *launch, KernelOperand *operand);
// NULL, or what is wrong with the copies to the host and back: both ends of one that is started and not finished belong
// to it alone, only what has landed on the host comes back, and all are finished when the entry ends.
const char *program_verify_copies(const Program *program, Arena *arena);

#endif
