// Starts the carried trainer from a file that is in memory alone; see carried.h.
#include "runtime/carried.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static bool write_all(int file, const unsigned char *bytes, size_t size) {
  while (size) {
    ssize_t written = write(file, bytes, size);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    bytes += written;
    size -= (size_t)written;
  }
  return true;
}

SeerStatus seer_carried_start(const SeerProgram *program, char **arguments) {
  if (!program->carried)
    return seer_fail(SEER_INPUT,
                     "this trainer is for GPUs alone\nnote: `seerc build --target=cuda:sm_90a,c` and the like carry a "
                     "trainer for the processor");
  int file = memfd_create(program->name, MFD_CLOEXEC);
  if (file >= 0 && write_all(file, program->carried, (size_t)(program->carried_end - program->carried)))
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
