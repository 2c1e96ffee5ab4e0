// seerc plan --chain FILE.json. Returns an exit code; an infeasible budget is EXIT_INPUT, with the smallest that is not in
// the printed object.
#ifndef SEER_DRIVER_PLAN_CHAIN_H
#define SEER_DRIVER_PLAN_CHAIN_H

#include "compiler/driver/driver.h"

int plan_chain(Invocation *invocation);

#endif
