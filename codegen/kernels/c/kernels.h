// The kernels, one function each. Which launches make up which op: README.md. In task counts, t is the tuning that
// the kernels were compiled with (tuned.h).
#ifndef SEER_KERNELS_KERNELS_H
#define SEER_KERNELS_KERNELS_H

#include <stdint.h>

#include "element.h"
#include "sizes.h"

// ---- conv2d.c ----

// w [o][c/groups][k][k] -> packed, conv2d_packed_floats(c, o, k, groups, winograd, t) floats, for conv2d_forward.
// winograd: conv2d_is_winograd(h, w, c, o, k, stride, pad, groups, t).
// Tasks: conv2d_pack_tasks(c, o, k, groups, winograd, t).
void conv2d_pack(int c, int o, int k, int groups, int winograd, const float *restrict w, float *restrict packed,
                 int task);

// w [o][c/groups][k][k] -> packed, conv2d_packed_backward_floats(c, o, k, groups, winograd, t) floats,
// for conv2d_backward_input. Tasks: conv2d_pack_backward_tasks(c, o, k, groups, winograd, t).
void conv2d_pack_backward(int c, int o, int k, int stride, int groups, int winograd, const float *restrict w,
                          float *restrict packed, int task);

// x seen as `view` says (VIEW_PLAIN: factors and scale NULL; VIEW_NORMALIZED: scale NULL), packed -> y [n,ho,wo,o].
// statistics: NULL, or workspace of statistics_workspace_floats(parts, o) floats with
// parts = conv2d_statistics_parts(..), to be folded by statistics_fold(parts, o, ..).
// Tasks: conv2d_forward_tasks(n, h, w, c, o, k, stride, pad, groups, t).
void conv2d_forward(int n, int h, int w, int c, int o, int k, int stride, int pad, int groups, int view,
                    const Element *restrict x, const float *restrict factors, const float *restrict scale,
                    const float *restrict packed, Element *restrict y, float *restrict statistics, int task);

// dy [n,ho,wo,o] seen as `view` says (VIEW_PLAIN: raw and factors NULL; VIEW_GRADIENT: raw is what BatchNorm read),
// packed by conv2d_pack_backward, add [n,h,w,c] (NULL: nothing) -> dx [n,h,w,c], the gradient and `add`.
// Tasks: conv2d_backward_input_tasks(n, h, w, c, o, k, stride, pad, groups, t).
void conv2d_backward_input(int n, int h, int w, int c, int o, int k, int stride, int pad, int groups, int view,
                           const Element *restrict dy, const Element *restrict raw, const float *restrict factors,
                           const float *restrict packed, const Element *restrict add, Element *restrict dx, int task);

// ---- conv2d_weight.c ----

// x [n,h,w,c] and dy [n,ho,wo,o], seen as their views say (view.h; unused pointers NULL) -> dw [o][c/groups][k][k], or,
// where the workspace is not empty, one such sum per split there, for conv2d_fold_weight.
// workspace: conv2d_backward_weight_workspace_floats(..) floats. Needs 600 KiB of stack.
// Tasks: conv2d_backward_weight_tasks(n, h, w, c, o, k, stride, pad, groups, t).
void conv2d_backward_weight(int n, int h, int w, int c, int o, int k, int stride, int pad, int groups, int x_view,
                            int dy_view, const Element *restrict x, const float *restrict x_factors,
                            const float *restrict x_scale, const Element *restrict dy, const Element *restrict raw,
                            const float *restrict dy_factors, float *restrict dw, float *restrict workspace, int task);

// Adds the splits in order. Tasks: conv2d_fold_weight_tasks(n, h, w, c, o, k, stride, pad, groups, t).
void conv2d_fold_weight(int n, int h, int w, int c, int o, int k, int stride, int pad, int groups,
                        const float *restrict workspace, float *restrict dw, int task);

// ---- images.c ----

// images u8 [n][h][w][3] -> y [n,h,w,3] in lanes: (v/255 - mean) / std; dead lanes become zero.
// Tasks: lane_tasks(n, h, w, 3, t).
void normalize_images(int n, int h, int w, double mean0, double mean1, double mean2, double std0, double std1,
                      double std2, const uint8_t *restrict images, Element *restrict y, int task);

// x [n,d] in lanes -> rows first_row .. first_row + n of the row-major matrix y [..][d].
// Tasks: row_tasks(n, d, t).
void concat_rows_lanes(int n, int d, int first_row, const float *restrict x, float *restrict y, int task);

// Row-major x [n][d] -> rows first_row .. first_row + n of y [..][d]. Tasks: row_tasks(n, d, t).
void concat_rows_rows(int n, int d, int first_row, const float *restrict x, float *restrict y, int task);

// Rows begin..end of the row-major x [..][d] -> y [end-begin,d] in lanes; dead lanes become zero.
// Tasks: image_blocks(end - begin, t).
void slice_rows_lanes(int begin, int end, int d, const float *restrict x, float *restrict y, int task);

// Rows begin..end of the row-major x [..][d] -> y [end-begin][d]. Tasks: row_tasks(end - begin, d, t).
void slice_rows_rows(int begin, int end, int d, const float *restrict x, float *restrict y, int task);

// Row-major dy [end-begin][d] -> dx [n][d], zero outside rows begin..end. Tasks: row_tasks(n, d, t).
void pad_rows_rows(int n, int begin, int end, int d, const float *restrict dy, float *restrict dx, int task);

// Row-major dy [end-begin][d] -> dx [n,d] in lanes, zero outside rows begin..end and in dead lanes.
// Tasks: image_blocks(n, t).
void pad_rows_lanes(int n, int begin, int end, int d, const float *restrict dy, float *restrict dx, int task);

// ---- losses.c ----

// a[k] = -log sum over samples of exp(score/epsilon + v). first: 1 takes v as 0. Tasks: sinkhorn_prototypes_tasks(k).
void sinkhorn_prototypes(int b, int q, int k, double epsilon, int first, const float *restrict scores,
                         const float *restrict queue, const float *restrict queue_active, float *restrict workspace,
                         int task);

// The same over the samples of all ranks: all [ranks][k] has each rank's a. Tasks: sinkhorn_prototypes_tasks(k).
void sinkhorn_fold_ranks(int ranks, int k, const float *restrict all, float *restrict workspace, int task);

// v[b] = -log sum over prototypes of exp(score/epsilon + a). Tasks: sinkhorn_samples_tasks(b, q).
void sinkhorn_samples(int b, int q, int k, double epsilon, const float *restrict scores, const float *restrict queue,
                      const float *restrict queue_active, float *workspace, int task);

// codes [b][k]: softmax over prototypes of score/epsilon + a (iterations 0: of score/epsilon); hard: one 1 a row, at
// the first largest. Tasks: sinkhorn_codes_tasks(b).
void sinkhorn_codes(int b, int k, double epsilon, int iterations, int hard, const float *restrict scores,
                    const float *restrict workspace, float *restrict codes, int task);

// Loss of each score row, in double. workspace: loss_workspace_floats(crops * b).
// Tasks: loss_rows_tasks(crops * b).
void swapped_prediction_rows(int b, int k, int crops, int assign_crops, double temperature,
                             const float *restrict scores, const float *restrict codes, float *restrict workspace,
                             int task);

// Sum of the rows' losses -> loss [1]. One task. rows: crops * b, or n of softmax_cross_entropy_rows.
void loss_fold(int rows, const float *restrict workspace, float *restrict loss, int task);

// scores [crops*b][k], codes [assign_crops*b][k] -> dscores. Tasks: loss_rows_tasks(crops * b).
void swapped_prediction_backward(int b, int k, int crops, int assign_crops, double temperature,
                                 const float *restrict scores, const float *restrict codes, float *restrict dscores,
                                 int task);

// Loss of each row, in double, for loss_fold. workspace: loss_workspace_floats(n). Tasks: loss_rows_tasks(n).
void softmax_cross_entropy_rows(int n, int label_count, int k, double smoothing, const float *restrict logits,
                                const int32_t *restrict labels, float *restrict workspace, int task);

// logits [n][k], labels [label_count] -> dlogits. Tasks: loss_rows_tasks(n).
void softmax_cross_entropy_backward(int n, int label_count, int k, double smoothing, const float *restrict logits,
                                    const int32_t *restrict labels, float *restrict dlogits, int task);

// ---- matrix.c ----

// x [n,c], w [o][c], bias [o] or NULL -> y [n,o]. Tasks: linear_lanes_tasks(n, o, t).
void linear_lanes(int n, int c, int o, const float *restrict x, const float *restrict w, const float *restrict bias,
                  float *restrict y, int task);

// dy [n,o], w [o][c] -> dx [n,c]. Tasks: linear_lanes_backward_input_tasks(n, c, t).
void linear_lanes_backward_input(int n, int c, int o, const float *restrict dy, const float *restrict w,
                                 float *restrict dx, int task);

// x [n,c], dy [n,o] -> dw [o][c], dead lanes left out. Tasks: linear_lanes_backward_weight_tasks(o).
void linear_lanes_backward_weight(int n, int c, int o, const float *restrict x, const float *restrict dy,
                                  float *restrict dw, int task);

// x [n,c] in lanes -> y [c], dead lanes left out. Tasks: sum_rows_lanes_tasks(c).
void sum_rows_lanes(int n, int c, const float *restrict x, float *restrict y, int task);

// x [n][c], w [o][c], bias [o] or NULL -> y [n][o]. Tasks: matmul_tasks(n, o, t).
void linear_rows(int n, int c, int o, const float *restrict x, const float *restrict w, const float *restrict bias,
                 float *restrict y, int task);

// dy [n][o], w [o][c] -> dx [n][c]. Tasks: matmul_tasks(n, c, t).
void linear_rows_backward_input(int n, int c, int o, const float *restrict dy, const float *restrict w,
                                float *restrict dx, int task);

// x [n][c], dy [n][o] -> dw [o][c]. Tasks: matmul_tasks(o, c, t).
void linear_rows_backward_weight(int n, int c, int o, const float *restrict x, const float *restrict dy,
                                 float *restrict dw, int task);

// x [n][c] -> y [c], summed in double. Tasks: column_tasks(c).
void sum_rows_rows(int n, int c, const float *restrict x, float *restrict y, int task);

// codes [b][k] -> [k], sum over rows. Tasks: column_tasks(k).
void count_assignments(int b, int k, const float *restrict codes, float *restrict y, int task);

// x [n][d] -> y = x / max(|x|, epsilon) by row, norms [n] = |x|. Tasks: row_tasks(n, d, t).
void l2_normalize(int n, int d, double epsilon, const float *x, float *y, float *norms, int task);

// dy, y [n][d], norms [n] -> dx = (dy - y * (y . dy)) / norm; dy / epsilon where norm <= epsilon.
// Tasks: row_tasks(n, d, t).
void l2_normalize_backward(int n, int d, double epsilon, const float *dy, const float *y, const float *norms, float *dx,
                           int task);

// ---- normalize.c ----

// x [n,h,w,c] -> statistics, statistics_workspace_floats(batch_statistics_parts(n, h, w, c, t), c) floats.
// Tasks: lane_tasks(n, h, w, c, t).
void batch_statistics(int n, int h, int w, int c, const Element *restrict x, float *restrict statistics, int task);

// statistics of `parts` parts (of batch_statistics, batch_statistics_rows or conv2d_forward, or one part of each rank)
// -> mean [c], biased variance [c]. Tasks: statistics_fold_tasks(c).
void statistics_fold(int parts, int c, const float *restrict statistics, float *restrict mean, float *restrict variance,
                     int task);

// The same -> one part, statistics_workspace_floats(1, c) floats. Tasks: statistics_fold_tasks(c).
void statistics_join(int parts, int c, const float *restrict statistics, float *restrict part, int task);

// -> factors [3][c] of VIEW_NORMALIZED: mean, gamma / deviation, beta. Tasks: column_tasks(c).
void normalization_factors(int c, double epsilon, const float *restrict gamma, const float *restrict beta,
                           const float *restrict mean, const float *restrict variance, float *restrict factors,
                           int task);

// -> factors [4][c] of VIEW_GRADIENT, by which batch_norm_backward_input goes, too. Tasks: column_tasks(c).
void gradient_factors(int n, int h, int w, int c, double epsilon, const float *restrict gamma,
                      const float *restrict mean, const float *restrict variance, const float *restrict dgamma,
                      const float *restrict dbeta, float *restrict factors, int task);

// (x - mean) / sqrt(variance + epsilon) * gamma + beta, + residual (NULL: none), ReLU if relu -> y, in lanes. y may be
// x or the residual. Tasks: lane_tasks(n, h, w, c, t).
void batch_normalize(int n, int h, int w, int c, double epsilon, int relu, const Element *x, const float *gamma,
                     const float *beta, const float *mean, const float *variance, const Element *residual, Element *y,
                     int task);

// workspace: batch_norm_backward_workspace_floats(n, h, w, c, t). Tasks: sum_tasks(n, h, w, c, t).
void batch_norm_backward_sums(int n, int h, int w, int c, const Element *dy, const Element *x, const float *mean,
                              float *workspace, int task);

// The same for dy masked by y > 0; masked (NULL: not wanted; may be dy) takes the masked dy.
void batch_norm_relu_backward_sums(int n, int h, int w, int c, const Element *dy, const Element *y, const Element *x,
                                   const float *mean, Element *masked, float *workspace, int task);

// The same with the mask of y.
void batch_norm_mask_backward_sums(int n, int h, int w, int c, const Element *dy, const uint8_t *mask, const Element *x,
                                   const float *mean, Element *masked, float *workspace, int task);

// The same for dz = dy, or with `scaled` dy * scale [n,c] + pooled [n,c] / (h * w) (else NULL), where x seen as
// VIEW_NORMALIZED is positive, else 0; masked (may be dy) takes dz.
void batch_norm_view_backward_sums(int n, int h, int w, int c, int scaled, const Element *dy, const Element *x,
                                   const float *factors, const float *scale, const float *pooled, Element *masked,
                                   float *workspace, int task);

// workspace -> dgamma [c], dbeta [c]. Tasks: batch_norm_backward_fold_tasks(c).
void batch_norm_backward_fold(int n, int h, int w, int c, double epsilon, const float *restrict variance,
                              const float *restrict workspace, float *restrict dgamma, float *restrict dbeta, int task);

// all [ranks][2][ranks_span(c)], each rank's dgamma and dbeta -> their means over ranks: what batch_norm_backward_input
// takes, where n is one rank's. Tasks: batch_norm_backward_fold_tasks(c).
void sums_fold_ranks(int ranks, int c, const float *restrict all, float *restrict dgamma, float *restrict dbeta,
                     int task);

// dx = gamma/deviation * (dz - dbeta/count - (x-mean)/deviation * dgamma/count) with dz = dy, or with y (NULL: none)
// dy where y > 0. Give the masked dy of batch_norm_relu_backward_sums as dy and NULL as y where it was kept. dx may be
// dy. Tasks: lane_tasks(n, h, w, c, t).
void batch_norm_backward_input(int n, int h, int w, int c, double epsilon, const Element *dy, const Element *y,
                               const Element *x, const float *gamma, const float *mean, const float *variance,
                               const float *dgamma, const float *dbeta, Element *dx, int task);

// x -> one part for statistics_fold, statistics_workspace_floats(1, c) floats.
void batch_statistics_rows(int n, int c, const float *restrict x, float *restrict part, int task);

// As batch_normalize.
void batch_normalize_rows(int n, int c, double epsilon, int relu, const float *x, const float *gamma, const float *beta,
                          const float *mean, const float *variance, const float *residual, float *y, int task);

// dgamma, dbeta of dz = dy, or with y (after ReLU; NULL: none) dy where y > 0; masked (NULL: not wanted; may be dy)
// takes dz.
void batch_norm_backward_sums_rows(int n, int c, double epsilon, const float *dy, const float *y, const float *x,
                                   const float *mean, const float *variance, float *dgamma, float *dbeta, float *masked,
                                   int task);

// As batch_norm_backward_input.
void batch_norm_backward_input_rows(int n, int c, double epsilon, const float *dy, const float *y, const float *x,
                                    const float *gamma, const float *mean, const float *variance, const float *dgamma,
                                    const float *dbeta, float *dx, int task);

// ---- pointwise.c ----

// Those of ..._images are for image tensors: whole vectors.
void relu(int64_t count, const float *x, float *y, int task);
void relu_images(int64_t count, const Element *x, Element *y, int task);
// mask takes one bit for each element of x: x > 0.
void positive_mask(int64_t count, const Element *restrict x, uint8_t *restrict mask, int task);

void relu_backward(int64_t count, const float *dy, const float *y, float *dx, int task);
void relu_backward_images(int64_t count, const Element *dy, const Element *y, Element *dx, int task);
void sigmoid(int64_t count, const float *x, float *y, int task);
void sigmoid_backward(int64_t count, const float *dy, const float *y, float *dx, int task);
void add(int64_t count, const float *a, const float *b, float *y, int task);
void add_images(int64_t count, const Element *a, const Element *b, Element *y, int task);
void scale(int64_t count, double factor, const float *x, float *y, int task);
// x [n,h,w,c] * s [n,c] -> y, all in lanes. Tasks: lane_tasks(n, h, w, c, t).
void scale_channels(int n, int h, int w, int c, const Element *restrict x, const float *restrict s, Element *restrict y,
                    int task);

// dx = dy * s, ds = sum over pixels of dy * x. Tasks: channel_tasks(n, c, t).
void scale_channels_backward(int n, int h, int w, int c, const Element *restrict dy, const Element *restrict x,
                             const float *restrict s, Element *restrict dx, float *restrict ds, int task);

// x [n,h,w,c] seen as `view` says (VIEW_PLAIN: factors NULL; VIEW_NORMALIZED) -> y [n,c], mean over pixels, both in
// lanes. Tasks: channel_tasks(n, c, t).
void pool_average(int n, int h, int w, int c, int view, const Element *restrict x, const float *restrict factors,
                  float *restrict y, int task);

// ds [n,c] = sum over pixels of dy * x, x seen as VIEW_NORMALIZED, all in lanes. Tasks: channel_tasks(n, c, t).
void scale_gradient(int n, int h, int w, int c, const Element *restrict dy, const Element *restrict x,
                    const float *restrict factors, float *restrict ds, int task);

// dy [n,c] -> dx [n,h,w,c] = dy / (h*w), both in lanes. Tasks: lane_tasks(n, h, w, c, t).
void pool_average_backward(int n, int h, int w, int c, const float *restrict dy, Element *restrict dx, int task);

// ---- update.c ----

// (1-momentum)*running + momentum*batch*factor -> y. count = channels.
void running_update(int64_t count, double momentum, double factor, const float *running, const float *batch, float *y,
                    int task);

// (restart ? 0 : accumulator) + factor*gradient -> y. restart: one float, or NULL.
void accumulate(int64_t count, double factor, const float *accumulator, const float *gradient, const float *restart,
                float *y, int task);

// velocity' = momentum*velocity + g, parameter' = parameter - rate*velocity' (nesterov: rate*(g +
// momentum*velocity')), with g = gradient + weight_decay*parameter. active: one float, or NULL; 0: parameter and
// velocity stay as they are.
void sgd_update(int64_t count, double momentum, double weight_decay, int nesterov, const float *parameter,
                const float *gradient, const float *velocity, const float *learning_rate, const float *active,
                float *next_parameter, float *next_velocity, int task);

// all [parts][part] -> average [part], which may be the first of them. Tasks: pointwise_tasks(part, t).
void average_parts(int parts, int64_t part, const float *all, float *average, int task);

// all [parts][part] floats, `count` of them a gradient, become numbers of 16 bits (format: SeerFormat), each part's at
// its beginning; the others zero. Tasks: parts.
void narrow_parts(int64_t count, int64_t part, int format, float *all, int task);

// The same as average_parts, after narrow_parts. Tasks: pointwise_tasks(part, t), but 1 in place.
void average_narrow_parts(int parts, int64_t part, int format, int in_place, const float *all, float *average,
                          int task);

// Sums of squares in double, by parts of `part` floats: workspace of larc_workspace_floats(count, part, t), [task]
// [parameter, gradient]. A part that zeros fill up has the same sums. Tasks: larc_norms_tasks(count, part, t).
void larc_norms(int64_t count, int64_t part, const float *parameter, const float *gradient, float *workspace, int task);

// After larc_norms: norms [parts][2] doubles. Tasks: parts.
void larc_fold(int64_t part, const float *workspace, float *norms, int task);

// norms: `parts` pairs of sums of squares, of parameter and gradient, `stride` doubles apart. ratio = trust*|p| / (|g|
// + weight_decay*|p| + epsilon), clip: min(ratio/rate, 1); when |p| or |g| is 0 the gradient is used as it stands,
// without decay. Then as sgd_update.
void larc_update(int64_t count, int64_t parts, int64_t stride, double momentum, double weight_decay, double trust,
                 double epsilon, int clip, int nesterov, const float *parameter, const float *gradient,
                 const float *velocity, const float *learning_rate, const float *active, const float *norms,
                 float *next_parameter, float *next_velocity, int task);

// rows [b][d] first, then the first q-b rows of queue [q][d] -> y [q][d]; y must not overlap the operands.
// Tasks: row_tasks(q, d, t).
void queue_push(int q, int b, int d, const float *restrict queue, const float *restrict rows, float *restrict y,
                int task);

// w [k][d] -> y: rows of length 1 (a row of zeros stays). Tasks: row_tasks(k, d, t).
void normalize_rows(int k, int d, const float *w, float *y, int task);

#endif
