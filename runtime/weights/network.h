// Which RegNet a set of weights is of, told from what its tensors mean and their shapes alone; and the tensors that
// such a network has. Strides are not in weights: 2, and 1 where a stage keeps its width and lacks a projection.
#ifndef SEER_RUNTIME_WEIGHTS_NETWORK_H
#define SEER_RUNTIME_WEIGHTS_NETWORK_H

#include <stdint.h>

#include "runtime/program.h"
#include "runtime/status.h"
#include "runtime/weights/names.h"

enum { SEER_NETWORK_STAGES_MAX = 64, SEER_NETWORK_LAYERS_MAX = 16 };

// A tensor whose name has been understood.
typedef struct SeerMeant {
  SeerWeightName meaning;
  int rank;
  const int64_t *size;
} SeerMeant;

typedef struct SeerNetworkStage {
  int depth;
  int64_t width, inner, group_width;  // channels of the block, inside it, and of a group of its 3x3 convolution
  bool projects;                      // its first block has a projection
} SeerNetworkStage;

typedef struct SeerNetwork {
  int stage_count;
  SeerNetworkStage stages[SEER_NETWORK_STAGES_MAX];
  int64_t stem_width;
  double se_ratio;  // 0: no squeeze-and-excitation
  int64_t classes;  // of a classifier; 0: none
  int layer_count;  // of a projection head; 0: none
  int64_t layers[SEER_NETWORK_LAYERS_MAX];
  bool layers_norm;  // with BatchNorm between
  int64_t prototypes;
} SeerNetwork;

// False: there is no whole outline of a network, such as a stage without a block.
bool seer_network_infer(const SeerMeant *meant, int count, SeerNetwork *network);

// Of an outline that is not whole: the tensor whose shape would tell what is not known. False: that is no one tensor.
bool seer_network_gap(const SeerNetwork *network, SeerWeightName *gap);

typedef struct SeerNetworkTensors {
  int count;
  SeerTensor *tensors;  // names, kinds (parameter or statistic) and shapes, in the order of the network
  char *names;
} SeerNetworkTensors;

SeerStatus seer_network_tensors_make(const SeerNetwork *network, SeerNetworkTensors *tensors);
void seer_network_tensors_release(SeerNetworkTensors *tensors);
// Of the trunk, and of all, heads included.
void seer_network_parameters(const SeerNetworkTensors *tensors, int64_t *trunk, int64_t *all);

// "regnety, depths [1, 3, 6, 6], widths [48, 104, 208, 440], group widths [8, 8, 8, 8]", and what is unusual.
const char *seer_network_text(const SeerNetwork *network, char *text, size_t bytes);
// The same trunk: the head is not looked at.
bool seer_network_equal(const SeerNetwork *a, const SeerNetwork *b);

// The parts that VISSL's release has this network's blocks in; 0: its names have none.
int seer_network_vissl_parts(const SeerNetwork *network, const int **ends);

#endif
