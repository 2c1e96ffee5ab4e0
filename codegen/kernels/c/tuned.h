// The parameters that these kernels are compiled with, as constants for arrays and as the set that sizes.h takes. These
// are the defaults, or, for tests, all at a bound; in a trainer's folder seerc writes a file of this name with its own.
#ifndef SEER_KERNELS_TUNED_H
#define SEER_KERNELS_TUNED_H

#include "lanes.h"
#include "tuning.h"

#if defined(TUNED_AT_LEAST)
#define TUNED_VALUE(at_8, at_16, least, most) (least)
#elif defined(TUNED_AT_MOST)
#define TUNED_VALUE(at_8, at_16, least, most) (most)
#else
#define TUNED_VALUE(at_8, at_16, least, most) (LANES == 16 ? (at_16) : (at_8))
#endif

enum {
#define TUNING(name, at_8, at_16, least, most, ...) TUNED_##name = TUNED_VALUE(at_8, at_16, least, most),
#include "tuning.def"
#undef TUNING
};

static const KernelTuning tuned = {
    LANES,
    sizeof(Element) == 2,
#define TUNING(name, ...) TUNED_##name,
#include "tuning.def"
#undef TUNING
};

#endif
