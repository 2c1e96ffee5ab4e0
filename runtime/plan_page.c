// Puts a plan into the page's template; see plan_page.h.
#include "runtime/plan_page.h"

#include <string.h>

static const char marker[] = "/*PLAN*/null";

// In a script no '<' may stand, or a name such as "</script>" would end it. In JSON it stands in strings only.
static void script_print(FILE *out, const char *json) {
  for (const char *less = strchr(json, '<'); less; less = strchr(json, '<')) {
    fwrite(json, 1, (size_t)(less - json), out);
    fputs("\\u003c", out);
    json = less + 1;
  }
  fputs(json, out);
}

bool seer_plan_page_print(FILE *out, SeerPieces page, SeerPieces plan_json) {
  bool found = false;
  for (; *page; page++) {
    const char *at = found ? NULL : strstr(*page, marker);
    if (!at) {
      fputs(*page, out);
      continue;
    }
    found = true;
    fwrite(*page, 1, (size_t)(at - *page), out);
    for (SeerPieces piece = plan_json; *piece; piece++) script_print(out, *piece);
    fputs(at + sizeof marker - 1, out);
  }
  return found;
}
