// Checks of reproducible runs: slices that every number of ranks can share out, and what slices cannot do.
#include <math.h>

#include "lang/check.h"

static bool is_power_of_two(double number) { return exp2(floor(log2(number))) == number; }

static bool slices_are_whole_tree(CheckContext *context, double slices) {
  if (is_power_of_two(slices)) return true;
  double below = exp2(floor(log2(slices)));
  check_error(context, check_span(context, KEY_train_slices), "'slices' %g is no power of two", slices);
  check_note(context, span_none(), "sums are taken in pairs, and pairs of pairs: the nearest are %g and %g", below,
             2 * below);
  return false;
}

static void check_pictures_of_slices(CheckContext *context, double slices) {
  double batch = check_number(context, KEY_train_batch, 1), below = floor(batch / slices) * slices;
  if (below == batch) return;
  check_error(context, check_span(context, KEY_train_batch), "'batch' %g does not divide into %g slices", batch,
              slices);
  if (below > 0)
    check_note(context, span_none(), "the nearest batches are %g and %g", below, below + slices);
  else
    check_note(context, span_none(), "the smallest batch is %g; or lower 'slices'", slices);
}

static void check_ranks_of_slices(CheckContext *context, SourceSpan span, double ranks, double slices) {
  if (fmod(slices, ranks) == 0) return;
  check_error(context, span, "%g slices do not divide among %g ranks", slices, ranks);
  SourceSpan set = check_span(context, KEY_train_slices);
  if (ranks > slices && is_power_of_two(ranks))
    check_note(context, set, "set 'slices = %g', or start at most %g ranks", ranks, slices);
  else
    check_note(context, set, "reproducible runs take 1, 2, 4, ... up to %g ranks", slices);
}

static void refuse(CheckContext *context, bool used, SpecKey key, const char *what, const char *advice) {
  if (!used) return;
  check_error(context, check_span(context, key), "seerc cannot yet train reproducibly with %s", what);
  check_note(context, check_span(context, KEY_train_reproducible), "%s", advice);
}

void check_reproducible(CheckContext *context) {
  NEEDS(context, KEY_train_reproducible, KEY_train_slices, KEY_train_batch, KEY_train_accumulate, KEY_cluster_nodes,
        KEY_cluster_ranks_per_node, KEY_cluster_worlds, KEY_swav_queue, KEY_shard_parameters,
        KEY_shard_reduce, KEY_train_batch_norm_ranks);
  const Spec *spec = context->spec;
  if (!spec_flag(spec, KEY_train_reproducible)) return;
  double slices = check_number(context, KEY_train_slices, 1);
  bool accumulates = check_number(context, KEY_train_accumulate, 1) > 1;
  if (accumulates) {
    check_error(context, check_span(context, KEY_train_accumulate), "a reproducible run has no micro-steps");
    check_note(context, check_span(context, KEY_train_reproducible),
               "remove 'accumulate': 'slices' cut the batch already, and for BatchNorm it stays one");
  }
  refuse(context, check_number(context, KEY_swav_queue, 0) > 0, KEY_swav_queue, "a queue", "set 'swav.queue = 0'");
  refuse(context, !spec_is(spec, KEY_shard_parameters, "none"), KEY_shard_parameters,
         "parts of parameters or gradients", "set 'shard.parameters = none'");
  refuse(context, !spec_is(spec, KEY_shard_reduce, "fp32"), KEY_shard_reduce, "gradients sent in 16 bits",
         "set 'shard.reduce = fp32'");
  refuse(context, spec_value(spec, KEY_train_batch_norm_ranks)->kind == SPEC_NUMBER, KEY_train_batch_norm_ranks,
         "BatchNorm over some ranks", "set 'batch_norm_ranks = all'");
  if (!slices_are_whole_tree(context, slices)) return;
  if (!accumulates) check_pictures_of_slices(context, slices);
  double per_node = check_number(context, KEY_cluster_ranks_per_node, 1);
  SpecKey key = per_node > 1 ? KEY_cluster_ranks_per_node : KEY_cluster_nodes;
  check_ranks_of_slices(context, check_span(context, key), check_number(context, KEY_cluster_nodes, 1) * per_node,
                        slices);
  const SpecValue *worlds = spec_value(spec, KEY_cluster_worlds);
  for (int i = 0; i < worlds->item_count; i++)
    check_ranks_of_slices(context, worlds->items[i].span, worlds->items[i].number, slices);
}
