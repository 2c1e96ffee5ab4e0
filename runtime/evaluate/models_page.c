// Shared parts of pages of several models; see models_page.h.
#include "runtime/evaluate/models_page.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const char seer_models_style[] =
    "<style>:root{color-scheme:light dark}table{border-collapse:collapse;width:100%;font-size:13.5px;"
    "font-variant-numeric:tabular-nums}.wide{overflow-x:auto}th,td{padding:5px 10px;text-align:right;"
    "border-top:1px solid var(--line);white-space:nowrap}th:first-child,td:first-child{text-align:left}"
    "tr.sum td,tr.sum th{border-top:2px solid var(--soft);font-weight:600}td small{color:var(--soft)}"
    ".few{color:var(--soft)}summary{padding:6px 0}li{margin:3px 0}"
    ".mark{stroke:var(--blue);fill:var(--blue)}.rule{stroke:var(--line)}.zero{stroke:var(--soft)}"
    "@media(prefers-color-scheme:dark){:root{--ink:#e8ebf2;--soft:#a3adc0;--line:#2d3546;--paper:#171c26;"
    "--blue:#7aa5ff}body{background:#0f131a}svg text{fill:#a3adc0}}</style>\n";

void seer_models_size(double parameters, char text[32]) {
  if (parameters >= 1e9)
    snprintf(text, 32, "%.3g billion", parameters / 1e9);
  else if (parameters >= 1e6)
    snprintf(text, 32, "%.3g million", parameters / 1e6);
  else
    snprintf(text, 32, "%.0f", parameters);
}

void seer_models_name(const char *name, char cut[SEER_MODELS_NAME + 1]) {
  size_t length = strlen(name) < SEER_MODELS_NAME ? strlen(name) : SEER_MODELS_NAME;
  while (length > 0 && ((unsigned char)name[length] & 0xC0) == 0x80) length--;
  memcpy(cut, name, length);
  cut[length] = '\0';
}

double seer_models_step(double span) {
  double power = pow(10, floor(log10(span / 4))), share = span / 4 / power;
  return power * (share <= 1 ? 1 : share <= 2 ? 2 : share <= 5 ? 5 : 10);
}
