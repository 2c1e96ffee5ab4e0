// Every kernel, for one #include. Which kernels make up which op: README.md.
#ifndef SEER_KERNELS_KERNELS_H
#define SEER_KERNELS_KERNELS_H

#include "conv2d.h"
#include "images.h"
#include "losses.h"
#include "matrix.h"
#include "normalize.h"
#include "pointwise.h"
#include "update.h"

#endif
