// A real, tiny program for tests of the runtime: pooled pixels, a linear embedding, prototypes, swapped prediction with
// one Sinkhorn round (or cross-entropy), hand-written gradients, SGD with momentum. It is what an emitted program.c
// looks like to the runtime. TINY_* macros make variants: another width, accumulation, a diverging rate, supervised,
// snapshots without staging, several ranks that share out the embedding and the velocities.
#include <math.h>
#include <string.h>

#include "runtime/comm/comm.h"
#include "runtime/program.h"

#ifndef TINY_WIDTH
#define TINY_WIDTH 16
#endif
#ifndef TINY_ACCUMULATE
#define TINY_ACCUMULATE 1
#endif
#ifndef TINY_PEAK
#define TINY_PEAK 0.05
#endif
#ifndef TINY_CLASSES
#define TINY_CLASSES 0
#endif
#ifndef TINY_CPU
#define TINY_CPU "x86-64"
#endif
// What `bench --poison` must find: a 1 reads what nothing wrote, a 2 writes behind the arena.
#ifndef TINY_FAULT
#define TINY_FAULT 0
#endif
#ifndef TINY_RANKS
#define TINY_RANKS 1
#endif
#ifndef TINY_BATCH
#define TINY_BATCH 8
#endif
#ifndef TINY_STAGING
#define TINY_STAGING 1
#endif
#ifndef TINY_SANDBOX
#define TINY_SANDBOX false
#endif
#ifndef TINY_NAME
#define TINY_NAME "tiny"
#endif

enum {
  RANKS = TINY_RANKS,
  BATCH = TINY_BATCH,
  MICRO = BATCH / TINY_ACCUMULATE / RANKS,
  CROPS = 2,
  VIEWS = CROPS * MICRO,
  SIDE = 16,
  CELL = 2,
  CELLS = SIDE / CELL,
  INPUT = CELLS * CELLS * 3,
  WIDTH = TINY_WIDTH,
  PROTOTYPES = TINY_CLASSES ? TINY_CLASSES : 8,
  EVALUATE = 4,
  EMBED = WIDTH * INPUT,
  CENTRES = PROTOTYPES * WIDTH,
  EMBED_PART = (EMBED + RANKS - 1) / RANKS,                    // one chunk a rank
  CENTRES_PART = (PROTOTYPES + RANKS - 1) / RANKS * WIDTH,     // of velocities: every RANKS-th row
  SHARED_OUT = RANKS > 1 ? 2 * EMBED_PART + CENTRES_PART : 0,  // floats of the state that others do not have
  KEPT = RANKS > 1 ? CENTRES + INPUT : 2 * EMBED + 2 * CENTRES + INPUT,
};

// Offsets in floats, each a multiple of 16 (64 bytes) for the sizes used.
#define ROUND(n) (((n) + 15) / 16 * 16)
enum {
  S_EMBED = 0,
  S_CENTRES = S_EMBED + ROUND(EMBED_PART),
  S_EMBED_V = S_CENTRES + ROUND(CENTRES),
  S_CENTRES_V = S_EMBED_V + ROUND(EMBED_PART),
  S_MEAN = S_CENTRES_V + ROUND(CENTRES_PART),
  S_EMBED_A = S_MEAN + ROUND(INPUT),
  S_CENTRES_A = S_EMBED_A + ROUND(EMBED),
  S_END = S_CENTRES_A + ROUND(CENTRES),
  A_INPUT = 0,
  A_EMBEDDED = A_INPUT + ROUND(VIEWS * INPUT),
  A_SCORES = A_EMBEDDED + ROUND(VIEWS * WIDTH),
  A_CODES = A_SCORES + ROUND(VIEWS * PROTOTYPES),
  A_D_SCORES = A_CODES + ROUND(VIEWS * PROTOTYPES),
  A_D_EMBEDDED = A_D_SCORES + ROUND(VIEWS * PROTOTYPES),
  A_D_EMBED = A_D_EMBEDDED + ROUND(VIEWS * WIDTH),
  A_D_CENTRES = A_D_EMBED + ROUND(EMBED),
  A_LOSS = A_D_CENTRES + ROUND(CENTRES),
  A_USAGE = A_LOSS + 16,
  A_MEAN = A_USAGE + ROUND(PROTOTYPES),
  A_WHOLE = A_MEAN + (RANKS > 1 ? ROUND(INPUT) : 0),  // the embedding, gathered
  A_SCRATCH = A_WHOLE + (RANKS > 1 ? ROUND(EMBED_PART * RANKS) : 0),
  A_AVERAGE = A_SCRATCH + (RANKS > 1 ? ROUND(EMBED) + 16 * RANKS * RANKS : 0),
  A_END = A_AVERAGE + (RANKS > 1 ? ROUND(EMBED) : 0),
};

static const double temperature = 0.5, epsilon = 0.25, momentum = 0.9;

typedef struct Step {
  SeerContext *context;
  float *state, *arena;
  int views;
} Step;

static Step step_of(SeerContext *context, int views) {
  return (Step){context, (float *)(void *)context->state, (float *)(void *)context->arena, views};
}

static void pool_view(const void *arguments, int task, int worker) {
  (void)worker;
  const Step *step = arguments;
  const uint8_t *image = step->context->images[0] + (size_t)task * SIDE * SIDE * 3;
  float *out = step->arena + A_INPUT + task * INPUT;
  for (int cell = 0; cell < CELLS * CELLS; cell++) {
    for (int channel = 0; channel < 3; channel++) {
      int sum = 0;
      for (int i = 0; i < CELL * CELL; i++) {
        int y = cell / CELLS * CELL + i / CELL, x = cell % CELLS * CELL + i % CELL;
        sum += image[(y * SIDE + x) * 3 + channel];
      }
      out[cell * 3 + channel] = (float)sum / (255.0f * CELL * CELL) - 0.5f;
    }
  }
}

static const float *embedding(const Step *step) { return RANKS > 1 ? step->arena + A_WHOLE : step->state + S_EMBED; }

static void embed_view(const void *arguments, int task, int worker) {
  (void)worker;
  const Step *step = arguments;
  const float *input = step->arena + A_INPUT + task * INPUT;
  float *embedded = step->arena + A_EMBEDDED + task * WIDTH;
  for (int o = 0; o < WIDTH; o++) {
    float sum = 0;
    for (int i = 0; i < INPUT; i++) sum += embedding(step)[o * INPUT + i] * input[i];
    embedded[o] = sum;
  }
}

static void score_view(const void *arguments, int task, int worker) {
  (void)worker;
  const Step *step = arguments;
  const float *embedded = step->arena + A_EMBEDDED + task * WIDTH;
  for (int k = 0; k < PROTOTYPES; k++) {
    float sum = 0;
    for (int i = 0; i < WIDTH; i++) sum += step->state[S_CENTRES + k * WIDTH + i] * embedded[i];
    step->arena[A_SCORES + task * PROTOTYPES + k] = sum;
  }
}

static void softmax(const float *scores, double t, double *out) {
  double most = (double)scores[0], sum = 0;
  for (int k = 1; k < PROTOTYPES; k++) most = fmax(most, (double)scores[k]);
  for (int k = 0; k < PROTOTYPES; k++) sum += out[k] = exp(((double)scores[k] - most) / t);
  for (int k = 0; k < PROTOTYPES; k++) out[k] /= sum;
}

// Codes of one crop's pictures: softmax, then columns and rows scaled once.
static void codes_crop(const void *arguments, int task, int worker) {
  (void)worker;
  const Step *step = arguments;
  double code[MICRO][PROTOTYPES], column[PROTOTYPES] = {0};
  for (int b = 0; b < MICRO; b++) {
    softmax(step->arena + A_SCORES + (task * MICRO + b) * PROTOTYPES, epsilon, code[b]);
    for (int k = 0; k < PROTOTYPES; k++) column[k] += code[b][k];
  }
  for (int b = 0; b < MICRO; b++) {
    double row = 0;
    for (int k = 0; k < PROTOTYPES; k++) row += code[b][k] /= column[k] > 0 ? column[k] : 1;
    for (int k = 0; k < PROTOTYPES; k++) {
      double value = code[b][k] / row;
      if (TINY_CLASSES) value = step->context->labels[b] == k ? 1 : 0;
      step->arena[A_CODES + (task * MICRO + b) * PROTOTYPES + k] = (float)value;
    }
  }
}

static void loss_all(const void *arguments, int task, int worker) {
  (void)task;
  (void)worker;
  const Step *step = arguments;
  double loss = 0, usage[PROTOTYPES] = {0};
  for (int view = 0; view < VIEWS; view++) {
    double predicted[PROTOTYPES];
    const float *code = step->arena + A_CODES + (view + MICRO) % VIEWS * PROTOTYPES;  // the other crop's
    softmax(step->arena + A_SCORES + view * PROTOTYPES, temperature, predicted);
    for (int k = 0; k < PROTOTYPES; k++) {
      loss -= (double)code[k] * log(predicted[k] + 1e-30) / VIEWS;
      usage[k] += (double)code[k];
      step->arena[A_D_SCORES + view * PROTOTYPES + k] =
          (float)((predicted[k] - (double)code[k]) / (temperature * VIEWS));
    }
  }
  step->arena[A_LOSS] = (float)loss;
  for (int k = 0; k < PROTOTYPES; k++) step->arena[A_USAGE + k] = (float)usage[k];
}

static void d_embedded_view(const void *arguments, int task, int worker) {
  (void)worker;
  const Step *step = arguments;
  for (int i = 0; i < WIDTH; i++) {
    float sum = 0;
    for (int k = 0; k < PROTOTYPES; k++) {
      sum += step->arena[A_D_SCORES + task * PROTOTYPES + k] * step->state[S_CENTRES + k * WIDTH + i];
    }
    step->arena[A_D_EMBEDDED + task * WIDTH + i] = sum;
  }
}

static void gradient_rows(const Step *step, int row, int left, int left_width, int right, int right_width, int out,
                          int accumulator) {
  for (int i = 0; i < right_width; i++) {
    float sum = 0;
    for (int v = 0; v < VIEWS; v++)
      sum += step->arena[left + v * left_width + row] * step->arena[right + v * right_width + i];
    step->arena[out + row * right_width + i] = sum;
    if (TINY_ACCUMULATE > 1) {
      float *kept = &step->state[accumulator + row * right_width + i];
      *kept = (step->context->scalars.accumulate_restart > 0 ? 0 : *kept) + sum / TINY_ACCUMULATE;
    }
  }
}

static void d_embed_row(const void *arguments, int task, int worker) {
  (void)worker;
  gradient_rows(arguments, task, A_D_EMBEDDED, WIDTH, A_INPUT, INPUT, A_D_EMBED, S_EMBED_A);
}

static void d_centres_row(const void *arguments, int task, int worker) {
  (void)worker;
  gradient_rows(arguments, task, A_D_SCORES, PROTOTYPES, A_EMBEDDED, WIDTH, A_D_CENTRES, S_CENTRES_A);
}

static void sgd(const Step *step, int parameter, int velocity, int gradient, int accumulator, int count) {
  const float *g = TINY_ACCUMULATE > 1 ? step->state + accumulator : step->arena + gradient;
  for (int i = 0; i < count; i++) {
    float *v = &step->state[velocity + i];
    *v = (float)momentum * *v + g[i];
    step->state[parameter + i] -= step->context->scalars.learning_rate * *v;
  }
}

static float input_mean(const Step *step, int i) {
  float mean = 0;
  for (int v = 0; v < VIEWS; v++) mean += step->arena[A_INPUT + v * INPUT + i] / VIEWS;
  return mean;
}

static void update_all(const void *arguments, int task, int worker) {
  (void)worker;
  const Step *step = arguments;
  if (task == 0) sgd(step, S_EMBED, S_EMBED_V, A_D_EMBED, S_EMBED_A, EMBED);
  if (task == 1 && step->context->scalars.prototypes_active > 0) {
    sgd(step, S_CENTRES, S_CENTRES_V, A_D_CENTRES, S_CENTRES_A, CENTRES);
  }
  if (task == 2) {
    for (int i = 0; i < INPUT; i++) step->state[S_MEAN + i] += 0.1f * (input_mean(step, i) - step->state[S_MEAN + i]);
  }
}

// ---- several ranks ----

static void ranks_average(const Step *step, int at, int count) {
  seer_average_ranks(step->context, count, SEER_FP32, step->arena + at, step->arena + A_SCRATCH,
                     step->arena + A_AVERAGE);
  memcpy(step->arena + at, step->arena + A_AVERAGE, (size_t)count * sizeof(float));
}

static void ranks_prepare(const Step *step) {
  seer_gather_ranks(step->context, EMBED_PART, step->state + S_EMBED, step->arena + A_WHOLE);
}

static void ranks_settle(const Step *step) {
  for (int i = 0; i < INPUT; i++) step->arena[A_MEAN + i] = input_mean(step, i);
  ranks_average(step, A_D_EMBED, EMBED);
  ranks_average(step, A_D_CENTRES, CENTRES);
  ranks_average(step, A_MEAN, INPUT);
}

static float momentum_apply(const Step *step, float *velocity, float gradient) {
  *velocity = (float)momentum * *velocity + gradient;
  return step->context->scalars.learning_rate * *velocity;
}

// Each rank keeps the velocities of its rows; all take the same step.
static void ranks_update(const Step *step) {
  int rank = seer_comm_rank(step->context->comm), begin = rank * EMBED_PART;
  for (int i = 0; i < EMBED_PART && begin + i < EMBED; i++)
    step->state[S_EMBED + i] -= momentum_apply(step, &step->state[S_EMBED_V + i], step->arena[A_D_EMBED + begin + i]);
  for (int i = 0; i < INPUT; i++) step->state[S_MEAN + i] += 0.1f * (step->arena[A_MEAN + i] - step->state[S_MEAN + i]);
  if (step->context->scalars.prototypes_active <= 0) return;
  for (int k = rank; k < PROTOTYPES; k += RANKS) {
    float *velocity = &step->state[S_CENTRES_V + k / RANKS * WIDTH];
    for (int i = 0; i < WIDTH; i++) momentum_apply(step, &velocity[i], step->arena[A_D_CENTRES + k * WIDTH + i]);
  }
  float *all = step->arena + A_AVERAGE;
  seer_gather_ranks(step->context, CENTRES_PART, step->state + S_CENTRES_V, all);
  for (int i = 0; i < CENTRES; i++) {
    int k = i / WIDTH;
    float velocity = all[k % RANKS * CENTRES_PART + k / RANKS * WIDTH + i % WIDTH];
    step->state[S_CENTRES + i] -= step->context->scalars.learning_rate * velocity;
  }
}

// Bytes are told as those of the result alone.
#define LAUNCH(number, block_, op_, kind_, kernel_, pass_, line, space, offset_, count_, flops_)                 \
  {                                                                                                              \
    .op = op_, .kernel = kernel_, .pass = pass_, .location = "tiny.seer:" line, .in_state = (space) == IN_STATE, \
    .offset = (offset_)*4, .count = count_, .block = block_, .kind = kind_, .run = number, .size_group = -1,     \
    .flops = flops_, .bytes = 4 * (count_)                                                                       \
  }
enum { IN_ARENA, IN_STATE };
static const SeerLaunch launches[] = {
    LAUNCH(0, "images", "input", "pool", "pool", "forward", "1", IN_ARENA, A_INPUT, EVALUATE *INPUT, 0),
    LAUNCH(1, "head", "embed", "linear", "matmul", "forward", "2", IN_ARENA, A_EMBEDDED, EVALUATE *WIDTH,
           2ull * VIEWS * INPUT * WIDTH),
    LAUNCH(2, "head", "prototypes", "linear", "matmul", "forward", "3", IN_ARENA, A_SCORES, VIEWS *PROTOTYPES,
           2ull * VIEWS * PROTOTYPES * WIDTH),
    LAUNCH(3, "loss", "codes", "sinkhorn", "sinkhorn", "forward", "4", IN_ARENA, A_CODES, VIEWS *PROTOTYPES, 0),
    LAUNCH(4, "loss", "loss", "swapped_prediction", "cross_entropy", "forward", "5", IN_ARENA, A_LOSS, 1, 0),
    LAUNCH(5, "head", "embed", "linear_backward_input", "matmul_input", "backward", "6", IN_ARENA, A_D_EMBEDDED,
           VIEWS *WIDTH, 2ull * VIEWS * PROTOTYPES * WIDTH),
    LAUNCH(6, "head", "embed", "linear_backward_weight", "matmul_weight", "backward", "2", IN_ARENA, A_D_EMBED, EMBED,
           2ull * VIEWS * INPUT * WIDTH),
    LAUNCH(7, "head", "prototypes", "linear_backward_weight", "matmul_weight", "backward", "3", IN_ARENA, A_D_CENTRES,
           CENTRES, 2ull * VIEWS * PROTOTYPES * WIDTH),
    LAUNCH(8, "update", "update", "sgd_update", "sgd", "update", "7", IN_STATE, S_EMBED, EMBED_PART, 0),
};

static void forward(Step *step) {
  seer_launch(step->context, 0, pool_view, step, step->views);
  seer_launch(step->context, 1, embed_view, step, step->views);
}

static void tiny_train(SeerContext *context) {
  Step step = step_of(context, VIEWS);
  if (RANKS > 1) ranks_prepare(&step);
  forward(&step);
  seer_launch(context, 2, score_view, &step, VIEWS);
  seer_launch(context, 3, codes_crop, &step, CROPS);
  seer_launch(context, 4, loss_all, &step, 1);
  seer_launch(context, 5, d_embedded_view, &step, VIEWS);
  seer_launch(context, 6, d_embed_row, &step, WIDTH);
  seer_launch(context, 7, d_centres_row, &step, PROTOTYPES);
  if (RANKS > 1) ranks_settle(&step);
  if (TINY_FAULT == 1 && step.arena[A_END - 1] > 1) step.state[S_MEAN] += 1;
  if (TINY_FAULT == 2) step.arena[A_END] = 1;
}

static void tiny_update(SeerContext *context) {
  Step step = step_of(context, VIEWS);
  if (RANKS > 1)
    ranks_update(&step);
  else
    seer_launch(context, 8, update_all, &step, 3);
}

static void tiny_features(SeerContext *context) {
  Step step = step_of(context, EVALUATE);
  forward(&step);
}

static const SeerTensor tensors[] = {
    {"embed.weight",
     SEER_PARAMETER,
     2,
     {WIDTH, INPUT},
     S_EMBED * 4,
     A_D_EMBED * 4,
     SEER_INIT_NORMAL,
     0.05,
     false,
     RANKS,
     EMBED_PART,
     EMBED_PART,
     0},
    {"prototypes.weight",
     SEER_PARAMETER,
     2,
     {PROTOTYPES, WIDTH},
     S_CENTRES * 4,
     A_D_CENTRES * 4,
     SEER_INIT_UNIFORM,
     1,
     true,
     1,
     0,
     0,
     0},
    {"embed.weight.velocity",
     SEER_VELOCITY,
     2,
     {WIDTH, INPUT},
     S_EMBED_V * 4,
     0,
     SEER_INIT_ZERO,
     0,
     false,
     RANKS,
     EMBED_PART,
     EMBED_PART,
     0},
    {"prototypes.weight.velocity",
     SEER_VELOCITY,
     2,
     {PROTOTYPES, WIDTH},
     S_CENTRES_V * 4,
     0,
     SEER_INIT_ZERO,
     0,
     false,
     RANKS,
     CENTRES_PART,
     WIDTH,
     0},
    {"input.running_mean", SEER_STATISTIC, 1, {INPUT}, S_MEAN * 4, 0, SEER_INIT_ZERO, 0, false, 1, 0, 0, 0},
#if TINY_ACCUMULATE > 1
    {"embed.weight.accumulator",
     SEER_ACCUMULATOR,
     2,
     {WIDTH, INPUT},
     S_EMBED_A * 4,
     0,
     SEER_INIT_ZERO,
     0,
     false,
     1,
     0,
     0,
     0},
    {"prototypes.weight.accumulator",
     SEER_ACCUMULATOR,
     2,
     {PROTOTYPES, WIDTH},
     S_CENTRES_A * 4,
     0,
     SEER_INIT_ZERO,
     0,
     false,
     1,
     0,
     0,
     0},
#endif
};

static const char *const no_pictures[] = {NULL};
static const char *const spec_text[] = {"model { } # <tiny & ", "\"quoted\">\n", NULL};
static const char *const plan_json[] = {
    "{\"model\": {\"name\": \"<tiny>\", \"parameters_total\": 3200, \"parameters_trunk\": 3072},\n",
    " \"memory\": {\"by_kind\": {}}, \"step\": {}}\n", NULL};
static const char *const plan_page[] = {"<!doctype html>\n<script>\n", "const PLAN = /*PLAN*/null;\n", "</script>\n",
                                        NULL};

static const SeerProgram program = {
    .name = TINY_NAME,
    .seer_version = "0.1.0",
    .cpu = TINY_CPU,
    .tuning = "default",
    .spec_text = spec_text,
    .plan_json = plan_json,
    .plan_page = plan_page,
    .model_hash = 0x7469 + TINY_WIDTH,
    .task = TINY_CLASSES ? SEER_SUPERVISED : SEER_SWAV,
    .views = {.size_group_count = 1,
              .size_groups = {{CROPS, SIDE, 0.5, 1.0}},
              .flip = 0.5,
              .jitter = 0.5,
              .brightness = 0.2,
              .contrast = 0.2,
              .saturation = 0.2,
              .hue = 0.05,
              .grey = 0.1,
              .blur = 0.2,
              .blur_sigma_low = 0.1,
              .blur_sigma_high = 1.0,
              .aspect_low = 0.75,
              .aspect_high = 4.0 / 3},
    .schedule = {.start = 0.01,
                 .peak = TINY_PEAK,
                 .end = 0.001,
                 .warmup_steps = 3,
                 .shape = SEER_COSINE,
                 .cosine_from_run = true},
    .batch = BATCH,
    .accumulate = TINY_ACCUMULATE,
    .ranks = RANKS,
    .steps = 0,
    .epochs = 2,
    .seed = 1,
    .freeze_prototypes_steps = 2,
    .prototypes = TINY_CLASSES ? 0 : PROTOTYPES,
    .classes = TINY_CLASSES,
    .save_every = 5,
    .save_keep = 2,
    .log_every = 1,
    .tensorboard = true,
    .pictures = no_pictures,
    .max_undecodable = 0.5,
    .max_pixels = 1 << 24,
    .sandbox = TINY_SANDBOX,
    .mean = {0.485, 0.456, 0.406},
    .std = {0.229, 0.224, 0.225},
    .tensor_count = sizeof tensors / sizeof tensors[0],
    .tensors = tensors,
    .state_bytes = S_END * 4,
    .arena_bytes = A_END * 4,
    .ring_bytes = 2 * (VIEWS * SIDE * SIDE * 3 + 4096),
    .ring_depth = 2,
    .snapshot_bytes = TINY_STAGING ? ((KEPT + RANKS - 1) / RANKS + SHARED_OUT) * 4 : 0,
    .train = tiny_train,
    .update = tiny_update,
    .loss_offset = A_LOSS * 4,
    .usage_offset = A_USAGE * 4,
    .evaluate_batch = EVALUATE,
    .evaluate_size = SIDE,
    .evaluate_resize = SIDE,
    .feature_width = WIDTH,
    .neighbours = 5,
    .knn_temperature = 0.1,
    .knn_pictures = 2000,
    .features = tiny_features,
    .features_offset = A_EMBEDDED * 4,
    .launch_count = sizeof launches / sizeof launches[0],
    .launches = launches,
};

const SeerProgram *const seer_programs[] = {&program};
const int seer_program_count = 1;
