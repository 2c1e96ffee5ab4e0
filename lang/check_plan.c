// Checks of what a plan is made from: machine, memory budget, shards, checkpoints.
#include <math.h>
#include <string.h>

#include "lang/check.h"
#include "lang/source_text.h"

void check_known_machine(CheckContext *context) {
  NEEDS(context, KEY_cluster_machine);
  const char *machine = spec_text(context->spec, KEY_cluster_machine);
  Resolver *resolver = context->resolver;
  if (!resolver->library || !check_by_user(context, KEY_cluster_machine)) return;
  const char *path = path_of_machine(context->arena, context->spec->path, resolver->library, machine);
  if (*machine && resolver->files->is_file(resolver->files->context, path)) return;
  check_error(context, check_span(context, KEY_cluster_machine), "unknown machine '%s'", machine);
  const char **names = NULL;
  const char *folder = path_join(context->arena, resolver->library, "machines");
  int count = resolver->files->list(resolver->files->context, context->arena, folder, &names);
  Suggestion suggestion = suggestion_make(machine);
  Writer all = {0};
  for (int i = 0; i < count; i++) {
    const char *name = path_without_suffix(context->arena, names[i]);
    suggestion_offer(&suggestion, name);
    writer_printf(&all, "%s%s", i ? ", " : "", name);
  }
  const char *best = suggestion_best(&suggestion);
  if (best)
    check_note(context, span_none(), "did you mean \"%s\"?", best);
  else
    check_note(context, span_none(), "the machines are %s; one of your own is named by the path of its file",
               count ? all.text : "missing from this installation");
  writer_release(&all);
}

static bool is_same_rate(const SpecValue *a, const SpecValue *b) {
  return strcmp(a->items[ARGUMENT_rate_kernel].text, b->items[ARGUMENT_rate_kernel].text) == 0 &&
         strcmp(a->items[ARGUMENT_rate_precision].text, b->items[ARGUMENT_rate_precision].text) == 0;
}

void check_kernel_rates(CheckContext *context) {
  NEEDS(context, KEY_cluster_rates);
  const SpecValue *rates = spec_value(context->spec, KEY_cluster_rates);
  for (int i = 0; i < rates->item_count; i++) {
    const SpecValue *rate = &rates->items[i];
    if (rate->items[ARGUMENT_rate_start].number + rate->items[ARGUMENT_rate_flops].number +
            rate->items[ARGUMENT_rate_bandwidth].number <=
        0) {
      check_error(context, rate->span, "'%s' would take no time", rate->items[ARGUMENT_rate_kernel].text);
      check_note(context, span_none(), "give 'start', 'flops' or 'bandwidth'");
    }
    for (int j = 0; j < i; j++) {
      if (!is_same_rate(&rates->items[j], rate)) continue;
      check_error(context, rate->span, "'rates' has '%s' in %s twice", rate->items[ARGUMENT_rate_kernel].text,
                  rate->items[ARGUMENT_rate_precision].text);
      check_note(context, rates->items[j].span, "the first time is here");
      break;
    }
  }
}

static void check_source(CheckContext *context, const SpecValue *source) {
  SourceText text;
  if (!source_text_parse(context->arena, source->text, &text) || !text.kind) {
    check_error(context, source->span, "a source names keys, a kind, and what it is");
    check_note(context, span_none(),
               "such as \"flops bandwidth: datasheet, NVIDIA A100\"; the kinds are %s, %s, %s, %s", source_kinds[0],
               source_kinds[1], source_kinds[2], source_kinds[3]);
    return;
  }
  const char *keys = text.keys, *key;
  int count = 0;
  while ((key = source_text_next_key(context->arena, &keys))) {
    count++;
    if (schema_find_key("cluster", key) >= 0) continue;
    check_error(context, source->span, "a source of '%s', which is no key of section 'cluster'", key);
    Suggestion suggestion = suggestion_make(key);
    for (int i = 0; i < schema_key_count; i++) {
      if (strcmp(schema_keys[i].section, "cluster") == 0) suggestion_offer(&suggestion, schema_keys[i].name);
    }
    const char *best = suggestion_best(&suggestion);
    check_note(context, span_none(), best ? "did you mean '%s'?" : "'seerc explain cluster' lists them", best);
  }
  if (count) return;
  check_error(context, source->span, "a source of no key");
  check_note(context, span_none(), "write the keys before the colon, blanks between");
}

void check_sources(CheckContext *context) {
  NEEDS(context, KEY_cluster_sources);
  const SpecValue *sources = spec_value(context->spec, KEY_cluster_sources);
  if (sources->kind == SPEC_STRING) check_source(context, sources);
  for (int i = 0; sources->kind == SPEC_LIST && i < sources->item_count; i++) check_source(context, &sources->items[i]);
}

void check_slow_ranks(CheckContext *context) {
  NEEDS(context, KEY_cluster_slow_ranks, KEY_cluster_slow_factor);
  double share = check_number(context, KEY_cluster_slow_ranks, 0);
  double factor = check_number(context, KEY_cluster_slow_factor, 1);
  if ((share > 0) == (factor > 1) || (share == 0 && factor == 1)) return;
  SpecKey set = share > 0 ? KEY_cluster_slow_ranks : KEY_cluster_slow_factor;
  check_warning(context, check_span(context, set), "'%s' changes nothing alone", check_short(set));
  check_note(context, span_none(), "set 'slow_ranks', the share, and 'slow_factor', how much slower they are");
}

void check_budget(CheckContext *context) {
  NEEDS(context, KEY_checkpoint_budget, KEY_cluster_memory);
  double budget = check_number(context, KEY_checkpoint_budget, 0),
         memory = check_number(context, KEY_cluster_memory, 0);
  if (budget == 0 || memory == 0 || budget <= memory) return;
  check_error(context, check_span(context, KEY_checkpoint_budget), "'budget' %s is above a rank's memory of %s",
              check_quantity(context, budget, UNIT_BYTES), check_quantity(context, memory, UNIT_BYTES));
  check_note(context, check_span(context, KEY_cluster_memory), "lower it, or leave it to auto");
}

static double ranks_of(const CheckContext *context) {
  return check_number(context, KEY_cluster_nodes, 1) * check_number(context, KEY_cluster_ranks_per_node, 1);
}

// A name goes into files that a launcher reads: no blanks, no colons.
static bool is_host_name(const char *name) {
  static const char *const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
  return *name && *name != '-' && !name[strspn(name, letters)];
}

void check_hosts(CheckContext *context) {
  NEEDS(context, KEY_cluster_hosts, KEY_cluster_nodes);
  const SpecValue *hosts = spec_value(context->spec, KEY_cluster_hosts);
  if (hosts->kind == SPEC_UNSET) return;
  int nodes = (int)check_number(context, KEY_cluster_nodes, 1);
  int count = hosts->kind == SPEC_LIST ? hosts->item_count : 1;
  for (int i = 0; i < count; i++) {
    const SpecValue *host = hosts->kind == SPEC_LIST ? &hosts->items[i] : hosts;
    if (!is_host_name(host->text)) {
      check_error(context, host->span, "'%s' is no name of a host", host->text);
      check_note(context, span_none(), "names have letters, digits, '.', '-' and '_'");
    }
    for (int j = 0; j < i; j++) {
      if (strcmp(hosts->items[j].text, host->text) != 0) continue;
      check_error(context, host->span, "'hosts' names '%s' twice", host->text);
      check_note(context, hosts->items[j].span, "the first time is here; 'ranks_per_node' says how often it is used");
      break;
    }
  }
  if (count == nodes) return;
  check_error(context, hosts->span, "'hosts' has %d name%s for %d machine%s", count, count == 1 ? "" : "s", nodes,
              nodes == 1 ? "" : "s");
  check_note(context, check_span(context, KEY_cluster_nodes), "'nodes' says how many machines there are");
}

// A recipe may say it for the clusters that it is used on; only the spec itself is asked.
void check_shard_ranks(CheckContext *context) {
  NEEDS(context, KEY_shard_parameters, KEY_cluster_nodes, KEY_cluster_ranks_per_node);
  const Resolver *resolver = context->resolver;
  bool own = resolver->keys[KEY_shard_parameters].layer >= resolver->main_layer;
  bool shares =
      spec_is(context->spec, KEY_shard_parameters, "full") || spec_is(context->spec, KEY_shard_parameters, "hybrid");
  if (!own || !shares || ranks_of(context) > 1) return;
  check_warning(context, check_span(context, KEY_shard_parameters), "one rank has nobody to share parameters with");
  check_note(context, span_none(), "set 'cluster.nodes' or 'cluster.ranks_per_node', or remove it");
}

// Groups of ranks as a key asks for them: hybrid(8), or 8.
typedef struct RankGroups {
  SpecKey key;
  double size;
  const char *open, *close;  // how the key's value is written around a size
} RankGroups;

// Says which sizes from 2 on are next to the one that does not divide.
static void group_error(CheckContext *context, const RankGroups *groups, SourceSpan span, double ranks) {
  double below, above;
  check_divisors(ranks, groups->size, &below, &above);
  check_error(context, span, "%g ranks cannot be divided into groups of %g", ranks, groups->size);
  SourceSpan at = span.begin == check_span(context, groups->key).begin ? span_none() : check_span(context, groups->key);
  if (below >= 2 && above > 0)
    check_note(context, at, "the nearest that would do are %s%g%s and %s%g%s", groups->open, below, groups->close,
               groups->open, above, groups->close);
  else
    check_note(context, at, "the nearest that would do is %s%g%s", groups->open, below < 2 ? above : below,
               groups->close);
}

// Every world's ranks, `least` or more of them.
static void check_groups(CheckContext *context, const RankGroups *groups, double least) {
  double declared = ranks_of(context);
  const SpecValue *worlds = spec_value(context->spec, KEY_cluster_worlds);
  if (declared >= least && fmod(declared, groups->size) != 0)
    group_error(context, groups, check_span(context, groups->key), declared);
  for (int i = 0; i < worlds->item_count; i++) {
    double ranks = worlds->items[i].number;
    if (ranks >= least && ranks != declared && fmod(ranks, groups->size) != 0)
      group_error(context, groups, worlds->items[i].span, ranks);
  }
}

void check_shard_group(CheckContext *context) {
  NEEDS(context, KEY_shard_parameters, KEY_cluster_nodes, KEY_cluster_ranks_per_node, KEY_cluster_worlds);
  if (!spec_is(context->spec, KEY_shard_parameters, "hybrid")) return;
  double size = spec_value(context->spec, KEY_shard_parameters)->number;
  check_groups(context, &(RankGroups){KEY_shard_parameters, size, "hybrid(", ")"}, 2);
}

// Fewer ranks than asked for are one group.
void check_norm_ranks(CheckContext *context) {
  NEEDS(context, KEY_train_batch_norm_ranks, KEY_cluster_nodes, KEY_cluster_ranks_per_node, KEY_cluster_worlds);
  const SpecValue *asked = spec_value(context->spec, KEY_train_batch_norm_ranks);
  if (asked->kind != SPEC_NUMBER) return;
  check_groups(context, &(RankGroups){KEY_train_batch_norm_ranks, asked->number, "", ""}, asked->number);
}

void check_reduce_precision(CheckContext *context) {
  NEEDS(context, KEY_shard_reduce, KEY_train_precision, KEY_cluster_nodes, KEY_cluster_ranks_per_node);
  const Spec *spec = context->spec;
  bool narrower = spec_is(spec, KEY_train_precision, "fp32") && !spec_is(spec, KEY_shard_reduce, "fp32");
  if (!narrower || ranks_of(context) == 1) return;
  check_warning(context, check_span(context, KEY_shard_reduce),
                "gradients of an fp32 run are rounded to %s on their way", spec_text(spec, KEY_shard_reduce));
  check_note(context, check_span(context, KEY_train_precision), "set 'shard.reduce = fp32', or train in %s",
             spec_text(spec, KEY_shard_reduce));
}

// The stem and the residual blocks, or 0 for a spec without a network. The generator's stages add up to its depth.
static double trunk_blocks(const CheckContext *context) {
  const SpecValue *depths = spec_value(context->spec, KEY_model_depths);
  double blocks = depths->kind == SPEC_LIST ? 0 : check_number(context, KEY_model_depth, 0);
  for (int i = 0; depths->kind == SPEC_LIST && i < depths->item_count; i++) blocks += depths->items[i].number;
  return blocks > 0 ? 1 + blocks : 0;
}

static void check_cut(CheckContext *context, const SpecValue *cuts, int index, double blocks) {
  const SpecValue *cut = &cuts->items[index];
  double before = index ? cuts->items[index - 1].number : 0;
  if (cut->number <= before) {
    check_error(context, cut->span, "cut %g comes after %g", cut->number, before);
    check_note(context, span_none(), "list them in ascending order, each once");
  } else if (blocks > 0 && cut->number > blocks) {
    check_error(context, cut->span, "there is no block %g to cut behind", cut->number);
    check_note(context, span_none(), "the stem is block 1, the trunk's last one %g", blocks);
  }
}

// Cuts that another placement stands in for are only compared with, and may be a recipe's for a deeper network.
void check_cuts(CheckContext *context) {
  NEEDS(context, KEY_checkpoint_placement, KEY_checkpoint_cuts, KEY_model_depth, KEY_model_depths);
  const SpecValue *cuts = spec_value(context->spec, KEY_checkpoint_cuts);
  bool used = spec_is(context->spec, KEY_checkpoint_placement, "cuts");
  if (used && cuts->item_count == 0) {
    check_error(context, check_span(context, KEY_checkpoint_placement), "'placement = cuts' needs 'cuts'");
    check_note(context, span_none(),
               "give the blocks behind which segments end, the stem being 1, such as cuts = [1, 5, 9]");
  }
  double blocks = used ? trunk_blocks(context) : 0;
  for (int i = 0; i < cuts->item_count; i++) check_cut(context, cuts, i, blocks);
}
