// seerc identify: which network a file of weights holds, by its tensors' names and shapes; nothing else of it is read.
#include <stdio.h>
#include <string.h>

#include "compiler/driver/weights_spec.h"
#include "runtime/weights/fit.h"

static void print_head(const SeerNetwork *network, Writer *out) {
  writer_text(out, "head         ");
  if (network->classes) writer_printf(out, "a classifier of %lld classes", (long long)network->classes);
  if (network->classes && network->layer_count) writer_text(out, "; ");
  for (int i = 0; i < network->layer_count; i++)
    writer_printf(out, "%s%lld", i ? ", " : "a projection head of ", (long long)network->layers[i]);
  if (network->layer_count) writer_printf(out, ", %s BatchNorm", network->layers_norm ? "with" : "without");
  if (network->prototypes) writer_printf(out, ", %lld prototypes", (long long)network->prototypes);
  if (!network->classes && !network->layer_count) writer_text(out, "none");
  writer_text(out, "\n");
}

// "F32", or "F16, F32": of all tensors that are weights.
static void print_types(const SeerWeightFile *file, Writer *out) {
  bool seen[SEER_DTYPE_COUNT] = {false};
  const char *between = "numbers      ";
  for (int i = 0; i < file->count; i++) seen[file->weights[i].held->stored->dtype] = true;
  for (int i = 0; i < SEER_DTYPE_COUNT; i++) {
    if (!seen[i]) continue;
    writer_printf(out, "%s%s", between, seer_dtype_name((SeerDtype)i));
    between = ", ";
  }
  writer_text(out, "\n");
}

static void print_identity(const SeerWeightFile *file, const SeerNetwork *network, const SeerNetworkTensors *tensors,
                           const ShippedNetwork *shipped, Writer *out) {
  int64_t trunk, all;
  char text[1024];
  seer_network_parameters(tensors, &trunk, &all);
  writer_printf(out, "network      %s\n", seer_network_text(network, text, sizeof text));
  writer_printf(out, "spec         %s%s\n", shipped->name ? shipped->name : "none of the shipped ones",
                shipped->rule_of_torchvision ? ", model.group_rule = torchvision" : "");
  print_head(network, out);
  writer_printf(out, "parameters   %lld, %lld of them in the trunk\n", (long long)all, (long long)trunk);
  writer_printf(out, "names        %s\n", seer_format_name(file->format));
  print_types(file, out);
  if (file->optimizer_count) writer_printf(out, "left aside   %d tensors of an optimizer\n", file->optimizer_count);
}

// What was found is printed even where tensors are missing; the fault is told, too.
static int identify(Invocation *invocation, const SeerWeightFile *file, const SeerNetwork *network,
                    const SeerNetworkTensors *tensors) {
  Writer out = {0}, spec = {0};
  SeerFit fit;
  ShippedNetwork shipped = network_find_shipped(invocation, network);
  SeerWanted wanted = {
      .tensors = tensors->tensors, .count = tensors->count, .who = "the network that it outlines", .whole = true};
  print_identity(file, network, tensors, &shipped, &out);
  int code = driver_write_stream(&out);
  if (code == EXIT_DONE) code = driver_report_runtime("weights", seer_weights_fit(file, &wanted, SEER_USE_ALL, &fit));
  if (code == EXIT_DONE) {
    seer_weights_fit_release(&fit);
    network_print_spec(invocation->arena, network, &shipped, file->path.text, &spec);
    if (option_is_set(invocation, "out")) code = driver_write(invocation, &spec);
  }
  writer_release(&spec);
  writer_release(&out);
  return code;
}

int command_identify(Invocation *invocation) {
  if (invocation->file_count != 1)
    return usage_error(invocation, "'identify' takes one file, snapshot or run folder of weights");
  SeerWeightFile file;
  SeerNetwork network;
  SeerNetworkTensors tensors;
  bool found = false;
  SeerStatus status = seer_weight_file_open(invocation->files[0], &file);
  if (status) return driver_report_runtime("weights", status);
  status = seer_weight_file_network(&file, &network, &found);
  if (!status && !found) status = seer_weight_file_no_network(&file, &network);
  if (!status) status = seer_network_tensors_make(&network, &tensors);
  int code = driver_report_runtime("weights", status);
  if (!status) {
    code = identify(invocation, &file, &network, &tensors);
    seer_network_tensors_release(&tensors);
  }
  seer_weight_file_close(&file);
  return code;
}
