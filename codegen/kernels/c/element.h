// What an element of an image tensor [n,h,w,c] is in memory; everything else is float. The compiler command says which:
// -DIMAGES_BF16 where training is in bf16. Arithmetic is float either way.
#ifndef SEER_KERNELS_ELEMENT_H
#define SEER_KERNELS_ELEMENT_H

#include <stdint.h>

#ifdef IMAGES_BF16
typedef uint16_t Element;  // the upper half of a float
#else
typedef float Element;
#endif

#endif
