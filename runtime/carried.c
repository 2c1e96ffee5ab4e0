// Starts the carried trainer from a file that is in memory alone; see carried.h.
#include "runtime/carried.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "runtime/files.h"

SeerStatus seer_carried_start(const SeerProgram *program, char **arguments) {
  if (!program->carried)
    return seer_fail(SEER_INPUT,
                     "this trainer is for GPUs alone\nnote: `seerc build --target=cuda:sm_90a,c` and the like carry a "
                     "trainer for the processor");
  int file = memfd_create(program->name, MFD_CLOEXEC);
  uint64_t bytes = (uint64_t)(program->carried_end - program->carried);
  if (file >= 0 && seer_fd_write(file, "the carried trainer's memory", program->carried, bytes) == SEER_OK)
    fexecve(file, arguments, environ);
  int failure = errno;
  if (file >= 0) close(file);
  return seer_fail(SEER_MACHINE, "cannot start the carried trainer from memory: %s", strerror(failure));
}

SeerStatus seer_carried_offer(const SeerProgram *program, SeerStatus status) {
  return program->carried && status == SEER_MACHINE
             ? seer_note(status, "this trainer carries one for the processor: start it with --processor")
             : status;
}
