// Distributions as text for people or as one JSON object; see by.h.
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/data/by.h"
#include "compiler/data/list.h"
#include "runtime/data/shares.h"

enum { ROWS_SHOWN = 50 };

typedef struct Print {
  Writer *out;
  uint64_t all;  // pictures
} Print;

static void number_print(Writer *out, const char *name, double number) {
  writer_printf(out, ",\"%s\":", name);
  writer_json_number(out, number);
}

// ---- JSON ----

static void share_json(const Print *print, uint64_t count) {
  double low, high;
  share_interval(count, print->all, &low, &high);
  writer_printf(print->out, "\"count\":%" PRIu64, count);
  number_print(print->out, "share", print->all > 0 ? (double)count / (double)print->all : 0);
  number_print(print->out, "low", low);
  number_print(print->out, "high", high);
}

static void rows_json(const Print *print, const SeerTable *table) {
  Writer *out = print->out;
  writer_text(out, ",\"values\":[");
  for (size_t i = 0; i < table->count; i++) {
    const SeerRow *row = &table->rows[i];
    writer_text(out, i > 0 ? ",{\"value\":" : "{\"value\":");
    if (table->columns > 1) writer_text(out, "[");
    for (int column = 0; column < table->columns; column++) {
      if (column > 0) writer_text(out, ",");
      if (row->texts[column] != NULL)
        writer_json_string(out, row->texts[column]);
      else
        writer_text(out, "null");
    }
    writer_text(out, table->columns > 1 ? "]," : ",");
    const Country *country = seer_row_country(table, row);
    if (country != NULL) {
      writer_text(out, "\"name\":");
      writer_json_string(out, country->name);
      writer_text(out, ",");
    }
    share_json(print, row->count);
    writer_text(out, "}");
  }
  writer_text(out, "]");
}

static void column_json(const Print *print, const SeerTable *table) {
  Writer *out = print->out;
  writer_text(out, "{\"column\":");
  writer_json_string(out, table->names[0]);
  writer_printf(out, ",\"distinct\":%zu", table->count);
  number_print(out, "normalised_entropy", seer_table_entropy(table));
  writer_text(out, ",\"unknown\":{");
  share_json(print, table->unknown);
  writer_text(out, "}");
  if (seer_column_is_country(table->names[0])) {
    size_t others = 0;
    writer_printf(out, ",\"countries\":%zu,\"not_iso_3166\":[", seer_table_countries(table));
    for (size_t i = 0; i < table->count; i++) {
      const SeerRow *row = &table->rows[i];
      if (seer_row_country(table, row) != NULL) continue;
      writer_text(out, others++ > 0 ? ",{\"value\":" : "{\"value\":");
      writer_json_string(out, row->texts[0]);
      writer_printf(out, ",\"count\":%" PRIu64 "}", row->count);
    }
    writer_text(out, "]");
  }
  rows_json(print, table);
  writer_text(out, "}");
}

static void absent_json(const Print *print, const SeerComparison *compared, bool from_data) {
  size_t count = 0;
  writer_text(print->out, from_data ? ",\"absent_in_data\":[" : ",\"absent_in_reference\":[");
  for (size_t i = 0; i < compared->count; i++) {
    if (!seer_comparison_is_absent(compared, i, from_data)) continue;
    if (count++ > 0) writer_text(print->out, ",");
    writer_json_string(print->out, compared->texts[i]);
  }
  writer_text(print->out, "]");
}

static void comparison_json(const Print *print, const SeerComparison *compared, const SeerReference *reference) {
  Writer *out = print->out;
  bool any = compared->known > 0;
  writer_text(out, ",\"reference\":{\"file\":");
  writer_json_string(out, reference->path);
  writer_printf(out, ",\"known\":%" PRIu64, compared->known);
  number_print(out, "total_variation", compared->distance);
  number_print(out, "kl_divergence", compared->divergence);
  absent_json(print, compared, true);
  absent_json(print, compared, false);
  writer_text(out, ",\"values\":[");
  for (size_t i = 0; i < compared->count; i++) {
    double ratio = compared->reference[i] > 0 && any ? compared->shares[i] / compared->reference[i] : (double)NAN;
    writer_text(out, i > 0 ? ",{\"value\":" : "{\"value\":");
    writer_json_string(out, compared->texts[i]);
    number_print(out, "share", any ? compared->shares[i] : (double)NAN);
    number_print(out, "reference", compared->reference[i]);
    number_print(out, "ratio", ratio);
    writer_text(out, "}");
  }
  writer_text(out, "]}");
}

// ---- text ----

static void more_text(const Print *print, size_t count) {
  if (count > ROWS_SHOWN) writer_printf(print->out, "  and %zu more; --json has all\n", count - ROWS_SHOWN);
}

static void share_text(const Print *print, uint64_t count) {
  double low, high, share = print->all > 0 ? (double)count / (double)print->all : 0;
  share_interval(count, print->all, &low, &high);
  writer_printf(print->out, "  %12" PRIu64 "  %6.2f %%  %6.2f to %6.2f  ", count, 100 * share, 100 * low, 100 * high);
}

static void rows_text(const Print *print, const SeerTable *table) {
  writer_printf(print->out, "  %12s  %8s  %16s  %s\n", "pictures", "share", "95 % interval", "value");
  for (size_t i = 0; i < table->count && i < ROWS_SHOWN; i++) {
    const SeerRow *row = &table->rows[i];
    const Country *country = seer_row_country(table, row);
    share_text(print, row->count);
    for (int column = 0; column < table->columns; column++) {
      const char *text = row->texts[column] != NULL ? row->texts[column] : "(unknown)";
      if (column > 0) writer_text(print->out, ", ");
      data_plain_text(print->out, text, strlen(text));
    }
    writer_printf(print->out, "%s%s\n", country != NULL ? "  " : "", country != NULL ? country->name : "");
  }
  more_text(print, table->count);
}

static void column_text(const Print *print, const SeerTable *table) {
  Writer *out = print->out;
  double entropy = seer_table_entropy(table);
  size_t countries = seer_table_countries(table), others = 0;
  writer_text(out, "\ncolumn ");
  data_plain_text(out, table->names[0], strlen(table->names[0]));
  writer_printf(out, ": %zu values", table->count);
  if (seer_column_is_country(table->names[0])) writer_printf(out, ", %zu countries", countries);
  if (!isnan(entropy)) writer_printf(out, ", normalised entropy %.3f", entropy);
  writer_text(out, "\n");
  rows_text(print, table);
  share_text(print, table->unknown);
  writer_text(out, "(unknown)\n");
  if (!seer_column_is_country(table->names[0]) || countries == table->count) return;
  writer_text(out, "  no codes of ISO 3166-1: ");
  for (size_t i = 0; i < table->count; i++) {
    const SeerRow *row = &table->rows[i];
    if (seer_row_country(table, row) != NULL || others++ >= ROWS_SHOWN) continue;
    if (others > 1) writer_text(out, ", ");
    data_plain_text(out, row->texts[0], strlen(row->texts[0]));
    writer_printf(out, " (%" PRIu64 ")", row->count);
  }
  if (others > ROWS_SHOWN) writer_printf(out, " and %zu more", others - ROWS_SHOWN);
  writer_text(out, "\n");
}

static void absent_text(const Print *print, const SeerComparison *compared, bool from_data) {
  size_t count = 0;
  for (size_t i = 0; i < compared->count; i++) {
    if (!seer_comparison_is_absent(compared, i, from_data) || count++ >= ROWS_SHOWN) continue;
    writer_text(print->out, count > 1 ? ", " : from_data ? "  absent in the data: " : "  absent in the reference: ");
    data_plain_text(print->out, compared->texts[i], strlen(compared->texts[i]));
  }
  if (count > ROWS_SHOWN) writer_printf(print->out, " and %zu more", count - ROWS_SHOWN);
  if (count > 0) writer_text(print->out, "\n");
}

static void comparison_text(const Print *print, const SeerComparison *compared, const SeerReference *reference) {
  Writer *out = print->out;
  writer_text(out, "\ncompared with ");
  data_plain_text(out, reference->path, strlen(reference->path));
  if (compared->known == 0) {
    writer_text(out, ": no picture has a known value\n");
    return;
  }
  writer_printf(out, ", among %" PRIu64 " pictures with a known value:\n  total variation distance %.4f, ",
                compared->known, compared->distance);
  if (isinf(compared->divergence))
    writer_text(out, "Kullback-Leibler divergence infinite: the reference lacks values\n");
  else
    writer_printf(out, "Kullback-Leibler divergence %.4f nats\n", compared->divergence);
  writer_printf(out, "  %9s  %9s  %8s  %s\n", "share", "reference", "ratio", "value");
  for (size_t i = 0; i < compared->count && i < ROWS_SHOWN; i++) {
    writer_printf(out, "  %7.2f %%  %7.2f %%  ", 100 * compared->shares[i], 100 * compared->reference[i]);
    if (compared->reference[i] > 0)
      writer_printf(out, "%8.3f  ", compared->shares[i] / compared->reference[i]);
    else
      writer_printf(out, "%8s  ", "-");
    data_plain_text(out, compared->texts[i], strlen(compared->texts[i]));
    writer_text(out, "\n");
  }
  more_text(print, compared->count);
  absent_text(print, compared, true);
  absent_text(print, compared, false);
}

SeerStatus by_print(const SeerComposition *composition, const SeerReference *reference, bool json, Writer *out) {
  Print print = {.out = out, .all = composition->pictures};
  SeerComparison compared = {.texts = NULL};
  int count = composition->columns;
  if (reference != NULL) {
    const SeerTable *table = &composition->tables[reference->column];
    SeerStatus status = seer_comparison_make(table, composition->pictures, reference, &compared);
    if (status != SEER_OK) return status;
  }
  writer_printf(out, json ? "{\"pictures\":%" PRIu64 ",\"columns\":[" : "%" PRIu64 " pictures\n", print.all);
  for (int i = 0; i < count; i++) {
    if (json && i > 0) writer_text(out, ",");
    (json ? column_json : column_text)(&print, &composition->tables[i]);
  }
  if (json) writer_text(out, "]");
  if (count > 1 && json) {
    writer_printf(out, ",\"combinations\":{\"distinct\":%zu", composition->tables[count].count);
    rows_json(&print, &composition->tables[count]);
    writer_text(out, "}");
  } else if (count > 1) {
    writer_printf(out, "\ncombinations: %zu\n", composition->tables[count].count);
    rows_text(&print, &composition->tables[count]);
  }
  if (reference != NULL) (json ? comparison_json : comparison_text)(&print, &compared, reference);
  if (json) writer_text(out, "}\n");
  seer_comparison_release(&compared);
  return SEER_OK;
}
