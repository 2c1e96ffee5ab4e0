// Names of earlier lists are kept sorted for lookup; a half-written last line, left by a crash, is closed and ignored.
#include "runtime/data/quarantine.h"

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/utf8.h"

struct SeerQuarantine {
  char *path;
  FILE *file;
  char **names;  // sorted
  size_t count, capacity;
  bool last_line_open;
};

static SeerStatus no_memory(void) { return seer_fail(SEER_MACHINE, "out of memory for the quarantine list"); }

// Index of `name`, or of where it belongs.
static size_t name_find(const SeerQuarantine *quarantine, const char *name, bool *found) {
  size_t low = 0, high = quarantine->count;
  *found = false;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    int order = strcmp(quarantine->names[middle], name);
    if (order == 0) {
      *found = true;
      return middle;
    }
    low = order < 0 ? middle + 1 : low;
    high = order < 0 ? high : middle;
  }
  return low;
}

// Takes over `name`. *fresh: it was not there.
static SeerStatus name_insert(SeerQuarantine *quarantine, char *name, bool *fresh) {
  bool found;
  size_t at = name_find(quarantine, name, &found);
  *fresh = !found;
  if (found) {
    free(name);
    return SEER_OK;
  }
  if (quarantine->count == quarantine->capacity) {
    size_t capacity = quarantine->capacity != 0 ? quarantine->capacity * 2 : 64;
    char **names = realloc(quarantine->names, capacity * sizeof *names);
    if (names == NULL) {
      free(name);
      return no_memory();
    }
    quarantine->names = names;
    quarantine->capacity = capacity;
  }
  memmove(quarantine->names + at + 1, quarantine->names + at, (quarantine->count - at) * sizeof *quarantine->names);
  quarantine->names[at] = name;
  quarantine->count++;
  return SEER_OK;
}

static SeerStatus line_load(SeerQuarantine *quarantine, const char *line, size_t length) {
  json_t *entry = json_loadb(line, length, 0, NULL);
  const char *name = json_string_value(json_object_get(entry, "picture"));
  SeerStatus status = SEER_OK;
  if (name != NULL) {
    char *copy = strdup(name);
    bool fresh;
    status = copy != NULL ? name_insert(quarantine, copy, &fresh) : no_memory();
  }
  json_decref(entry);
  return status;
}

static SeerStatus list_load(SeerQuarantine *quarantine) {
  FILE *file = fopen(quarantine->path, "re");
  if (file == NULL) {
    return errno == ENOENT ? SEER_OK
                           : seer_fail(SEER_MACHINE, "cannot read '%s': %s", quarantine->path, strerror(errno));
  }
  char *line = NULL;
  size_t room = 0;
  SeerStatus status = SEER_OK;
  for (ssize_t length = 0; status == SEER_OK && (length = getline(&line, &room, file)) > 0;) {
    quarantine->last_line_open = line[length - 1] != '\n';
    if (!quarantine->last_line_open) { status = line_load(quarantine, line, (size_t)length); }
  }
  free(line);
  fclose(file);
  return status;
}

SeerStatus seer_quarantine_make(const char *path, SeerQuarantine **quarantine) {
  *quarantine = NULL;
  SeerQuarantine *made = calloc(1, sizeof *made);
  if (made == NULL) { return no_memory(); }
  SeerStatus status = SEER_OK;
  if (path != NULL) {
    made->path = strdup(path);
    status = made->path != NULL ? list_load(made) : no_memory();
  }
  if (status != SEER_OK) {
    seer_quarantine_release(made);
    return status;
  }
  *quarantine = made;
  return SEER_OK;
}

static SeerStatus line_write(SeerQuarantine *quarantine, const char *name, const char *reason) {
  if (quarantine->file == NULL) {
    quarantine->file = fopen(quarantine->path, "ae");
    if (quarantine->file != NULL && quarantine->last_line_open) { fputc('\n', quarantine->file); }
  }
  json_t *entry = json_pack("{ss ss}", "picture", name, "reason", reason);
  char *line = entry != NULL ? json_dumps(entry, JSON_COMPACT) : NULL;
  json_decref(entry);
  if (line == NULL) { return no_memory(); }
  bool written =
      quarantine->file != NULL && fprintf(quarantine->file, "%s\n", line) > 0 && fflush(quarantine->file) == 0;
  free(line);
  return written ? SEER_OK
                 : seer_fail(SEER_MACHINE,
                             "cannot write '%s': %s\nnote: the list of pictures that cannot be decoded goes there",
                             quarantine->path, strerror(errno));
}

SeerStatus seer_quarantine_add(SeerQuarantine *quarantine, const char *name, const char *reason) {
  if (quarantine->path == NULL) { return SEER_OK; }
  char *clean = seer_utf8_clean(name), *clean_reason = seer_utf8_clean(reason);
  bool fresh = false;
  SeerStatus status = clean != NULL && clean_reason != NULL ? SEER_OK : no_memory();
  if (status == SEER_OK) {
    char *kept = strdup(clean);
    status = kept != NULL ? name_insert(quarantine, kept, &fresh) : no_memory();
  }
  if (status == SEER_OK && fresh) { status = line_write(quarantine, clean, clean_reason); }
  free(clean);
  free(clean_reason);
  return status;
}

void seer_quarantine_release(SeerQuarantine *quarantine) {
  if (quarantine == NULL) { return; }
  if (quarantine->file != NULL) { fclose(quarantine->file); }
  for (size_t i = 0; i < quarantine->count; i++) { free(quarantine->names[i]); }
  free(quarantine->names);
  free(quarantine->path);
  free(quarantine);
}
