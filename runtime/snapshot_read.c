// Reading snapshots; see snapshot.h and snapshot_reader.h. A rank reads what it keeps and nothing else, by arithmetic
// on the ranges of pieces: who wrote them does not matter.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/init.h"
#include "runtime/snapshot_reader.h"

SeerStatus seer_snapshot_reader_begin(const char *folder, SeerSnapshotReader *reader) {
  *reader = (SeerSnapshotReader){.tensors = NULL};
  SeerStatus status = seer_path_print(&reader->folder, "%s", folder);
  return status ? status : seer_manifest_read(folder, &reader->manifest);
}

SeerStatus seer_snapshot_reader_verify(const SeerSnapshotReader *reader, int first, int stride) {
  SeerStatus status = SEER_OK;
  for (int file = first; file < reader->manifest.snapshot.ranks && !status; file += stride)
    status = seer_manifest_verify(&reader->manifest, reader->folder.text, file);
  return status;
}

SeerStatus seer_snapshot_reader_open(SeerSnapshotReader *reader) {
  int files = reader->manifest.snapshot.ranks;
  SeerPath *paths = calloc((size_t)files, sizeof *paths);
  SeerStatus status = paths ? SEER_OK : seer_fail(SEER_MACHINE, "no memory to read '%s'", reader->folder.text);
  for (int i = 0; i < files && !status; i++) status = seer_manifest_file(reader->folder.text, i, files, &paths[i]);
  if (!status) status = seer_collection_open(paths, files, &reader->tensors);
  free(paths);
  return status;
}

void seer_snapshot_reader_release(SeerSnapshotReader *reader) {
  seer_collection_close(reader->tensors);
  seer_manifest_release(&reader->manifest);
  reader->tensors = NULL;
}

static bool shapes_equal(const SeerTensor *tensor, const SeerHeld *held) {
  if (tensor->rank != held->rank) return false;
  for (int i = 0; i < tensor->rank; i++) {
    if (tensor->size[i] != held->size[i]) return false;
  }
  return true;
}

static SeerStatus shape_differs(const char *where, const SeerTensor *tensor, const SeerHeld *held) {
  char here[128], there[128];
  return seer_fail(SEER_INPUT,
                   "'%s' is of another model: '%s' is %s there and %s in this trainer\nnote: use the trainer "
                   "that wrote it, or build one from the same model section",
                   where, tensor->name, seer_shape_text(there, sizeof there, held->size, held->rank),
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
SeerStatus seer_snapshot_reader_check(const SeerSnapshotReader *reader, const SeerProgram *program, bool *damaged) {
  static const char note[] = "note: use the trainer that wrote it, or build one from the same model section";
  const char *folder = reader->folder.text, *wrote = reader->manifest.program, *name = "";
  *damaged = false;
  for (int i = 0; i < program->tensor_count; i++) {
    const SeerTensor *tensor = &program->tensors[i];
    if (!seer_tensor_is_kept(tensor)) continue;
    const SeerHeld *held = seer_collection_find(reader->tensors, tensor->name);
    if (!held)
      return seer_fail(SEER_INPUT, "'%s' is of another model ('%s'): it lacks '%s'\n%s", folder, wrote, tensor->name,
                       note);
    if (!shapes_equal(tensor, held)) return shape_differs(folder, tensor, held);
    SeerStatus status = seer_collection_check(reader->tensors, held, folder);
    *damaged = status != SEER_OK;
    if (status) return status;
  }
  for (int i = 0; i < seer_collection_count(reader->tensors); i++) {
    const char *next = seer_collection_held(reader->tensors, i)->name;
    if (!strcmp(next, name)) continue;
    name = next;
    if (!tensor_find(program, name))
      return seer_fail(SEER_INPUT, "'%s' is of another model ('%s'): it has '%s', this trainer has not\n%s", folder,
                       wrote, name, note);
  }
  if (reader->manifest.model_hash == program->model_hash) return SEER_OK;
  return seer_fail(SEER_INPUT, "'%s' is of another model ('%s'): its tensors have other roles\n%s", folder, wrote,
                   note);
}

static SeerStatus tensor_fill(const SeerCollection *tensors, const SeerHeld *held, const SeerTensor *tensor,
                              const char *where, int rank, unsigned char *state) {
  if (!shapes_equal(tensor, held)) return shape_differs(where, tensor, held);
  float *values = seer_tensor_values(tensor, state);
  SeerStatus status = SEER_OK;
  for (SeerPiece piece = {0}; !status && seer_part_next(tensor, rank, &piece);)
    status = seer_collection_read(tensors, held, piece.begin, piece.count, values + piece.local);
  return status;
}

SeerStatus seer_snapshot_reader_fill(const SeerSnapshotReader *reader, const SeerProgram *program, int rank,
                                     unsigned char *state) {
  SeerStatus status = SEER_OK;
  for (int i = 0; i < program->tensor_count && !status; i++) {
    const SeerTensor *tensor = &program->tensors[i];
    if (!seer_tensor_is_kept(tensor)) continue;
    status = tensor_fill(reader->tensors, seer_collection_find(reader->tensors, tensor->name), tensor,
                         reader->folder.text, rank, state);
  }
  return status;
}

// Opens a snapshot whose bytes are as they were written, and of this program.
static SeerStatus snapshot_open(const SeerProgram *program, const char *folder, SeerSnapshotReader *reader,
                                bool *damaged) {
  SeerStatus status = seer_snapshot_reader_begin(folder, reader);
  if (!status) status = seer_snapshot_reader_verify(reader, 0, 1);
  if (!status) status = seer_snapshot_reader_open(reader);
  *damaged = status != SEER_OK;
  if (!status) status = seer_snapshot_reader_check(reader, program, damaged);
  if (status) seer_snapshot_reader_release(reader);
  return status;
}

SeerStatus seer_snapshot_verify(const SeerProgram *program, const char *folder, SeerSnapshot *snapshot, bool *damaged) {
  SeerSnapshotReader reader;
  SeerStatus status = snapshot_open(program, folder, &reader, damaged);
  if (status) return status;
  *snapshot = reader.manifest.snapshot;
  seer_snapshot_reader_release(&reader);
  return SEER_OK;
}

SeerStatus seer_snapshot_load(const SeerProgram *program, const char *folder, int rank, unsigned char *state,
                              SeerSnapshot *snapshot, bool *damaged) {
  SeerSnapshotReader reader;
  SeerStatus status = snapshot_open(program, folder, &reader, damaged);
  if (status) return status;
  status = seer_snapshot_reader_fill(&reader, program, rank, state);
  *snapshot = reader.manifest.snapshot;
  seer_snapshot_reader_release(&reader);
  return status;
}
