// Cards about columns; see who_page.h. Combinations are in who_cells.c, drift in who_drift.c.
#include "runtime/who_page.h"

#include <inttypes.h>
#include <math.h>

#include "runtime/data/shares.h"
#include "runtime/page.h"

enum { ROWS_SHOWN = 20, ROWS_MOST = 2000 };

static void share_text(FILE *page, double share) {
  fprintf(page, share > 0 && share < 0.001 ? "%.3f %%" : "%.1f %%", 100 * share);
}

void seer_who_value_print(FILE *page, const SeerTable *table, const SeerRow *row) {
  const Country *country = seer_row_country(table, row);
  if (country != NULL) {
    seer_page_escape(page, country->name);
    fputs(" (", page);
  }
  seer_page_escape(page, row->texts[0]);
  if (country != NULL) fputs(")", page);
}

static void tile(FILE *page, const char *number, const char *what) {
  fprintf(page, "<div class=\"tile\"><b>%s</b><span>%s</span></div>", number, what);
}

static void tiles_print(FILE *page, const SeerComposition *composition, const SeerTable *table) {
  char text[64];
  double low, high, entropy = seer_table_entropy(table);
  double all = composition->pictures > 0 ? (double)composition->pictures : 1;
  fputs("<div class=\"tiles\">", page);
  if (seer_column_is_country(table->names[0])) {
    snprintf(text, sizeof text, "%zu of 249", seer_table_countries(table));
    tile(page, text, "countries of ISO 3166-1 that occur");
  } else {
    snprintf(text, sizeof text, "%zu", table->count);
    tile(page, text, "different values");
  }
  if (table->count > 0) {
    snprintf(text, sizeof text, "%.1f %%", 100 * (double)table->rows[0].count / all);
    tile(page, text, "share of the most frequent value");
  }
  if (!isnan(entropy)) {
    snprintf(text, sizeof text, "%.3f", entropy);
    tile(page, text, "evenness (normalised entropy): 1, all are as frequent; 0, there is one");
  }
  share_interval(table->unknown, composition->pictures, &low, &high);
  snprintf(text, sizeof text, "%.1f %%", 100 * (double)table->unknown / all);
  char what[128];
  snprintf(what, sizeof what, "unknown: %" PRIu64 " pictures, %.1f to %.1f %%", table->unknown, 100 * low, 100 * high);
  tile(page, text, what);
  fputs("</div>\n", page);
}

// A row of the table of shares; `name` NULL: unknown. Bars reach `most`.
static void share_row(FILE *page, const SeerTable *table, const SeerRow *row, uint64_t count, uint64_t all,
                      double most) {
  double low, high, share = all > 0 ? (double)count / (double)all : 0;
  share_interval(count, all, &low, &high);
  fputs("<tr><th scope=\"row\">", page);
  if (row != NULL)
    seer_who_value_print(page, table, row);
  else
    fputs("unknown", page);
  fprintf(page, "</th><td class=\"n\">%" PRIu64 "</td><td class=\"n\">", count);
  share_text(page, share);
  fprintf(page, "</td><td class=\"n\">%.2f to %.2f %%</td>", 100 * low, 100 * high);
  fprintf(page,
          "<td><div class=\"part\"><i style=\"width:%.2f%%\"></i><u style=\"left:%.2f%%;width:%.2f%%\"></u></div></td>"
          "</tr>\n",
          100 * share / most, 100 * low / most, 100 * (high - low) / most);
}

static void shares_head(FILE *page, const char *caption) {
  fprintf(page,
          "<div class=\"wide\"><table class=\"who\"><caption>%s</caption><thead><tr><th scope=\"col\">value</th>"
          "<th scope=\"col\" class=\"n\">pictures</th><th scope=\"col\" class=\"n\">share</th><th scope=\"col\" "
          "class=\"n\">95 %% interval</th><th scope=\"col\">share; the thin mark is its interval</th></tr></thead>"
          "<tbody>\n",
          caption);
}

static void rest_begin(FILE *page, size_t count) {
  fprintf(page, "</tbody></table></div><details><summary>%zu more values</summary>", count);
  shares_head(page, "the others, most frequent first");
}

static void shares_print(FILE *page, const SeerComposition *composition, const SeerTable *table) {
  uint64_t all = composition->pictures, largest = table->unknown;
  double low, most;
  if (table->count > 0 && table->rows[0].count > largest) largest = table->rows[0].count;
  share_interval(largest, all, &low, &most);
  if (!(most > 0)) most = 1;
  shares_head(page, "most frequent first; pictures without a value stand last");
  size_t shown = table->count > ROWS_SHOWN ? ROWS_SHOWN : table->count;
  for (size_t i = 0; i < shown; i++) share_row(page, table, &table->rows[i], table->rows[i].count, all, most);
  share_row(page, table, NULL, table->unknown, all, most);
  size_t listed = table->count > ROWS_MOST ? ROWS_MOST : table->count;
  if (listed > shown) {
    rest_begin(page, table->count - shown);
    for (size_t i = shown; i < listed; i++) share_row(page, table, &table->rows[i], table->rows[i].count, all, most);
  }
  fputs("</tbody></table></div>\n", page);
  if (table->count > listed) fprintf(page, "<p class=\"note\">and %zu more</p>", table->count - listed);
  if (listed > shown) fputs("</details>\n", page);
}

static void no_codes_print(FILE *page, const SeerTable *table) {
  size_t told = 0, others = table->count - seer_table_countries(table);
  if (!seer_column_is_country(table->names[0]) || others == 0) return;
  fprintf(page, "<p class=\"warn\">No codes of ISO 3166-1, so counted as no country: %zu value%s, ", others,
          others > 1 ? "s" : "");
  for (size_t i = 0; i < table->count && told < ROWS_SHOWN; i++) {
    const SeerRow *row = &table->rows[i];
    if (seer_row_country(table, row) != NULL) continue;
    if (told++ > 0) fputs(", ", page);
    seer_page_escape(page, row->texts[0]);
    fprintf(page, " (%" PRIu64 ")", row->count);
  }
  fputs(others > told ? ", ...</p>\n" : "</p>\n", page);
}

// ---- references ----

static void compared_value(FILE *page, const SeerTable *table, const SeerComparison *comparison, size_t i) {
  const char *texts[1] = {comparison->texts[i]};
  const SeerRow row = {.texts = texts};
  seer_who_value_print(page, table, &row);
}

static void absent_print(FILE *page, const SeerTable *table, const SeerComparison *comparison, bool from_data) {
  size_t count = 0, told = 0;
  double share = 0;
  for (size_t i = 0; i < comparison->count; i++) {
    if (!seer_comparison_is_absent(comparison, i, from_data)) continue;
    count++;
    share += from_data ? comparison->reference[i] : comparison->shares[i];
  }
  if (count == 0) return;
  fputs(from_data ? "<p class=\"warn\"><b>Absent from the data: " : "<p class=\"note\">", page);
  fprintf(page, "%zu value%s, ", count, count > 1 ? "s" : "");
  share_text(page, share);
  fputs(from_data ? " of the reference.</b> " : " of the pictures, not in the reference: ", page);
  for (size_t i = 0; i < comparison->count && told < 3 * ROWS_SHOWN; i++) {
    if (!seer_comparison_is_absent(comparison, i, from_data)) continue;
    if (told++ > 0) fputs(", ", page);
    compared_value(page, table, comparison, i);
  }
  fputs(count > told ? ", ...</p>\n" : "</p>\n", page);
}

static const char *judgement(double low, double high, double reference) {
  return low > reference ? "more" : high < reference ? "fewer" : "alike";
}

static void compared_row(FILE *page, const SeerTable *table, const SeerComparison *comparison, size_t i, double most) {
  double low, high, share = comparison->shares[i], reference = comparison->reference[i];
  share_interval(comparison->counts[i], comparison->known, &low, &high);
  fputs("<tr><th scope=\"row\">", page);
  compared_value(page, table, comparison, i);
  fputs("</th><td class=\"n\">", page);
  share_text(page, share);
  fputs("</td><td class=\"n\">", page);
  if (reference > 0) {
    share_text(page, reference);
    fprintf(page, "</td><td class=\"n\">%.2f</td>", share / reference);
  } else {
    fputs("none</td><td class=\"n\"></td>", page);
  }
  fprintf(page,
          "<td>%s</td><td><div class=\"part\"><i style=\"width:%.2f%%\"></i><s style=\"left:%.2f%%\"></s></div></td>"
          "</tr>\n",
          judgement(low, high, reference), 100 * share / most, 99 * reference / most);
}

static void compared_print(FILE *page, const SeerTable *table, const SeerComparison *comparison) {
  double most = 0;
  for (size_t i = 0; i < comparison->count; i++)
    most = fmax(most, fmax(comparison->shares[i], comparison->reference[i]));
  fprintf(page,
          "<p class=\"note\">Among the %" PRIu64
          " pictures with a known value. Total variation distance %.4f: so much, %.1f %%, would have to be of other "
          "values for the shares to be the reference's. ",
          comparison->known, comparison->distance, 100 * comparison->distance);
  if (isinf(comparison->divergence))
    fputs("Kullback-Leibler divergence infinite: the reference lacks values.", page);
  else
    fprintf(page, "Kullback-Leibler divergence %.4f nats.", comparison->divergence);
  fputs("</p>\n", page);
  absent_print(page, table, comparison, true);
  fputs(
      "<div class=\"wide\"><table class=\"who\"><caption>more, fewer: the reference lies outside of the share's 95 % "
      "interval</caption><thead><tr><th scope=\"col\">value</th><th scope=\"col\" class=\"n\">data</th><th "
      "scope=\"col\" class=\"n\">reference</th><th scope=\"col\" class=\"n\">ratio</th><th scope=\"col\">in the "
      "data</th><th scope=\"col\">data; the thin mark is the reference</th></tr></thead><tbody>\n",
      page);
  size_t listed = comparison->count > ROWS_MOST ? ROWS_MOST : comparison->count;
  for (size_t i = 0; i < listed; i++) compared_row(page, table, comparison, i, most);
  fputs("</tbody></table></div>\n", page);
  if (comparison->count > listed) fprintf(page, "<p class=\"note\">and %zu more</p>\n", comparison->count - listed);
  absent_print(page, table, comparison, false);
}

static SeerStatus reference_print(FILE *page, const SeerComposition *composition, const SeerReference *reference) {
  const SeerTable *table = &composition->tables[reference->column];
  SeerComparison comparison;
  SeerStatus status = seer_comparison_make(table, composition->pictures, reference, &comparison);
  if (status != SEER_OK) return status;
  fputs("<h3>Compared with ", page);
  seer_page_escape(page, reference->path);
  fputs("</h3>\n", page);
  if (comparison.known > 0)
    compared_print(page, table, &comparison);
  else
    fputs("<p class=\"warn\">No picture has a known value, so there is nothing to compare.</p>\n", page);
  seer_comparison_release(&comparison);
  return SEER_OK;
}

static SeerStatus column_print(FILE *page, const SeerWho *who, int column) {
  const SeerTable *table = &who->composition->tables[column];
  SeerStatus status = SEER_OK;
  fputs("<section class=\"card\"><h2>", page);
  seer_page_escape(page, table->names[0]);
  fputs("</h2>\n", page);
  tiles_print(page, who->composition, table);
  shares_print(page, who->composition, table);
  no_codes_print(page, table);
  for (int i = 0; i < who->reference_count && status == SEER_OK; i++) {
    if (who->references[i].column == column) status = reference_print(page, who->composition, &who->references[i]);
  }
  fputs("</section>\n", page);
  if (who->drift != NULL) seer_drift_print(page, who->drift, column, table->names[0]);
  return status;
}

SeerStatus seer_who_print(FILE *page, const SeerWho *who) {
  SeerStatus status = SEER_OK;
  fputs("<section class=\"card\" style=\"margin-top:18px\"><h2>Who is in the data</h2><p class=\"note\">", page);
  seer_page_escape(page, who->sample);
  fputs(
      " Shares are of all of these, pictures without a value too. The 95 % interval (Wilson's) tells where the share "
      "lies in what they are a random sample of. What the metadata say is counted, not what the pictures show."
      "</p></section>\n",
      page);
  for (int i = 0; i < who->composition->columns && status == SEER_OK; i++) status = column_print(page, who, i);
  if (status == SEER_OK && who->composition->columns > 1) status = seer_who_combinations_print(page, who->composition);
  return status;
}
