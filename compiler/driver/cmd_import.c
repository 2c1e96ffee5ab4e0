// seerc import: weights in anyone's names into a file in seer's, every tensor of the network checked on the way.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/driver/weights_spec.h"
#include "runtime/weights/fit.h"
#include "runtime/weights/write.h"

typedef struct Import {
  Invocation *invocation;
  SeerWeightFile from;
  SeerNetwork network, outlined;  // that it must be, and the one that the weights outline
  SeerNetworkTensors tensors;
  bool named;  // the network is a spec's
} Import;

// The spec's network, or the one that the weights outline.
static int network_decide(Import *import) {
  Invocation *invocation = import->invocation;
  const char *path = option_text(invocation, "spec");
  bool found = false;
  SeerStatus status = seer_weight_file_network(&import->from, &import->outlined, &found);
  import->named = path != NULL;
  if (!status && !found && !path) status = seer_weight_file_no_network(&import->from, &import->outlined);
  if (status) return driver_report_runtime("weights", status);
  import->network = import->outlined;
  if (!path) return EXIT_DONE;
  LoadedSpec loaded = driver_load(invocation, path);
  if (loaded.spec)
    network_from_spec(invocation->arena, loaded.spec, import->outlined.classes, loaded.diags, &import->network);
  // What a spec is warned of is training.
  return loaded.diags->error_count ? driver_report(invocation, loaded.diags) : EXIT_DONE;
}

static SeerStatus weights_write(const Import *import, const SeerFit *fit, uint64_t *bytes, int *written) {
  SeerMetadata metadata[] = {{"format", "pt"}, {"step", import->from.step}, {"seer", SEER_VERSION}};
  SeerWritten *entries = calloc((size_t)import->tensors.count + 1, sizeof *entries);
  int count = 0;
  if (!entries) return seer_fail(SEER_MACHINE, "no memory to write the list of %d tensors", import->tensors.count);
  for (int i = 0; i < import->tensors.count; i++) {
    const SeerTensor *tensor = &import->tensors.tensors[i];
    if (!fit->weights[i]) continue;
    SeerWritten *entry = &entries[count++];
    *entry = (SeerWritten){.tensor = tensor, .weight = fit->weights[i]};
    snprintf(entry->name, sizeof entry->name, "%s", tensor->name);
  }
  SeerStatus status =
      seer_weights_write(&import->from, entries, count, metadata, 3, option_text(import->invocation, "out"), bytes);
  free(entries);
  *written = count;
  return status;
}

static int import_to_file(Import *import) {
  SeerFit fit;
  uint64_t bytes = 0;
  int written = 0;
  bool trunk = option_is_set(import->invocation, "trunk");
  SeerWanted wanted = {.tensors = import->tensors.tensors,
                       .count = import->tensors.count,
                       .who = import->named ? "the network of the spec" : "the network that it outlines",
                       .whole = !import->named && !trunk,
                       .head_note = "--trunk takes the trunk alone"};
  SeerStatus status = seer_weights_fit(&import->from, &wanted, trunk ? SEER_USE_NEW_HEAD : SEER_USE_ALL, &fit);
  if (status) {
    int code = driver_report_runtime("weights", status);
    ShippedNetwork shipped = network_find_shipped(import->invocation, &import->outlined);
    if (import->named && shipped.name)
      fprintf(stderr, "seerc: note: '%s' is a file of %s%s\n", import->from.path.text, shipped.name,
              shipped.rule_of_torchvision ? " with model.group_rule = torchvision" : "");
    return code;
  }
  status = weights_write(import, &fit, &bytes, &written);
  seer_weights_fit_release(&fit);
  if (status) return driver_report_runtime("weights", status);
  printf("%s: %d tensors in the names of '%s', now in seer's, %.1f MiB\n", option_text(import->invocation, "out"),
         written, seer_format_name(import->from.format), (double)bytes / 1048576);
  if (fit.aside) printf("note: %d tensors of its head are left out\n", fit.aside);
  if (import->from.optimizer_count)
    printf("note: %d tensors of its optimizer are left out\n", import->from.optimizer_count);
  return EXIT_DONE;
}

int command_import(Invocation *invocation) {
  const char *out = option_text(invocation, "out");
  Import import = {.invocation = invocation};
  if (invocation->file_count != 1 || !out || !*out)
    return usage_error(invocation,
                       "'import' takes one file, snapshot or run folder of weights, and -o OUT.safetensors");
  SeerStatus status = seer_weight_file_open(invocation->files[0], &import.from);
  if (status) return driver_report_runtime("weights", status);
  int code = network_decide(&import);
  if (code == EXIT_DONE) {
    status = seer_network_tensors_make(&import.network, &import.tensors);
    code = status ? driver_report_runtime("weights", status) : import_to_file(&import);
    seer_network_tensors_release(&import.tensors);
  }
  seer_weight_file_close(&import.from);
  return code;
}
