// What the pictures of an index are in all: one walk over its entries, one over each column.
#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/data/duplicates.h"
#include "compiler/data/list.h"
#include "compiler/data/near.h"
#include "runtime/data/decode.h"

enum { SIDES = SEER_MAX_SIDE + 1, MOST_SHOWN = 10 };

typedef struct Format {
  char suffix[8];
  uint64_t count;
} Format;

typedef struct Stats {
  uint64_t pictures, damaged, bytes, sized, unlabelled, duplicates;
  uint64_t *widths, *heights;  // pictures by side
  uint64_t *labels;
  Format formats[16];  // the last stands for all others
  int format_count;
} Stats;

static void format_count(Stats *stats, const char *name, size_t length) {
  char suffix[8] = "";
  size_t dot = length;
  while (dot > 0 && name[dot - 1] != '.' && name[dot - 1] != '/') dot--;
  if (dot > 0 && name[dot - 1] == '.' && length - dot < sizeof suffix) {
    for (size_t i = 0; i < length - dot; i++) suffix[i] = (char)tolower((unsigned char)name[dot + i]);
  }
  if (strcmp(suffix, "jpeg") == 0) memcpy(suffix, "jpg", sizeof "jpg");
  int i = 0, most = (int)(sizeof stats->formats / sizeof *stats->formats);
  while (i < stats->format_count && strcmp(stats->formats[i].suffix, suffix) != 0) i++;
  if (i == most) i = most - 1;
  if (i == stats->format_count) {
    snprintf(stats->formats[i].suffix, sizeof suffix, "%s", i == most - 1 ? "others" : suffix);
    stats->format_count++;
  }
  stats->formats[i].count++;
}

static void picture_count(const SeerIndex *index, int64_t picture, Stats *stats) {
  SeerIndexEntry entry;
  const char *name = seer_index_entry(index, picture, &entry) ? seer_index_name(index, &entry) : NULL;
  stats->damaged += name == NULL;
  if (name == NULL) return;
  stats->pictures++;
  stats->bytes += entry.bytes;
  format_count(stats, name, (size_t)entry.name_length);
  if (entry.label >= 0)
    stats->labels[entry.label]++;
  else
    stats->unlabelled++;
  if (entry.width == 0) return;
  stats->sized++;
  stats->widths[entry.width]++;
  stats->heights[entry.height]++;
}

// The least side that `share` of the pictures do not go beyond.
static int side_at(const uint64_t *sides, uint64_t count, double share) {
  uint64_t wanted = (uint64_t)ceil(share * (double)count), met = 0;
  for (int side = 0; side < SIDES; side++) {
    met += sides[side];
    if (met >= wanted && met > 0) return side;
  }
  return 0;
}

typedef struct Share {
  const char *text;
  size_t length;
  uint64_t count;
} Share;

// Most frequent first, then by text.
static int share_compare(const void *a, const void *b) {
  const Share *one = a, *other = b;
  if (one->count != other->count) return one->count < other->count ? 1 : -1;
  size_t shorter = one->length < other->length ? one->length : other->length;
  int order = memcmp(one->text, other->text, shorter);
  return order != 0 ? order : (one->length > other->length) - (one->length < other->length);
}

static void shares_print(Share *shares, size_t count, uint64_t all, bool json, Writer *out) {
  qsort(shares, count, sizeof *shares, share_compare);
  size_t shown = json || count <= MOST_SHOWN ? count : MOST_SHOWN;
  for (size_t i = 0; i < shown; i++) {
    if (json) {
      if (i > 0) writer_text(out, ",");
      data_json_text(out, shares[i].text, shares[i].length);
      writer_printf(out, ":%" PRIu64, shares[i].count);
    } else {
      writer_printf(out, "  %12" PRIu64 "  %5.1f %%  ", shares[i].count,
                    all > 0 ? 100.0 * (double)shares[i].count / (double)all : 0.0);
      data_plain_text(out, shares[i].text, shares[i].length);
      writer_text(out, "\n");
    }
  }
  if (shown < count) writer_printf(out, "  %12s  and %zu more\n", "", count - shown);
}

static SeerStatus labels_print(const SeerIndex *index, const Stats *stats, bool json, Writer *out) {
  size_t count = (size_t)seer_index_label_count(index), used = 0;
  Share *shares = calloc(count + 1, sizeof *shares);
  if (shares == NULL) return seer_fail(SEER_MACHINE, "out of memory for the labels of pictures");
  for (size_t i = 0; i < count; i++) {
    if (stats->labels[i] == 0) continue;
    shares[used].text = seer_index_label(index, (int)i, &shares[used].length);
    shares[used++].count = stats->labels[i];
  }
  if (json)
    writer_text(out, ",\"labels\":{");
  else
    writer_printf(out, "labels: %zu, %" PRIu64 " pictures without\n", used, stats->unlabelled);
  shares_print(shares, used, stats->pictures, json, out);
  if (json) writer_printf(out, "},\"unlabelled\":%" PRIu64, stats->unlabelled);
  free(shares);
  return SEER_OK;
}

// Smallest, largest and mean of a column of numbers.
static SeerStatus numbers_print(SeerIndexColumn *column, bool json, Writer *out) {
  double least = INFINITY, most = -INFINITY, sum = 0, value;
  uint64_t count = 0;
  SeerStatus status = SEER_OK;
  for (int64_t i = 0; status == SEER_OK && i < seer_index_count(column->index); i++) {
    status = seer_index_column_number(column, i, &value);
    if (status != SEER_OK || isnan(value)) continue;
    count++;
    sum += value;
    least = value < least ? value : least;
    most = value > most ? value : most;
  }
  writer_printf(out, json ? "{\"count\":%" PRIu64 : "%" PRIu64 " numbers", count);
  if (count > 0) {
    writer_text(out, json ? ",\"least\":" : ", ");
    writer_json_number(out, least);
    writer_text(out, json ? ",\"most\":" : " to ");
    writer_json_number(out, most);
    writer_text(out, json ? ",\"mean\":" : ", mean ");
    writer_json_number(out, sum / (double)count);
  }
  writer_text(out, json ? "}" : "\n");
  return status;
}

static SeerStatus words_print(SeerIndexColumn *column, bool json, Writer *out) {
  uint64_t *counts = calloc((size_t)column->word_count + 1, sizeof *counts);
  Share *shares = calloc((size_t)column->word_count + 1, sizeof *shares);
  SeerStatus status =
      counts != NULL && shares != NULL ? SEER_OK : seer_fail(SEER_MACHINE, "out of memory for a column");
  for (int64_t i = 0; status == SEER_OK && i < seer_index_count(column->index); i++) {
    uint32_t word;
    status = seer_index_column_word(column, i, &word);
    if (status == SEER_OK) counts[word]++;
  }
  size_t used = 0;
  for (uint32_t word = 1; status == SEER_OK && word <= column->word_count; word++) {
    if (counts[word] == 0) continue;
    shares[used].text = seer_index_column_text(column, word, &shares[used].length);
    shares[used++].count = counts[word];
  }
  if (status == SEER_OK) {
    uint64_t all = (uint64_t)seer_index_count(column->index);
    if (json)
      writer_printf(out, "{\"without\":%" PRIu64 ",\"values\":{", counts[0]);
    else
      writer_printf(out, "%zu values, %" PRIu64 " pictures without\n", used, counts[0]);
    shares_print(shares, used, all, json, out);
    if (json) writer_text(out, "}}");
  }
  free(counts);
  free(shares);
  return status;
}

static SeerStatus columns_print(const SeerIndex *index, bool json, Writer *out) {
  SeerStatus status = SEER_OK;
  if (json) writer_text(out, ",\"columns\":{");
  for (int i = 0; status == SEER_OK && i < seer_index_column_count(index); i++) {
    SeerIndexColumn column;
    status = seer_index_column_open(index, i, &column);
    if (status == SEER_OK) {
      if (json) {
        if (i > 0) writer_text(out, ",");
        data_json_text(out, column.name, column.name_length);
        writer_text(out, ":");
      } else {
        writer_text(out, "column ");
        data_plain_text(out, column.name, column.name_length);
        writer_text(out, ": ");
      }
      status = column.is_number ? numbers_print(&column, json, out) : words_print(&column, json, out);
    }
    seer_index_column_close(&column);
  }
  if (json) writer_text(out, "}");
  return status;
}

static void sides_print(const char *name, const uint64_t *sides, uint64_t count, bool json, Writer *out) {
  static const double shares[] = {0, 0.05, 0.5, 0.95, 1};
  static const char *const names[] = {"least", "p5", "median", "p95", "most"};
  if (json)
    writer_printf(out, ",\"%s\":{", name);
  else
    writer_printf(out, "%s:", name);
  for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
    int side = side_at(sides, count, shares[i]);
    if (json)
      writer_printf(out, "%s\"%s\":%d", i > 0 ? "," : "", names[i], side);
    else
      writer_printf(out, "%s %s %d", i > 0 ? "," : "", names[i], side);
  }
  writer_text(out, json ? "}" : "\n");
}

static void totals_print(const SeerIndex *index, Stats *stats, bool json, Writer *out) {
  Share formats[16];
  for (int i = 0; i < stats->format_count; i++)
    formats[i] = (Share){stats->formats[i].suffix, strlen(stats->formats[i].suffix), stats->formats[i].count};
  if (json) {
    writer_printf(out,
                  "{\"pictures\":%" PRIu64 ",\"damaged_entries\":%" PRIu64 ",\"shards\":%" PRId64 ",\"bytes\":%" PRIu64
                  ",\"exact_duplicates\":%" PRIu64 ",\"sizes_known\":%" PRIu64 ",\"formats\":{",
                  stats->pictures, stats->damaged, seer_index_shard_count(index), stats->bytes, stats->duplicates,
                  stats->sized);
  } else {
    writer_printf(out, "%" PRIu64 " pictures in %" PRId64 " files, %.1f MB, %.1f kB each\n", stats->pictures,
                  seer_index_shard_count(index), (double)stats->bytes * 1e-6,
                  stats->pictures > 0 ? (double)stats->bytes * 1e-3 / (double)stats->pictures : 0.0);
    writer_printf(out, "exact duplicates: %" PRIu64 "\n", stats->duplicates);
    if (stats->damaged > 0) writer_printf(out, "damaged entries of the index: %" PRIu64 "\n", stats->damaged);
    writer_text(out, "formats:\n");
  }
  shares_print(formats, (size_t)stats->format_count, stats->pictures, json, out);
  if (json) writer_text(out, "}");
  sides_print("width", stats->widths, stats->sized, json, out);
  sides_print("height", stats->heights, stats->sized, json, out);
}

SeerStatus data_stats(const SeerIndex *index, int near_distance, int jobs, bool json, Writer *out) {
  Stats *stats = calloc(1, sizeof *stats);
  uint64_t *sides = calloc(2 * SIDES, sizeof *sides);
  uint64_t *labels = calloc((size_t)seer_index_label_count(index) + 1, sizeof *labels);
  SeerStatus status = SEER_OK;
  if (stats == NULL || sides == NULL || labels == NULL)
    status = seer_fail(SEER_MACHINE, "out of memory to count pictures");
  if (status == SEER_OK) {
    stats->widths = sides;
    stats->heights = sides + SIDES;
    stats->labels = labels;
    for (int64_t i = 0; i < seer_index_count(index); i++) picture_count(index, i, stats);
    status = data_duplicates_count(index, &stats->duplicates);
  }
  if (status == SEER_OK) {
    totals_print(index, stats, json, out);
    status = labels_print(index, stats, json, out);
  }
  if (status == SEER_OK) status = columns_print(index, json, out);
  if (status == SEER_OK && near_distance >= 0) status = data_near_print(index, near_distance, jobs, json, out);
  if (json) writer_text(out, "}\n");
  free(labels);
  free(sides);
  free(stats);
  return status;
}
