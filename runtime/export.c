// The command export: one safetensors file of whole tensors from a snapshot of any number of ranks. It reads and writes
// a piece at a time, so it needs little memory, however large the network.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/commands.h"
#include "runtime/init.h"
#include "runtime/snapshot_reader.h"

enum { CHUNK_FLOATS = 1 << 18 };

static bool is_exported(const SeerTensor *tensor, bool all) {
  if (all) return seer_tensor_is_kept(tensor);
  return tensor->kind == SEER_PARAMETER || tensor->kind == SEER_STATISTIC;
}

static SeerStatus tensor_copy(const SeerCollection *tensors, const SeerTensor *tensor, float *chunk, SeerFile *file) {
  const SeerHeld *held = seer_collection_find(tensors, tensor->name);
  uint64_t count = seer_tensor_count(tensor);
  SeerStatus status = SEER_OK;
  for (uint64_t at = 0; at < count && !status; at += CHUNK_FLOATS) {
    uint64_t floats = count - at < CHUNK_FLOATS ? count - at : CHUNK_FLOATS;
    status = seer_collection_read(tensors, held, at, floats, chunk);
    if (!status) status = seer_file_write(file, chunk, floats * sizeof *chunk);
  }
  return status;
}

static int tensors_list(const SeerProgram *program, bool all, SeerToStore *stored) {
  int count = 0;
  for (int i = 0; i < program->tensor_count; i++) {
    const SeerTensor *tensor = &program->tensors[i];
    if (!is_exported(tensor, all)) continue;
    stored[count] = (SeerToStore){{.name = tensor->name, .dtype = SEER_DTYPE_F32, .rank = tensor->rank}, NULL};
    memcpy(stored[count++].tensor.size, tensor->size, sizeof tensor->size);
  }
  return count;
}

static SeerStatus file_write(const SeerProgram *program, const SeerSnapshotReader *reader, bool all, const char *path,
                             uint64_t *bytes) {
  SeerFile file = {.fd = -1};
  char step[24];
  snprintf(step, sizeof step, "%lld", (long long)reader->manifest.snapshot.step);
  SeerMetadata metadata[] = {
      {"format", "pt"}, {"program", program->name}, {"seer", program->seer_version}, {"step", step}};
  SeerToStore *stored = calloc((size_t)program->tensor_count + 1, sizeof *stored);
  float *chunk = malloc(CHUNK_FLOATS * sizeof *chunk);
  SeerStatus status = stored && chunk ? SEER_OK : seer_fail(SEER_MACHINE, "no memory to write '%s'", path);
  if (!status) status = seer_safetensors_create(&file, path, stored, tensors_list(program, all, stored), metadata, 4);
  for (int i = 0; i < program->tensor_count && !status; i++) {
    if (is_exported(&program->tensors[i], all))
      status = tensor_copy(reader->tensors, &program->tensors[i], chunk, &file);
  }
  *bytes = file.bytes;
  status = seer_file_finish(&file, status, NULL);
  free(chunk);
  free(stored);
  return status;
}

static SeerStatus snapshot_open(const SeerProgram *program, const char *path, SeerSnapshotReader *reader) {
  SeerPath folder, manifest;
  bool damaged = false;
  SeerStatus status = seer_path_print(&folder, "%s", path);
  if (!status) status = seer_path_print(&manifest, "%s/%s", path, seer_manifest_name);
  if (!status && !seer_path_exists(manifest.text)) status = seer_snapshot_find_newest(path, &folder);
  if (!status) status = seer_snapshot_reader_begin(folder.text, reader);
  if (!status) status = seer_snapshot_reader_verify(reader, 0, 1);
  if (!status) status = seer_snapshot_reader_open(reader);
  return status ? status : seer_snapshot_reader_check(reader, program, &damaged);
}

// Under a temporary name first: a file of this name is always whole.
static SeerStatus file_export(const SeerProgram *program, const SeerOptions *options,
                              const SeerSnapshotReader *reader) {
  SeerPath temporary;
  uint64_t bytes = 0;
  SeerStatus status = seer_path_print(&temporary, "%s.tmp", options->out);
  if (status) return status;
  unlink(temporary.text);
  status = file_write(program, reader, options->all, temporary.text, &bytes);
  if (!status && rename(temporary.text, options->out) != 0)
    status = seer_fail(SEER_MACHINE, "cannot rename '%s' to '%s'", temporary.text, options->out);
  if (status) {
    unlink(temporary.text);
    return status;
  }
  if (!options->quiet)
    printf("step %lld of '%s' in '%s', %.1f MiB\n", (long long)reader->manifest.snapshot.step, reader->folder.text,
           options->out, (double)bytes / 1048576);
  return SEER_OK;
}

SeerStatus seer_command_export(const SeerProgram *program, const SeerOptions *options) {
  if (!options->operand || !options->out)
    return seer_fail(SEER_USAGE, "which snapshot, into which file?\nnote: %s export RUN --out FILE.safetensors",
                     options->program);
  if (!seer_path_is_folder(options->operand))
    return seer_fail(SEER_INPUT, "there is no run folder or snapshot '%s'", options->operand);
  SeerSnapshotReader reader = {.tensors = NULL};
  SeerStatus status = snapshot_open(program, options->operand, &reader);
  if (!status) status = file_export(program, options, &reader);
  seer_snapshot_reader_release(&reader);
  return status;
}
