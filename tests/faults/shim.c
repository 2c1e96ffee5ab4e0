// Preloaded under a trainer: the N-th call among write, pwrite, fsync, rename, mkdir, ftruncate and creating open
// fails.
// SEER_FAULT_AT=N, SEER_FAULT_ERRNO=name's number, SEER_FAULT_FOREVER=1 keeps failing, SEER_FAULT_SHORT=1 makes the
// N-th write short instead. SEER_FAULT_NAME=text: only writes to files made under a path with that text count, as if
// the disk of the rank that makes them were full. SEER_FAULT_REPORT names a file that is made when the fault has
// struck.
// SEER_FAULT_PATH=P instead: every creating open of a path that begins with P fails; with SEER_FAULT_SLOW=N every
// reading one takes N ms longer. Under SEER_FAULT_LEAVE=1, SIGUSR2 makes the process call exit(0), SIGPWR _exit(0), as
// some libraries do.
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_long calls;
static atomic_int named = -1;  // descriptor of the newest file of that name

static long setting(const char *name) {
  const char *text = getenv(name);
  return text ? strtol(text, NULL, 10) : 0;
}

static void leave(int number) {
  if (number == SIGPWR) _exit(0);
  exit(0);
}

__attribute__((constructor)) static void leave_listen(void) {
  if (!setting("SEER_FAULT_LEAVE")) return;
  signal(SIGUSR2, leave);
  signal(SIGPWR, leave);
}

static void report(void) {
  const char *path = getenv("SEER_FAULT_REPORT");
  if (!path) return;
  long fd = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
  if (fd >= 0) syscall(SYS_close, fd);
}

// A short write is no error, so with SEER_FAULT_SHORT only writes count.
static bool strikes(bool is_write) {
  if (!is_write && (setting("SEER_FAULT_SHORT") || getenv("SEER_FAULT_NAME"))) return false;
  long at = setting("SEER_FAULT_AT"), call = atomic_fetch_add(&calls, 1) + 1;
  if (at <= 0 || !(call == at || (call > at && setting("SEER_FAULT_FOREVER")))) return false;
  report();
  errno = (int)setting("SEER_FAULT_ERRNO");
  return true;
}

ssize_t write(int fd, const void *data, size_t bytes) {
  bool counts = getenv("SEER_FAULT_NAME") ? fd == atomic_load(&named) : fd > 2;
  if (counts && strikes(true)) {
    if (!setting("SEER_FAULT_SHORT")) return -1;
    bytes = bytes > 1 ? bytes / 2 : bytes;
  }
  return syscall(SYS_write, fd, data, bytes);
}

ssize_t pwrite(int fd, const void *data, size_t bytes, off_t at) {
  return strikes(false) ? -1 : syscall(SYS_pwrite64, fd, data, bytes, at);
}

int fsync(int fd) { return strikes(false) ? -1 : (int)syscall(SYS_fsync, fd); }
int rename(const char *from, const char *to) {
  return strikes(false) ? -1 : (int)syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
}
int mkdir(const char *path, mode_t mode) {
  return strikes(false) ? -1 : (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}
int ftruncate(int fd, off_t bytes) { return strikes(false) ? -1 : (int)syscall(SYS_ftruncate, fd, bytes); }

int open(const char *path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  mode_t mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  const char *prefix = getenv("SEER_FAULT_PATH");
  bool begins = prefix && strncmp(path, prefix, strlen(prefix)) == 0;
  if (begins && setting("SEER_FAULT_SLOW") && !(flags & O_CREAT))
    usleep((useconds_t)setting("SEER_FAULT_SLOW") * 1000);
  else if (begins && (flags & O_CREAT)) {
    errno = (int)setting("SEER_FAULT_ERRNO");
    return -1;
  }
  if ((flags & O_CREAT) && strikes(false)) return -1;
  int fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
  const char *name = getenv("SEER_FAULT_NAME");
  if (name && (flags & O_CREAT) && strstr(path, name)) atomic_store(&named, fd);
  return fd;
}
