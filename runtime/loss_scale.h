// Dynamic loss scaling: in fp16 gradients that are too small would be lost, so the loss, and with it all of them, is
// made larger by a power of two until one is too large. A step where that happens is passed over, and the scale is
// halved; after SEER_LOSS_SCALE_PATIENCE steps without one it is doubled. (Micikevicius et al. 2018, section 3.2)
#ifndef SEER_RUNTIME_LOSS_SCALE_H
#define SEER_RUNTIME_LOSS_SCALE_H

#include <stdbool.h>
#include <stdint.h>

enum { SEER_LOSS_SCALE_PATIENCE = 2000 };
#define SEER_LOSS_SCALE_START 0x1p16
#define SEER_LOSS_SCALE_MOST 0x1p24

typedef struct SeerLossScale {
  double scale;   // 0: the run does not scale its loss
  int64_t steps;  // since it changed
} SeerLossScale;

static inline SeerLossScale seer_loss_scale_start(bool scales) {
  return (SeerLossScale){scales ? SEER_LOSS_SCALE_START : 0, 0};
}

// After a step whose gradients were finite.
static inline void seer_loss_scale_keep(SeerLossScale *loss) {
  if (loss->scale == 0 || ++loss->steps < SEER_LOSS_SCALE_PATIENCE) return;
  loss->steps = 0;
  if (loss->scale < SEER_LOSS_SCALE_MOST) loss->scale *= 2;
}

// After one whose gradients were not. False: the scale is 1, and cannot be the reason.
static inline bool seer_loss_scale_lower(SeerLossScale *loss) {
  if (loss->scale <= 1) return false;
  *loss = (SeerLossScale){loss->scale / 2, 0};
  return true;
}

#endif
