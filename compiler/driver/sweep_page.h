// The results of a sweep as a page to look at, offline, and as a picture.
#ifndef SEER_DRIVER_SWEEP_PAGE_H
#define SEER_DRIVER_SWEEP_PAGE_H

#include "compiler/driver/sweep_results.h"

void sweep_print_page(const SweepResults *results, Writer *out);
// Quality against size.
void sweep_print_svg(const SweepResults *results, Writer *out);

#endif
