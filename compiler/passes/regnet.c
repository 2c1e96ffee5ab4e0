// The generator: quantised widths by block, runs of equal width as stages, then widths divisible by the group width.
#include "compiler/passes/regnet.h"

#include <math.h>

// rint rounds half to even, as numpy and Python do: stage widths and squeeze widths depend on it (746 / 4 -> 186).

static int64_t quantised_width(const RegNetGenerator *g, int block) {
  double width = (double)g->w0 + g->wa * block;
  double exponent = rint(log(width / (double)g->w0) / log(g->wm));
  return 8 * (int64_t)rint((double)g->w0 * pow(g->wm, exponent) / 8);
}

static int64_t divisible_width(const RegNetGenerator *g, int64_t inner, int64_t group) {
  if (g->rule == GROUP_NEAREST) return group * (int64_t)rint((double)inner / (double)group);
  int64_t width = (inner + group / 2) / group * group;
  if (width < group) width = group;
  return (double)width < 0.9 * (double)inner ? width + group : width;
}

bool regnet_generate(const RegNetGenerator *g, RegNetShape *shape) {
  shape->stage_count = 0;
  shape->bottleneck = g->bottleneck;
  int64_t previous = 0;
  for (int block = 0; block < g->depth; block++) {
    int64_t width = quantised_width(g, block);
    if (width == previous) {
      shape->stages[shape->stage_count - 1].depth++;
      continue;
    }
    if (shape->stage_count == REGNET_MAX_STAGES) return false;
    shape->stages[shape->stage_count++] = (RegNetStage){.depth = 1, .stride = 2, .width = width};
    previous = width;
  }
  for (int i = 0; i < shape->stage_count; i++) {
    RegNetStage *stage = &shape->stages[i];
    int64_t inner = (int64_t)((double)stage->width * g->bottleneck);
    if (inner < 1) inner = 1;
    stage->group_width = g->group_width < inner ? g->group_width : inner;
    stage->width = (int64_t)((double)divisible_width(g, inner, stage->group_width) / g->bottleneck);
  }
  return true;
}

int64_t regnet_inner_width(const RegNetShape *shape, int64_t width) {
  return (int64_t)rint((double)width * shape->bottleneck);
}

int64_t regnet_se_width(const RegNetShape *shape, int64_t input_width) {
  int64_t width = (int64_t)rint(shape->se_ratio * (double)input_width);
  return width < 1 ? 1 : width;
}
