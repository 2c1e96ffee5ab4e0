// The networks that are timed: every kind of kernel, each at many shapes. Crops of several sizes and counts stand in
// for pictures and batches; stages differ in width, groups in theirs. None of them is a published RegNet, so that those
// remain to check predictions with.
#include "compiler/driver/calibrate_lab.h"

static const struct {
  const char *name, *model, *task, *crops, *optimizer;
  int batch;
} nets[CALIBRATE_NETS] = {
    {"calibrate-narrow", "depths = [1, 1, 2, 2]  widths = [40, 96, 224, 512]  group_widths = [8, 8, 8, 8]",
     "supervised { classes = 1000 }",
     "crop(count = 1, size = 144px), crop(count = 2, size = 80px), crop(count = 1, size = 48px)", "name = sgd", 16},
    {"calibrate-wide", "depths = [1, 1, 1, 2]  widths = [64, 128, 320, 768]  group_widths = [16, 16, 64, 24]",
     "swav { prototypes = 1000  head = [768, 128] }",
     "crop(count = 2, size = 128px, scale = 0.14..1.0), crop(count = 2, size = 64px, scale = 0.05..0.14)",
     "name = larc", 16},
    {"calibrate-large", "depths = [1, 1, 1, 1]  widths = [32, 80, 176, 448]  group_widths = [16, 16, 8, 16]",
     "supervised { classes = 100 }", "crop(count = 2, size = 160px)", "name = sgd", 32},
};

const char *calibrate_spec(Arena *arena, int net, const char *precision, int ranks) {
  return arena_printf(arena,
                      "model { family = regnety  %s }\n%s\nviews { crops = [%s] }\n"
                      "data { pictures = \"none\"  labels = \"none\" }\n"
                      "train { batch = %d  steps = 1000  precision = %s }\noptimizer { %s }\n"
                      "evaluate { size = 64px  resize = 64px  batch = 16 }\ncluster { ranks_per_node = %d }\n",
                      nets[net].model, nets[net].task, nets[net].crops, nets[net].batch, precision, nets[net].optimizer,
                      ranks);
}
