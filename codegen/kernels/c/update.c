// State and optimizer: running statistics, gradient accumulation, SGD, LARC, the queue, unit rows.
// Results may be written in place of the operand they update. Tasks: pointwise_tasks(count, t) unless said otherwise.
#include "kernels.h"
#include "lanes.h"
#include "runtime/narrow.h"
#include "sizes.h"
#include "task_range.h"
#include "tuned.h"

void running_update(int64_t count, double momentum, double factor, const float *running, const float *batch, float *y,
                    int task) {
  const TaskRange r = task_range(count, task);
  const float keep = (float)(1.0 - momentum), take = (float)(momentum * factor);
  for (int64_t i = r.first; i < r.last; i++) y[i] = keep * running[i] + take * batch[i];
}

void accumulate(int64_t count, double factor, const float *accumulator, const float *gradient, const float *restart,
                float *y, int task) {
  const TaskRange r = task_range(count, task);
  const float by = (float)factor;
  if (restart && *restart != 0.0f) {
    for (int64_t i = r.first; i < r.last; i++) y[i] = by * gradient[i];
  } else {
    for (int64_t i = r.first; i < r.last; i++) y[i] = accumulator[i] + by * gradient[i];
  }
}

// One task's floats of a step of SGD with g = (gradient + decay*parameter)*ratio. Written in vectors, because results
// may lie on operands and a compiler would not dare to.
KERNEL void sgd_step(TaskRange r, float momentum, float decay, float ratio, int nesterov, float rate,
                     const float *parameter, const float *gradient, const float *velocity, float *next_parameter,
                     float *next_velocity) {
  for (int64_t i = r.first; i < r.last; i += LANES) {
    const int count = r.last - i < LANES ? r.rest : LANES;
    Lanes p, g, v;
    if (count == LANES) {
      p = lanes_load(parameter + i), g = lanes_load(gradient + i), v = lanes_load(velocity + i);
    } else {
      p = lanes_load_part(parameter + i, count), g = lanes_load_part(gradient + i, count);
      v = lanes_load_part(velocity + i, count);
    }
    g = (g + p * decay) * ratio;
    // Of two products that could fuse with a sum, a compiler takes one here and the other there.
    LANES_PIN(g);
    v = v * momentum + g;
    p -= (nesterov ? g + v * momentum : v + 0.0f) * rate;
    if (count == LANES) {
      lanes_store(next_parameter + i, p), lanes_store(next_velocity + i, v);
    } else {
      lanes_store_part(next_parameter + i, p, count), lanes_store_part(next_velocity + i, v, count);
    }
  }
}

KERNEL void sgd_keep(int64_t first, int64_t last, const float *parameter, const float *velocity, float *next_parameter,
                     float *next_velocity) {
  const size_t bytes = (size_t)(last - first) * sizeof(float);
  if (next_parameter != parameter) memcpy(next_parameter + first, parameter + first, bytes);
  if (next_velocity != velocity) memcpy(next_velocity + first, velocity + first, bytes);
}

void sgd_update(int64_t count, double momentum, double weight_decay, int nesterov, const float *parameter,
                const float *gradient, const float *velocity, const float *learning_rate, const float *active,
                float *next_parameter, float *next_velocity, int task) {
  const TaskRange r = task_range(count, task);
  if (active && *active == 0.0f) {
    sgd_keep(r.first, r.last, parameter, velocity, next_parameter, next_velocity);
  } else {
    sgd_step(r, (float)momentum, (float)weight_decay, 1.0f, nesterov, *learning_rate, parameter, gradient, velocity,
             next_parameter, next_velocity);
  }
}

void average_parts(int parts, int64_t part, const float *all, float *average, int task) {
  const TaskRange r = task_range(part, task);
  for (int64_t i = r.first; i < r.last; i++) {
    double sum = 0;
    for (int p = 0; p < parts; p++) sum += (double)all[p * part + i];
    average[i] = (float)(sum / parts);
  }
}

void narrow_parts(int64_t count, int64_t part, int format, float *all, int task) {
  const float *wide = all + task * part;
  uint16_t *narrow = (uint16_t *)(void *)(all + task * part);
  const int64_t own = size_max(0, size_min(part, count - task * part));
  // Forward: what is written lies behind what is still to be read.
  for (int64_t i = 0; i < own; i++) narrow[i] = seer_narrow((SeerFormat)format, wide[i]);
  for (int64_t i = own; i < part; i++) narrow[i] = 0;
}

void average_narrow_parts(int parts, int64_t part, int format, int in_place, const float *all, float *average,
                          int task) {
  const TaskRange r = in_place ? (TaskRange){.first = 0, .last = part} : task_range(part, task);
  // Backward: in place what is written lies behind what is still to be read.
  for (int64_t i = r.last - 1; i >= r.first; i--) {
    double sum = 0;
    for (int p = 0; p < parts; p++) {
      uint16_t number;
      memcpy(&number, (const char *)(all + p * part) + 2 * i, sizeof number);
      sum += (double)seer_widen((SeerFormat)format, number);
    }
    average[i] = (float)(sum / parts);
  }
}

void larc_norms(int64_t count, int64_t part, const float *parameter, const float *gradient, float *workspace,
                int task) {
  const int64_t tasks = pointwise_tasks(part, &tuned), begin = task / tasks * part;
  const TaskRange r = task_range(part, (int)(task % tasks));
  const int64_t first = begin + r.first, last = size_min(begin + r.last, count);
  double p[4] = {0}, g[4] = {0};
  int64_t i = first;
  for (; i + 4 <= last; i += 4)
    for (int j = 0; j < 4; j++) {
      p[j] += (double)parameter[i + j] * (double)parameter[i + j];
      g[j] += (double)gradient[i + j] * (double)gradient[i + j];
    }
  for (int j = 0; i < last; i++, j++) {
    p[j] += (double)parameter[i] * (double)parameter[i];
    g[j] += (double)gradient[i] * (double)gradient[i];
  }
  double *sums = (double *)(void *)workspace + 2 * (int64_t)task;
  sums[0] = (p[0] + p[1]) + (p[2] + p[3]);
  sums[1] = (g[0] + g[1]) + (g[2] + g[3]);
}

void larc_fold(int64_t part, const float *workspace, float *norms, int task) {
  const int64_t tasks = pointwise_tasks(part, &tuned);
  const double *sums = (const double *)(const void *)workspace + 2 * tasks * task;
  double p = 0, g = 0;
  for (int64_t i = 0; i < tasks; i++) p += sums[2 * i], g += sums[2 * i + 1];
  double *folded = (double *)(void *)norms + 2 * (int64_t)task;
  folded[0] = p, folded[1] = g;
}

void larc_update(int64_t count, int64_t parts, int64_t stride, double momentum, double weight_decay, double trust,
                 double epsilon, int clip, int nesterov, const float *parameter, const float *gradient,
                 const float *velocity, const float *learning_rate, const float *active, const float *norms,
                 float *next_parameter, float *next_velocity, int task) {
  const TaskRange r = task_range(count, task);
  if (active && *active == 0.0f) {
    sgd_keep(r.first, r.last, parameter, velocity, next_parameter, next_velocity);
    return;
  }
  const double *sums = (const double *)(const void *)norms;
  double p = 0, g = 0, ratio = 1, decay = 0;
  for (int64_t i = 0; i < parts; i++) p += sums[stride * i], g += sums[stride * i + 1];
  p = sqrt(p), g = sqrt(g);
  if (p != 0 && g != 0) {
    decay = weight_decay;
    ratio = trust * p / (g + weight_decay * p + epsilon);
    if (clip) {
      ratio /= (double)*learning_rate;
      if (!(ratio < 1)) ratio = 1;
    }
  }
  sgd_step(r, (float)momentum, (float)decay, (float)ratio, nesterov, *learning_rate, parameter, gradient, velocity,
           next_parameter, next_velocity);
}

void queue_push(int q, int b, int d, const float *restrict queue, const float *restrict rows, float *restrict y,
                int task) {
  const int parts = (int)row_tasks(q, d, &tuned), first = (int)((int64_t)q * task / parts);
  const int last = (int)((int64_t)q * (task + 1) / parts);
  for (int row = first; row < last; row++) {
    const float *source = row < b ? rows + (int64_t)row * d : queue + (int64_t)(row - b) * d;
    memcpy(y + (int64_t)row * d, source, (size_t)d * sizeof(float));
  }
}

KERNEL double row_square_sum(int d, const float *x) {
  double sum = 0;
  for (int i = 0; i < d; i++) sum += (double)x[i] * (double)x[i];
  return sum;
}

void normalize_rows(int k, int d, const float *w, float *y, int task) {
  const int parts = (int)row_tasks(k, d, &tuned), first = (int)((int64_t)k * task / parts);
  const int last = (int)((int64_t)k * (task + 1) / parts);
  for (int row = first; row < last; row++) {
    const float *source = w + (int64_t)row * d;
    float *target = y + (int64_t)row * d;
    const double norm = sqrt(row_square_sum(d, source));
    const float inverse = (float)(1.0 / (norm > 1e-12 ? norm : 1e-12));
    for (int i = 0; i < d; i++) target[i] = source[i] * inverse;
  }
}
