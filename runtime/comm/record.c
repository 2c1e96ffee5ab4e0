// Records of ranks; see record.h.
#include "runtime/comm/record.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RECORD_BYTES = 512, END_BYTES = 1024 };

static const char *const state_names[] = {"works", "waits"};

SeerPlace seer_place_here(void) {
  SeerPlace place = {.process = (int64_t)getpid()};
  char space[64] = "";
  gethostname(place.host, sizeof place.host - 1);
  // The name ends up in JSON and in messages.
  for (char *c = place.host; *c; c++) {
    if (*c <= ' ' || *c >= 0x7F || *c == '"' || *c == '\\') *c = '_';
  }
  ssize_t length = readlink("/proc/self/ns/pid", space, sizeof space - 1);
  const char *number = length > 0 ? strchr(space, '[') : NULL;
  if (number) place.space = strtoull(number + 1, NULL, 10);
  return place;
}

bool seer_place_is_near(const SeerPlace *one, const SeerPlace *other) {
  return one->space != 0 && one->space == other->space && strcmp(one->host, other->host) == 0;
}

SeerProcessState seer_process_state(int64_t process) {
  char path[64], text[512];
  snprintf(path, sizeof path, "/proc/%" PRId64 "/stat", process);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return errno == ENOENT && access("/proc/self/stat", R_OK) == 0 ? SEER_PROCESS_GONE : SEER_PROCESS_UNKNOWN;
  ssize_t got = read(fd, text, sizeof text - 1);
  close(fd);
  if (got <= 0) return got < 0 && errno == ESRCH ? SEER_PROCESS_GONE : SEER_PROCESS_UNKNOWN;
  text[got] = '\0';
  const char *name_end = strrchr(text, ')');  // the name may hold anything
  char state = name_end && name_end[1] == ' ' ? name_end[2] : '?';
  if (state == 'Z' || state == 'X' || state == 'x') return SEER_PROCESS_GONE;
  return state == 'T' || state == 't' ? SEER_PROCESS_STOPPED : SEER_PROCESS_RUNS;
}

static bool record_path(const char *folder, int rank, SeerPath *path) {
  int length = snprintf(path->text, sizeof path->text, "%s/rank-%d", folder, rank);
  return length > 0 && (size_t)length < sizeof path->text;
}

static const char name_long[] = "the name of the run folder is too long";

// NULL, or why not.
static const char *record_write(const SeerRecord *record, const char *path) {
  char text[RECORD_BYTES + 1];
  int length = snprintf(text, sizeof text,
                        "{\"rank\": %d, \"host\": \"%s\", \"space\": %" PRIu64 ", \"process\": %" PRId64
                        ", \"step\": %" PRId64 ", \"state\": \"%s\", \"what\": \"%s\", \"collective\": %" PRIu64
                        ", \"long\": %s, \"beat\": %" PRIu64 ", \"seen\": %.3f}",
                        record->rank, record->place.host, record->place.space, record->place.process, record->step,
                        state_names[record->state], record->what, record->count, record->long_work ? "true" : "false",
                        record->beat, record->seen);
  if (length < 0 || length >= RECORD_BYTES) return name_long;
  memset(text + length, ' ', (size_t)(RECORD_BYTES - length));
  text[RECORD_BYTES - 1] = '\n';
  int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
  if (fd < 0) return strerror(errno);
  const char *reason = pwrite(fd, text, RECORD_BYTES, 0) == RECORD_BYTES ? NULL : strerror(errno);
  return close(fd) != 0 && !reason ? strerror(errno) : reason;
}

SeerStatus seer_record_save(const char *folder, const SeerRecord *record) {
  SeerPath path;
  const char *reason = record_path(folder, record->rank, &path) ? record_write(record, path.text) : name_long;
  if (!reason) return SEER_OK;
  return seer_fail(SEER_MACHINE,
                   "cannot write a record to '%s': %s\nnote: every rank writes to the run folder; give one that all "
                   "hosts can write with --out, with some space left",
                   folder, reason);
}

bool seer_record_refresh(const char *folder, const SeerRecord *record) {
  SeerPath path;
  return record_path(folder, record->rank, &path) && !record_write(record, path.text);
}

static bool record_unpack(const json_t *root, SeerRecord *record) {
  const char *host = NULL, *state = NULL, *what = NULL;
  json_int_t space = 0, process = 0, step = 0, count = 0, beat = 0;
  int rank = 0, is_long = 0;
  double seen = 0;
  if (json_unpack((json_t *)(uintptr_t)root, "{s:i, s:s, s:I, s:I, s:I, s:s, s:s, s:I, s:b, s:I, s:F}", "rank", &rank,
                  "host", &host, "space", &space, "process", &process, "step", &step, "state", &state, "what", &what,
                  "collective", &count, "long", &is_long, "beat", &beat, "seen", &seen) != 0)
    return false;
  *record = (SeerRecord){.rank = rank,
                         .place = {.space = (uint64_t)space, .process = process},
                         .long_work = is_long != 0,
                         .step = step,
                         .count = (uint64_t)count,
                         .beat = (uint64_t)beat,
                         .seen = seen};
  snprintf(record->place.host, sizeof record->place.host, "%s", host);
  snprintf(record->what, sizeof record->what, "%s", what);
  if (strcmp(state, state_names[SEER_RANK_WAITS]) == 0) record->state = SEER_RANK_WAITS;
  return true;
}

bool seer_record_find(const char *folder, int rank, SeerRecord *record) {
  SeerPath path;
  char text[RECORD_BYTES];
  if (!record_path(folder, rank, &path)) return false;
  int fd = open(path.text, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  ssize_t got = pread(fd, text, sizeof text, 0);
  close(fd);
  json_t *root = got > 0 ? json_loadb(text, (size_t)got, 0, NULL) : NULL;
  bool found = root && record_unpack(root, record) && record->rank == rank;
  json_decref(root);
  return found;
}

bool seer_record_is_there(const char *folder, int rank) {
  SeerPath path;
  return record_path(folder, rank, &path) && access(path.text, F_OK) == 0;
}

void seer_record_remove(const char *folder, int rank) {
  SeerPath path;
  if (record_path(folder, rank, &path)) unlink(path.text);
  rmdir(folder);  // fails for all but the last
}

bool seer_record_end_save(const char *folder, const char *line) {
  SeerPath path;
  int length = snprintf(path.text, sizeof path.text, "%s/end", folder);
  if (length < 0 || (size_t)length >= sizeof path.text) return true;
  int fd = open(path.text, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd < 0) return errno != EEXIST;
  // Nothing is left to do for a process that ends and cannot say so on the disk either.
  ssize_t written = write(fd, line, strlen(line));
  (void)written;
  close(fd);
  return true;
}

// Of all records that a run left.
typedef struct Leftover {
  int ranks, works;  // records, and those that waited for nobody
  SeerRecord least;  // the one that was least far
  char end[END_BYTES];
} Leftover;

static void end_read(const char *folder, Leftover *leftover) {
  SeerPath path;
  int length = snprintf(path.text, sizeof path.text, "%s/end", folder);
  int fd = length > 0 && (size_t)length < sizeof path.text ? open(path.text, O_RDONLY | O_CLOEXEC) : -1;
  if (fd < 0) return;
  ssize_t got = read(fd, leftover->end, sizeof leftover->end - 1);
  close(fd);
  leftover->end[got > 0 ? got : 0] = '\0';
  leftover->end[strcspn(leftover->end, "\n")] = '\0';
}

static void leftover_read(const char *folder, const char *name, Leftover *leftover) {
  int rank = 0, end = 0;
  SeerRecord record;
  if (sscanf(name, "rank-%d%n", &rank, &end) != 1 || rank < 0 || name[end] || !seer_record_find(folder, rank, &record))
    return;
  bool less = record.state == SEER_RANK_WORKS && leftover->least.state != SEER_RANK_WORKS;
  if (!leftover->ranks || record.count < leftover->least.count || (record.count == leftover->least.count && less))
    leftover->least = record;
  leftover->ranks++;
  leftover->works += record.state == SEER_RANK_WORKS;
}

static void leftover_tell(const Leftover *leftover, char *text, size_t bytes) {
  const SeerRecord *least = &leftover->least;
  const char *doing = least->state == SEER_RANK_WAITS ? "in" : "busy with";
  if (*leftover->end)
    snprintf(text, bytes, "%s", leftover->end);
  else if (leftover->works == 1 && least->state == SEER_RANK_WORKS && leftover->ranks > 1)
    snprintf(text, bytes,
             "rank %d on '%s' was busy with %s in step %lld and the others waited for it when all %d ended without a "
             "word, killed or with their machine",
             least->rank, least->place.host, least->what, (long long)least->step, leftover->ranks);
  else if (leftover->ranks > 0)
    snprintf(text, bytes,
             "its %d ranks ended without a word in about step %lld, killed or with their machine; the slowest "
             "was rank %d on '%s' (process %lld), last seen %s %s (collective %llu)",
             leftover->ranks, (long long)least->step, least->rank, least->place.host, (long long)least->place.process,
             doing, least->what, (unsigned long long)least->count);
}

SeerStatus seer_records_settle(const char *folder, char *text, size_t bytes) {
  Leftover leftover = {0};
  *text = '\0';
  DIR *stream = opendir(folder);
  if (!stream) {
    if (errno == ENOENT) return SEER_OK;
    return seer_fail(SEER_MACHINE, "cannot read folder '%s': %s", folder, strerror(errno));
  }
  for (struct dirent *entry; (entry = readdir(stream)) != NULL;) leftover_read(folder, entry->d_name, &leftover);
  closedir(stream);
  end_read(folder, &leftover);
  leftover_tell(&leftover, text, bytes);
  return seer_folder_remove(folder);
}
