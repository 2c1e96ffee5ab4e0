// Checks of rehearsals: a fraction that is a power of two, and ranks that have every exchange of the whole cluster.
#include <math.h>

#include "lang/check.h"

void check_rehearsal(CheckContext *context) {
  NEEDS(context, KEY_model_shrink, KEY_cluster_rehearsal_ranks, KEY_train_reproducible, KEY_cluster_nodes,
        KEY_cluster_ranks_per_node, KEY_shard_parameters);
  const Spec *spec = context->spec;
  double shrink = check_number(context, KEY_model_shrink, 1);
  const SpecValue *asked = spec_value(spec, KEY_cluster_rehearsal_ranks);
  if (exp2(floor(log2(shrink))) != shrink) {
    double below = exp2(floor(log2(shrink)));
    check_error(context, check_span(context, KEY_model_shrink), "'shrink' %g is no power of two", shrink);
    check_note(context, span_none(), "the nearest are %g and %g", below, 2 * below);
    return;
  }
  if (shrink <= 1) return;
  if (spec_flag(spec, KEY_train_reproducible)) {
    check_error(context, check_span(context, KEY_model_shrink), "seerc cannot yet rehearse a reproducible run");
    check_note(context, check_span(context, KEY_train_reproducible), "set 'reproducible = no'");
  }
  if (asked->kind != SPEC_NUMBER) return;
  double all = check_number(context, KEY_cluster_nodes, 1) * check_number(context, KEY_cluster_ranks_per_node, 1);
  double group = spec_is(spec, KEY_shard_parameters, "hybrid") ? spec_value(spec, KEY_shard_parameters)->number : 1;
  double least = all > group ? 2 * group : group;
  if (asked->number <= all && asked->number >= least && fmod(asked->number, group) == 0) return;
  check_error(context, asked->span, "%g rank%s cannot rehearse the step of %g", asked->number,
              asked->number == 1 ? "" : "s", all);
  if (group > 1)
    check_note(context, check_span(context, KEY_shard_parameters), "a multiple of %g from %g to %g has its exchanges",
               group, least, all);
  else
    check_note(context, span_none(), "%g to %g ranks have its exchanges", least, all);
}
