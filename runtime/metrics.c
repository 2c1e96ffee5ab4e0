// metrics.jsonl; see metrics.h. Lines are printed by hand: fixed keys and numbers, and behind them what was counted.
#include "runtime/metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// Bytes of the leading lines whose step is at most `step`.
static off_t lines_kept(FILE *file, int64_t step) {
  off_t kept = 0;
  char *line = NULL;
  size_t capacity = 0;
  for (ssize_t length; (length = getline(&line, &capacity, file)) > 0 && line[length - 1] == '\n'; kept += length) {
    json_t *object = json_loadb(line, (size_t)length, 0, NULL);
    const json_t *number = json_object_get(object, "step");
    bool keep = json_is_integer(number) && json_integer_value(number) <= step;
    json_decref(object);
    if (!keep) break;
  }
  free(line);
  return kept;
}

SeerStatus seer_metrics_open(SeerMetrics *metrics, const char *run, int64_t step, bool events) {
  *metrics = (SeerMetrics){.fd = -1, .events = {.fd = -1}};
  SeerStatus status = seer_path_print(&metrics->path, "%s/metrics.jsonl", run);
  if (status) return status;
  metrics->fd = open(metrics->path.text, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  FILE *file = metrics->fd >= 0 ? fopen(metrics->path.text, "re") : NULL;
  if (!file || ftruncate(metrics->fd, lines_kept(file, step)) != 0) {
    status = seer_fail(SEER_MACHINE, "cannot write '%s': %s", metrics->path.text, strerror(errno));
  }
  if (file) fclose(file);
  if (!status && events) status = seer_events_open(&metrics->events, run, step);
  return status;
}

// "[[20, 0.07, 0.8125], ...]": neighbours, temperature, share of right answers.
static void knn_print(const SeerStepRecord *record, char *text, size_t bytes) {
  text[0] = '\0';
  if (!record->knn_looked) return;
  size_t at = (size_t)snprintf(text, bytes, ", \"knn_accuracy\": %.6g, \"knn\": [", record->knn.accuracy);
  for (int i = 0; i < SEER_KNN_FIGURES; i++) {
    const SeerKnnFigure *figure = &record->knn.figures[i];
    at += (size_t)snprintf(text + at, bytes - at, "%s[%d, %g, %.6g]", i ? ", " : "", figure->k, figure->temperature,
                           figure->accuracy);
  }
  snprintf(text + at, bytes - at, "]");
}

// In one write: who reads along sees whole lines.
static SeerStatus line_write(const SeerMetrics *metrics, const char *line, size_t length, const char *monitor) {
  size_t more = monitor ? strlen(monitor) : 0;
  char *whole = malloc(length + more + 8);
  if (!whole) return seer_fail(SEER_MACHINE, "out of memory to write '%s'", metrics->path.text);
  int bytes = snprintf(whole, length + more + 8, "%s%s%s}\n", line, monitor ? ", " : "", monitor ? monitor : "");
  SeerStatus status = seer_fd_write(metrics->fd, metrics->path.text, whole, (uint64_t)bytes);
  free(whole);
  return status;
}

SeerStatus seer_metrics_write(SeerMetrics *metrics, const SeerStepRecord *record) {
  char knn[256];
  knn_print(record, knn, sizeof knn);
  char line[1280], entropy[48] = "", ranks[80] = "", sent[48] = "", spike[80] = "", scale[80] = "";
  if (record->prototype_entropy >= 0)
    snprintf(entropy, sizeof entropy, ", \"prototype_entropy\": %.6g", record->prototype_entropy);
  if (record->slowest_rank >= 0)
    snprintf(ranks, sizeof ranks, ", \"slowest_rank\": %d, \"rank_wait\": %.4g", record->slowest_rank,
             record->rank_wait);
  if (record->sent_bytes)
    snprintf(sent, sizeof sent, ", \"sent_bytes\": %llu", (unsigned long long)record->sent_bytes);
  if (record->rewound_from)
    snprintf(spike, sizeof spike, ", \"rewound_from\": %lld, \"skipped_pictures\": %lld",
             (long long)record->rewound_from, (long long)record->skipped);
  if (record->loss_scale > 0)
    snprintf(scale, sizeof scale, ", \"loss_scale\": %.9g, \"passed_over\": %s", record->loss_scale,
             record->passed_over ? "true" : "false");
  int length = snprintf(line, sizeof line,
                        "{\"step\": %lld, \"loss\": %.9g, \"learning_rate\": %.9g, \"images_per_second\": %.6g, "
                        "\"peak_bytes\": %llu, \"resident_bytes\": %llu, \"epoch\": %.6g, \"seconds\": %.6g, "
                        "\"loader_wait\": %.4g%s, \"quarantined\": %lld%s%s%s%s%s",
                        (long long)record->step, record->loss, record->learning_rate, record->images_per_second,
                        (unsigned long long)record->peak_bytes, (unsigned long long)record->resident_bytes,
                        record->epoch, record->seconds, record->loader_wait, entropy, (long long)record->quarantined,
                        ranks, sent, spike, scale, knn);
  SeerStatus status = line_write(metrics, line, (size_t)length, record->monitor);
  SeerScalar scalars[7] = {
      {"train/loss", record->loss},
      {"train/learning_rate", record->learning_rate},
      {"train/epoch", record->epoch},
      {"speed/images_per_second", record->images_per_second},
      {"speed/loader_wait", record->loader_wait},
  };
  int count = 5;
  if (record->prototype_entropy >= 0)
    scalars[count++] = (SeerScalar){"train/prototype_entropy", record->prototype_entropy};
  if (record->knn_looked) scalars[count++] = (SeerScalar){"evaluate/knn_accuracy", record->knn.accuracy};
  if (!status) status = seer_events_write(&metrics->events, record->step, scalars, count);
  return status;
}

void seer_metrics_close(SeerMetrics *metrics) {
  if (metrics->fd >= 0) close(metrics->fd);
  metrics->fd = -1;
  seer_events_close(&metrics->events);
}
