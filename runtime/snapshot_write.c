// Writing snapshots; see snapshot.h. The protocol: write under a temporary name, flush files and folder, rename, flush
// the parent. A crash at any point leaves the older snapshots and at most a folder that starts with a dot.
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/finite.h"
#include "runtime/init.h"
#include "runtime/manifest.h"
#include "runtime/safetensors.h"

enum { NAME_BYTES = 256 };

// Walks what a rank writes, in the order of the table of tensors.
typedef struct Share {
  const SeerTensor *tensors;
  int count, rank;
  uint64_t first, last;  // of all floats that every rank keeps, one tensor behind the other: this rank's share
  int index;             // of the tensor
  uint64_t before;       // floats of the tensors before it that every rank keeps
  SeerPiece piece;
} Share;

static uint64_t whole_count(const SeerTensor *tensor) { return tensor->shards > 1 ? 0 : seer_tensor_count(tensor); }

static uint64_t whole_share(const SeerTensor *tensors, int count, int ranks) {
  uint64_t floats = 0;
  for (int i = 0; i < count; i++) floats += seer_tensor_is_kept(&tensors[i]) ? whole_count(&tensors[i]) : 0;
  return (floats + (uint64_t)ranks - 1) / (uint64_t)ranks;
}

static Share share_make(const SeerProgram *program, int ranks, int rank) {
  uint64_t floats = whole_share(program->tensors, program->tensor_count, ranks);
  return (Share){.tensors = program->tensors,
                 .count = program->tensor_count,
                 .rank = rank,
                 .first = floats * (uint64_t)rank,
                 .last = floats * (uint64_t)(rank + 1)};
}

static bool whole_next(Share *share, const SeerTensor *tensor) {
  uint64_t begin = share->before, end = begin + whole_count(tensor);
  if (share->piece.count > 0) return false;
  if (begin < share->first) begin = share->first;
  if (end > share->last) end = share->last;
  if (begin >= end) return false;
  begin -= share->before;
  share->piece = (SeerPiece){.local = begin, .begin = begin, .count = end - share->before - begin};
  return true;
}

// The next piece in share->piece, of tensor share->index; false after the last.
static bool share_next(Share *share) {
  for (; share->index < share->count; share->index++) {
    const SeerTensor *tensor = &share->tensors[share->index];
    if (seer_tensor_is_kept(tensor)) {
      bool is_shared = tensor->shards > 1;
      if (is_shared ? seer_part_is_first(tensor, share->rank) && seer_part_next(tensor, share->rank, &share->piece)
                    : whole_next(share, tensor))
        return true;
      share->before += whole_count(tensor);
    }
    share->piece = (SeerPiece){.count = 0};
  }
  return false;
}

uint64_t seer_snapshot_share_bytes(const SeerTensor *tensors, int count, int ranks) {
  uint64_t floats = whole_share(tensors, count, ranks);
  for (int i = 0; i < count; i++) {
    if (seer_tensor_is_kept(&tensors[i]) && tensors[i].shards > 1) floats += seer_part_count(&tensors[i]);
  }
  return floats * sizeof(float);
}

void seer_snapshot_stage(const SeerProgram *program, int rank, const unsigned char *state, unsigned char *staging) {
  for (Share share = share_make(program, program->ranks, rank); share_next(&share);) {
    size_t bytes = share.piece.count * sizeof(float);
    memcpy(staging, state + share.tensors[share.index].offset + share.piece.local * sizeof(float), bytes);
    staging += bytes;
  }
}

static SeerStatus temporary_print(const SeerSnapshot *snapshot, const char *run, SeerPath *temporary) {
  return seer_path_print(temporary, "%s/snapshots/.step-%lld.tmp", run, (long long)snapshot->step);
}

static uint64_t snapshot_bytes(const SeerProgram *program, const SeerSnapshot *snapshot) {
  uint64_t bytes = ((uint64_t)program->ranks << 16) + (snapshot->monitor ? strlen(snapshot->monitor) : 0);
  for (int i = 0; i < program->tensor_count; i++) {
    bytes += 256;
    if (seer_tensor_is_kept(&program->tensors[i])) bytes += seer_tensor_bytes(&program->tensors[i]);
  }
  return bytes;
}

static SeerStatus space_check(const SeerProgram *program, const SeerSnapshot *snapshot, const char *parent) {
  uint64_t needed = snapshot_bytes(program, snapshot), free_bytes = seer_folder_free_bytes(parent);
  if (needed <= free_bytes) return SEER_OK;
  return seer_fail(SEER_MACHINE,
                   "cannot write a snapshot to '%s': it takes %.1f MiB, the disk has %.1f MiB free\nnote: free "
                   "some space or choose another folder with --out; snapshots written before are intact",
                   parent, (double)needed / 1048576, (double)free_bytes / 1048576);
}

static SeerStatus write_context(SeerStatus status, const SeerSnapshot *snapshot) {
  return status ? seer_context(status, "snapshot of step %lld", (long long)snapshot->step) : SEER_OK;
}

SeerStatus seer_snapshot_prepare(const SeerProgram *program, const SeerSnapshot *snapshot, const char *run) {
  SeerPath parent, temporary;
  SeerStatus status = seer_path_print(&parent, "%s/snapshots", run);
  if (!status) status = temporary_print(snapshot, run, &temporary);
  if (!status) status = seer_folder_make(parent.text);
  if (!status) status = space_check(program, snapshot, parent.text);
  if (!status) status = seer_folder_remove(temporary.text);
  if (!status) status = seer_folder_make(temporary.text);
  return write_context(status, snapshot);
}

// What a rank's file lists: `names` and `shapes` hold the text of pieces and of their wholes' shapes.
typedef struct FileContent {
  SeerToStore *stored;
  SeerMetadata *metadata;
  char (*names)[NAME_BYTES], (*shapes)[NAME_BYTES];
  int count, metadata_count;
} FileContent;

static int share_pieces(Share share) {
  int count = 0;
  while (share_next(&share)) count++;
  return count;
}

static void content_release(FileContent *content) {
  free(content->stored);
  free(content->metadata);
  free(content->names);
  free(content->shapes);
}

static SeerStatus piece_add(FileContent *content, const Share *share, const unsigned char *data) {
  const SeerTensor *tensor = &share->tensors[share->index];
  const SeerPiece *piece = &share->piece;
  SeerToStore *item = &content->stored[content->count];
  *item = (SeerToStore){{.name = tensor->name, .dtype = SEER_DTYPE_F32, .rank = tensor->rank}, data};
  memcpy(item->tensor.size, tensor->size, sizeof tensor->size);
  if (piece->count == seer_tensor_count(tensor)) {
    content->count++;
    return SEER_OK;
  }
  char *name = content->names[content->count];
  if (snprintf(name, NAME_BYTES, "%s[%" PRIu64 ":%" PRIu64 "]", tensor->name, piece->begin,
               piece->begin + piece->count) >= NAME_BYTES)
    return seer_fail(SEER_BUG, "the name of tensor '%.200s' is too long", tensor->name);
  item->tensor = (SeerStored){.name = name, .dtype = SEER_DTYPE_F32, .rank = 1, .size = {(int64_t)piece->count}};
  SeerMetadata *last = &content->metadata[content->metadata_count - 1];
  if (strcmp(last->key, tensor->name) != 0) {
    const char *shape = seer_shape_text(content->shapes[content->count], NAME_BYTES, tensor->size, tensor->rank);
    content->metadata[content->metadata_count++] = (SeerMetadata){tensor->name, shape};
  }
  content->count++;
  return SEER_OK;
}

static SeerStatus content_make(const SeerProgram *program, int rank, const unsigned char *state,
                               const unsigned char *staging, FileContent *content) {
  Share share = share_make(program, program->ranks, rank);
  size_t pieces = (size_t)share_pieces(share);
  *content = (FileContent){.stored = calloc(pieces + 1, sizeof *content->stored),
                           .metadata = calloc(pieces + 3, sizeof *content->metadata),
                           .names = calloc(pieces + 1, NAME_BYTES),
                           .shapes = calloc(pieces + 1, NAME_BYTES),
                           .metadata_count = 3};
  if (!content->stored || !content->metadata || !content->names || !content->shapes)
    return seer_fail(SEER_MACHINE, "no memory to list %zu tensors", pieces);
  content->metadata[0] = (SeerMetadata){"format", "pt"};
  content->metadata[1] = (SeerMetadata){"program", program->name};
  content->metadata[2] = (SeerMetadata){"seer", program->seer_version};
  SeerStatus status = SEER_OK;
  while (!status && share_next(&share)) {
    const SeerTensor *tensor = &share.tensors[share.index];
    const unsigned char *data = staging ? staging : state + tensor->offset + share.piece.local * sizeof(float);
    if (staging) staging += share.piece.count * sizeof(float);
    status = piece_add(content, &share, data);
    if (status || seer_floats_finite((const float *)(const void *)data, share.piece.count)) continue;
    status = seer_fail(SEER_INPUT,
                       "'%s' is not finite, so no snapshot was written\nnote: lower the learning rate "
                       "(schedule.peak) or lengthen the warm-up, and continue from the snapshot before with --resume",
                       tensor->name);
  }
  return status;
}

SeerStatus seer_snapshot_write(const SeerProgram *program, const SeerSnapshot *snapshot, const char *run, int rank,
                               const unsigned char *state, const unsigned char *staging, SeerSnapshotFile *file) {
  SeerPath temporary, path;
  FileContent content = {.count = 0};
  *file = (SeerSnapshotFile){.bytes = 0};
  SeerStatus status = temporary_print(snapshot, run, &temporary);
  if (!status) status = seer_manifest_file(temporary.text, rank, program->ranks, &path);
  if (!status) status = content_make(program, rank, state, staging, &content);
  if (!status)
    status = seer_safetensors_write(path.text, content.stored, content.count, content.metadata, content.metadata_count,
                                    &file->bytes, &file->hash);
  content_release(&content);
  return write_context(status, snapshot);
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

SeerStatus seer_snapshot_commit(const SeerProgram *program, const SeerSnapshot *snapshot, const char *run,
                                const SeerSnapshotFile *files, int64_t keep) {
  SeerPath parent, temporary, folder;
  SeerStatus status = seer_path_print(&parent, "%s/snapshots", run);
  if (!status) status = temporary_print(snapshot, run, &temporary);
  if (!status) status = seer_snapshot_folder(run, snapshot->step, &folder);
  if (!status) status = seer_manifest_write(program, snapshot, files, temporary.text);
  if (!status) status = seer_folder_sync(temporary.text);
  if (!status) status = seer_folder_remove(folder.text);  // only ever a copy of this step that was found damaged
  if (!status && rename(temporary.text, folder.text) != 0) {
    status = seer_fail(SEER_MACHINE, "cannot rename '%s' to '%s': %s", temporary.text, folder.text, strerror(errno));
  }
  if (!status) status = seer_folder_sync(parent.text);
  if (status) return write_context(status, snapshot);
  return old_remove(run, snapshot->step, keep);
}

void seer_snapshot_abandon(const SeerSnapshot *snapshot, const char *run) {
  SeerPath temporary;
  if (!temporary_print(snapshot, run, &temporary)) seer_folder_remove(temporary.text);
}
