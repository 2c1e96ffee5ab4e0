// Layers that are one product, by shape, and who makes it: kernels of seer, or a library where a tuning chose one.
//
// A shape is written as a tuning's file has it, of the op's images and channels as the graph has them:
//   conv2d 256x56x56x64 -> 128 3x3/2 groups 8        what the convolution reads, its outputs, kernel, stride, groups
//   conv2d_backward_weight 256x56x56x64 -> 128 1x1/1 groups 1
//   linear_backward_input 256x512 -> 128             rows and inputs of the layer, its outputs
// Of a backward it is that of the layer's forward.
#ifndef SEER_GRAPH_LAYER_H
#define SEER_GRAPH_LAYER_H

#include "compiler/graph/graph.h"

typedef enum LayerMaker { LAYER_BY_SEER, LAYER_BY_CUBLASLT, LAYER_BY_CUDNN, LAYER_MAKER_COUNT } LayerMaker;

// "seer", "cublaslt", "cudnn", as tunings have them; "cuBLASLt", as people do.
extern const char *const layer_maker_names[LAYER_MAKER_COUNT];
extern const char *const layer_maker_titles[LAYER_MAKER_COUNT];
// By its name in tunings; LAYER_MAKER_COUNT: there is none.
LayerMaker layer_maker_find(const char *name);

typedef struct LayerShape {
  OpKind kind;                          // conv2d, linear, or a backward of one
  int64_t images, height, width;        // of the input; linear: images are its rows, height and width 1
  int64_t inputs, outputs;              // channels
  int64_t kernel, stride, pad, groups;  // linear: 1, 1, 0, 1
} LayerShape;

// One layer's maker; versions of libraries are those it was chosen with, as numbers: 130100 is 13.1.0.
typedef struct LayerChoice {
  LayerShape shape;
  LayerMaker maker;
} LayerChoice;

typedef struct LayerChoices {
  LayerChoice *items;
  size_t count, capacity;
  int64_t versions[LAYER_MAKER_COUNT];  // 0: not said
} LayerChoices;

// Layers of one shape in a graph.
typedef struct LayerUse {
  LayerShape shape;
  int count;
  const char *first;  // op's name
} LayerUse;

typedef struct LayerUses {
  LayerUse *items;
  size_t count, capacity;
} LayerUses;

// False: the op is no such layer.
bool layer_shape_of(const Graph *graph, const Op *op, LayerShape *shape);
bool layer_shape_same(const LayerShape *a, const LayerShape *b);
// Multiplications of one run.
double layer_shape_products(const LayerShape *shape);
// In the order of ops.
LayerUses layer_uses_list(Arena *arena, const Graph *graph);
void layer_shape_print(const LayerShape *shape, Writer *out);
// Reads one at the beginning of `text`; *end is what follows. False: there is none.
bool layer_shape_read(const char *text, LayerShape *shape, const char **end);

// Whether a library makes such layers at all.
bool layer_maker_takes(LayerMaker maker, const LayerShape *shape);
// Who makes an op; `choices` may be NULL. LAYER_BY_SEER also where it is no layer.
LayerMaker layer_maker_of(const LayerChoices *choices, const Graph *graph, const Op *op);
LayerMaker layer_choices_find(const LayerChoices *choices, const LayerShape *shape);
// The same with another maker of one shape, which share nothing.
LayerChoices layer_choices_with(Arena *arena, const LayerChoices *choices, LayerChoice choice);

// "13.1.0".
void layer_version_print(int64_t version, Writer *out);

#endif
