// Inside of program_make: the plan's steps as launches. Not for other rooms.
#ifndef SEER_CODEGEN_PROGRAM_LAUNCHES_H
#define SEER_CODEGEN_PROGRAM_LAUNCHES_H

#include "codegen/program.h"

// Appends the launches of every step, addresses resolved, with what starts and finishes the traffic between ranks.
void program_add_launches(Program *program, const Lowering *lowering);
// Gives an operand of a launch its space and offset.
void program_resolve_operand(const Program *program, const ProgramLaunch *launch, KernelOperand *operand);

#endif
