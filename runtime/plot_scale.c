// Round numbers for axes; see plot_scale.h.
#include "runtime/plot_scale.h"

#include <math.h>
#include <stdio.h>

enum { TICKS = 5, LOG_TICKS = 8 };

typedef struct Suffix {
  double from, factor;
  const char *text;
} Suffix;

static const Suffix plain[] = {{1e12, 1e12, "T"}, {1e9, 1e9, "G"}, {1e6, 1e6, "M"}, {1e4, 1e3, "k"}, {0, 1, ""}};
static const Suffix bytes[] = {{0x1p50, 0x1p50, " PiB"}, {0x1p40, 0x1p40, " TiB"}, {0x1p30, 0x1p30, " GiB"},
                               {0x1p20, 0x1p20, " MiB"}, {0x1p10, 0x1p10, " KiB"}, {0, 1, " B"}};
static const Suffix seconds[] = {{2 * 86400., 86400., " d"}, {2 * 3600., 3600., " h"}, {120, 60, " min"}, {1, 1, " s"},
                                 {1e-3, 1e-3, " ms"},        {1e-6, 1e-6, " us"},      {0, 1e-9, " ns"}};

static const Suffix *suffix_of(SeerQuantity unit, double size) {
  const Suffix *suffix = unit == SEER_BYTES ? bytes : unit == SEER_SECONDS ? seconds : plain;
  size = fabs(size) * (1 + 1e-9);
  while (suffix->from > 0 && size < suffix->from) suffix++;
  return suffix;
}

static double round_step(double raw) {
  double power = pow(10, floor(log10(raw))), share = raw / power;
  return power * (share <= 1 ? 1 : share <= 2 ? 2 : share <= 5 ? 5 : 10);
}

SeerScale seer_scale_linear(double low, double high, SeerQuantity unit, bool round) {
  if (!(high > low)) {
    double room = fabs(low) > 0 ? fabs(low) * 0.1 : 1;
    low -= room;
    high += room;
  }
  double factor = suffix_of(unit, fmax(fabs(low), fabs(high)))->factor;
  SeerScale scale = {low, high, round_step((high - low) / TICKS / factor) * factor, false, unit};
  if (round) {
    scale.low = floor(low / scale.step + 1e-9) * scale.step;
    scale.high = ceil(high / scale.step - 1e-9) * scale.step;
  }
  return scale;
}

SeerScale seer_scale_log(double low, double high, SeerQuantity unit) {
  if (!(high > low)) {
    low /= 1.5;
    high *= 1.5;
  }
  return (SeerScale){low, high, 0, true, unit};
}

double seer_scale_share(const SeerScale *scale, double value) {
  if (scale->log) return log(value / scale->low) / log(scale->high / scale->low);
  return (value - scale->low) / (scale->high - scale->low);
}

// Every power of `base` times each of `parts`, within the scale; bytes go by powers of two.
static int powers(const SeerScale *scale, double base, const double *parts, int part_count,
                  double ticks[SEER_TICKS_MAX]) {
  int count = 0;
  double power = pow(base, floor(log(scale->low) / log(base) + 1e-9));
  for (; power <= scale->high * (1 + 1e-9); power *= base) {
    for (int i = 0; i < part_count; i++) {
      double value = power * parts[i];
      if (value < scale->low * (1 - 1e-9) || value > scale->high * (1 + 1e-9)) continue;
      if (count == SEER_TICKS_MAX) return count + 1;  // too many
      ticks[count++] = value;
    }
  }
  return count;
}

static int log_ticks(const SeerScale *scale, double ticks[SEER_TICKS_MAX]) {
  static const double fine[] = {1, 1.5, 2, 3, 4, 5, 6, 8}, middle[] = {1, 2, 5}, coarse[] = {1};
  static const double quarters[] = {1, 1.25, 1.5, 1.75}, halves[] = {1, 1.5};
  int count = 0;
  if (scale->unit == SEER_BYTES) {
    count = powers(scale, 2, quarters, 4, ticks);
    if (count > LOG_TICKS) count = powers(scale, 2, halves, 2, ticks);
    for (double base = 2; count > LOG_TICKS && base < 1e100; base *= base)
      count = powers(scale, base, coarse, 1, ticks);
  } else {
    count = powers(scale, 10, fine, 8, ticks);
    if (count > LOG_TICKS) count = powers(scale, 10, middle, 3, ticks);
    for (double base = 10; count > LOG_TICKS && base < 1e100; base *= base)
      count = powers(scale, base, coarse, 1, ticks);
  }
  if (count >= 2 && count <= SEER_TICKS_MAX) return count;
  ticks[0] = scale->low;  // ends that are close together have no round number between them
  ticks[1] = scale->high;
  return 2;
}

int seer_scale_ticks(const SeerScale *scale, double ticks[SEER_TICKS_MAX]) {
  if (scale->log) return log_ticks(scale, ticks);
  int count = 0;
  for (double i = ceil(scale->low / scale->step - 1e-9); count < SEER_TICKS_MAX; i++) {
    if (i * scale->step > scale->high + scale->step * 1e-6) break;
    ticks[count++] = i * scale->step;
  }
  return count;
}

void seer_scale_text(const SeerScale *scale, double value, char text[SEER_TICK_BYTES]) {
  bool linear = !scale->log;
  if (linear && fabs(value) < scale->step * 1e-6) {
    snprintf(text, SEER_TICK_BYTES, "0");
    return;
  }
  // Ticks of a linear axis have one unit; plain numbers each their own, as they always had.
  double size = linear && scale->unit != SEER_NUMBERS ? fmax(fabs(scale->low), fabs(scale->high)) : value;
  const Suffix *suffix = suffix_of(scale->unit, size);
  snprintf(text, SEER_TICK_BYTES, suffix->factor > 1 || !linear ? "%.4g%s" : "%.6g%s", value / suffix->factor,
           suffix->text);
}
