// Kernels of losses.cu against double precision: Sinkhorn with a queue that joins, one that waits, none, and of ranks;
// codes soft and hard; swapped prediction and cross-entropy with their gradients; rows longer and shorter than a block,
// scores whose exponentials overflow. Exit status 0 when all of it holds.
#include "codegen/kernels/cuda/losses.cu"

#include <vector>

#include "tests/cuda/kernel_test.h"

// Of exponentials: single precision of exponents of some dozens.
const double EXPONENTIAL = 4 * SINGLE;

typedef std::vector<double> Numbers;

static double log_sum(const Numbers &x) {
  double top = x[0], sum = 0;
  for (double value : x) top = value > top ? value : top;
  for (double value : x) sum += std::exp(value - top);
  return top + std::log(sum);
}

static Numbers row_of(const Buffer<float> &x, int row, int k, double factor) {
  Numbers numbers;
  for (int i = 0; i < k; i++) numbers.push_back((double)x.items[(size_t)(row * k + i)] * factor);
  return numbers;
}

static Numbers log_sums(const Buffer<float> &x, int k, double factor) {
  Numbers sums;
  for (int row = 0; row < (int)x.count / k; row++) sums.push_back(log_sum(row_of(x, row, k, factor)));
  return sums;
}

// ---- Sinkhorn ----

enum Queue { none, waits, joins };

struct Sinkhorn {
  int b, q, k, rows;
  float epsilon;
  Buffer<float> scores, queue, active, potentials;
  Numbers a, v;  // as they should be
  const float *queue_at, *active_at;

  Sinkhorn(int samples, int queued, int prototypes, Queue kind, float spread)
      : b(samples),
        q(kind == none ? 0 : queued),
        k(prototypes),
        rows(kind == joins ? b + q : b),
        epsilon(spread),
        scores((size_t)(b * k)),
        queue((size_t)(queued * k)),
        active(1),
        potentials((size_t)(k + b + q)),
        a((size_t)k),
        v((size_t)(b + q)),
        queue_at(kind == none ? nullptr : queue.items),
        active_at(kind == none ? nullptr : active.items) {
    fill_floats(scores, 0, 1);
    if (kind != waits) fill_floats(queue, 0, 1);  // what waits stays poison
    active.items[0] = kind == joins ? 1 : 0;
  }
  double score(int row, int i) const {
    const float *at = row < b ? scores.items + row * k : queue.items + (row - b) * k;
    return (double)at[i] / (double)epsilon;
  }
  int prototypes(bool first) {
    const bool same = RUN_PART(sinkhorn_prototypes, grid_of((size_t)k, COLUMN_WIDTH), potentials, 0, (size_t)k,
                               scores.items, queue_at, active_at, potentials.items, b, q, k, first, epsilon);
    Error error;
    for (int i = 0; i < k; i++) {
      Numbers column;
      for (int row = 0; row < rows; row++) column.push_back(score(row, i) + (first ? 0 : v[(size_t)row]));
      a[(size_t)i] = -log_sum(column);
      error.add((double)potentials.items[i], a[(size_t)i]);
    }
    return verdict("prototypes", error.relative(), SINGLE, true, same);
  }
  int samples() {
    const bool same = RUN_PART(sinkhorn_samples, grid_of((size_t)(b + q), 1), potentials, (size_t)k, (size_t)(b + q),
                               scores.items, queue_at, active_at, potentials.items, b, q, k, epsilon);
    Error error;
    for (int row = 0; row < b + q; row++) {
      Numbers numbers;
      for (int i = 0; i < k && row < rows; i++) numbers.push_back(score(row, i) + a[(size_t)i]);
      v[(size_t)row] = row < rows ? -log_sum(numbers) : 0;
      error.add((double)potentials.items[k + row], v[(size_t)row]);
    }
    return verdict("samples", error.relative(), SINGLE, true, same);
  }
  int codes(int iterations) {
    Buffer<float> made((size_t)(b * k));
    const simulated::Index grid = grid_of((size_t)b, 1);
    bool same =
        RUN(sinkhorn_codes, grid, made, scores.items, potentials.items, made.items, b, k, iterations, 0, epsilon);
    Error soft, hard;
    std::vector<Numbers> rows_numbers;
    for (int row = 0; row < b; row++) {
      Numbers numbers;
      for (int i = 0; i < k; i++) numbers.push_back(score(row, i) + (iterations ? a[(size_t)i] : 0));
      const double total = log_sum(numbers);
      for (int i = 0; i < k; i++) soft.add((double)made.items[row * k + i], std::exp(numbers[(size_t)i] - total));
      rows_numbers.push_back(numbers);
    }
    int failed = verdict("codes", soft.relative(), EXPONENTIAL, true, same);
    same = RUN(sinkhorn_codes, grid, made, scores.items, potentials.items, made.items, b, k, iterations, 1, epsilon);
    for (int row = 0; row < b; row++) {
      const float *const code = made.items + row * k;
      const Numbers &numbers = rows_numbers[(size_t)row];
      size_t best = 0;
      for (size_t i = 1; i < numbers.size(); i++)
        if (numbers[i] > numbers[best]) best = i;
      // Prototypes that are one sample's alone have the same number but for rounding.
      for (size_t i = 0; i < numbers.size() && iterations; i++)
        if (code[i] > 0 && numbers[i] > numbers[best] - 1e-4) best = i;
      for (size_t i = 0; i < numbers.size(); i++) hard.add((double)code[i], i == best ? 1 : 0);
    }
    return failed | verdict("hard codes", hard.relative(), 0, true, same);
  }
};

static int sinkhorn_test(int b, int q, int k, Queue kind) {
  Sinkhorn s(b, q, k, kind, 0.05f);
  // The largest score more than once: the first counts.
  if (k > 300) s.scores.items[299] = s.scores.items[40] = s.scores.items[39] = 1.5f;
  int failed = s.prototypes(true) | s.codes(0);
  failed |= s.samples() | s.prototypes(false) | s.samples() | s.prototypes(false);
  return failed | s.codes(3);
}

static int ranks_test(int ranks, int k) {
  Buffer<float> all((size_t)(ranks * k)), potentials((size_t)k);
  fill_floats(all, 0, 30);
  const bool same =
      RUN(sinkhorn_fold_ranks, grid_of((size_t)k, THREADS), potentials, all.items, potentials.items, ranks, k);
  return compare("prototypes of ranks", potentials, SINGLE, same, [&](size_t i) {
    Numbers numbers;
    for (int rank = 0; rank < ranks; rank++) numbers.push_back(-(double)all.items[(size_t)(rank * k) + i]);
    return -log_sum(numbers);
  });
}

// ---- losses ----

static int loss_check(const Buffer<double> &rows) {
  Buffer<float> loss(1);
  const int count = (int)rows.count;
  const bool same = RUN(loss_fold, grid_of(1, 1), loss, rows.items, loss.items, count);
  double sum = 0;
  for (size_t i = 0; i < rows.count; i++) sum += rows.items[i];
  return compare("loss", loss, SINGLE, same, [&](size_t) { return sum; });
}

static int swapped_test(int b, int k, int crops, int assign_crops, bool scaled) {
  const float temperature = 0.1f;
  const double factor = 1 / (double)temperature, weight = 1 / ((double)assign_crops * (crops - 1) * b);
  const size_t columns = (size_t)k;
  Buffer<float> scores((size_t)(crops * b) * columns), codes((size_t)(assign_crops * b) * columns);
  Buffer<float> gradient(scores.count), loss_scale(1);
  Buffer<double> rows((size_t)(crops * b));
  fill_floats(scores, 0, 1);
  fill_floats(codes, 0.5f, 0.5f);
  loss_scale.items[0] = 1024;
  const Numbers totals = log_sums(scores, k, factor);
  Numbers wanted;
  for (int row = 0; row < crops * b; row++) {
    const Numbers x = row_of(scores, row, k, factor);
    const double total = totals[(size_t)row];
    double sum = 0;
    for (int set = 0; set < assign_crops; set++)
      for (int i = 0; i < k && set != row / b; i++)
        sum += (double)codes.items[((size_t)(set * b + row % b)) * columns + (size_t)i] * (total - x[(size_t)i]);
    wanted.push_back(sum * weight);
  }
  const simulated::Index grid = grid_of(rows.count, 1);
  bool same = RUN(swapped_prediction_rows, grid, rows, scores.items, codes.items, rows.items, b, k, crops, assign_crops,
                  temperature);
  int failed = compare("swapped prediction", rows, SINGLE, same, [&](size_t i) { return wanted[i]; });
  failed |= loss_check(rows);
  const float *const by = scaled ? loss_scale.items : nullptr;
  same = RUN(swapped_prediction_backward, grid, gradient, scores.items, codes.items, by, gradient.items, b, k, crops,
             assign_crops, temperature);
  return failed | compare("gradient of swapped prediction", gradient, EXPONENTIAL, same, [&](size_t at) {
           const int row = (int)(at / columns);
           const double p = std::exp((double)scores.items[at] * factor - totals[at / columns]);
           double value = 0;
           for (int set = 0; set < assign_crops; set++) {
             if (set == row / b) continue;
             const float *code = codes.items + (size_t)(set * b + row % b) * columns;
             for (size_t i = 0; i < columns; i++) value += p * (double)code[i];
             value -= (double)code[at % columns];
           }
           return value * weight * factor * (scaled ? 1024 : 1);
         });
}

static int cross_entropy_test(int n, int label_count, int k, float smoothing, float spread, bool scaled) {
  const size_t columns = (size_t)k;
  Buffer<float> logits((size_t)n * columns), gradient(logits.count), loss_scale(1);
  Buffer<int> labels((size_t)label_count);
  Buffer<double> rows((size_t)n);
  fill_floats(logits, 0, spread);
  for (int i = 0; i < label_count; i++) labels.items[i] = i == 1 ? -1 : i == 2 ? k : i * 7 % k;  // two are none
  loss_scale.items[0] = 0.5f;
  const double even = (double)smoothing / k;
  const Numbers totals = log_sums(logits, k, 1);
  // The share of a label in the wanted distribution of a row.
  const auto share = [&](int row, int i) {
    return even + (labels.items[row % label_count] == i ? 1 - (double)smoothing : 0);
  };
  const simulated::Index grid = grid_of(rows.count, 1);
  bool same =
      RUN(softmax_cross_entropy_rows, grid, rows, logits.items, labels.items, rows.items, n, label_count, k, smoothing);
  int failed = compare("cross-entropy", rows, SINGLE, same, [&](size_t row) {
    const Numbers x = row_of(logits, (int)row, k, 1);
    double sum = 0;
    for (int i = 0; i < k; i++) sum += share((int)row, i) * (totals[row] - x[(size_t)i]);
    return sum / n;
  });
  failed |= loss_check(rows);
  const float *const by = scaled ? loss_scale.items : nullptr;
  same = RUN(softmax_cross_entropy_backward, grid, gradient, logits.items, labels.items, by, gradient.items, n,
             label_count, k, smoothing);
  return failed | compare("gradient of cross-entropy", gradient, EXPONENTIAL, same, [&](size_t at) {
           const int row = (int)(at / columns), label = labels.items[row % label_count];
           const double mass = label >= 0 && label < k ? 1 : (double)smoothing;
           const double p = std::exp((double)logits.items[at] - totals[at / columns]);
           return (p * mass - share(row, (int)(at % columns))) / n * (scaled ? 0.5 : 1);
         });
}

int main() {
  int failed = sinkhorn_test(5, 3, 301, joins) | sinkhorn_test(19, 7, 33, waits) | sinkhorn_test(1, 1, 1, none);
  failed |= sinkhorn_test(9, 10, 40, joins) | ranks_test(1, 5) | ranks_test(3, 300);
  failed |= swapped_test(3, 301, 3, 2, true) | swapped_test(1, 7, 2, 2, false);
  failed |= cross_entropy_test(6, 3, 301, 0.1f, 4, true) | cross_entropy_test(3, 3, 10, 0, 4, false);
  return failed | cross_entropy_test(2, 1, 5, 0.1f, 200, false) | cross_entropy_test(1, 1, 1, 0, 1, false);
}
