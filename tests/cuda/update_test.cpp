// Kernels of update.cu against double precision: every choice, NULL and values, apart from their operands and on them,
// counts that fill no block and no part. Exit status 0 when all of it holds.
#include "codegen/kernels/cuda/update.cu"

#include <limits>

#include "tests/cuda/kernel_test.h"

static double at(const Buffer<float> &buffer, size_t i) { return (double)buffer.items[i]; }

static int state_test(size_t count) {
  const simulated::Index grid = grid_of(count, THREADS);
  Buffer<float> a(count), b(count), y(count), restart(1);
  fill_floats(a, 0, 1);
  fill_floats(b, 0, 1);
  bool same = RUN(running_update, grid, y, a.items, b.items, y.items, count, 0.1f, 1.02f);
  same = same && IN_PLACE(running_update, grid, a, y, a.items, b.items, a.items, count, 0.1f, 1.02f);
  int failed =
      compare("running statistics", y, SINGLE, same, [&](size_t i) { return 0.9 * at(a, i) + 0.102 * at(b, i); });
  for (int choice = 0; choice < 3; choice++) {  // NULL, 0, 1
    restart.items[0] = choice == 2 ? 1 : 0;
    const float *const anew = choice ? restart.items : nullptr;
    same = RUN(accumulate, grid, y, a.items, b.items, anew, y.items, count, 0.25f);
    same = same && IN_PLACE(accumulate, grid, a, y, a.items, b.items, anew, a.items, count, 0.25f);
    failed |= compare("accumulated gradient", y, SINGLE, same,
                      [&](size_t i) { return (choice == 2 ? 0 : at(a, i)) + 0.25 * at(b, i); });
  }
  return failed;
}

static int finite_test(size_t count) {
  const simulated::Index grid = grid_of(count, THREADS);
  Buffer<float> x(count);
  Buffer<int> found(1);
  fill_floats(x, 0, 1);
  const float most = std::numeric_limits<float>::max();
  x.items[0] = most;
  bool same = RUN(not_finite, grid, found, x.items, found.items, count, most);
  int failed = verdict("all finite", 0, 0, true, same && found.items[0] == -1);  // as run left it
  for (float wrong : {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
                      std::numeric_limits<float>::quiet_NaN()}) {
    x.items[count - 1] = wrong;
    same = RUN(not_finite, grid, found, x.items, found.items, count, most);
    failed |= verdict("one not finite", 0, 0, true, same && found.items[0] == 1);
  }
  for (float far : {65536.0f, -65536.0f, 65504.0f}) {
    x.items[0] = x.items[count - 1] = far;
    same = RUN(not_finite, grid, found, x.items, found.items, count, 65504.0f);
    failed |= verdict("one beyond the largest", 0, 0, true, same && found.items[0] == (far == 65504.0f ? -1 : 1));
  }
  return failed;
}

// What a test of a step chooses; active: -1 for NULL.
struct Choice {
  int active;
  bool unscale, nesterov, clip;
  float rate;
};
const float MOMENTUM = 0.9f, DECAY = 0.01f, TRUST = 0.02f, EPSILON = 1e-8f;

struct Case {
  Buffer<float> parameter, gradient, velocity, rate, active, unscale, next_parameter, next_velocity;
  explicit Case(size_t n)
      : parameter(n), gradient(n), velocity(n), rate(1), active(1), unscale(1), next_parameter(n), next_velocity(n) {
    fill_floats(parameter, 0, 1);
    fill_floats(gradient, 0, 1);
    fill_floats(velocity, 0, 1);
  }
  void choose(const Choice &choice) {
    rate.items[0] = choice.rate;
    active.items[0] = (float)choice.active;
    unscale.items[0] = 0.125f;
  }
};

static int step_check(const char *what, const Case &s, const Choice &choice, double decay, double ratio,
                      bool same_parameter, bool same_velocity) {
  const double momentum = (double)MOMENTUM;
  const auto velocity = [&](size_t i) {
    const double g = at(s.gradient, i) * (choice.unscale ? 0.125 : 1) + decay * at(s.parameter, i);
    return momentum * at(s.velocity, i) + g * ratio;
  };
  const bool keep = choice.active == 0;
  int failed = compare(what, s.next_velocity, keep ? 0 : SINGLE, same_velocity,
                       [&](size_t i) { return keep ? at(s.velocity, i) : velocity(i); });
  return failed | compare(what, s.next_parameter, keep ? 0 : SINGLE, same_parameter, [&](size_t i) {
           const double v = velocity(i), g = v - momentum * at(s.velocity, i);
           const double move = choice.nesterov ? g + momentum * v : v;
           return at(s.parameter, i) - (keep ? 0 : (double)choice.rate * move);
         });
}

static int sgd_test(size_t count, const Choice &choice) {
  const simulated::Index grid = grid_of(count, THREADS);
  Case s(count);
  s.choose(choice);
  const float *const active = choice.active < 0 ? nullptr : s.active.items;
  const float *const unscale = choice.unscale ? s.unscale.items : nullptr;
  const auto step = [&](Buffer<float> &result, float *next_parameter, float *next_velocity) {
    return RUN(sgd_update, grid, result, s.parameter.items, s.gradient.items, s.velocity.items, s.rate.items, active,
               unscale, next_parameter, next_velocity, count, choice.nesterov, MOMENTUM, DECAY);
  };
  const bool same_velocity = step(s.next_velocity, s.next_parameter.items, s.next_velocity.items);
  bool same = step(s.next_parameter, s.next_parameter.items, s.next_velocity.items);
  same = same && IN_PLACE(sgd_update, grid, s.parameter, s.next_parameter, s.parameter.items, s.gradient.items,
                          s.velocity.items, s.rate.items, active, unscale, s.parameter.items, s.next_velocity.items,
                          count, choice.nesterov, MOMENTUM, DECAY);
  same = same && IN_PLACE(sgd_update, grid, s.velocity, s.next_velocity, s.parameter.items, s.gradient.items,
                          s.velocity.items, s.rate.items, active, unscale, s.next_parameter.items, s.velocity.items,
                          count, choice.nesterov, MOMENTUM, DECAY);
  return step_check("sgd", s, choice, (double)DECAY, 1, same, same_velocity);
}

static int larc_test(size_t count, const Choice &choice, float spread, bool folded) {
  const int parts = (int)DIVIDE_UP(count, LARC_ELEMENTS);
  Case s(count);
  s.choose(choice);
  for (size_t i = 0; i < count; i++) s.gradient.items[i] *= spread;
  const float *const active = choice.active < 0 ? nullptr : s.active.items;
  const float *const unscale = choice.unscale ? s.unscale.items : nullptr;
  Buffer<double> sums((size_t)parts * 2), whole(2);
  bool same = RUN(larc_norms, grid_of(count, LARC_ELEMENTS), sums, s.parameter.items, s.gradient.items, unscale,
                  sums.items, count, count);
  double p = 0, g = 0;
  int failed = compare("sums of squares", sums, 1e-12, same, [&](size_t i) {
    double sum = 0;
    for (size_t k = i / 2 * LARC_ELEMENTS; k < count && k < (i / 2 + 1) * LARC_ELEMENTS; k++)
      sum += std::pow(i % 2 ? at(s.gradient, k) * (choice.unscale ? 0.125 : 1) : at(s.parameter, k), 2);
    (i % 2 ? g : p) += sum;
    return sum;
  });
  failed |= compare("sum of parts", whole, 1e-12, RUN(larc_fold, grid_of(1, 1), whole, sums.items, whole.items, parts),
                    [&](size_t i) { return i ? g : p; });
  p = std::sqrt(p), g = std::sqrt(g);
  const auto step = [&](Buffer<float> &result) {
    return RUN(larc_update, grid_of(count, LARC_UPDATE_ELEMENTS), result, s.parameter.items, s.gradient.items,
               s.velocity.items, s.rate.items, active, unscale, folded ? whole.items : sums.items,
               s.next_parameter.items, s.next_velocity.items, count, folded ? 1 : parts, 2, choice.clip,
               choice.nesterov, MOMENTUM, DECAY, TRUST, EPSILON);
  };
  const bool same_velocity = step(s.next_velocity), same_parameter = step(s.next_parameter);
  double ratio = (double)TRUST * p / (g + (double)DECAY * p + (double)EPSILON);
  if (choice.clip) ratio = std::fmin(ratio / (double)choice.rate, 1);
  return failed | step_check("larc", s, choice, spread > 0 ? (double)DECAY : 0, spread > 0 ? ratio : 1, same_parameter,
                             same_velocity);
}

// Parts that are more than the threads of a block.
static int fold_test(int parts) {
  Buffer<double> sums((size_t)parts * 2), whole(2);
  double wanted[2] = {0, 0};
  for (size_t i = 0; i < sums.count; i++) wanted[i % 2] += sums.items[i] = 1 + (double)draw();
  const bool same = RUN(larc_fold, grid_of(1, 1), whole, sums.items, whole.items, parts);
  return compare("sum of many parts", whole, 1e-12, same, [&](size_t i) { return wanted[i]; });
}

// Of shares of which the last has less: the same sums whether one has them all or each has its own; and the update from
// pairs that are further apart.
static int shares_test(size_t count, size_t share) {
  const size_t shares = DIVIDE_UP(count, share), parts = DIVIDE_UP(share, LARC_ELEMENTS), stride = 6;
  Case s(count);
  s.choose({-1, false, false, false, 0.1f});
  Buffer<double> sums(shares * parts * 2), whole(shares * 2), own(parts * 2), one(2), apart(shares * stride);
  bool same = RUN(larc_norms, grid_of(shares * parts, 1), sums, s.parameter.items, s.gradient.items, nullptr,
                  sums.items, count, share);
  same = same && RUN(larc_fold, grid_of(shares, 1), whole, sums.items, whole.items, (int)parts);
  int failed = compare("sums of shares", whole, 1e-12, same, [&](size_t i) {
    double sum = 0;
    for (size_t k = i / 2 * share; k < count && k < (i / 2 + 1) * share; k++)
      sum += std::pow(at(i % 2 ? s.gradient : s.parameter, k), 2);
    return sum;
  });
  for (size_t i = 0; i < shares; i++) {
    const size_t rest = count - i * share, length = rest < share ? rest : share;
    same = RUN(larc_norms, grid_of(parts, 1), own, s.parameter.items + i * share, s.gradient.items + i * share, nullptr,
               own.items, length, share);
    same = same && RUN(larc_fold, grid_of(1, 1), one, own.items, one.items, (int)parts);
    failed |= verdict("a share alone", 0, 0, true, same && std::memcmp(one.items, whole.items + 2 * i, 16) == 0);
    apart.items[stride * i] = one.items[0], apart.items[stride * i + 1] = one.items[1];
  }
  const auto step = [&](const Buffer<double> &norms, size_t stride) {
    return RUN(larc_update, grid_of(count, LARC_UPDATE_ELEMENTS), s.next_parameter, s.parameter.items, s.gradient.items,
               s.velocity.items, s.rate.items, nullptr, nullptr, norms.items, s.next_parameter.items,
               s.next_velocity.items, count, (int)shares, (int)stride, 1, 0, MOMENTUM, DECAY, TRUST, EPSILON);
  };
  same = step(whole, 2);
  Buffer<float> wanted(count);
  std::memcpy((void *)wanted.items, s.next_parameter.items, wanted.bytes());
  same = step(apart, stride) && same;
  same = same && std::memcmp(wanted.items, s.next_parameter.items, wanted.bytes()) == 0;
  return failed | verdict("larc of shares", 0, 0, true, same);
}

int main() {
  int failed = state_test(1) | state_test(700) | finite_test(300) | fold_test(1000);
  for (const Choice &choice : {Choice{-1, false, false, false, 0.1f}, Choice{1, true, true, true, 0.3f},
                               Choice{0, true, false, true, 0.3f}, Choice{-1, false, true, true, 1e-4f}})
    failed |= sgd_test(1, choice) | sgd_test(515, choice) | larc_test(4097, choice, 1, false);
  failed |= larc_test(1, {-1, false, false, true, 0.1f}, 1, true);
  failed |= shares_test(1000, 400) | shares_test(2 * LARC_ELEMENTS + 75, LARC_ELEMENTS + 50);
  failed |= larc_test(5, {-1, true, false, true, 0.1f}, 0, false);
  // Gradients so small that the ratio is more than 1.
  failed |= larc_test(300, {-1, false, false, false, 0.1f}, 1e-3f, false);
  failed |= larc_test(300, {-1, false, false, true, 0.1f}, 1e-3f, false);
  failed |= larc_test(LARC_ELEMENTS + 901, {1, true, false, false, 0.1f}, 1, false);
  return failed | larc_test(LARC_ELEMENTS + 901, {1, true, false, true, 0.1f}, 1, true);
}
