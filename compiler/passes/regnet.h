// RegNet: the numbers of the published generator turned into stages, and the rules that make widths divisible by group
// widths. Source: pycls generate_regnet, classy_vision regnet.py, torchvision RegNet BlockParams.
#ifndef SEER_PASSES_REGNET_H
#define SEER_PASSES_REGNET_H

#include <stdbool.h>
#include <stdint.h>

enum { REGNET_MAX_STAGES = 64 };

typedef enum GroupRule {
  GROUP_NEAREST,     // to the nearest multiple of the group width, half to even
  GROUP_TORCHVISION  // to a multiple, but never down by more than a tenth
} GroupRule;

typedef struct RegNetGenerator {
  int depth;
  int64_t w0;
  double wa, wm;
  int64_t group_width;
  double bottleneck;
  GroupRule rule;
} RegNetGenerator;

typedef struct RegNetStage {
  int depth, stride;           // stride of the first block
  int64_t width, group_width;  // width of the block; channels per group of its 3x3 convolution
} RegNetStage;

typedef struct RegNetShape {
  int stage_count;
  RegNetStage stages[REGNET_MAX_STAGES];
  int64_t stem_width;
  int stem_stride;
  double bottleneck, se_ratio;  // se_ratio 0: no squeeze-and-excitation
} RegNetShape;

// Fills stage_count and the stages' depth, width and group width. False when there are more than REGNET_MAX_STAGES.
bool regnet_generate(const RegNetGenerator *generator, RegNetShape *shape);
// Channels inside a block of this width, and its squeeze-and-excitation width for this input width; half to even.
int64_t regnet_inner_width(const RegNetShape *shape, int64_t width);
int64_t regnet_se_width(const RegNetShape *shape, int64_t input_width);

#endif
