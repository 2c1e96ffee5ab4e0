// From specs to networks of weights and back; see weights_spec.h.
#include "compiler/driver/weights_spec.h"

#include <string.h>

#include "compiler/passes/build_model.h"
#include "lang/files.h"
#include "lang/fmt.h"

bool network_from_spec(Arena *arena, const Spec *spec, int64_t classes, DiagList *diags, SeerNetwork *network) {
  ModelOptions options;
  *network = (SeerNetwork){0};
  if (!spec_require_model(spec, diags) || !model_options_from_spec(arena, spec, classes, MODEL_TRAIN, diags, &options))
    return false;
  const RegNetShape *shape = &options.shape;
  int64_t width = network->stem_width = shape->stem_width;
  network->se_ratio = shape->se_ratio;
  network->stage_count = shape->stage_count;
  for (int s = 0; s < shape->stage_count; s++) {
    const RegNetStage *stage = &shape->stages[s];
    network->stages[s] = (SeerNetworkStage){.depth = stage->depth,
                                            .width = stage->width,
                                            .inner = regnet_inner_width(shape, stage->width),
                                            .group_width = stage->group_width,
                                            .projects = stage->stride != 1 || width != stage->width};
    width = stage->width;
  }
  network->classes = options.classes;
  network->layer_count = options.head_layer_count;
  for (int i = 0; i < options.head_layer_count; i++) network->layers[i] = options.head_widths[i];
  network->layers_norm = options.head_batch_norm;
  network->prototypes = options.prototypes;
  return true;
}

static bool is_like(Invocation *invocation, const char *path, const SpecDefine *rule, const SeerNetwork *wanted) {
  SeerNetwork network;
  SourceMap *sources = source_map_make(invocation->arena);
  DiagList *diags = diag_list_make(invocation->arena, sources);
  const Spec *spec = spec_load(invocation->arena, sources, diags, path, invocation->library, rule, rule->text ? 1 : 0);
  return spec && network_from_spec(invocation->arena, spec, 2, diags, &network) && seer_network_equal(&network, wanted);
}

ShippedNetwork network_find_shipped(Invocation *invocation, const SeerNetwork *network) {
  static const SpecDefine rules[] = {{.text = NULL}, {.text = "model.group_rule=torchvision"}};
  const char **names = NULL;
  const char *folder = invocation->library ? path_join(invocation->arena, invocation->library, "models") : NULL;
  int count = folder ? spec_files_on_disk.list(NULL, invocation->arena, folder, &names) : 0;
  for (int rule = 0; rule < 2; rule++) {
    for (int i = 0; i < count; i++) {
      const char *path = path_join(invocation->arena, folder, names[i]);
      size_t length = strlen(path);
      if (length < 5 || strcmp(path + length - 5, ".seer") != 0) continue;
      if (!is_like(invocation, path, &rules[rule], network)) continue;
      const char *name = path_without_suffix(invocation->arena, names[i]);
      return (ShippedNetwork){arena_printf(invocation->arena, "models/%s", name), rule == 1};
    }
  }
  return (ShippedNetwork){0};
}

static void print_list(Writer *out, const char *key, const int64_t *numbers, int count) {
  writer_printf(out, "%s = [", key);
  for (int i = 0; i < count; i++) writer_printf(out, "%s%lld", i ? ", " : "", (long long)numbers[i]);
  writer_text(out, "]\n");
}

static void print_model(const SeerNetwork *network, Writer *out) {
  int64_t lists[4][SEER_NETWORK_STAGES_MAX], width = network->stem_width;
  bool strided = true;
  for (int s = 0; s < network->stage_count; s++) {
    const SeerNetworkStage *stage = &network->stages[s];
    lists[0][s] = stage->depth;
    lists[1][s] = stage->width;
    lists[2][s] = stage->group_width;
    lists[3][s] = stage->projects || stage->width != width ? 2 : 1;
    strided = strided && lists[3][s] == 2;
    width = stage->width;
  }
  const SeerNetworkStage *first = &network->stages[0];
  writer_printf(out, "model {\nfamily = %s\n", network->se_ratio > 0 ? "regnety" : "regnetx");
  print_list(out, "depths", lists[0], network->stage_count);
  print_list(out, "widths", lists[1], network->stage_count);
  print_list(out, "group_widths", lists[2], network->stage_count);
  if (!strided || network->stage_count != 4) print_list(out, "strides", lists[3], network->stage_count);
  if (first->inner != first->width)
    writer_printf(out, "bottleneck = %.9g\n", (double)first->inner / (double)first->width);
  if (network->se_ratio > 0 && network->se_ratio != 0.25) writer_printf(out, "se_ratio = %.9g\n", network->se_ratio);
  if (network->stem_width != 32) writer_printf(out, "stem_width = %lld\n", (long long)network->stem_width);
  writer_text(out, "}\n");
}

static void print_head(const SeerNetwork *network, Writer *out) {
  if (network->classes) writer_printf(out, "supervised {\nclasses = %lld\n}\n", (long long)network->classes);
  if (network->classes || !network->layer_count) return;
  writer_text(out, "swav {\n");
  if (network->prototypes) writer_printf(out, "prototypes = %lld\n", (long long)network->prototypes);
  print_list(out, "head", network->layers, network->layer_count);
  if (!network->layers_norm && network->layer_count > 1) writer_text(out, "head_batch_norm = no\n");
  writer_text(out, "}\n");
}

void network_print_spec(Arena *arena, const SeerNetwork *network, const ShippedNetwork *shipped, const char *from,
                        Writer *out) {
  Writer text = {0};
  const char *slash = strrchr(from, '/');
  writer_text(&text, "# The network of ");
  for (const char *c = slash && slash[1] ? slash + 1 : from; *c; c++) writer_bytes(&text, *c < ' ' ? "?" : c, 1);
  writer_text(&text, ". Strides are not in weights: these are the usual ones.\n");
  if (shipped->name)
    writer_printf(&text, "use \"%s\"\n%s", shipped->name,
                  shipped->rule_of_torchvision ? "model {\ngroup_rule = torchvision\n}\n" : "");
  else
    print_model(network, &text);
  print_head(network, &text);
  SourceMap *sources = source_map_make(arena);
  DiagList *diags = diag_list_make(arena, sources);
  uint32_t file = source_map_add(sources, "<identified>", text.text, text.size);
  if (!fmt_file(arena, sources, diags, file, out)) writer_bytes(out, text.text, text.size);
  writer_release(&text);
}
