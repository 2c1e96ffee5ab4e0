// Loaded before the C library: storage that answers late, and a process that dies at a chosen write.
// SEER_TEST_READ_DELAY_MS: every read of a file takes so long. SEER_TEST_KILL_AT=N: SIGKILL at the N-th call that
// changes files. SEER_TEST_FAIL_AT=N: the N-th pread of a file fails, as of a device that is broken.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static long setting(const char *name) {
  const char *text = getenv(name);
  return text != NULL ? atol(text) : 0;
}

static void read_wait(int file) {
  struct stat info;
  long milliseconds = setting("SEER_TEST_READ_DELAY_MS");
  if (milliseconds == 0 || fstat(file, &info) != 0 || !S_ISREG(info.st_mode)) return;
  struct timespec delay = {milliseconds / 1000, milliseconds % 1000 * 1000000};
  nanosleep(&delay, NULL);
}

static void change_count(void) {
  static atomic_long changes;
  long at = setting("SEER_TEST_KILL_AT");
  if (at > 0 && atomic_fetch_add(&changes, 1) + 1 == at) kill(getpid(), SIGKILL);
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t pread(int file, void *bytes, size_t count, off_t offset) {
  static atomic_long reads;
  long fail_at = setting("SEER_TEST_FAIL_AT");
  read_wait(file);
  if (fail_at > 0 && atomic_fetch_add(&reads, 1) + 1 == fail_at) {
    errno = EIO;
    return -1;
  }
  return NEXT(pread)(file, bytes, count, offset);
}

ssize_t read(int file, void *bytes, size_t count) {
  read_wait(file);
  return NEXT(read)(file, bytes, count);
}

ssize_t write(int file, const void *bytes, size_t count) {
  if (file > STDERR_FILENO) change_count();
  return NEXT(write)(file, bytes, count);
}

ssize_t pwrite(int file, const void *bytes, size_t count, off_t offset) {
  change_count();
  return NEXT(pwrite)(file, bytes, count, offset);
}

int rename(const char *from, const char *to) {
  change_count();
  return NEXT(rename)(from, to);
}

int fsync(int file) {
  change_count();
  return NEXT(fsync)(file);
}

int mkdir(const char *path, mode_t mode) {
  change_count();
  return NEXT(mkdir)(path, mode);
}

int unlinkat(int folder, const char *path, int flags) {
  change_count();
  return NEXT(unlinkat)(folder, path, flags);
}

int rmdir(const char *path) {
  change_count();
  return NEXT(rmdir)(path);
}
