// seerc plan --chain FILE: a bare chain of blocks as JSON, solved by the planner's own solver. Exit code 1 when the
// chain is wrong or nothing fits into its budget; the smallest budget is in the printed object.
#ifndef SEER_DRIVER_PLAN_CHAIN_H
#define SEER_DRIVER_PLAN_CHAIN_H

#include "compiler/driver/driver.h"

int plan_chain(Invocation *invocation);

#endif
