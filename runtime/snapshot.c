// Snapshots; see snapshot.h. The protocol: write under a temporary name, flush files and folder, rename, flush the
// parent. A crash at any point leaves the older snapshots and at most a folder that starts with a dot.
#include "runtime/snapshot.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/init.h"

enum { MANIFEST_FORMAT = 1, MANIFEST_BYTES_MAX = 1 << 20 };

static const char weights_name[] = "model.safetensors", manifest_name[] = "manifest.json";

SeerStatus seer_snapshot_folder(const char *run, int64_t step, SeerPath *folder) {
  return seer_path_print(folder, "%s/snapshots/step-%lld", run, (long long)step);
}

static SeerStatus manifest_write(const SeerProgram *program, const SeerSnapshot *snapshot, const char *folder,
                                 uint64_t bytes, const SeerHash *hash) {
  char model[17], seed[24];
  snprintf(model, sizeof model, "%016" PRIx64, program->model_hash);
  snprintf(seed, sizeof seed, "%" PRIu64, snapshot->seed);
  json_t *manifest =
      json_pack("{s:i, s:s, s:s, s:s, s:I, s:I, s:I, s:s, s:{s:{s:I, s:s}}}", "format", MANIFEST_FORMAT, "program",
                program->name, "seer", program->seer_version, "model_hash", model, "step", (json_int_t)snapshot->step,
                "steps", (json_int_t)snapshot->steps, "position", (json_int_t)snapshot->position, "seed", seed, "files",
                weights_name, "bytes", (json_int_t)bytes, "xxh3_128", hash->hex);
  char *text = manifest ? json_dumps(manifest, JSON_INDENT(2)) : NULL;
  json_decref(manifest);
  if (!text) return seer_fail(SEER_MACHINE, "no memory to write a manifest");
  SeerPath path;
  SeerFile file = {.fd = -1};
  SeerStatus status = seer_path_print(&path, "%s/%s", folder, manifest_name);
  if (!status) status = seer_file_create(&file, path.text);
  if (!status) status = seer_file_write(&file, text, strlen(text));
  if (!status) status = seer_file_write(&file, "\n", 1);
  status = seer_file_finish(&file, status, NULL);
  free(text);
  return status;
}

static SeerStatus tensors_write(const SeerProgram *program, const unsigned char *state, const char *folder,
                                uint64_t *bytes, SeerHash *hash) {
  SeerPath path;
  SeerStatus status = seer_path_print(&path, "%s/%s", folder, weights_name);
  SeerToStore *stored = calloc((size_t)program->tensor_count + 1, sizeof *stored);
  if (!stored) return seer_fail(SEER_MACHINE, "no memory to write '%s'", path.text);
  int count = 0;
  for (int i = 0; i < program->tensor_count; i++) {
    const SeerTensor *tensor = &program->tensors[i];
    if (!seer_tensor_is_kept(tensor)) continue;
    SeerToStore *item = &stored[count++];
    *item =
        (SeerToStore){{.name = tensor->name, .dtype = SEER_DTYPE_F32, .rank = tensor->rank}, state + tensor->offset};
    memcpy(item->tensor.size, tensor->size, sizeof tensor->size);
  }
  SeerMetadata metadata[] = {{"format", "pt"}, {"program", program->name}, {"seer", program->seer_version}};
  if (!status) status = seer_safetensors_write(path.text, stored, count, metadata, 3, bytes, hash);
  free(stored);
  return status;
}

static uint64_t snapshot_bytes(const SeerProgram *program) {
  uint64_t bytes = 1 << 16;
  for (int i = 0; i < program->tensor_count; i++) {
    bytes += 256;
    if (seer_tensor_is_kept(&program->tensors[i])) bytes += seer_tensor_bytes(&program->tensors[i]);
  }
  return bytes;
}

static SeerStatus space_check(const SeerProgram *program, const char *parent) {
  uint64_t needed = snapshot_bytes(program), free_bytes = seer_folder_free_bytes(parent);
  if (needed <= free_bytes) return SEER_OK;
  return seer_fail(SEER_MACHINE,
                   "cannot write a snapshot to '%s': it takes %.1f MiB, the disk has %.1f MiB free\nnote: free "
                   "some space or choose another folder with --out; snapshots written before are intact",
                   parent, (double)needed / 1048576, (double)free_bytes / 1048576);
}

// Renamed first: a crash in the middle of removing must not leave half a snapshot under its name.
static SeerStatus snapshot_remove(const char *run, int64_t step) {
  SeerPath folder, doomed;
  SeerStatus status = seer_snapshot_folder(run, step, &folder);
  if (!status) status = seer_path_print(&doomed, "%s/snapshots/.step-%lld.old", run, (long long)step);
  if (!status) status = seer_folder_remove(doomed.text);
  if (!status && rename(folder.text, doomed.text) != 0)
    status = seer_fail(SEER_MACHINE, "cannot rename '%s': %s", folder.text, strerror(errno));
  return status ? status : seer_folder_remove(doomed.text);
}

static SeerStatus old_remove(const char *run, int64_t newest, int64_t keep) {
  SeerSnapshotList list;
  SeerStatus status = seer_snapshot_list(run, &list);
  int upto = 0;
  while (upto < list.count && list.steps[upto] <= newest) upto++;
  for (int i = 0; i < upto - keep && !status; i++) status = snapshot_remove(run, list.steps[i]);
  seer_snapshot_list_release(&list);
  return status;
}

SeerStatus seer_snapshot_remove_after(const char *run, int64_t step) {
  SeerSnapshotList list;
  SeerPath parent;
  SeerStatus status = seer_snapshot_list(run, &list);
  bool removed = false;
  for (int i = list.count - 1; i >= 0 && list.steps[i] > step && !status; i--) {
    status = snapshot_remove(run, list.steps[i]);
    removed = true;
  }
  seer_snapshot_list_release(&list);
  if (!status && removed) status = seer_path_print(&parent, "%s/snapshots", run);
  return !status && removed ? seer_folder_sync(parent.text) : status;
}

static SeerStatus snapshot_write(const SeerProgram *program, const unsigned char *state, const SeerSnapshot *snapshot,
                                 const char *parent, const char *temporary, const char *folder) {
  uint64_t bytes = 0;
  SeerHash hash;
  SeerStatus status = seer_folder_remove(temporary);
  if (!status) status = seer_folder_make(temporary);
  if (!status) status = tensors_write(program, state, temporary, &bytes, &hash);
  if (!status) status = manifest_write(program, snapshot, temporary, bytes, &hash);
  if (!status) status = seer_folder_sync(temporary);
  if (!status) status = seer_folder_remove(folder);  // only ever a copy of this step that was found damaged
  if (!status && rename(temporary, folder) != 0) {
    status = seer_fail(SEER_MACHINE, "cannot rename '%s' to '%s': %s", temporary, folder, strerror(errno));
  }
  if (!status) status = seer_folder_sync(parent);
  if (!status) return SEER_OK;
  seer_folder_remove(temporary);
  return seer_context(status, "snapshot of step %lld", (long long)snapshot->step);
}

SeerStatus seer_snapshot_save(const SeerProgram *program, const unsigned char *state, const SeerSnapshot *snapshot,
                              const char *run, int64_t keep, SeerPath *folder) {
  const SeerTensor *bad = seer_state_find_not_finite(program, state);
  if (bad) {
    return seer_fail(
        SEER_INPUT,
        "'%s' is not finite after step %lld, so no snapshot was written\nnote: lower the learning "
        "rate (schedule.peak) or lengthen the warm-up, and continue from the snapshot before with --resume",
        bad->name, (long long)snapshot->step);
  }
  SeerPath parent, temporary;
  SeerStatus status = seer_path_print(&parent, "%s/snapshots", run);
  if (!status) status = seer_path_print(&temporary, "%s/.step-%lld.tmp", parent.text, (long long)snapshot->step);
  if (!status) status = seer_snapshot_folder(run, snapshot->step, folder);
  if (!status) status = seer_folder_make(parent.text);
  if (!status) status = space_check(program, parent.text);
  if (!status) status = snapshot_write(program, state, snapshot, parent.text, temporary.text, folder->text);
  return status ? status : old_remove(run, snapshot->step, keep);
}

static int step_compare(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return x < y ? -1 : x > y;
}

// "step-120" -> 120; -1: another name.
static int64_t step_parse(const char *name) {
  if (strncmp(name, "step-", 5) != 0 || name[5] < '0' || name[5] > '9') return -1;
  char *end = NULL;
  errno = 0;
  long long step = strtoll(name + 5, &end, 10);
  return *end || errno ? -1 : step;
}

SeerStatus seer_snapshot_list(const char *run, SeerSnapshotList *list) {
  *list = (SeerSnapshotList){0};
  SeerPath parent;
  SeerStatus status = seer_path_print(&parent, "%s/snapshots", run);
  if (status) return status;
  DIR *stream = opendir(parent.text);
  if (!stream) {
    if (errno == ENOENT || errno == ENOTDIR) return SEER_OK;
    return seer_fail(SEER_MACHINE, "cannot read folder '%s': %s", parent.text, strerror(errno));
  }
  for (struct dirent *entry; (entry = readdir(stream)) != NULL && !status;) {
    int64_t step = step_parse(entry->d_name);
    if (step < 0) continue;
    int64_t *grown = realloc(list->steps, ((size_t)list->count + 1) * sizeof *grown);
    if (grown)
      (list->steps = grown)[list->count++] = step;
    else
      status = seer_fail(SEER_MACHINE, "no memory to list '%s'", parent.text);
  }
  closedir(stream);
  if (list->count) qsort(list->steps, (size_t)list->count, sizeof *list->steps, step_compare);
  return status;
}

void seer_snapshot_list_release(SeerSnapshotList *list) {
  free(list->steps);
  *list = (SeerSnapshotList){0};
}

typedef struct Manifest {
  SeerSnapshot snapshot;
  char program[256];
  uint64_t model_hash, bytes;
  SeerHash hash;
} Manifest;

static SeerStatus manifest_unpack(const json_t *root, const char *path, Manifest *manifest) {
  int format = 0;
  json_int_t step = 0, steps = 0, position = 0, bytes = 0;
  const char *program = NULL, *model = NULL, *seed = NULL, *hash = NULL;
  if (json_unpack((json_t *)(uintptr_t)root, "{s:i, s:s, s:s, s:I, s:I, s:I, s:s, s:{s:{s:I, s:s}}}", "format", &format,
                  "program", &program, "model_hash", &model, "step", &step, "steps", &steps, "position", &position,
                  "seed", &seed, "files", weights_name, "bytes", &bytes, "xxh3_128", &hash) != 0) {
    return seer_fail(SEER_INPUT, "'%s' is damaged: it lacks entries of a manifest", path);
  }
  if (format != MANIFEST_FORMAT) {
    return seer_fail(SEER_INPUT, "'%s' has format %d, this trainer reads format %d", path, format, MANIFEST_FORMAT);
  }
  if (step < 0 || position < 0 || bytes < 0 || strlen(hash) != 32) {
    return seer_fail(SEER_INPUT, "'%s' is damaged: its entries make no sense", path);
  }
  manifest->snapshot =
      (SeerSnapshot){.step = step, .steps = steps, .position = position, .seed = strtoull(seed, NULL, 10)};
  snprintf(manifest->program, sizeof manifest->program, "%s", program);
  manifest->model_hash = strtoull(model, NULL, 16);
  manifest->bytes = (uint64_t)bytes;
  snprintf(manifest->hash.hex, sizeof manifest->hash.hex, "%s", hash);
  return SEER_OK;
}

static SeerStatus manifest_read(const char *folder, Manifest *manifest) {
  SeerPath path;
  char *text = NULL;
  uint64_t bytes = 0;
  SeerStatus status = seer_path_print(&path, "%s/%s", folder, manifest_name);
  if (!status) status = seer_file_read(path.text, MANIFEST_BYTES_MAX, &text, &bytes);
  if (status) return status;
  json_error_t error;
  json_t *root = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error);
  if (root)
    status = manifest_unpack(root, path.text, manifest);
  else
    status = seer_fail(SEER_INPUT, "'%s' is damaged: %s", path.text, error.text);
  json_decref(root);
  free(text);
  return status;
}

static SeerStatus content_check(const char *path, const Manifest *manifest) {
  SeerHash hash;
  SeerStatus status = seer_file_hash(path, &hash);
  if (status) return status;
  if (strcmp(hash.hex, manifest->hash.hex) != 0) {
    return seer_fail(SEER_INPUT, "'%s' is damaged: its content does not match its checksum", path);
  }
  return SEER_OK;
}

static SeerStatus size_check(const char *path, const Manifest *manifest) {
  FILE *file = fopen(path, "rbe");
  if (!file) return seer_fail(SEER_INPUT, "cannot read '%s': %s", path, strerror(errno));
  long long bytes = fseek(file, 0, SEEK_END) == 0 ? (long long)ftell(file) : -1;
  fclose(file);
  if (bytes >= 0 && (uint64_t)bytes == manifest->bytes) return SEER_OK;
  return seer_fail(SEER_INPUT, "'%s' is damaged: it has %lld bytes, %llu were written", path, bytes,
                   (unsigned long long)manifest->bytes);
}

static bool shapes_equal(const SeerTensor *tensor, const SeerStored *stored) {
  if (tensor->rank != stored->rank) return false;
  for (int i = 0; i < tensor->rank; i++) {
    if (tensor->size[i] != stored->size[i]) return false;
  }
  return true;
}

static SeerStatus shape_differs(const char *path, const SeerTensor *tensor, const SeerStored *stored) {
  char here[128], there[128];
  return seer_fail(SEER_INPUT,
                   "'%s' is of another model: '%s' is %s there and %s in this trainer\nnote: use the trainer "
                   "that wrote it, or build one from the same model section",
                   path, tensor->name, seer_shape_text(there, sizeof there, stored->size, stored->rank),
                   seer_shape_text(here, sizeof here, tensor->size, tensor->rank));
}

static const SeerTensor *tensor_find(const SeerProgram *program, const char *name) {
  for (int i = 0; i < program->tensor_count; i++) {
    if (seer_tensor_is_kept(&program->tensors[i]) && !strcmp(program->tensors[i].name, name))
      return &program->tensors[i];
  }
  return NULL;
}

// Same tensors, same shapes; the error names the first that differs.
static SeerStatus model_check(const SeerProgram *program, const char *path, const SeerSafetensors *file,
                              const Manifest *manifest) {
  static const char note[] = "note: use the trainer that wrote it, or build one from the same model section";
  for (int i = 0; i < program->tensor_count; i++) {
    const SeerTensor *tensor = &program->tensors[i];
    if (!seer_tensor_is_kept(tensor)) continue;
    const SeerStored *stored = seer_safetensors_find(file, tensor->name);
    if (!stored)
      return seer_fail(SEER_INPUT, "'%s' is of another model ('%s'): it lacks '%s'\n%s", path, manifest->program,
                       tensor->name, note);
    if (!shapes_equal(tensor, stored)) return shape_differs(path, tensor, stored);
  }
  for (int i = 0; i < seer_safetensors_count(file); i++) {
    const char *name = seer_safetensors_tensor(file, i)->name;
    if (!tensor_find(program, name))
      return seer_fail(SEER_INPUT,
                       "'%s' is of another model ('%s'): it has '%s', this trainer "
                       "has not\n%s",
                       path, manifest->program, name, note);
  }
  if (manifest->model_hash == program->model_hash) return SEER_OK;
  return seer_fail(SEER_INPUT, "'%s' is of another model ('%s'): its tensors have other roles\n%s", path,
                   manifest->program, note);
}

// Opens a snapshot whose bytes are as they were written, and of this program.
static SeerStatus snapshot_open(const SeerProgram *program, const char *folder, Manifest *manifest,
                                SeerSafetensors **file, bool *damaged) {
  SeerPath path;
  *damaged = true;
  *file = NULL;
  SeerStatus status = seer_path_print(&path, "%s/%s", folder, weights_name);
  if (!status) status = manifest_read(folder, manifest);
  if (!status) status = size_check(path.text, manifest);
  if (!status) status = content_check(path.text, manifest);
  if (!status) status = seer_safetensors_open(path.text, file);
  if (status) return status;
  *damaged = false;
  status = model_check(program, folder, *file, manifest);
  if (!status) return SEER_OK;
  seer_safetensors_close(*file);
  *file = NULL;
  return status;
}

SeerStatus seer_snapshot_verify(const SeerProgram *program, const char *folder, SeerSnapshot *snapshot, bool *damaged) {
  Manifest manifest;
  SeerSafetensors *file;
  SeerStatus status = snapshot_open(program, folder, &manifest, &file, damaged);
  if (status) return status;
  *snapshot = manifest.snapshot;
  seer_safetensors_close(file);
  return SEER_OK;
}

SeerStatus seer_snapshot_load(const SeerProgram *program, const char *folder, unsigned char *state,
                              SeerSnapshot *snapshot, bool *damaged) {
  Manifest manifest;
  SeerSafetensors *file;
  SeerStatus status = snapshot_open(program, folder, &manifest, &file, damaged);
  if (status) return status;
  for (int i = 0; i < program->tensor_count && !status; i++) {
    const SeerTensor *tensor = &program->tensors[i];
    if (!seer_tensor_is_kept(tensor)) continue;
    status = seer_safetensors_read_floats(file, seer_safetensors_find(file, tensor->name),
                                          seer_tensor_values(tensor, state));
  }
  *snapshot = manifest.snapshot;
  seer_safetensors_close(file);
  return status;
}

static SeerStatus damaged_put_aside(const char *folder) {
  SeerPath aside;
  SeerStatus status = seer_path_print(&aside, "%s.damaged", folder);
  if (!status) status = seer_folder_remove(aside.text);
  if (!status && rename(folder, aside.text) != 0) {
    status = seer_fail(SEER_MACHINE, "cannot rename '%s': %s", folder, strerror(errno));
  }
  return status;
}

// What a crash in the middle of saving left behind.
static SeerStatus leftovers_remove(const char *run) {
  SeerPath parent, leftover;
  SeerStatus status = seer_path_print(&parent, "%s/snapshots", run);
  DIR *stream = status ? NULL : opendir(parent.text);
  for (struct dirent *entry; stream && !status && (entry = readdir(stream)) != NULL;) {
    if (strncmp(entry->d_name, ".step-", 6) != 0) continue;
    status = seer_path_print(&leftover, "%s/%s", parent.text, entry->d_name);
    if (!status) status = seer_folder_remove(leftover.text);
  }
  if (stream) closedir(stream);
  return status;
}

SeerStatus seer_snapshot_load_newest(const SeerProgram *program, const char *run, bool owner, unsigned char *state,
                                     SeerSnapshot *snapshot, bool *found) {
  SeerSnapshotList list;
  SeerStatus status = owner ? leftovers_remove(run) : SEER_OK;
  if (status) return status;
  status = seer_snapshot_list(run, &list);
  *found = false;
  for (int i = list.count - 1; i >= 0 && !status && !*found; i--) {
    SeerPath folder;
    bool damaged = false;
    status = seer_snapshot_folder(run, list.steps[i], &folder);
    if (status) break;
    status = seer_snapshot_load(program, folder.text, state, snapshot, &damaged);
    *found = status == SEER_OK;
    if (!status || !damaged) continue;
    fprintf(stderr, "warning: %s\n", seer_error());
    seer_error_clear();
    status = owner ? damaged_put_aside(folder.text) : SEER_OK;
  }
  if (!status && !*found && list.count > 0) {
    status = seer_fail(SEER_INPUT,
                       "no snapshot of '%s' is sound: all %d are damaged, see above\nnote: start a new run with "
                       "--out, or restore a snapshot from a copy",
                       run, list.count);
  }
  seer_snapshot_list_release(&list);
  return status;
}

static SeerStatus weights_copy(const SeerProgram *program, const SeerSafetensors *file, const char *path,
                               unsigned char *state, SeerWeights *weights) {
  *weights = (SeerWeights){0};
  for (int i = 0; i < program->tensor_count; i++) {
    const SeerTensor *tensor = &program->tensors[i];
    if (tensor->kind != SEER_PARAMETER && tensor->kind != SEER_STATISTIC) continue;
    const SeerStored *stored = seer_safetensors_find(file, tensor->name);
    if (!stored) {
      if (!weights->missing++) weights->first_missing = tensor->name;
      continue;
    }
    if (!shapes_equal(tensor, stored)) return shape_differs(path, tensor, stored);
    SeerStatus status = seer_safetensors_read_floats(file, stored, seer_tensor_values(tensor, state));
    if (status) return status;
    weights->loaded++;
  }
  if (weights->loaded) return SEER_OK;
  return seer_fail(SEER_INPUT,
                   "'%s' has no tensor of this model, such as '%s'\nnote: tensors are found by name; names are "
                   "torchvision's",
                   path, weights->first_missing ? weights->first_missing : "");
}

// The newest sound snapshot folder of a run.
static SeerStatus newest_find(const char *run, SeerPath *folder) {
  SeerSnapshotList list;
  SeerStatus status = seer_snapshot_list(run, &list);
  bool found = false;
  for (int i = list.count - 1; i >= 0 && !status && !found; i--) {
    Manifest manifest;
    SeerPath path;
    status = seer_snapshot_folder(run, list.steps[i], folder);
    if (!status) status = seer_path_print(&path, "%s/%s", folder->text, weights_name);
    if (status) break;
    found = !manifest_read(folder->text, &manifest) && !size_check(path.text, &manifest) &&
            !content_check(path.text, &manifest);
    if (found) continue;
    fprintf(stderr, "warning: %s\n", seer_error());
    seer_error_clear();
  }
  if (!status && !found) {
    status = seer_fail(SEER_INPUT,
                       "'%s' holds no sound snapshot\nnote: --weights takes a run folder, a snapshot folder or a "
                       "safetensors file",
                       run);
  }
  seer_snapshot_list_release(&list);
  return status;
}

SeerStatus seer_weights_load(const SeerProgram *program, const char *path, unsigned char *state, SeerWeights *weights) {
  SeerPath folder, file_path;
  SeerStatus status = seer_path_print(&folder, "%s", path);
  if (!status && seer_path_is_folder(path)) {
    Manifest manifest;
    status = seer_path_print(&file_path, "%s/%s", path, manifest_name);
    if (!status && !seer_path_exists(file_path.text)) status = newest_find(path, &folder);
    if (!status) status = seer_path_print(&file_path, "%s/%s", folder.text, weights_name);
    if (!status) status = manifest_read(folder.text, &manifest);
    if (!status) status = content_check(file_path.text, &manifest);
  } else if (!status) {
    status = seer_path_print(&file_path, "%s", path);
  }
  SeerSafetensors *file = NULL;
  if (!status) status = seer_safetensors_open(file_path.text, &file);
  if (!status) status = weights_copy(program, file, path, state, weights);
  seer_safetensors_close(file);
  return status;
}
