// Data sets that are no tables: UTKFace, whose attributes stand in the names of its files, and Casual Conversations,
// whose JSON tells who speaks in which video. See docs/fairness.md.
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "runtime/data/catalogue.h"
#include "runtime/data/paths.h"
#include "runtime/evaluate/cases.h"
#include "runtime/files.h"

enum { JSON_BYTES_MAX = 1 << 30, FIELDS = 3 };

static SeerStatus attributes_add(SeerCases *cases, const char *const *names) {
  SeerStatus status = SEER_OK;
  for (; !status && *names; names++) status = seer_cases_add_attribute(cases, *names);
  return status;
}

static void hash_print(char hex[33], XXH128_hash_t value) {
  snprintf(hex, 33, "%016" PRIx64 "%016" PRIx64, (uint64_t)value.high64, (uint64_t)value.low64);
}

// ---- UTKFace: age_gender_race_date.jpg ----

// The three numbers before the date. False when they are not there.
static bool name_split(const char *name, long numbers[FIELDS]) {
  for (int i = 0; i < FIELDS; i++) {
    size_t digits = strspn(name, "0123456789");
    if (digits < 1 || digits > 3 || name[digits] != '_') return false;
    numbers[i] = strtol(name, NULL, 10);
    name += digits + 1;
  }
  return numbers[1] <= 1 && numbers[2] <= 4 && strspn(name, "0123456789") > 0;
}

static SeerStatus face_add(SeerCases *cases, const SeerCasesRequest *request, SeerTold *told, const char *path) {
  static const char *const genders[] = {"male", "female"};
  static const char *const races[] = {"white", "black", "asian", "indian", "others"};
  long numbers[FIELDS];
  char age[16];
  const char *base = strrchr(path, '/');
  const char *key = path + strlen(request->manifest);
  if (!name_split(base ? base + 1 : path, numbers)) {
    cases->named++;
    seer_told_add(told, false, path, "the file's name is not age_gender_race_date");
    return SEER_OK;
  }
  snprintf(age, sizeof age, "%ld", numbers[0]);
  const char *const values[] = {age, genders[numbers[1]], races[numbers[2]]};
  SeerCaseRow row = {.path = key + strspn(key, "/"), .values = values};
  return seer_cases_add(cases, request, told, &row);
}

SeerStatus seer_cases_read_utkface(SeerCases *cases, const SeerCasesRequest *request, SeerTold *told) {
  static const char *const names[] = {"age", "gender", "race", NULL};
  if (!seer_path_is_folder(request->manifest))
    return seer_fail(SEER_INPUT, "'%s' is no folder\nnote: UTKFace is a folder of pictures", request->manifest);
  SeerCasesRequest inside = *request;
  SeerPaths paths = {.sees_all = true};
  XXH3_state_t *hash = XXH3_createState();
  SeerStatus status = hash ? SEER_OK : seer_fail(SEER_MACHINE, "no memory to read '%s'", request->manifest);
  if (!inside.pictures) inside.pictures = request->manifest;
  if (!status) XXH3_128bits_reset(hash);
  if (!status) status = attributes_add(cases, names);
  if (!status) status = seer_paths_expand(&paths, request->manifest);
  if (!status) seer_paths_sort(&paths);
  for (size_t i = 0; !status && i < paths.count; i++) {
    const char *path = paths.items[i].path;
    if (seer_suffix_of(path) != SEER_SUFFIX_PICTURE) continue;
    XXH3_128bits_update(hash, path + strlen(request->manifest), strlen(path + strlen(request->manifest)) + 1);
    status = face_add(cases, &inside, told, path);
  }
  if (!status) hash_print(cases->hash, XXH3_128bits_digest(hash));
  seer_paths_release(&paths);
  XXH3_freeState(hash);
  return status;
}

// ---- Casual Conversations ----

// As text; NULL: there is none.
static const char *text_of(const json_t *value, char *room, size_t bytes) {
  if (json_is_string(value)) return json_string_value(value);
  if (!json_is_integer(value)) return NULL;
  snprintf(room, bytes, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
  return room;
}

// A frame of a video has the video's name and a picture's suffix.
static SeerStatus frame_path(const SeerCasesRequest *request, const char *video, char path[SEER_PATH_MAX]) {
  static const char *const suffixes[] = {".jpg", ".png", ".jpeg", ".webp"};
  const char *slash = strrchr(video, '/'), *dot = strrchr(slash ? slash : video, '.');
  int length = dot ? (int)(dot - video) : (int)strlen(video);
  if (length > SEER_PATH_MAX - 16)
    return seer_fail(SEER_INPUT, "'%s' names a video by more than 4,080 bytes", request->manifest);
  for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
    SeerPath whole;
    snprintf(path, SEER_PATH_MAX, "%.*s%s", length, video, suffixes[i]);
    if (!request->pictures || seer_path_print(&whole, "%s/%s", request->pictures, path) != SEER_OK) break;
    if (seer_path_exists(whole.text)) return SEER_OK;
  }
  snprintf(path, SEER_PATH_MAX, "%.*s.jpg", length, video);
  return SEER_OK;
}

static SeerStatus video_add(SeerCases *cases, const SeerCasesRequest *request, SeerTold *told, const char *video,
                            const char *subject, const char *const *values) {
  char path[SEER_PATH_MAX];
  SeerStatus status = frame_path(request, video, path);
  SeerCaseRow row = {.path = path, .unit = subject, .values = values};
  return status ? status : seer_cases_add(cases, request, told, &row);
}

// A subject with its videos, or a video with its subject; attributes beside them or in "label".
static SeerStatus entry_add(SeerCases *cases, const SeerCasesRequest *request, SeerTold *told, const char *key,
                            json_t *entry) {
  static const char *const names[FIELDS][4] = {
      {"age", "Age", NULL}, {"gender", "Gender", NULL}, {"skin-type", "skin_type", "skin-tone", NULL}};
  char rooms[FIELDS][32], subject_room[32];
  const char *values[FIELDS], *subject = NULL;
  const json_t *label = json_object_get(entry, "label"), *files = json_object_get(entry, "files");
  if (!json_is_object(entry))
    return seer_fail(SEER_INPUT, "'%.100s' in '%s' is no object of attributes", key, request->manifest);
  for (int i = 0; i < FIELDS; i++) {
    const json_t *found = NULL;
    for (int n = 0; !found && names[i][n]; n++) {
      found = json_object_get(entry, names[i][n]);
      if (!found) found = json_object_get(label, names[i][n]);
    }
    values[i] = text_of(found, rooms[i], sizeof rooms[i]);
  }
  if (!files) {
    static const char *const subjects[] = {"subject_id", "subject-id", "subject"};
    for (int i = 0; !subject && i < 3; i++)
      subject = text_of(json_object_get(entry, subjects[i]), subject_room, sizeof subject_room);
    return video_add(cases, request, told, key, subject, values);
  }
  if (!json_is_array(files))
    return seer_fail(SEER_INPUT, "'files' of '%.100s' in '%s' is no list", key, request->manifest);
  SeerStatus status = SEER_OK;
  for (size_t i = 0; !status && i < json_array_size(files); i++) {
    const char *video = json_string_value(json_array_get(files, i));
    status = video ? video_add(cases, request, told, video, key, values)
                   : seer_fail(SEER_INPUT, "a file of '%.100s' in '%s' is no text", key, request->manifest);
  }
  return status;
}

SeerStatus seer_cases_read_conversations(SeerCases *cases, const SeerCasesRequest *request, SeerTold *told) {
  static const char *const names[] = {"age", "gender", "skin", NULL};
  char *text = NULL;
  uint64_t bytes = 0;
  json_error_t error;
  SeerStatus status = attributes_add(cases, names);
  if (!status) status = seer_file_read(request->manifest, JSON_BYTES_MAX, &text, &bytes);
  if (status) return status;
  json_t *root = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error);
  hash_print(cases->hash, XXH3_128bits(text, bytes));
  free(text);
  if (!json_is_object(root))
    status =
        seer_fail(SEER_INPUT, "'%s' is no JSON object: %.120s\nnote: Casual Conversations has an object of subjects",
                  request->manifest, root ? "it is of another kind" : error.text);
  cases->unit = "person";
  const char *key;
  json_t *entry;
  if (!status) {
    json_object_foreach(root, key, entry) {
      status = entry_add(cases, request, told, key, entry);
      if (status) break;
    }
  }
  json_decref(root);
  return status;
}
