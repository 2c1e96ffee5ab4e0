// The card of combinations: a table of two columns, a list of more, and which combinations do not occur though all of
// their values do; see who_page.h.
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/page.h"
#include "runtime/who_page.h"

enum { ACROSS = 12, DOWN = 40, LISTED = 60, ENUMERATED = 1 << 14, EMPTY_TOLD = 40 };

// Combinations of the most frequent values, all of them known: place by place, the last column the fastest.
typedef struct Grid {
  const SeerComposition *composition;
  int columns;
  size_t sides[SEER_COLUMNS_MAX], cells;
  uint64_t *counts;
} Grid;

// Where a value stands in its table; `side`: beyond the grid, or unknown.
static size_t value_place(const SeerTable *table, const char *text, size_t side) {
  if (text == NULL) return side;
  for (size_t i = 0; i < side; i++) {
    if (strcmp(table->rows[i].texts[0], text) == 0) return i;
  }
  return side;
}

// As many values of each column as keep the grid within ENUMERATED cells.
static SeerStatus grid_make(const SeerComposition *composition, Grid *grid) {
  *grid = (Grid){.composition = composition, .columns = composition->columns, .cells = 1};
  size_t limit = 1;
  for (;; limit++) {
    double cells = 1;
    bool grows = false;
    for (int c = 0; c < grid->columns; c++) {
      size_t count = composition->tables[c].count;
      cells *= (double)(count < limit + 1 ? count : limit + 1);
      grows = grows || count > limit;
    }
    if (!grows || cells > ENUMERATED) break;
  }
  for (int c = 0; c < grid->columns; c++) {
    size_t count = composition->tables[c].count;
    grid->sides[c] = count < limit ? count : limit;
    grid->cells *= grid->sides[c];
  }
  grid->counts = calloc(grid->cells + 1, sizeof *grid->counts);
  if (grid->counts == NULL) return seer_fail(SEER_MACHINE, "out of memory for the page");
  const SeerTable *all = &composition->tables[grid->columns];
  for (size_t i = 0; i < all->count; i++) {
    size_t at = 0;
    bool inside = true;
    for (int c = 0; c < grid->columns && inside; c++) {
      size_t place = value_place(&composition->tables[c], all->rows[i].texts[c], grid->sides[c]);
      inside = place < grid->sides[c];
      at = at * grid->sides[c] + place;
    }
    if (inside) grid->counts[at] = all->rows[i].count;
  }
  return SEER_OK;
}

// Places of a cell's values.
static void grid_places(const Grid *grid, size_t cell, size_t *places) {
  for (int c = grid->columns; c-- > 0;) {
    places[c] = cell % grid->sides[c];
    cell /= grid->sides[c];
  }
}

// Pictures that there would be if the columns had nothing to do with each other.
static double grid_expected(const Grid *grid, size_t cell) {
  size_t places[SEER_COLUMNS_MAX];
  double pictures = (double)grid->composition->pictures, expected = pictures;
  grid_places(grid, cell, places);
  for (int c = 0; c < grid->columns; c++)
    expected *= (double)grid->composition->tables[c].rows[places[c]].count / pictures;
  return expected;
}

static void combination_print(FILE *page, const SeerComposition *composition, const char *const *texts) {
  for (int c = 0; c < composition->columns; c++) {
    const char *text[1] = {texts[c]};
    const SeerRow row = {.texts = text};
    if (c > 0) fputs(", ", page);
    if (texts[c] != NULL)
      seer_who_value_print(page, &composition->tables[c], &row);
    else
      fputs("unknown", page);
  }
}

// ---- those that do not occur ----

typedef struct Empty {
  size_t cell;
  double expected;
} Empty;

static int empty_compare(const void *a, const void *b) {
  const Empty *one = a, *other = b;
  if (one->expected != other->expected) return one->expected < other->expected ? 1 : -1;
  return (one->cell > other->cell) - (one->cell < other->cell);
}

static void empties_list(FILE *page, const Grid *grid, const Empty *empties, size_t count) {
  size_t told = count < EMPTY_TOLD ? count : EMPTY_TOLD;
  fputs("<ul>", page);
  for (size_t i = 0; i < told; i++) {
    size_t places[SEER_COLUMNS_MAX];
    const char *texts[SEER_COLUMNS_MAX];
    grid_places(grid, empties[i].cell, places);
    for (int c = 0; c < grid->columns; c++) texts[c] = grid->composition->tables[c].rows[places[c]].texts[0];
    fputs("<li>", page);
    combination_print(page, grid->composition, texts);
    fprintf(page, ": none, %.*f expected</li>", empties[i].expected < 10 ? 1 : 0, empties[i].expected);
  }
  if (count > told) fprintf(page, "<li>and %zu more of the values above</li>", count - told);
  fputs("</ul>", page);
}

// Counts over all values, of which the list names those that are expected most.
static SeerStatus empties_print(FILE *page, const Grid *grid) {
  const SeerComposition *composition = grid->composition;
  const SeerTable *all = &composition->tables[grid->columns];
  double possible = 1;
  size_t occur = 0, count = 0;
  for (int c = 0; c < grid->columns; c++) possible *= (double)composition->tables[c].count;
  for (size_t i = 0; i < all->count; i++) {
    bool known = true;
    for (int c = 0; c < grid->columns; c++) known = known && all->rows[i].texts[c] != NULL;
    occur += known;
  }
  if (possible <= (double)occur) {
    fputs("<p>Every combination of the values that occur has pictures.</p>\n", page);
    return SEER_OK;
  }
  Empty *empties = calloc(grid->cells + 1, sizeof *empties);
  if (empties == NULL) return seer_fail(SEER_MACHINE, "out of memory for the page");
  for (size_t cell = 0; cell < grid->cells; cell++) {
    if (grid->counts[cell] == 0) empties[count++] = (Empty){cell, grid_expected(grid, cell)};
  }
  if (count > 0) qsort(empties, count, sizeof *empties, empty_compare);
  fprintf(page,
          "<div class=\"warn\"><p><b>%.0f of %.0f combinations of values that occur have no picture.</b> Expected is "
          "what there would be if the columns had nothing to do with each other; those expected most come first.</p>",
          possible - (double)occur, possible);
  if (count > 0) empties_list(page, grid, empties, count);
  fputs("</div>\n", page);
  free(empties);
  return SEER_OK;
}

// ---- those that do ----

// Two columns: the rows are values of the first. A cell's shade tells how many pictures it has beside the fullest.
static void heat_print(FILE *page, const Grid *grid) {
  const SeerComposition *composition = grid->composition;
  const SeerTable *down = &composition->tables[0], *across = &composition->tables[1];
  size_t rows = grid->sides[0] < DOWN ? grid->sides[0] : DOWN,
         columns = grid->sides[1] < ACROSS ? grid->sides[1] : ACROSS;
  uint64_t most = 1;
  for (size_t i = 0; i < grid->cells; i++) most = grid->counts[i] > most ? grid->counts[i] : most;
  fputs(
      "<div class=\"wide\"><table class=\"who heat\"><caption>pictures of both values; the stronger the colour, the "
      "more; framed: "
      "none</caption><thead><tr><td></td>",
      page);
  for (size_t c = 0; c < columns; c++) {
    fputs("<th scope=\"col\">", page);
    seer_who_value_print(page, across, &across->rows[c]);
    fputs("</th>", page);
  }
  fputs("</tr></thead><tbody>\n", page);
  for (size_t r = 0; r < rows; r++) {
    fputs("<tr><th scope=\"row\">", page);
    seer_who_value_print(page, down, &down->rows[r]);
    fputs("</th>", page);
    for (size_t c = 0; c < columns; c++) {
      uint64_t count = grid->counts[r * grid->sides[1] + c];
      if (count == 0)
        fputs("<td class=\"none\">0</td>", page);
      else
        fprintf(page, "<td style=\"background:rgba(47,111,237,%.3f)\">%" PRIu64 "</td>",
                0.06 + 0.5 * sqrt((double)count / (double)most), count);
    }
    fputs("</tr>\n", page);
  }
  fputs("</tbody></table></div>\n", page);
  if (rows < down->count || columns < across->count)
    fprintf(page, "<p class=\"note\">The %zu and %zu most frequent of %zu and %zu values.</p>\n", rows, columns,
            down->count, across->count);
}

static void list_print(FILE *page, const SeerComposition *composition) {
  const SeerTable *all = &composition->tables[composition->columns];
  size_t listed = all->count < LISTED ? all->count : LISTED;
  fputs(
      "<div class=\"wide\"><table class=\"who\"><caption>most frequent first</caption><thead><tr><th scope=\"col\">"
      "combination</th><th scope=\"col\" class=\"n\">pictures</th><th scope=\"col\" class=\"n\">share</th></tr></thead>"
      "<tbody>\n",
      page);
  for (size_t i = 0; i < listed; i++) {
    fputs("<tr><th scope=\"row\">", page);
    combination_print(page, composition, all->rows[i].texts);
    fprintf(page, "</th><td class=\"n\">%" PRIu64 "</td><td class=\"n\">%.2f %%</td></tr>\n", all->rows[i].count,
            100 * (double)all->rows[i].count / (double)composition->pictures);
  }
  fputs("</tbody></table></div>\n", page);
  if (all->count > listed) fprintf(page, "<p class=\"note\">and %zu more</p>\n", all->count - listed);
}

SeerStatus seer_who_combinations_print(FILE *page, const SeerComposition *composition) {
  Grid grid;
  SeerStatus status = grid_make(composition, &grid);
  if (status != SEER_OK) return status;
  fputs("<section class=\"card\"><h2>", page);
  for (int c = 0; c < composition->columns; c++) {
    if (c > 0) fputs(" and ", page);
    seer_page_escape(page, composition->tables[c].names[0]);
  }
  fprintf(page, ", together</h2><p class=\"note\">%zu combinations have pictures, unknown values counted.</p>\n",
          composition->tables[composition->columns].count);
  if (composition->columns == 2)
    heat_print(page, &grid);
  else
    list_print(page, composition);
  status = empties_print(page, &grid);
  if (composition->columns == 2) {
    fputs("<details><summary>as a list</summary>", page);
    list_print(page, composition);
    fputs("</details>\n", page);
  }
  fputs("</section>\n", page);
  free(grid.counts);
  return status;
}
