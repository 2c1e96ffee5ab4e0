#!/usr/bin/env python3
"""Faults planted in the text of kernels, one at a time: the simulated GPU must find every one.

usage: planted_faults_test.py EVERY CXX SIMULATOR.a KERNELS FLAG...
EVERY: 1, all faults; 5, of each kernel every fifth.

Each fault replaces a text that the kernel has once. What is compiled so must end with a fault that the simulator names,
or with a result that is not right; the kernel as it is must pass with the same shape.
"""
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
CONVOLUTION = "IMAGES=2 HEIGHT=9 WIDTH=7 GROUPS=2 INPUTS=40 INPUT_PITCH=40 OUTPUTS=86 OUTPUT_PITCH=88 KERNEL=3 PAD=1 "
TILES = "TILE_PIXELS=64 TILE_CHANNELS=64 TILE_DEPTH=16 STAGES=3 WARPS_PIXELS=2 WARPS_CHANNELS=2 "
WEIGHT_TILES = "TILE_OUTPUTS=64 TILE_INPUTS=64 TILE_DEPTH=16 STAGES=3 WARPS_OUTPUTS=2 WARPS_INPUTS=2 SPLITS=2 "
WIDE_TILES = "TILE_PIXELS=128 TILE_CHANNELS=96 WARPGROUP_MULTIPLY "
SHAPES = {
    "conv2d_forward": CONVOLUTION + TILES + "STRIDE=1 STATISTICS=1",
    "conv2d_backward_input": CONVOLUTION + TILES + "STRIDE=2 ADD=1",
    "conv2d_backward_weight": CONVOLUTION + WEIGHT_TILES + "STRIDE=1",
    "conv2d_forward warpgroups": CONVOLUTION + WIDE_TILES + "STRIDE=1 STATISTICS=1",
    "conv2d_backward_input warpgroups": "IMAGES=2 HEIGHT=9 WIDTH=7 GROUPS=2 INPUTS=20 INPUT_PITCH=24 OUTPUTS=86 "
    "OUTPUT_PITCH=88 KERNEL=1 PAD=0 STRIDE=2 ADD=0 TILE_PIXELS=64 TILE_CHANNELS=32 WARPGROUP_MULTIPLY",
    "conv2d_backward_weight warpgroups": "IMAGES=2 HEIGHT=19 WIDTH=20 GROUPS=1 INPUTS=20 INPUT_PITCH=24 OUTPUTS=86 "
    "OUTPUT_PITCH=88 KERNEL=3 PAD=1 STRIDE=1 TILE_INPUTS=128 TILE_OUTPUTS=96 SPLITS=2 WARPGROUP_MULTIPLY",
    "batch_norm": "CHANNELS=72 GROUP_CHANNELS=21 GROUP_PITCH=24 PIXELS=294 TILE_PIXELS=64 PART_PIXELS=100 RELU=1 ADD=1",
    # These are given their shapes by their tests.
    **dict.fromkeys(("pointwise", "rows", "batch_norm_rows", "matrix", "losses", "update", "ranks", "images", "pack"),
                    ""),
}
# By the kernel that shows it: what is wrong, the file, the text as it is, the text with the fault.
FAULTS = {
    "conv2d_forward": [
        ("nobody waits for the step's copies", "conv2d_tile.h", "copy_wait<AHEAD - 1>();\n", "\n"),
        ("waits for one group too few", "conv2d_tile.h", "copy_wait<AHEAD - 1>();", "copy_wait<AHEAD>();"),
        ("threads do not wait for the copies of others", "conv2d_tile.h",
         "block_wait();  // the step's copies have come, and nobody reads the stage that is filled next\n", "\n"),
        ("fills the stage that is read", "conv2d_tile.h", "next = step + AHEAD;", "next = step + AHEAD + 1;"),
        ("the first copies are no groups of their own", "conv2d_tile.h",
         "from, weights, tile);\n    copy_commit();\n  }\n#pragma unroll 1",
         "from, weights, tile);\n  }\n#pragma unroll 1"),
        ("rows above the image are read", "conv2d_tile.h", "row >= 0 && row < FROM_HEIGHT", "row < FROM_HEIGHT"),
        ("columns beyond the image are read", "conv2d_tile.h", "column < FROM_WIDTH && down", "down"),
        ("half of a copy", "conv2d_tile.h", "there ? source : from, there ? 16 : 0",
         "there ? source : from, there ? 8 : 0"),
        ("inputs are loaded from the wrong column", "conv2d_tile.h",
         "lane % 16, depth + lane / 16 * 8", "lane % 16, depth + lane / 8 % 2 * 8"),
        ("weights are loaded from the wrong row", "conv2d_tile.h",
         "lane % 8 + (two ? lane / 16 * 8 : 0)", "lane % (two ? 16 : 8)"),
        ("products of the wrong halves", "conv2d_tile.h",
         "sums[i][j + 1], a[i], b[2], b[3]", "sums[i][j + 1], a[i], b[1], b[3]"),
        ("stages overlap", "conv2d_tile.h", "STAGE_PIXELS = TILE_PIXELS * DEPTH * 2,",
         "STAGE_PIXELS = TILE_PIXELS * DEPTH,"),
        ("stages of weights lie in those of pixels", "conv2d_tile.h",
         "return tile + STAGE_COUNT * STAGE_PIXELS + step", "return tile + STAGE_PIXELS + step"),
        ("the taps of weights are those of the next channel", "conv2d_tile.h",
         "KERNEL * KERNEL + tap) * FROM_PITCH", "KERNEL * KERNEL + tap + 1) * FROM_PITCH"),
        ("a chunk is of the tap before", "conv2d_tile.h", "number = depth / FROM_PITCH",
         "number = step * DEPTH / FROM_PITCH"),
        ("weights of outputs that do not exist are read", "conv2d_tile.h",
         "channel + row < TO_CHANNELS", "channel + row < 90"),
        ("pixels that do not exist are counted", "conv2d_forward.cu",
         "      if (at >= PIXELS) continue;\n", "      if (at >= PIXELS + 1) continue;\n"),
        ("outputs of the next group are written", "conv2d_forward.cu", "if (channel + j * 8 < OUTPUT_PITCH)\n", "\n"),
        ("sums are made before all parts are written", "conv2d_forward.cu", "int to) {\n  block_wait();\n",
         "int to) {\n"),
        ("sums are read before they are made", "conv2d_forward.cu",
         "shared[to * PART_ROW + at] = sum;\n  }\n  block_wait();", "shared[to * PART_ROW + at] = sum;\n  }\n"),
        ("parts are written over what others read", "conv2d_forward.cu",
         "  if (STATISTICS) block_wait();  // nobody reads the operands that lay there\n", "\n"),
        ("a row of parts is left out", "conv2d_forward.cu", "i < PART_ROWS; i++", "i < PART_ROWS - 1; i++"),
        ("parts of two warps lie in the same rows", "conv2d_forward.cu",
         "(threadIdx.x / 32 % PIXEL_WARPS * 8 + threadIdx.x % 32 / 4) * PART_ROW", "threadIdx.x % 32 / 4 * PART_ROW"),
        ("parts lie beyond shared memory", "conv2d_forward.cu", "(float *)memory;",
         "(float *)(memory + SHARED_BYTES - PART_ROW * 4);"),
        ("the last tile's mean is that of a whole one", "conv2d_forward.cu",
         "1.0f / LAST_PIXELS", "1.0f / TILE_PIXELS"),
        ("deviations are those from the sum", "conv2d_forward.cu", "totals[j * 8 + k] * share;",
         "totals[j * 8 + k];"),
        ("statistics of half of the columns", "conv2d_forward.cu", "if (first_channel + at >= OUTPUT_PITCH) continue;",
         "if (first_channel + at >= OUTPUT_PITCH || at % 2) continue;"),
    ],
    "conv2d_forward warpgroups": [
        ("copies are not published", "conv2d_tile.h", "    copies_publish();\n", ""),
        ("copies are published before they have come", "conv2d_tile.h",
         "    copy_wait<AHEAD - 1>();\n#ifdef WARPGROUP_MULTIPLY\n    copies_publish();\n",
         "    copies_publish();\n    copy_wait<AHEAD - 1>();\n#ifdef WARPGROUP_MULTIPLY\n"),
        ("copies are published after the others have waited", "conv2d_tile.h",
         "    copies_publish();\n    block_wait();", "    block_wait();\n    copies_publish();"),
        ("nobody waits for the step's copies", "conv2d_tile.h", "copy_wait<AHEAD - 1>();\n", "\n"),
        ("waits for one group of copies too few", "conv2d_tile.h", "copy_wait<AHEAD - 1>();", "copy_wait<AHEAD>();"),
        ("threads do not wait for the copies of others", "conv2d_tile.h",
         "block_wait();  // the step's copies have come, and the products before the last", "// the"),
        ("sums are not fenced", "conv2d_tile.h", "  warpgroup_fence();\n", ""),
        ("products are not committed", "conv2d_tile.h", "  warpgroup_commit();\n", ""),
        ("nobody waits for the products before", "conv2d_tile.h", "    warpgroup_wait<1>();\n", ""),
        ("waits for one group of products too few", "conv2d_tile.h", "warpgroup_wait<1>();", "warpgroup_wait<2>();"),
        ("nobody waits for the last products", "conv2d_tile.h", "  warpgroup_wait<0>();\n", ""),
        ("the stage of products on their way is filled", "conv2d_tile.h", "next = step + AHEAD;",
         "next = step + AHEAD + 1;"),
        ("a stage too few", "conv2d_tile.h", "STAGE_COUNT = AHEAD + 2,", "STAGE_COUNT = AHEAD + 1,"),
        ("the first product adds to what was there", "conv2d_tile.h", "step + depth > 0);", "true);"),
        ("every step begins anew", "conv2d_tile.h", "step + depth > 0);", "depth > 0);"),
        ("both warpgroups have the first one's pixels", "conv2d_tile.h", "threadIdx.x / 128 * 64 * DEPTH * 2",
         "threadIdx.x / 256 * 64 * DEPTH * 2"),
        ("the second warpgroup begins within the first one's pixels", "conv2d_tile.h",
         "threadIdx.x / 128 * 64 * DEPTH * 2", "threadIdx.x / 128 * 32 * DEPTH * 2"),
        ("pixels move on by bytes", "conv2d_tile.h", "operand_describe<DEPTH>(pixels + depth * 2, ONE_SLAB)",
         "operand_describe<DEPTH>(pixels + depth, ONE_SLAB)"),
        ("weights do not move on", "conv2d_tile.h", "operand_describe<DEPTH>(weights + depth * 2, ONE_SLAB)",
         "operand_describe<DEPTH>(weights, ONE_SLAB)"),
        ("operands are turned", "conv2d_tile.h", "warpgroup_multiply_add<false>", "warpgroup_multiply_add<true>"),
        ("chunks are swizzled by the wrong rows", "operands.h", "place >> 7 &", "place >> 8 &"),
        ("half of the swizzle", "operands.h", "(row_elements / CHUNK - 1)", "(row_elements / CHUNK / 2 - 1)"),
        ("chunks are not swizzled", "operands.h", "return place ^ (place >> 7 & (row_elements / CHUNK - 1)) << 4;",
         "return place;"),
        ("the description has another swizzle", "operands.h", "MODE = row_elements == 64 ? 1 :",
         "MODE = row_elements == 64 ? 2 :"),
        ("the description has half of the stride", "operands.h", "EIGHT_ROWS = 8 * row_elements * 2",
         "EIGHT_ROWS = 8 * row_elements"),
        ("parts are written over what products read", "conv2d_forward.cu",
         "  if (STATISTICS) block_wait();  // nobody reads the operands that lay there\n", "\n"),
        ("the description begins at another place", "operands.h", "(u64)(begin >> 4)", "(u64)(begin >> 3)"),
        ("tiles are not at the swizzle's beginning", "conv2d_forward.cu", "shared_address(memory),",
         "shared_address(memory) + 256,"),
        ("threads have the pixels of others", "conv2d_tile.h", "(TILE_PIXELS / PIXEL_WARPS) + threadIdx.x % 32 / 4;",
         "(TILE_PIXELS / PIXEL_WARPS) + threadIdx.x % 32 / 8;"),
    ],
    "conv2d_backward_input": [
        ("taps move with the image", "conv2d_backward_input.cu",
         "STRIDE,\n                     -1};", "STRIDE,\n                     1};"),
        ("a phase takes the taps of another", "conv2d_backward_input.cu",
         "first_row = (phase_row + PAD) % STRIDE", "first_row = phase_row % STRIDE"),
        ("a phase takes a tap too many", "conv2d_backward_input.cu",
         "{(KERNEL - first_row + STRIDE - 1) / STRIDE", "{(KERNEL + STRIDE - 1) / STRIDE"),
        ("a phase has the pixels of another", "conv2d_backward_input.cu",
         "column + at % columns * STRIDE;", "at % columns * STRIDE;"),
        ("phases of one group are those of the next", "conv2d_backward_input.cu",
         "group = blockIdx.z / PHASES", "group = blockIdx.z % GROUPS"),
        ("pixels that do not exist are written", "conv2d_backward_input.cu", "if (image >= IMAGES) return -1;\n", "\n"),
        ("what is added is that of another channel", "conv2d_backward_input.cu", "(add + at);", "(add + (at ^ 2));"),
        ("channels of the next group are written", "conv2d_backward_input.cu",
         "if (channel >= INPUT_PITCH) continue;\n", "\n"),
        ("taps of the next phase are multiplied", "conv2d_tile.h",
         "const int steps = DIVIDE_UP(taps.rows * taps.columns * FROM_PITCH, DEPTH);",
         "const int steps = DIVIDE_UP((taps.rows * taps.columns - 1) * FROM_PITCH, DEPTH);"),
    ],
    "conv2d_backward_input warpgroups": [
        ("what no tap meets has no sum", "conv2d_tile.h", "  if (steps == 0) sums_clear(sums);\n", ""),
        ("copies are not published", "conv2d_tile.h", "    copies_publish();\n", ""),
        ("channels of the next group are written", "conv2d_backward_input.cu",
         "if (channel >= INPUT_PITCH) continue;\n", "\n"),
    ],
    "conv2d_backward_weight": [
        ("inputs are not turned", "conv2d_backward_weight.cu", "matrices_load_transposed(\n          a[i]",
         "matrices_load(\n          a[i]"),
        ("outputs are not turned", "conv2d_backward_weight.cu", "matrices_load_transposed(b", "matrices_load(b"),
        ("nobody waits for the step's copies", "conv2d_backward_weight.cu", "copy_wait<AHEAD - 1>();\n", "\n"),
        ("threads do not wait for the copies of others", "conv2d_backward_weight.cu",
         "block_wait();  // the step's copies have come, and nobody reads the stage that is filled next\n", "\n"),
        ("fills the stage that is read", "conv2d_backward_weight.cu",
         "next = step + AHEAD;", "next = step + AHEAD + 1;"),
        ("pixels of the next image are read", "conv2d_backward_weight.cu",
         "row >= 0 && row < HEIGHT", "row < HEIGHT + 1"),
        ("pixels beyond the last are read", "conv2d_backward_weight.cu",
         "const bool there = pixel < PIXELS && output + place < OUTPUT_PITCH;",
         "const bool there = output + place < OUTPUT_PITCH;"),
        ("a split begins where the one before began", "conv2d_backward_weight.cu",
         "tile_multiply(first * DEPTH,", "tile_multiply(first / 2 * DEPTH,"),
        ("a split ends too early", "conv2d_backward_weight.cu",
         "(split + 1) / SPLITS) - first;", "(split + 1) / SPLITS) - first - 1;"),
        ("rows and columns of a tap are exchanged", "conv2d_backward_weight.cu",
         "tap / KERNEL, tap % KERNEL,", "tap % KERNEL, tap / KERNEL,"),
        ("inputs of a tile are all of its first tap", "conv2d_backward_weight.cu", "tap = input / INPUT_PITCH;",
         "tap = first_input / INPUT_PITCH;"),
        ("splits are written over each other", "conv2d_backward_weight.cu", "((u64)split * OUTPUTS_ALL", "((u64)0"),
        ("inputs beyond the last tap are written", "conv2d_backward_weight.cu", " || c >= TAPS_INPUTS) continue;",
         ") continue;"),
        ("stages share memory", "conv2d_backward_weight.cu",
         "return tile + step % STAGE_COUNT * STAGE_INPUTS;", "return tile + step % 2 * STAGE_INPUTS;"),
    ],
    "conv2d_backward_weight warpgroups": [
        ("copies are not published", "conv2d_backward_weight.cu", "    copies_publish();\n", ""),
        ("threads do not wait for the copies of others", "conv2d_backward_weight.cu",
         "block_wait();  // the step's copies have come, and the products before the last", "// the"),
        ("sums are not fenced", "conv2d_backward_weight.cu", "  warpgroup_fence();\n", ""),
        ("products are not committed", "conv2d_backward_weight.cu", "  warpgroup_commit();\n", ""),
        ("waits for one group of products too few", "conv2d_backward_weight.cu", "warpgroup_wait<1>();",
         "warpgroup_wait<2>();"),
        ("nobody waits for the last products", "conv2d_backward_weight.cu", "  warpgroup_wait<0>();\n", ""),
        ("the stage of products on their way is filled", "conv2d_backward_weight.cu", "next = step + AHEAD;",
         "next = step + AHEAD + 1;"),
        ("a stage too few", "conv2d_backward_weight.cu", "STAGE_COUNT = AHEAD + 2,", "STAGE_COUNT = AHEAD + 1,"),
        ("operands are not turned", "conv2d_backward_weight.cu", "warpgroup_multiply_add<true>",
         "warpgroup_multiply_add<false>"),
        ("both warpgroups have the first one's inputs", "conv2d_backward_weight.cu",
         "threadIdx.x / 128 * INPUT_SLAB_BYTES", "threadIdx.x / 256 * INPUT_SLAB_BYTES"),
        ("slabs of outputs are as far apart as those of inputs", "conv2d_backward_weight.cu",
         "OUTPUT_SLAB * 2, OUTPUT_SLAB_BYTES)", "OUTPUT_SLAB * 2, INPUT_SLAB_BYTES)"),
        ("slabs of outputs lie in each other", "conv2d_backward_weight.cu",
         "OUTPUT_SLAB_BYTES = DEPTH * OUTPUT_SLAB * 2,", "OUTPUT_SLAB_BYTES = DEPTH * OUTPUT_SLAB,"),
        ("pixels of inputs move on by half", "conv2d_backward_weight.cu", "inputs + pixel * INPUT_SLAB * 2,",
         "inputs + pixel * INPUT_SLAB,"),
        ("pixels of outputs do not move on", "conv2d_backward_weight.cu", "outputs + pixel * OUTPUT_SLAB * 2,",
         "outputs,"),
        ("the first product adds to what was there", "conv2d_backward_weight.cu", "step + pixel > 0);", "true);"),
        ("every step begins anew", "conv2d_backward_weight.cu", "step + pixel > 0);", "pixel > 0);"),
        ("the description has no slabs", "operands.h", "(u64)(slab_bytes >> 4) << 16", "(u64)1 << 16"),
        ("pixels beyond the last are multiplied", "conv2d_backward_weight.cu", "inputs.exist && pixel < PIXELS && row",
         "inputs.exist && row"),
    ],
    "batch_norm": [
        ("the last tile counts as a whole one", "batch_norm_fold.cu",
         "pixels - (tiles - 1) * tile_pixels;", "tile_pixels;"),
        ("segments are joined before they are written", "batch_norm_fold.cu", "  block_wait();\n", "\n"),
        ("means that differ add nothing to the variance", "batch_norm_fold.cu", "+ apart * apart *", "+ 0 * apart *"),
        ("a segment is left out", "batch_norm_fold.cu", "for (int i = 1; i < SEGMENTS; i++)",
         "for (int i = 2; i < SEGMENTS; i++)"),
        ("epsilon is forgotten", "batch_norm_fold.cu", "+ epsilon)", "+ 1e-3)"),
        ("the line of a pad is not written", "batch_norm_fold.cu", "  if (channel >= channels_all) return;\n",
         "  if (channel >= channels_all || channels_exist(channel, group_channels, group_pitch) <= 0) return;\n"),
        ("channels are numbered as they lie", "channels.h",
         "channel / group_pitch * group_channels + channel % group_pitch", "channel"),
        ("elements beyond the last are read", "batch_norm_apply.cu", "if (at >= chunks) return;\n", "\n"),
        ("halves of a pair are exchanged", "batch_norm_apply.cu", "elements_pack(value[0], value[1])",
         "elements_pack(value[1], value[0])"),
        ("a channel's line is its neighbour's", "batch_norm_apply.cu", "line[CHANNELS + c];",
         "line[CHANNELS + (c ^ 1)];"),
        ("ReLU comes before what is added", "batch_norm_apply.cu", "if (ADD) value[k] += chunk_get(other, i);",
         "if (ADD) value[k] = (value[k] > 0 ? value[k] : 0) + chunk_get(other, i);"),
        ("rows are added up while others write", "batch_norm_backward_sums.cu", "    block_wait();\n  }", "  }"),
        ("rows are added up before they are there", "batch_norm_backward_sums.cu",
         "  block_wait();\n  // Rows in order", "  // Rows in order"),
        ("half of the rows are lost", "batch_norm_backward_sums.cu", "int half = ROWS / 2;", "int half = ROWS / 4;"),
        ("the last part goes on behind the pixels", "batch_norm_backward_sums.cu",
         "begin + part_pixels < pixels ? begin + part_pixels : pixels;", "begin + part_pixels;"),
        ("what ReLU stopped counts", "batch_norm_backward_sums.cu", "chunk_get(out, i) > 0", "chunk_get(out, i) >= 0"),
        ("the mean is not taken off", "batch_norm_backward_sums.cu", "chunk_get(in, i) - means[i]", "chunk_get(in, i)"),
        ("a part is left out", "batch_norm_backward_fold.cu", "for (int part = 0;", "for (int part = 1;"),
        ("the gradient is that of a constant variance", "batch_norm_backward_fold.cu",
         "slope = -line * inverse * dgamma[number] / pixels;", "slope = 0;"),
        ("the shift forgets the mean", "batch_norm_backward_fold.cu", "- slope * mean[number]", ""),
        ("the shift is not added", "batch_norm_backward_apply.cu", " + lines[2 * CHANNELS + c];", ";"),
    ],
    "pointwise": [
        ("elements beyond the last are read", "pointwise.cu", "if (at < count) y[at] = a[at] + b[at];",
         "y[at] = a[at] + b[at];"),
        ("blocks have the same elements", "grid.h", "(u64)blockIdx.x * THREADS + threadIdx.x", "threadIdx.x"),
        ("the gradient passes where the output is zero", "pointwise.cu", "y[at] > 0 ? dy[at]", "y[at] >= 0 ? dy[at]"),
    ],
    "rows": [
        ("a tree's halves are added while others still add", "grid.h",
         "shared[threadIdx.x + half]);\n    block_wait();", "shared[threadIdx.x + half]);"),
        ("a tree begins before all have come", "grid.h", "shared[threadIdx.x] = value;\n  block_wait();",
         "shared[threadIdx.x] = value;"),
        ("a row is cut at the block's threads", "rows.cu",
         "i < d; i += THREADS) sum +=", "i < d && i < THREADS; i += THREADS) sum +="),
        ("rows of zeros are divided by nothing", "rows.cu", "norm > 1e-12 ? norm : 1e-12", "norm"),
        ("the row after the last is not zero", "rows.cu", "row < (u64)end;", "row <= (u64)end;"),
        ("the queue is not moved", "rows.cu", "queue[at - pushed]", "queue[at]"),
        ("what is too short has the gradient of the others", "rows.cu", "along = small ? 0 :", "along = false ? 0 :"),
    ],
    "batch_norm_rows": [
        ("columns of the next block are counted", "batch_norm_rows.cu",
         "const int column = grid_column(), rows = column < c ? n : 0;\n  double sum = 0, squares = 0;",
         "const int column = grid_column(), rows = n;\n  double sum = 0, squares = 0;"),
        ("rows of a block are counted twice", "grid.h", "return (int)(threadIdx.x / COLUMN_WIDTH);",
         "return (int)(threadIdx.x / COLUMN_WIDTH / 2 * 2);"),
        ("squares are not of deviations", "batch_norm_rows.cu",
         "(double)x[(u64)row * c + column] - centre;", "(double)x[(u64)row * c + column];"),
        ("what does not count is masked as it was", "batch_norm_rows.cu", "masked[at] = d;", "masked[at] = dy[at];"),
        ("what is added comes after ReLU", "batch_norm_rows.cu",
         "y[at] = relu && !(value > 0) ? 0 : value;",
         "const float with = residual ? residual[at] : 0;\n  y[at] = relu && !(value - with > 0) ? with : value;"),
    ],
    "matrix": [
        ("a stage is multiplied before it is whole", "matrix.cu",
         "block_wait();  // the stage is whole, and nobody reads the other one, which is filled next\n", "\n"),
        ("both stages are one", "matrix.cu", "shared + step % 2 * STAGE", "shared"),
        ("depth beyond the last is multiplied", "matrix.cu",
         "line < factor.lines && depth < factor.depth ?", "line < factor.lines ?"),
        ("lines beyond the last are read", "matrix.cu", "line < factor.lines && depth", "depth"),
        ("results beyond the last column are written", "matrix.cu", "at_row < a.lines && at < b.lines",
         "at_row < a.lines"),
        ("factors overlap", "matrix.cu", "PITCH = TILE + 4,", "PITCH = TILE - 4,"),
        ("the bias is that of the row", "matrix.cu", "bias[at]", "bias[at_row]"),
    ],
    "losses": [
        ("the largest is not taken off", "losses.cu", "top = row_largest(top, shared);", "top = 0;"),
        ("samples that wait join", "losses.cu", "queue && queue_active && *queue_active != 0", "queue"),
        ("columns keep the largest of their own rows", "losses.cu", "  top = column_largest(top, memory);\n", "\n"),
        ("the last largest counts", "losses.cu", "b.at < a.at", "b.at > a.at"),
        ("hard codes are without potentials", "losses.cu", "Place best = {exponent(x, offset,",
         "Place best = {exponent(x, nullptr,"),
        ("a crop predicts itself", "losses.cu", "    if (set == row / b) continue;\n", "\n"),
        ("a gradient is not scaled", "losses.cu", "(1 / (double)n) * (loss_scale ? *loss_scale : 1)",
         "(1 / (double)n)"),
        ("labels are those of their rows", "losses.cu",
         "labels[row % label_count];\n  const float mass", "labels[row / 2 % label_count];\n  const float mass"),
        ("sums are read before all have read the largest", "grid.h",
         "  block_wait();  // nobody reads what the tree before has left\n", "\n"),
    ],
    "update": [
        ("what is inactive moves", "update.cu", "if (active && *active == 0) {", "if (false) {"),
        ("gradients stay scaled in the norms", "update.cu", "const float scaled = gradient[at] * factor;",
         "const float scaled = gradient[at];"),
        ("parts overlap", "update.cu", "first + LARC_ELEMENTS < share_end ? first + LARC_ELEMENTS : share_end",
         "share_end"),
        ("parts have some of the next share", "update.cu", "begin + share < count ? begin + share : count", "count"),
        ("every share is the first", "update.cu", "begin = blockIdx.x / parts * share", "begin = 0"),
        ("all fold the first parts", "update.cu", "sums + (u64)blockIdx.x * parts * 2", "sums"),
        ("elements beyond the last are updated", "update.cu",
         "first + LARC_UPDATE_ELEMENTS < count ? first + LARC_UPDATE_ELEMENTS : count;",
         "first + LARC_UPDATE_ELEMENTS;"),
        ("parts beyond a block's threads are left out", "update.cu", "part < parts; part += THREADS",
         "part < parts && part < THREADS; part += THREADS"),
        ("only what is not a number is found", "update.cu", "x[at] <= largest && x[at] >= -largest", "x[at] == x[at]"),
        ("numbers far below zero are right", "update.cu", "x[at] <= largest && x[at] >= -largest", "x[at] <= largest"),
        ("clipped where it may not be", "update.cu", "if (clip && !(ratio < 1))", "if (!(ratio < 1))"),
        ("nesterov's step is the plain one", "update.cu", "step.nesterov ? g + v * step.momentum : v", "v"),
    ],
    "ranks": [
        ("narrow before all have read", "ranks.cu", "numbers[i] = at < own ? narrow(from[at], format) : (Element)0;\n"
         "    }\n    block_wait();", "numbers[i] = at < own ? narrow(from[at], format) : (Element)0;\n    }"),
        ("averages before all have read", "ranks.cu", "format, at) : 0;\n    }\n    block_wait();",
         "format, at) : 0;\n    }"),
        ("averages in place go forward", "ranks.cu", "first = (left - 1) * BLOCK_NUMBERS",
         "first = (DIVIDE_UP(part, BLOCK_NUMBERS) - left) * BLOCK_NUMBERS"),
        ("what is behind the last number stays", "ranks.cu", "if (at < part) to[at]", "if (at < own) to[at]"),
        ("both formats are one", "ranks.cu", "format == FORMAT_F16 ? f16_from_float(number) : bf16_from_float(number)",
         "bf16_from_float(number)"),
        ("rows come from where they go to", "ranks.cu", "from[blockIdx.y * from_pitch", "from[blockIdx.y * to_pitch"),
        ("the last number stays as it is", "ranks.cu", "if (at < count) to[at]", "if (at + 1 < count) to[at]"),
        ("the variance between ranks is left out", "ranks.cu",
         "(double)own[span] + ((double)own[0] - centre) * ((double)own[0] - centre)", "(double)own[span]"),
        ("the second sum is the first", "ranks.cu", "all[((u64)rank * 2 + 1) * span + channel]",
         "all[((u64)rank * 2) * span + channel]"),
    ],
    "images": [
        ("rows of pixels are added before they are stored", "images.cu",
         "own[i] = sums[i];\n  block_wait();\n", "own[i] = sums[i];\n"),
        ("rows are added while others still add", "images.cu",
         "own[half * CHUNKS * CHUNK + i];\n    block_wait();", "own[half * CHUNKS * CHUNK + i];"),
        ("pads have the channels of the next group", "channels.h", "group_channels - channel % group_pitch",
         "group_pitch - channel % group_pitch"),
        ("vectors have pads", "channels.h", "channel / group_pitch * group_channels + channel % group_pitch",
         "channel"),
        ("every image is pooled like the first", "images.cu", "chunk_load(x + ((u64)image * pixels + pixel)",
         "chunk_load(x + ((u64)0 + pixel)"),
        ("channels beyond the last are read", "images.cu", "place >= pixels * chunks || image >= images) return;\n  "
         "const u64 at = (u64)image * pixels * chunks + place;\n  const Chunk in",
         "image >= images) return;\n  const u64 at = (u64)image * pixels * chunks + place;\n  const Chunk in"),
        ("red and blue are exchanged", "images.cu", "(float)pixel[0]", "(float)pixel[2]"),
    ],
    "pack": [
        ("pads of inputs have weights", "pack.cu", "channels_exist(input, s.input_channels, s.input_pitch) <= 0",
         "false"),
        ("pads of outputs have weights", "pack.cu", "channels_exist(output, s.output_channels, s.output_pitch) <= 0 ||",
         "false ||"),
        ("every group of the backward reads the first one's outputs", "pack.cu",
         "first = input / (inputs_all / groups) * width;", "first = 0;"),
        ("the backward has rows and columns of the forward", "pack.cu",
         "weight_get(w, s, first + output + 2 * pair + 1, input, tap)",
         "weight_get(w, s, first + output + 2 * pair, input + 1, tap)"),
        ("splits begin where the first does", "pack.cu", "parts[split * split_elements + from]", "parts[from]"),
        ("taps are stored as they are read", "pack.cu", "dw[((u64)row * columns + column) * taps + tap]", "dw[at]"),
    ],
}


def outcome(folder, compile, simulator, kernel, texts):
    """The exit status of the kernel's test with these texts, None if it does not compile; and what it said."""
    for file, text in texts.items():
        (folder / "codegen/kernels/cuda" / file).write_text(text)
    program = folder / "test"
    shape = [f"-D{macro}" for macro in SHAPES[kernel].split()]
    built = subprocess.run([*compile, *shape, HERE / f"{kernel.split()[0]}_test.cpp", simulator, "-o", program],
                           capture_output=True, text=True)
    if built.returncode:
        return None, built.stderr
    ran = subprocess.run([program], capture_output=True, text=True, timeout=120)
    said = (ran.stdout + ran.stderr).splitlines()
    return ran.returncode, next((line for line in said if line.endswith("WRONG")), said[-1] if said else "says nothing")


def main():
    every, compiler, simulator, kernels, *flags = sys.argv[1:]
    failed = found = planted = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        (folder / "codegen/kernels/cuda").mkdir(parents=True)
        # The folder comes first, so that its kernel is the one included; what is optimised less compiles faster.
        compile = [compiler, f"-I{folder}", *(flag for flag in flags if flag != "-O2"), "-O1", "-w"]
        texts = {file.name: file.read_text() for file in pathlib.Path(kernels).glob("*.cu")}
        for header in ("operands.h", "conv2d_tile.h", "grid.h", "channels.h"):
            texts[header] = (pathlib.Path(kernels) / header).read_text()
        for kernel, all_faults in FAULTS.items():
            faults = all_faults[::int(every)]
            planted += len(faults)
            status, said = outcome(folder, compile, simulator, kernel, texts)
            if status != 0:
                sys.exit(f"{kernel}: fails as it is: {said}")
            for what, file, right, wrong in faults:
                if texts[file].count(right) != 1:
                    print(f"{kernel}: {what}: the text is there {texts[file].count(right)} times")
                    failed += 1
                    continue
                status, said = outcome(folder, compile, simulator, kernel,
                                       {**texts, file: texts[file].replace(right, wrong)})
                found += bool(status)
                failed += not status
                print(f"{kernel}: {what}: {said if status else 'NOT COMPILED' if status is None else 'NOT FOUND'}")
    print(f"{found} of {planted} faults found")
    sys.exit(1 if failed else 0)


main()
