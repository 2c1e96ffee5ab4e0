// What this processor is and how much of it the process may use. Levels are those of the x86-64 psABI, and one more:
// the fourth with products in bf16.
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runtime/engine.h"

typedef struct CpuFeature {
  const char *name;
  int level;
  bool present;
} CpuFeature;

#if defined(__x86_64__)
#define CPU_FEATURES(FEATURE)                                                                             \
  FEATURE("ssse3", 2)                                                                                     \
  FEATURE("sse4.1", 2) FEATURE("sse4.2", 2) FEATURE("popcnt", 2) FEATURE("avx", 3) FEATURE("avx2", 3)     \
      FEATURE("fma", 3) FEATURE("bmi", 3) FEATURE("bmi2", 3) FEATURE("avx512f", 4) FEATURE("avx512bw", 4) \
          FEATURE("avx512cd", 4) FEATURE("avx512dq", 4) FEATURE("avx512vl", 4) FEATURE("avx512bf16", 5)
#else
#define CPU_FEATURES(FEATURE)
#endif

static int level_number(const char *level) {
  if (!level || strncmp(level, "x86-64", 6) != 0) return 0;
  if (level[6] == '\0') return 1;
  if (strcmp(level + 6, "-v4+bf16") == 0) return 5;
  return level[6] == '-' && level[7] == 'v' && level[8] >= '2' && level[8] <= '4' ? level[8] - '0' : 0;
}

// The first feature up to `level` that the processor lacks; NULL: none.
static const char *feature_missing(int level) {
#if defined(__x86_64__)
  __builtin_cpu_init();
#endif
#define FEATURE(name, level) {name, level, __builtin_cpu_supports(name) != 0},
  const CpuFeature features[] = {CPU_FEATURES(FEATURE){NULL, 0, false}};
#undef FEATURE
  for (int i = 0; features[i].name; i++) {
    if (features[i].level <= level && !features[i].present) return features[i].name;
  }
  return NULL;
}

bool seer_cpu_supports(const char *level, const char **missing) {
  int number = level_number(level);
#if defined(__x86_64__)
  *missing = feature_missing(number);
#else
  *missing = number ? "x86-64" : feature_missing(0);
#endif
  return *missing == NULL;
}

const char *seer_cpu_level(void) {
#if defined(__x86_64__)
  static const char *const names[] = {"x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4", "x86-64-v4+bf16"};
  int level = 1;
  while (level < 5 && !feature_missing(level + 1)) level++;
  return names[level - 1];
#else
  return "portable";
#endif
}

void seer_cpu_name(char *name, int bytes) {
  snprintf(name, (size_t)bytes, "%s", seer_cpu_level());
  FILE *file = fopen("/proc/cpuinfo", "re");
  char line[256];
  while (file && fgets(line, sizeof line, file)) {
    const char *colon = strchr(line, ':');
    if (strncmp(line, "model name", 10) != 0 || !colon) continue;
    colon += strspn(colon, ": \t");
    snprintf(name, (size_t)bytes, "%.*s", (int)strcspn(colon, "\n"), colon);
    break;
  }
  if (file) fclose(file);
}

int seer_cpu_count(void) {
  cpu_set_t set;
  int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : (int)sysconf(_SC_NPROCESSORS_ONLN);
  FILE *file = fopen("/sys/fs/cgroup/cpu.max", "re");
  if (file) {
    long quota = 0, period = 0;
    if (fscanf(file, "%ld %ld", &quota, &period) == 2 && quota > 0 && period > 0) {
      long cores = (quota + period - 1) / period;
      if (cores < count) count = (int)cores;
    }
    fclose(file);
  }
  return count < 1 ? 1 : count;
}

int seer_cpu_share(int processes) {
  cpu_set_t mine;
  long online = sysconf(_SC_NPROCESSORS_ONLN);
  bool bound = sched_getaffinity(0, sizeof mine, &mine) == 0 && CPU_COUNT(&mine) < online;
  int count = seer_cpu_count();
  return bound || processes <= 1 ? count : count / processes < 1 ? 1 : count / processes;
}
