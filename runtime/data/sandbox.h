// Takes from one thread every system call but those that memory, locks and its own end need: what bytes of strangers
// make of a decoder's fault can then neither open a file nor a connection, nor start a program. Linux, seccomp.
#ifndef SEER_RUNTIME_DATA_SANDBOX_H
#define SEER_RUNTIME_DATA_SANDBOX_H

#include "runtime/status.h"

// For the calling thread, until it ends. A call that is not left to it ends the program: "NAME: error: ..." with the
// call and `what(context)` goes to standard error, the exit code is SEER_INPUT. `what` is then called wherever the
// thread was, so it may not take memory or locks. SEER_MACHINE: this kernel or processor cannot do that.
SeerStatus seer_sandbox_enter(const char *(*what)(const void *context), const void *context);

#endif
