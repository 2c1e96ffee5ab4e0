// SwAV's codes (Sinkhorn) and swapped prediction, and softmax cross-entropy; matrices are row-major.
//
// Sinkhorn runs on logarithms: the scaling of prototype k is exp(a[k]), that of sample i exp(v[i]), so that no score
// can underflow a whole row. potentials: a [k], then v [b+q]. queue? and queue_active?: q rows of scores that join
// those of the batch while *queue_active is not 0; NULL and q = 0 without a queue. For i in 0 .. iterations-1
// {prototypes(first = i == 0); if i < iterations-1: samples}, then codes (Caron et al. 2020, algorithm 1).
//
// Grid: columns (grid.h), over k; shared memory COLUMN_BYTES:
//   sinkhorn_prototypes(scores [b][k], queue? [q][k], queue_active? [1], potentials, b, q, k, first, epsilon)
//     a[k] = -log of the sum over samples of exp(score / epsilon + v); first: v counts as 0
// Grid: elements, over k, no shared memory:
//   sinkhorn_fold_ranks(all [ranks][k], potentials, ranks, k)   a over the samples of all ranks, from that of each
// Grid: rows, shared memory ROW_BYTES:
//   sinkhorn_samples(scores, queue?, queue_active?, potentials, b, q, k, epsilon)   b + q rows
//     v = -log of the sum over prototypes of exp(score / epsilon + a); 0 for what does not join
//   sinkhorn_codes(scores, potentials, codes [b][k], b, k, iterations, hard, epsilon)   b rows
//     softmax of score / epsilon + a (iterations 0: without a); hard: one 1 a row, at the first largest
//   swapped_prediction_rows(scores [crops*b][k], codes [assign_crops*b][k], rows, b, k, crops, assign_crops,
//                           temperature)   crops * b rows
//     the share of each in the mean over code sets and images of the cross-entropy between codes and the softmax of
//     scores / temperature of every other crop
//   swapped_prediction_backward(scores, codes, loss_scale? [1], dscores, b, k, crops, assign_crops, temperature)
//   softmax_cross_entropy_rows(logits [n][k], labels [label_count], rows, n, label_count, k, smoothing)   n rows
//     the same of softmax cross-entropy with label smoothing; row i has label i % label_count, one outside of 0 .. k-1
//     has no one-hot part
//   softmax_cross_entropy_backward(logits, labels, loss_scale? [1], dlogits, n, label_count, k, smoothing)
// rows are doubles; gradients are multiplied by *loss_scale. Grid: one block, shared memory ROW_BYTES:
//   loss_fold(rows, loss [1], count)   their sum
#include "grid.h"

// Below what is summed: exponents where nothing is.
#define FAR (-3e38f)

DEVICE float exponent(const float *x, const float *offset, int i, float factor) {
  return offset ? x[i] * factor + offset[i] : x[i] * factor;
}

// log of the sum over a row of exp(x * factor + offset), safe for any size of x, to all threads of the block.
DEVICE double row_log_sum_exp(const float *x, const float *offset, int k, float factor, void *shared) {
  float top = FAR;
#pragma unroll 1
  for (int i = threadIdx.x; i < k; i += THREADS) {
    const float value = exponent(x, offset, i, factor);
    top = value > top ? value : top;
  }
  top = row_largest(top, shared);
  double sum = 0;
#pragma unroll 1
  for (int i = threadIdx.x; i < k; i += THREADS) sum += (double)expf(exponent(x, offset, i, factor) - top);
  return (double)top + log(row_sum(sum, shared));
}

// ---- Sinkhorn ----

// The samples: of the batch, and of the queue if it joins.
struct Samples {
  const float *scores, *queue;
  int b, k, count;
};
DEVICE Samples samples_make(const float *scores, const float *queue, const float *queue_active, int b, int q, int k) {
  return Samples{scores, queue, b, k, queue && queue_active && *queue_active != 0 ? b + q : b};
}
DEVICE const float *samples_row(Samples s, int row) {
  return row < s.b ? s.scores + (u64)row * s.k : s.queue + (u64)(row - s.b) * s.k;
}

DEVICE_KERNEL(sinkhorn_prototypes, COLUMN_THREADS, 1, COLUMN_BYTES,
              (const float *scores, const float *queue, const float *queue_active, float *potentials, int b, int q,
               int k, int first, float epsilon)) {
  SHARED_MEMORY(memory);
  const Samples samples = samples_make(scores, queue, queue_active, b, q, k);
  const int column = grid_column(), rows = column < k ? samples.count : 0;
  const float factor = (float)(1 / (double)epsilon), *sample = potentials + k;
  float top = FAR;
#pragma unroll 1
  for (int row = grid_column_row(); row < rows; row += COLUMN_ROWS) {
    const float value = samples_row(samples, row)[column] * factor + (first ? 0 : sample[row]);
    top = value > top ? value : top;
  }
  top = column_largest(top, memory);
  double sum = 0;
#pragma unroll 1
  for (int row = grid_column_row(); row < rows; row += COLUMN_ROWS)
    sum += (double)expf(samples_row(samples, row)[column] * factor + (first ? 0 : sample[row]) - top);
  sum = column_sum(sum, memory);
  if (column < k && grid_column_row() == 0) potentials[column] = (float)(-(double)top - log(sum));
}

DEVICE_KERNEL(sinkhorn_fold_ranks, THREADS, 1, 0, (const float *all, float *potentials, int ranks, int k)) {
  const u64 column = grid_element();
  if (column >= (u64)k) return;
  double top = -(double)all[column], sum = 0;
#pragma unroll 1
  for (int rank = 1; rank < ranks; rank++) {
    const double value = -(double)all[(u64)rank * k + column];
    top = value > top ? value : top;
  }
#pragma unroll 1
  for (int rank = 0; rank < ranks; rank++) sum += exp(-(double)all[(u64)rank * k + column] - top);
  potentials[column] = (float)(-top - log(sum));
}

DEVICE_KERNEL(sinkhorn_samples, THREADS, 1, ROW_BYTES,
              (const float *scores, const float *queue, const float *queue_active, float *potentials, int b, int q,
               int k, float epsilon)) {
  SHARED_MEMORY(memory);
  const Samples samples = samples_make(scores, queue, queue_active, b, q, k);
  const int row = grid_row();
  if (row >= b + q) return;
  double total = 0;
  if (row < samples.count)  // the same for the whole block
    total = row_log_sum_exp(samples_row(samples, row), potentials, k, (float)(1 / (double)epsilon), memory);
  if (threadIdx.x == 0) potentials[k + row] = (float)-total;
}

// A number of a row and where it is.
struct Place {
  float value;
  int at;
};
struct FirstLargest {
  DEVICE_MEMBER Place operator()(Place a, Place b) const {
    return b.value > a.value || (b.value == a.value && b.at < a.at) ? b : a;
  }
};

DEVICE_KERNEL(sinkhorn_codes, THREADS, 1, ROW_BYTES,
              (const float *__restrict__ scores, const float *__restrict__ potentials, float *__restrict__ codes, int b,
               int k, int iterations, int hard, float epsilon)) {
  SHARED_MEMORY(memory);
  const int row = grid_row();
  if (row >= b) return;
  const float *const x = scores + (u64)row * k, *const offset = iterations > 0 ? potentials : nullptr;
  const float factor = (float)(1 / (double)epsilon);
  float *const y = codes + (u64)row * k;
  if (hard) {
    const int first = (int)threadIdx.x < k ? (int)threadIdx.x : 0;
    Place best = {exponent(x, offset, first, factor), first};
#pragma unroll 1
    for (int i = threadIdx.x + THREADS; i < k; i += THREADS) {
      const float value = exponent(x, offset, i, factor);
      if (value > best.value) best = Place{value, i};
    }
    best = tree<THREADS, 1>(best, (Place *)memory, FirstLargest());
#pragma unroll 1
    for (int i = threadIdx.x; i < k; i += THREADS) y[i] = i == best.at ? 1 : 0;
  } else {
    const float total = (float)row_log_sum_exp(x, offset, k, factor, memory);
#pragma unroll 1
    for (int i = threadIdx.x; i < k; i += THREADS) y[i] = expf(exponent(x, offset, i, factor) - total);
  }
}

// ---- swapped prediction ----

DEVICE_KERNEL(swapped_prediction_rows, THREADS, 1, ROW_BYTES,
              (const float *__restrict__ scores, const float *__restrict__ codes, double *__restrict__ rows, int b,
               int k, int crops, int assign_crops, float temperature)) {
  SHARED_MEMORY(memory);
  const int row = grid_row();
  if (row >= crops * b) return;
  const float *const x = scores + (u64)row * k, factor = (float)(1 / (double)temperature);
  const float total = (float)row_log_sum_exp(x, nullptr, k, factor, memory);
  double sum = 0;
#pragma unroll 1
  for (int set = 0; set < assign_crops; set++) {
    if (set == row / b) continue;
    const float *const code = codes + ((u64)set * b + row % b) * k;
#pragma unroll 1
    for (int i = threadIdx.x; i < k; i += THREADS) sum += (double)(code[i] * (total - x[i] * factor));
  }
  sum = row_sum(sum, memory);
  if (threadIdx.x == 0) rows[row] = sum / ((double)assign_crops * (crops - 1) * b);
}

DEVICE_KERNEL(loss_fold, THREADS, 1, ROW_BYTES,
              (const double *__restrict__ rows, float *__restrict__ loss, int count)) {
  SHARED_MEMORY(memory);
  double sum = 0;
#pragma unroll 1
  for (int i = threadIdx.x; i < count; i += THREADS) sum += rows[i];
  sum = row_sum(sum, memory);
  if (threadIdx.x == 0) *loss = (float)sum;
}

DEVICE_KERNEL(swapped_prediction_backward, THREADS, 1, ROW_BYTES,
              (const float *__restrict__ scores, const float *__restrict__ codes, const float *__restrict__ loss_scale,
               float *__restrict__ dscores, int b, int k, int crops, int assign_crops, float temperature)) {
  SHARED_MEMORY(memory);
  const int row = grid_row();
  if (row >= crops * b) return;
  const float *const x = scores + (u64)row * k, *const code = codes + (u64)(row % b) * k;
  const float factor = (float)(1 / (double)temperature);
  const float weight =
      (float)(1 / ((double)temperature * assign_crops * (crops - 1) * b)) * (loss_scale ? *loss_scale : 1);
  const float total = (float)row_log_sum_exp(x, nullptr, k, factor, memory);
  double mass = 0;
#pragma unroll 1
  for (int set = 0; set < assign_crops; set++)
#pragma unroll 1
    for (int i = threadIdx.x; i < k && set != row / b; i += THREADS) mass += (double)code[(u64)set * b * k + i];
  mass = row_sum(mass, memory);
#pragma unroll 1
  for (int i = threadIdx.x; i < k; i += THREADS) {
    float value = expf(x[i] * factor - total) * (float)mass;
#pragma unroll 1
    for (int set = 0; set < assign_crops; set++)
      if (set != row / b) value -= code[(u64)set * b * k + i];
    dscores[(u64)row * k + i] = value * weight;
  }
}

// ---- softmax cross-entropy ----

DEVICE_KERNEL(softmax_cross_entropy_rows, THREADS, 1, ROW_BYTES,
              (const float *__restrict__ logits, const int *__restrict__ labels, double *__restrict__ rows, int n,
               int label_count, int k, float smoothing)) {
  SHARED_MEMORY(memory);
  const int row = grid_row();
  if (row >= n) return;
  const float *const x = logits + (u64)row * k;
  const double total = row_log_sum_exp(x, nullptr, k, 1, memory);
  const int label = labels[row % label_count];
  double sum = 0;
#pragma unroll 1
  for (int i = threadIdx.x; i < k && smoothing > 0; i += THREADS) sum += total - (double)x[i];
  sum = row_sum(sum, memory);
  if (threadIdx.x > 0) return;
  const double known = label >= 0 && label < k ? (1 - (double)smoothing) * (total - (double)x[label]) : 0;
  rows[row] = (known + (double)smoothing * sum / k) / n;
}

DEVICE_KERNEL(softmax_cross_entropy_backward, THREADS, 1, ROW_BYTES,
              (const float *__restrict__ logits, const int *__restrict__ labels, const float *__restrict__ loss_scale,
               float *__restrict__ dlogits, int n, int label_count, int k, float smoothing)) {
  SHARED_MEMORY(memory);
  const int row = grid_row();
  if (row >= n) return;
  const float *const x = logits + (u64)row * k;
  const float total = (float)row_log_sum_exp(x, nullptr, k, 1, memory);
  const int label = labels[row % label_count];
  const float mass = label >= 0 && label < k ? 1 : smoothing, even = (float)((double)smoothing / k);
  const float weight = (float)(1 / (double)n) * (loss_scale ? *loss_scale : 1);
#pragma unroll 1
  for (int i = threadIdx.x; i < k; i += THREADS) {
    const float rest = expf(x[i] - total) * mass - even;
    dlogits[(u64)row * k + i] = (i == label ? rest - (1 - smoothing) : rest) * weight;
  }
}
