// The command export: weights of a run, a snapshot of any number of ranks, or a file, as one safetensors file in the
// names of seer or of others. It reads and writes a piece at a time, so it needs little memory, however large the
// network.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/commands.h"
#include "runtime/init.h"
#include "runtime/weights/fit.h"
#include "runtime/weights/write.h"

typedef struct Export {
  const SeerProgram *program;
  const SeerOptions *options;
  SeerWeightFile from;
  SeerNaming naming;
  int depths[SEER_NETWORK_STAGES_MAX];
  SeerWritten *entries;
  int count;
  int left_out;      // tensors that the format has no place for
  int head_missing;  // tensors of the trainer's head that the source lacks
} Export;

static SeerStatus entry_add(Export *export, const SeerTensor *tensor, const SeerWeight *weight) {
  SeerWritten *entry = &export->entries[export->count];
  SeerWeightName meaning;
  *entry = (SeerWritten){.tensor = tensor, .weight = weight};
  bool seer = export->naming.format == SEER_FORMAT_SEER;
  if (seer && snprintf(entry->name, sizeof entry->name, "%s", tensor->name) >= (int)sizeof entry->name)
    return seer_fail(SEER_BUG, "the name of tensor '%s' is too long", tensor->name);
  if (!seer && (!seer_weight_name_parse(SEER_FORMAT_SEER, tensor->name, &meaning) ||
                !seer_weight_name_print(&export->naming, &meaning, entry->name))) {
    export->left_out++;
    return SEER_OK;
  }
  export->count++;
  if (seer) return SEER_OK;
  entry->turned = export->naming.format == SEER_FORMAT_PYCLS && meaning.part == SEER_PART_STEM_CONV;
  if (meaning.leaf != SEER_LEAF_VARIANCE) return SEER_OK;
  meaning.leaf = SEER_LEAF_BATCHES;
  entry = &export->entries[export->count++];
  *entry = (SeerWritten){.tensor = tensor};
  seer_weight_name_print(&export->naming, &meaning, entry->name);
  return SEER_OK;
}

// How names are made depends on the network: squeeze-and-excitation, VISSL's parts, and whether there is a classifier,
// without which Hugging Face's names are those of the bare trunk.
static SeerStatus naming_decide(Export *export, const SeerFit *fit) {
  SeerNaming *naming = &export->naming;
  SeerNetwork network;
  bool found = false, classifies = false;
  SeerStatus status = seer_weight_file_network(&export->from, &network, &found);
  if (status) return status;
  if (!found && naming->format != SEER_FORMAT_SEER)
    return seer_fail(SEER_INPUT, "no RegNet is in '%s': only --format seer can name its tensors",
                     export->from.path.text);
  for (int i = 0; i < export->program->tensor_count; i++)
    classifies = classifies || (fit->weights[i] && strcmp(export->program->tensors[i].name, "fc.weight") == 0);
  for (int s = 0; found && s < network.stage_count; s++) export->depths[s] = network.stages[s].depth;
  naming->depths = export->depths;
  naming->squeezes = found && network.se_ratio > 0;
  naming->wrapped = naming->format != SEER_FORMAT_HF || classifies;
  if (found) naming->part_count = seer_network_vissl_parts(&network, &naming->part_ends);
  return SEER_OK;
}

static SeerStatus rest_add(Export *export) {
  SeerStatus status = SEER_OK;
  for (int i = 0; i < export->program->tensor_count && !status; i++) {
    const SeerTensor *tensor = &export->program->tensors[i];
    if (!seer_tensor_is_kept(tensor) || tensor->kind == SEER_PARAMETER || tensor->kind == SEER_STATISTIC) continue;
    const SeerWeight *weight = seer_weight_find(&export->from, tensor->name);
    if (!weight || weight->held->rank != tensor->rank ||
        memcmp(weight->held->size, tensor->size, (size_t)tensor->rank * sizeof *tensor->size) != 0)
      return seer_fail(SEER_INPUT, "'%s' does not hold '%s' of this trainer\nnote: --all is for its own snapshots",
                       export->from.path.text, tensor->name);
    status = entry_add(export, tensor, weight);
  }
  return status;
}

static SeerStatus entries_make(Export *export) {
  SeerFit fit;
  const SeerProgram *program = export->program;
  SeerWanted wanted = {.tensors = program->tensors, .count = program->tensor_count, .who = "this trainer"};
  // A file from elsewhere may be of a bare trunk; a snapshot of this trainer is whole.
  SeerStatus status =
      seer_weights_fit(&export->from, &wanted, export->from.is_snapshot ? SEER_USE_ALL : SEER_USE_TRUNK, &fit);
  if (status) return status;
  export->head_missing = fit.head_missing;
  export->entries = calloc(2 * (size_t)program->tensor_count + 1, sizeof *export->entries);
  if (!export->entries) status = seer_fail(SEER_MACHINE, "no memory to write '%s'", export->options->out);
  if (!status) status = naming_decide(export, &fit);
  for (int i = 0; i < program->tensor_count && !status; i++) {
    if (fit.weights[i]) status = entry_add(export, &program->tensors[i], fit.weights[i]);
  }
  if (!status && export->options->all) status = rest_add(export);
  seer_weights_fit_release(&fit);
  return status;
}

static SeerStatus file_export(const Export *export) {
  const SeerProgram *program = export->program;
  const SeerOptions *options = export->options;
  SeerMetadata metadata[] = {
      {"format", "pt"}, {"step", export->from.step}, {"program", program->name}, {"seer", program->seer_version}};
  // What tells a file of seer's is for seer's names alone.
  int told = export->naming.format == SEER_FORMAT_SEER ? 4 : 2;
  uint64_t bytes = 0;
  SeerStatus status =
      seer_weights_write(&export->from, export->entries, export->count, metadata, told, options->out, &bytes);
  if (status || options->quiet) return status;
  printf("step %s of '%s' in '%s', %.1f MiB\n", export->from.step, export->from.path.text, options->out,
         (double)bytes / 1048576);
  if (export->left_out)
    printf("note: '%s' has no names for %d tensors of this network's head: they are left out\n",
           seer_format_name(export->naming.format), export->left_out);
  if (export->head_missing)
    printf("note: '%s' lacks %d tensors of this trainer's head: they are left out\n", export->from.path.text,
           export->head_missing);
  return SEER_OK;
}

static SeerStatus format_read(const SeerOptions *options, SeerWeightFormat *format) {
  char names[128] = "";
  *format = options->format ? seer_format_find(options->format) : SEER_FORMAT_SEER;
  for (int i = 0; i < SEER_FORMAT_COUNT; i++) {
    size_t at = strlen(names);
    snprintf(names + at, sizeof names - at, "%s%s", i ? ", " : "", seer_format_name((SeerWeightFormat)i));
  }
  if (*format == SEER_FORMAT_COUNT)
    return seer_fail(SEER_USAGE, "there is no format '%s'\nnote: formats: %s", options->format, names);
  if (options->all && *format != SEER_FORMAT_SEER)
    return seer_fail(SEER_USAGE, "'--all' is for '--format seer': other formats have no optimizer state");
  return SEER_OK;
}

SeerStatus seer_command_export(const SeerProgram *program, const SeerOptions *options) {
  if (!options->operand || !options->out)
    return seer_fail(SEER_USAGE, "which weights, into which file?\nnote: %s export RUN --out FILE.safetensors",
                     options->program);
  if (!seer_path_exists(options->operand))
    return seer_fail(SEER_INPUT, "there is no run folder, snapshot or file '%s'", options->operand);
  Export export = {.program = program, .options = options};
  SeerStatus status = format_read(options, &export.naming.format);
  if (!status) status = seer_weight_file_open(options->operand, &export.from);
  if (status) return status;
  status = entries_make(&export);
  if (!status) status = file_export(&export);
  free(export.entries);
  seer_weight_file_close(&export.from);
  return status;
}
