// Kernels of ranks.cu against double precision: floats and both formats, parts that fill no block and need several, the
// last with less than a part; in place and elsewhere. Exit status 0 when all of it holds.
#include "codegen/kernels/cuda/ranks.cu"

#include <vector>

#include "runtime/narrow.h"
#include "tests/cuda/kernel_test.h"

typedef std::vector<double> Numbers;

static Numbers means_of(const Buffer<float> &all, int parts, size_t part) {
  Numbers means(part, 0);
  for (size_t i = 0; i < part; i++) {
    for (int p = 0; p < parts; p++) means[i] += (double)all.items[(size_t)p * part + i];
    means[i] /= parts;
  }
  return means;
}

static int average_test(int parts, size_t part) {
  Buffer<float> all((size_t)parts * part), average(part);
  fill_floats(all, 0, 3);
  const Numbers means = means_of(all, parts, part);
  const simulated::Index grid = grid_of(part, THREADS);
  bool same = RUN(average_parts, grid, average, all.items, average.items, parts, part);
  int failed = compare("average", average, SINGLE, same, [&](size_t i) { return means[i]; });
  Buffer<float> wanted(all.count);
  std::memcpy((void *)wanted.items, all.items, all.bytes());
  std::memcpy((void *)wanted.items, average.items, average.bytes());
  same = IN_PLACE(average_parts, grid, all, wanted, all.items, all.items, parts, part);
  return failed | verdict("average in place", 0, 0, true, same);
}

// What a rank sends: its numbers in 16 bits where each part begins, and zeros behind the last.
static int narrow_test(int parts, size_t part, size_t count, SeerFormat format) {
  Buffer<float> all((size_t)parts * part), wanted(all.count), average(part);
  fill_floats(all, 0, 3);
  all.items[0] = 1e-7f;  // below the smallest that is normal in fp16
  std::memcpy((void *)wanted.items, all.items, all.bytes());
  for (size_t i = 0; i < all.count; i++)
    ((Element *)(wanted.items + i / part * part))[i % part] =
        i < count ? seer_narrow(format, all.items[i]) : (Element)0;
  bool same = IN_PLACE(narrow_parts, grid_of((size_t)parts, 1), all, wanted, all.items, count, part, (int)format);
  int failed = verdict("narrow parts", 0, 0, true, same);

  Numbers means(part, 0);
  for (size_t i = 0; i < part; i++) {
    for (int p = 0; p < parts; p++)
      means[i] += (double)seer_widen(format, ((const Element *)(wanted.items + (size_t)p * part))[i]);
    means[i] /= parts;
  }
  same =
      RUN(average_narrow_parts, grid_of(part, THREADS), average, wanted.items, average.items, parts, part, (int)format);
  failed |= compare("average of narrow", average, SINGLE, same, [&](size_t i) { return means[i]; });
  Buffer<float> after(all.count);
  std::memcpy((void *)after.items, wanted.items, wanted.bytes());
  std::memcpy((void *)after.items, average.items, average.bytes());
  same = IN_PLACE(average_narrow_in_place, grid_of(1, 1), wanted, after, wanted.items, parts, part, (int)format);
  return failed | verdict("average of narrow in place", 0, 0, true, same);
}

static int narrow_floats_test(size_t count, SeerFormat format) {
  Buffer<float> from(count);
  Buffer<Element> to(count), wanted(count);
  fill_floats(from, 0, 3);
  for (size_t i = 0; i < count; i++) wanted.items[i] = seer_narrow(format, from.items[i]);
  bool same = RUN(narrow_floats, grid_of(count, THREADS), to, from.items, to.items, count, (int)format);
  same = same && std::memcmp((const void *)to.items, (const void *)wanted.items, wanted.bytes()) == 0;
  return verdict("narrow floats", 0, 0, true, same);
}

static int rows_test(size_t rows, size_t row, size_t from_pitch, size_t to_pitch) {
  Buffer<float> from((rows - 1) * from_pitch + row), to((rows - 1) * to_pitch + row);
  fill_floats(from, 0, 3);
  bool same = true;
  for (size_t i = 0; i < rows; i++) {
    const simulated::Index grid = {(unsigned)DIVIDE_UP(row, THREADS), (unsigned)rows, 1};
    same = same && RUN_PART(copy_rows, grid, to, i * to_pitch, row, from.items, to.items, row, from_pitch, to_pitch);
    same = same && std::memcmp((const void *)(to.items + i * to_pitch), (const void *)(from.items + i * from_pitch),
                               row * sizeof(float)) == 0;
  }
  return verdict("rows", 0, 0, true, same);
}

static int channels_test(int ranks, int c, int span) {
  Buffer<float> all((size_t)(ranks * 2 * span)), result((size_t)c), other((size_t)c);
  fill_floats(all, 0, 2);
  for (int rank = 0; rank < ranks; rank++)
    for (int i = c; i < 2 * span; i++)
      if (i < span || i >= span + c) all.items[rank * 2 * span + i] = 1e30f;  // between what there is
  const auto at = [&](int rank, int which, size_t i) {
    return (double)all.items[(size_t)((rank * 2 + which) * span) + i];
  };
  const auto mean_of = [&](int which, size_t i) {
    double sum = 0;
    for (int rank = 0; rank < ranks; rank++) sum += at(rank, which, i);
    return sum / ranks;
  };
  const simulated::Index grid = grid_of((size_t)c, THREADS);
  bool same = RUN(sums_fold_ranks, grid, result, all.items, result.items, other.items, ranks, c, span);
  int failed = compare("sums, first", result, SINGLE, same, [&](size_t i) { return mean_of(0, i); });
  same = RUN(sums_fold_ranks, grid, result, all.items, other.items, result.items, ranks, c, span);
  failed |= compare("sums, second", result, SINGLE, same, [&](size_t i) { return mean_of(1, i); });
  same = RUN(statistics_fold_ranks, grid, result, all.items, result.items, other.items, ranks, c, span);
  failed |= compare("mean", result, SINGLE, same, [&](size_t i) { return mean_of(0, i); });
  same = RUN(statistics_fold_ranks, grid, result, all.items, other.items, result.items, ranks, c, span);
  return failed | compare("variance", result, SINGLE, same, [&](size_t i) {
           double apart = 0;
           for (int rank = 0; rank < ranks; rank++) apart += std::pow(at(rank, 0, i) - mean_of(0, i), 2);
           return mean_of(1, i) + apart / ranks;
         });
}

int main() {
  int failed = average_test(1, 5) | average_test(3, 700) | channels_test(1, 5, 16) | channels_test(3, 300, 304) |
               rows_test(1, 5, 5, 5) | rows_test(3, 300, 320, 1000);
  for (SeerFormat format : {SEER_FP16, SEER_BF16})
    failed |= narrow_test(2, 16, 20, format) | narrow_floats_test(777, format) |
              narrow_test(3, 2 * BLOCK_NUMBERS + 400, 4 * BLOCK_NUMBERS + 100, format);
  return failed;
}
