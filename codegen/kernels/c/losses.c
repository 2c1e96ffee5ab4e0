// SwAV's codes (Sinkhorn) and swapped prediction, and softmax cross-entropy; all matrices row-major.
//
// Sinkhorn runs on logarithms: the scaling of prototype k is exp(a[k]), of sample b exp(v[b]), so no score, however
// far from the largest, can underflow a whole row. Codes are what the released iteration converges through: rows,
// columns,
// ..., and last the columns once more (facts: Caron et al. 2020, algorithm 1).
#include "kernels.h"
#include "lanes.h"
#include "sizes.h"

// The first `count` floats at p in a vector, `other` in the rest.
KERNEL Lanes loss_load(const float *p, int count, float other) {
  if (count >= LANES) return lanes_load_unaligned(p);
  float part[LANES] __attribute__((aligned(64)));
  for (int i = 0; i < LANES; i++) part[i] = i < count ? p[i] : other;
  return lanes_load(part);
}

KERNEL void loss_store(float *p, Lanes v, int count) {
  if (count >= LANES) {
    lanes_store_unaligned(p, v);
  } else {
    lanes_store_part(p, v, count);
  }
}

enum { LOSS_FAR = -1000000000 };  // stands for minus infinity where a lane is beyond the matrix

// log of the sum over k of exp(x[k] * factor + offset[k]) (offset may be NULL), safe for any size of x.
KERNEL double row_log_sum_exp(int k, float factor, const float *x, const float *offset) {
  Lanes largest = lanes_splat((float)LOSS_FAR);
  for (int i = 0; i < k; i += LANES) {
    Lanes v = loss_load(x + i, k - i, 0.0f) * factor;
    if (offset) v += loss_load(offset + i, k - i, 0.0f);
    if (k - i < LANES) v = loss_load((const float *)&v, k - i, (float)LOSS_FAR);
    largest = lanes_max(v, largest);
  }
  const float top = lanes_largest(largest);
  double sum = 0;
  for (int run = 0; run < k; run += 64 * LANES) {
    const int end = run + 64 * LANES < k ? run + 64 * LANES : k;
    Lanes part = lanes_splat(0.0f);
    for (int i = run; i < end; i += LANES) {
      Lanes v = loss_load(x + i, k - i, 0.0f) * factor;
      if (offset) v += loss_load(offset + i, k - i, 0.0f);
      if (k - i < LANES) v = loss_load((const float *)&v, k - i, (float)LOSS_FAR);
      part += lanes_exp(v - top);
    }
    sum += lanes_sum_live(part, LANES);
  }
  return (double)top + log(sum);
}

KERNEL double row_sum(int k, const float *x) {
  double sum = 0;
  for (int run = 0; run < k; run += 64 * LANES) {
    const int end = run + 64 * LANES < k ? run + 64 * LANES : k;
    Lanes part = lanes_splat(0.0f);
    for (int i = run; i < end; i += LANES) part += loss_load(x + i, k - i, 0.0f);
    sum += lanes_sum_live(part, LANES);
  }
  return sum;
}

// ---- Sinkhorn: for i in 0..iterations-1 { sinkhorn_prototypes(first = i == 0); if i < iterations-1:
//      sinkhorn_samples }, then sinkhorn_codes. workspace: sinkhorn_workspace_floats(b, q, k).
//      queue (with queue_active): q rows of scores that join while *queue_active != 0; NULL and 0 without a queue.
//      ----

KERNEL const float *sinkhorn_row(int b, int k, const float *scores, const float *queue, int row) {
  return row < b ? scores + (int64_t)row * k : queue + (int64_t)(row - b) * k;
}
KERNEL int sinkhorn_rows(int b, int q, const float *queue_active) {
  return queue_active && *queue_active != 0.0f ? b + q : b;
}
KERNEL float *sinkhorn_sample_potentials(int k, float *workspace) { return workspace + size_ceil(k, 16) * 16; }

void sinkhorn_prototypes(int b, int q, int k, double epsilon, int first, const float *restrict scores,
                         const float *restrict queue, const float *restrict queue_active, float *restrict workspace,
                         int task) {
  const int begin = task * 64, end = begin + 64 < k ? begin + 64 : k, rows = sinkhorn_rows(b, q, queue_active);
  const float *sample = sinkhorn_sample_potentials(k, workspace), factor = (float)(1.0 / epsilon);
  for (int column = begin; column < end; column += LANES) {
    Lanes top = lanes_splat((float)LOSS_FAR);
    for (int row = 0; row < rows; row++) {
      Lanes v = loss_load(sinkhorn_row(b, k, scores, queue, row) + column, end - column, 0.0f) * factor;
      top = lanes_max(v + (first ? 0.0f : sample[row]), top);
    }
    double sum[LANES] = {0};
    for (int run = 0; run < rows; run += 32) {
      const int run_end = run + 32 < rows ? run + 32 : rows;
      float part[LANES] __attribute__((aligned(64)));
      Lanes total = lanes_splat(0.0f);
      for (int row = run; row < run_end; row++) {
        Lanes v = loss_load(sinkhorn_row(b, k, scores, queue, row) + column, end - column, 0.0f) * factor;
        total += lanes_exp(v + (first ? 0.0f : sample[row]) - top);
      }
      lanes_store(part, total);
      for (int i = 0; i < LANES; i++) sum[i] += (double)part[i];
    }
    float tops[LANES] __attribute__((aligned(64)));
    lanes_store(tops, top);
    for (int i = 0; i < LANES && column + i < end; i++) workspace[column + i] = (float)(-(double)tops[i] - log(sum[i]));
  }
}

void sinkhorn_fold_ranks(int ranks, int k, const float *restrict all, float *restrict workspace, int task) {
  const int begin = task * 64, end = begin + 64 < k ? begin + 64 : k;
  for (int column = begin; column < end; column++) {
    double top = -(double)all[column], sum = 0;
    for (int rank = 1; rank < ranks; rank++) {
      const double v = -(double)all[(int64_t)rank * k + column];
      if (v > top) top = v;
    }
    for (int rank = 0; rank < ranks; rank++) sum += exp(-(double)all[(int64_t)rank * k + column] - top);
    workspace[column] = (float)(-top - log(sum));
  }
}

void sinkhorn_samples(int b, int q, int k, double epsilon, const float *restrict scores, const float *restrict queue,
                      const float *restrict queue_active, float *workspace, int task) {
  const int rows = sinkhorn_rows(b, q, queue_active), first = task * 8, last = first + 8 < rows ? first + 8 : rows;
  float *sample = sinkhorn_sample_potentials(k, workspace);
  for (int row = first; row < last; row++)
    sample[row] = (float)-row_log_sum_exp(k, (float)(1.0 / epsilon), sinkhorn_row(b, k, scores, queue, row), workspace);
}

void sinkhorn_codes(int b, int k, double epsilon, int iterations, int hard, const float *restrict scores,
                    const float *restrict workspace, float *restrict codes, int task) {
  const int first = task * 8, last = first + 8 < b ? first + 8 : b;
  const float factor = (float)(1.0 / epsilon), *offset = iterations > 0 ? workspace : NULL;
  for (int row = first; row < last; row++) {
    const float *source = scores + (int64_t)row * k;
    float *target = codes + (int64_t)row * k;
    if (hard) {
      int best = 0;
      float top = 0;
      for (int i = 0; i < k; i++) {
        const float v = source[i] * factor + (offset ? offset[i] : 0.0f);
        if (i == 0 || v > top) best = i, top = v;
        target[i] = 0;
      }
      target[best] = 1;
    } else {
      const float total = (float)row_log_sum_exp(k, factor, source, offset);
      for (int i = 0; i < k; i += LANES) {
        Lanes v = loss_load(source + i, k - i, 0.0f) * factor - total;
        if (offset) v += loss_load(offset + i, k - i, 0.0f);
        loss_store(target + i, lanes_exp(v), k - i);
      }
    }
  }
}

// ---- swapped prediction: loss = mean over code sets i and images of the cross-entropy between codes i and the
// softmax
//      of scores/temperature of every other crop ----

void swapped_prediction_rows(int b, int k, int crops, int assign_crops, double temperature,
                             const float *restrict scores, const float *restrict codes, float *restrict workspace,
                             int task) {
  const int rows = crops * b, first = task * 4, last = first + 4 < rows ? first + 4 : rows;
  double *loss = (double *)(void *)workspace;
  const float factor = (float)(1.0 / temperature);
  for (int row = first; row < last; row++) {
    const float *source = scores + (int64_t)row * k;
    const double total = row_log_sum_exp(k, factor, source, NULL);
    double sum = 0;
    for (int set = 0; set < assign_crops; set++) {
      if (set == row / b) continue;
      const float *code = codes + ((int64_t)set * b + row % b) * k;
      for (int run = 0; run < k; run += 64 * LANES) {
        const int end = run + 64 * LANES < k ? run + 64 * LANES : k;
        Lanes part = lanes_splat(0.0f);
        for (int i = run; i < end; i += LANES)
          part += loss_load(code + i, k - i, 0.0f) * ((float)total - loss_load(source + i, k - i, 0.0f) * factor);
        sum += lanes_sum_live(part, LANES);
      }
    }
    loss[row] = sum / ((double)assign_crops * (crops - 1) * b);
  }
}

void loss_fold(int rows, const float *restrict workspace, float *restrict loss, int task) {
  (void)task;
  const double *source = (const double *)(const void *)workspace;
  double sum = 0;
  for (int row = 0; row < rows; row++) sum += source[row];
  loss[0] = (float)sum;
}

void swapped_prediction_backward(int b, int k, int crops, int assign_crops, double temperature,
                                 const float *restrict scores, const float *restrict codes, float *restrict dscores,
                                 int task) {
  const int rows = crops * b, first = task * 4, last = first + 4 < rows ? first + 4 : rows;
  const float factor = (float)(1.0 / temperature);
  const float weight = (float)(1.0 / (temperature * assign_crops * (crops - 1) * b));
  for (int row = first; row < last; row++) {
    const float *source = scores + (int64_t)row * k;
    float *target = dscores + (int64_t)row * k;
    const float total = (float)row_log_sum_exp(k, factor, source, NULL);
    double mass = 0;
    for (int set = 0; set < assign_crops; set++)
      if (set != row / b) mass += row_sum(k, codes + ((int64_t)set * b + row % b) * k);
    for (int i = 0; i < k; i += LANES) {
      Lanes v = lanes_exp(loss_load(source + i, k - i, 0.0f) * factor - total) * (float)mass;
      for (int set = 0; set < assign_crops; set++)
        if (set != row / b) v -= loss_load(codes + ((int64_t)set * b + row % b) * k + i, k - i, 0.0f);
      loss_store(target + i, v * weight, k - i);
    }
  }
}

// ---- softmax cross-entropy with label smoothing, mean over rows. Rows are crop-major: row r has label r %
// label_count.
//      A label outside 0..k-1 has no one-hot part. ----

void softmax_cross_entropy_rows(int n, int label_count, int k, double smoothing, const float *restrict logits,
                                const int32_t *restrict labels, float *restrict workspace, int task) {
  const int first = task * 4, last = first + 4 < n ? first + 4 : n;
  double *loss = (double *)(void *)workspace;
  for (int row = first; row < last; row++) {
    const float *source = logits + (int64_t)row * k;
    const double total = row_log_sum_exp(k, 1.0f, source, NULL);
    const int32_t label = labels[row % label_count];
    double sum = 0, value = 0;
    for (int i = 0; i < k && smoothing > 0; i++) sum += total - (double)source[i];
    if (label >= 0 && label < k) value = (1 - smoothing) * (total - (double)source[label]);
    loss[row] = (value + smoothing * sum / k) / n;
  }
}

void softmax_cross_entropy_backward(int n, int label_count, int k, double smoothing, const float *restrict logits,
                                    const int32_t *restrict labels, float *restrict dlogits, int task) {
  const int first = task * 4, last = first + 4 < n ? first + 4 : n;
  const float inverse = (float)(1.0 / n), even = (float)(smoothing / k);
  for (int row = first; row < last; row++) {
    const float *source = logits + (int64_t)row * k;
    float *target = dlogits + (int64_t)row * k;
    const float total = (float)row_log_sum_exp(k, 1.0f, source, NULL);
    const int32_t label = labels[row % label_count];
    const int known = label >= 0 && label < k;
    const float mass = known ? 1.0f : (float)smoothing;
    for (int i = 0; i < k; i += LANES) {
      Lanes v = lanes_exp(loss_load(source + i, k - i, 0.0f) - total) * mass - even;
      loss_store(target + i, v * inverse, k - i);
    }
    if (known) target[label] -= (float)(1 - smoothing) * inverse;
  }
}
