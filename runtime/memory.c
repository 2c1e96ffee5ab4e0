// Memory of a run: anonymous mappings aligned for huge pages, and what the machine has left.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "runtime/engine.h"

static const uint64_t huge_page_bytes = 2u << 20;

static uint64_t round_up(uint64_t size, uint64_t unit) { return (size + unit - 1) / unit * unit; }

static uint64_t mapped_bytes(uint64_t size_bytes) {
  uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
  return round_up(size_bytes ? size_bytes : 1, size_bytes < huge_page_bytes ? page : huge_page_bytes);
}

SeerStatus seer_memory_map(uint64_t size_bytes, const char *what, unsigned char **memory) {
  uint64_t size = mapped_bytes(size_bytes);
  uint64_t slack = size_bytes < huge_page_bytes ? 0 : huge_page_bytes;
  unsigned char *base = size_bytes > UINT64_MAX / 2
                            ? MAP_FAILED
                            : mmap(NULL, size + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) {
    return seer_fail(SEER_MACHINE,
                     "cannot get %.1f MiB of memory for %s: %s\nnote: stop other programs, raise "
                     "`ulimit -v`, or build with a smaller train.batch",
                     (double)size_bytes / 1048576, what, strerror(ENOMEM));
  }
  unsigned char *aligned = base;
  if (slack) {
    aligned = base + (round_up((uint64_t)(uintptr_t)base, huge_page_bytes) - (uint64_t)(uintptr_t)base);
    if (aligned > base) munmap(base, (size_t)(aligned - base));
    uint64_t tail = (uint64_t)(base + size + slack - (aligned + size));
    if (tail) munmap(aligned + size, tail);
    madvise(aligned, size, MADV_HUGEPAGE);  // advice: kernels without huge pages may say no
  }
  *memory = aligned;
  return SEER_OK;
}

void seer_memory_unmap(unsigned char *memory, uint64_t size_bytes) {
  if (memory) munmap(memory, mapped_bytes(size_bytes));
}

static bool number_read(const char *path, uint64_t *number) {
  FILE *file = fopen(path, "re");
  if (!file) return false;
  char text[64] = "";
  bool read = fgets(text, sizeof text, file) != NULL;
  fclose(file);
  char *end = text;
  *number = strtoull(text, &end, 10);
  return read && end != text;
}

// "KEY:   1234 kB" in a file of /proc, in bytes; 0 when there is none.
static uint64_t kibibytes_read(const char *path, const char *key) {
  FILE *file = fopen(path, "re");
  char line[128];
  uint64_t kibibytes = 0;
  while (file && fgets(line, sizeof line, file)) {
    if (strncmp(line, key, strlen(key)) == 0) kibibytes = strtoull(line + strlen(key), NULL, 10);
  }
  if (file) fclose(file);
  return kibibytes * 1024;
}

static uint64_t machine_available(void) {
  uint64_t bytes = kibibytes_read("/proc/meminfo", "MemAvailable:");
  return bytes ? bytes : (uint64_t)sysconf(_SC_AVPHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t seer_memory_available(void) {
  uint64_t available = machine_available(), limit = 0, used = 0;
  if (number_read("/sys/fs/cgroup/memory.max", &limit) && number_read("/sys/fs/cgroup/memory.current", &used)) {
    uint64_t left = limit > used ? limit - used : 0;
    if (left < available) available = left;
  }
  return available;
}

uint64_t seer_memory_resident_peak(void) {
  // Not getrusage first: its peak begins with that of the process that started this one.
  uint64_t bytes = kibibytes_read("/proc/self/status", "VmHWM:");
  struct rusage usage;
  return bytes ? bytes : getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_maxrss * 1024 : 0;
}
