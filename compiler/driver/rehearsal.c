// The narrow spec of a rehearsal, and the proof that its step is the full one's.
#include "compiler/driver/rehearsal.h"

#include <math.h>
#include <string.h>

#include "compiler/passes/build_model.h"

static void set_number(Spec *spec, SpecKey key, int64_t number) {
  spec->values[key].kind = SPEC_NUMBER;
  spec->values[key].number = (double)number;
}

static int64_t shrunk(int64_t width, int64_t shrink) {
  int64_t narrow = (int64_t)rint((double)width / (double)shrink);
  return narrow < 1 ? 1 : narrow;
}

static void set_list(Arena *arena, Spec *spec, SpecKey key, const int64_t *numbers, int count) {
  SpecValue *items = arena_array(arena, SpecValue, count);
  for (int i = 0; i < count; i++)
    items[i] = (SpecValue){.kind = SPEC_NUMBER, .by_user = true, .number = (double)numbers[i]};
  SpecValue *list = &spec->values[key];
  *list = (SpecValue){.kind = SPEC_LIST, .by_user = true, .span = list->span, .items = items, .item_count = count};
}

// Explicit stages, also of a network that the generator makes.
static void set_stages(Arena *arena, Spec *spec, const RegNetShape *shape, int64_t shrink) {
  int64_t depths[REGNET_MAX_STAGES], widths[REGNET_MAX_STAGES], groups[REGNET_MAX_STAGES];
  for (int i = 0; i < shape->stage_count; i++) {
    const RegNetStage *stage = &shape->stages[i];
    int64_t group_count = regnet_inner_width(shape, stage->width) / stage->group_width;
    depths[i] = stage->depth;
    groups[i] = shrunk(stage->group_width, shrink);
    widths[i] = (int64_t)rint((double)(group_count * groups[i]) / shape->bottleneck);
  }
  // The generator's numbers stay for messages: where there are stages, nobody reads them.
  SourceSpan span = spec_span(spec, spec_is_set(spec, KEY_model_depths) ? KEY_model_widths : KEY_model_w0);
  spec->values[KEY_model_depths].span = spec->values[KEY_model_widths].span = span;
  set_list(arena, spec, KEY_model_depths, depths, shape->stage_count);
  set_list(arena, spec, KEY_model_widths, widths, shape->stage_count);
  set_list(arena, spec, KEY_model_group_widths, groups, shape->stage_count);
  set_number(spec, KEY_model_stem_width, shrunk(shape->stem_width, shrink));
}

static void set_head(Arena *arena, Spec *spec, int64_t shrink) {
  const SpecValue *head = spec_value(spec, KEY_swav_head);
  int64_t *widths = arena_array(arena, int64_t, head->item_count + 1);
  for (int i = 0; i < head->item_count; i++) widths[i] = shrunk((int64_t)head->items[i].number, shrink);
  set_list(arena, spec, KEY_swav_head, widths, head->item_count);
  set_number(spec, KEY_swav_prototypes, shrunk(spec_integer(spec, KEY_swav_prototypes), shrink));
}

// BatchNorm over some ranks stays one over some.
static void set_norm_ranks(Spec *spec, int64_t ranks) {
  bool some = norm_ranks_from_spec(spec) < rank_count_from_spec(spec);
  if (some) set_number(spec, KEY_train_batch_norm_ranks, ranks >= 4 && ranks % 2 == 0 ? ranks / 2 : ranks);
}

static int64_t ranks_of_rehearsal(const Spec *spec) {
  if (spec_value(spec, KEY_cluster_rehearsal_ranks)->kind == SPEC_NUMBER)
    return spec_integer(spec, KEY_cluster_rehearsal_ranks);
  int64_t all = rank_count_from_spec(spec), ranks = spec_integer(spec, KEY_cluster_ranks_per_node);
  int64_t group =
      spec_is(spec, KEY_shard_parameters, "hybrid") ? (int64_t)spec_value(spec, KEY_shard_parameters)->number : 1;
  if (ranks < 2) ranks = 2;
  if (ranks < 2 * group || ranks % group) ranks = 2 * group;
  return ranks < all ? ranks : all;
}

const Spec *rehearsal_spec(Arena *arena, const Spec *spec, const RegNetShape *shape) {
  int64_t all = rank_count_from_spec(spec), ranks = ranks_of_rehearsal(spec);
  int64_t shrink = spec_integer(spec, KEY_model_shrink);
  Spec *narrow = arena_new(arena, Spec);
  *narrow = *spec;
  set_stages(arena, narrow, shape, shrink);
  if (!spec_is_set(spec, KEY_supervised_classes)) set_head(arena, narrow, shrink);
  set_norm_ranks(narrow, ranks);
  set_number(narrow, KEY_train_batch, spec_integer(spec, KEY_train_batch) / all * ranks);
  set_number(narrow, KEY_swav_queue, spec_integer(spec, KEY_swav_queue) / all * ranks);
  set_number(narrow, KEY_cluster_nodes, 1);
  set_number(narrow, KEY_cluster_ranks_per_node, ranks);
  set_list(arena, narrow, KEY_cluster_worlds, NULL, 0);
  return narrow;
}

bool rehearsal_check_graph(DiagList *diags, const Spec *spec, const Graph *full, const Graph *shrunk_graph) {
  size_t count = full->ops.count < shrunk_graph->ops.count ? full->ops.count : shrunk_graph->ops.count, same = 0;
  for (; same < count; same++) {
    const Op *a = graph_op(full, (OpId)same), *b = graph_op(shrunk_graph, (OpId)same);
    if (a->kind != b->kind || strcmp(a->name, b->name) != 0 || a->operand_count != b->operand_count ||
        memcmp(a->operands, b->operands, (size_t)a->operand_count * sizeof *a->operands) != 0)
      break;
  }
  if (same == full->ops.count && same == shrunk_graph->ops.count) return true;
  const Op *first = graph_op(same < full->ops.count ? full : shrunk_graph, (OpId)same);
  diag_error(diags, spec_span(spec, KEY_model_shrink), "rehearsal",
             "at 1/%lld of its widths the network has other ops: they differ from '%s' on",
             (long long)spec_integer(spec, KEY_model_shrink), first->name);
  diag_note(diags, (SourceSpan){0}, "stages of one width have no projection between them: choose a smaller 'shrink'");
  return false;
}

static bool same_step(const Plan *a, const PlanStep *x, const Plan *b, const PlanStep *y) {
  if (x->kind != y->kind || x->variant != y->variant || x->pass != y->pass || x->block != y->block ||
      x->operation != y->operation || x->use_count != y->use_count)
    return false;
  if (x->kind == STEP_RUN && x->op != y->op) return false;
  for (uint32_t i = 0; i < x->use_count; i++) {
    const PlanUse *u = &a->uses[x->use_begin + i], *v = &b->uses[y->use_begin + i];
    if (u->written != v->written || a->items[u->item].value != b->items[v->item].value) return false;
  }
  return true;
}

const char *rehearsal_verify(Arena *arena, const Plan *full, const Plan *plan) {
  if (full->step_count != plan->step_count || full->update_begin != plan->update_begin)
    return arena_printf(arena, "%u steps, %u of them before the update, instead of %u and %u", plan->step_count,
                        plan->update_begin, full->step_count, full->update_begin);
  for (uint32_t i = 0; i < full->step_count; i++) {
    if (!same_step(full, &full->steps[i], plan, &plan->steps[i]))
      return arena_printf(arena, "step %u (%s) is another", i, step_kind_name(full->steps[i].kind));
  }
  return NULL;
}
