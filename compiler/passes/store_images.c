// Gives images the type that the target keeps them in.
//
// Requires  nothing.
// Keeps     every op and value; what is not of images stays f32.
// Changes   the type of what is computed from pictures, [N, H, W, C], and of its gradients. Ops compute as before, and
//           round what they store.
#include "compiler/passes/passes.h"

Graph *store_images_run(Arena *arena, const Graph *graph, const PassOptions *options) {
  ValueId *map;
  Graph *target = graph_copy_start(arena, graph, &map);
  target->image_type = options->target.images;
  for (OpId i = 0; i < graph->ops.count; i++) graph_copy_op(target, graph, i, map);
  graph_copy_finish(target, graph, map);
  return target;
}
