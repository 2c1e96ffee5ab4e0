// Functions of warps, and products of warpgroups, which read their operands as early or as late as they may, while their
// sums are poison.
#include <algorithm>
#include <cstring>

#include "block.h"

namespace simulated {

namespace {

template <class Compute>
void together(Call call, const u32 *in, int in_words, u32 *out, int out_words, Compute compute) {
  const int lane = block.current % WARP, first = block.current - lane;
  Warp &warp = block.warps[(size_t)(first / WARP)];
  if (warp.present && warp.call != call) fault("threads of one warp call different functions of it");
  warp.call = call;
  std::copy(in, in + in_words, warp.in[lane]);
  if (++warp.present < WARP) {
    wait_in(State::in_warp);
  } else {
    compute(warp);
    warp.present = 0;
    for (int i = first; i < first + WARP; i++)
      if (block.threads[(size_t)i].state == State::in_warp) block.threads[(size_t)i].state = State::ready;
  }
  std::copy(warp.out[lane], warp.out[lane] + out_words, out);
}

// ---- functions of a warp ----

float element(u32 pair, int half, bool bf16) {
  const uint16_t bits = (uint16_t)(pair >> 16 * half);
  return bf16 ? from_bf16(bits) : from_f16(bits);
}

// PTX ISA, fragments of mma.m16n8k16: lane = 4 * row + pair of columns.
void multiply(Warp &warp, bool bf16) {
  float a[16][16], b[16][8], c[16][8];
  for (int lane = 0; lane < WARP; lane++) {
    const u32 *in = warp.in[lane];
    const int row = lane / 4, pair = lane % 4 * 2;
    for (int half = 0; half < 2; half++) {
      for (int i = 0; i < 4; i++) a[row + i % 2 * 8][pair + i / 2 * 8 + half] = element(in[i], half, bf16);
      for (int i = 0; i < 2; i++) b[pair + i * 8 + half][row] = element(in[4 + i], half, bf16);
    }
    for (int i = 0; i < 4; i++) std::memcpy(&c[row + i / 2 * 8][pair + i % 2], &in[6 + i], sizeof(float));
  }
  for (int i = 0; i < 16; i++)
    for (int k = 0; k < 16; k++)
      for (int j = 0; j < 8; j++) c[i][j] += a[i][k] * b[k][j];
  for (int lane = 0; lane < WARP; lane++)
    for (int i = 0; i < 4; i++)
      std::memcpy(&warp.out[lane][i], &c[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2], sizeof(float));
}

// PTX ISA, ldmatrix: matrix m's rows are at the addresses of lanes 8 m .. 8 m + 7.
void load(Warp &warp, bool transposed) {
  for (int m = 0; m < 4; m++) {
    uint16_t matrix[8][8];
    for (int row = 0; row < 8; row++) std::memcpy(matrix[row], shared_at(warp.in[8 * m + row][0], 16, 16), 16);
    for (int lane = 0; lane < WARP; lane++) {
      const int row = lane / 4, column = lane % 4 * 2;
      const uint16_t first = transposed ? matrix[column][row] : matrix[row][column];
      const uint16_t second = transposed ? matrix[column + 1][row] : matrix[row][column + 1];
      warp.out[lane][m] = first | (u32)second << 16;
    }
  }
}

// ---- products of a warpgroup ----

// One operand: PTX ISA, "Matrix descriptor" and "Shared Memory Matrix Layout" of wgmma, for 16 bits.
struct Operand {
  u32 begin, slab_bytes, stride;  // from slab to slab; from eight rows of memory to the next eight
  u32 row_bytes;                  // of which rows are swizzled
  bool turned;                    // rows of memory are the depth's
};

Operand operand_read(u64 description, bool turned) {
  const u64 address = 0x3FFF;
  const int mode = (int)(description >> 62);
  if (description & ~(address | address << 16 | address << 32 | (u64)3 << 62))
    fault("the description of an operand has bits that mean nothing here: %016llx", (unsigned long long)description);
  if (mode == 0) fault("an operand of a product is not swizzled");
  Operand operand = {(u32)(description & address) << 4, (u32)(description >> 16 & address) << 4,
                     (u32)(description >> 32 & address) << 4, (u32)256 >> mode, turned};
  const u32 inside = operand.begin % (8 * operand.row_bytes);
  if (turned ? inside != 0 : inside + 32 > operand.row_bytes)
    fault("an operand begins %u bytes behind a multiple of eight rows of %u bytes", inside, operand.row_bytes);
  return operand;
}

// Where chunk `chunk` of the operand's 16 of depth is: of a line of it, eight of depth; turned, of depth, eight lines.
u32 operand_chunk(const Operand &operand, int lines, int chunk) {
  u32 at;
  if (operand.turned) {
    const int line = chunk % (lines / 8) * 8, depth = chunk / (lines / 8), slab = (int)operand.row_bytes / 2;
    at = operand.begin + (u32)(line / slab) * operand.slab_bytes + (u32)(depth / 8) * operand.stride +
         (u32)(depth % 8) * operand.row_bytes + (u32)(line % slab) * 2;
  } else {
    const int line = chunk / 2;
    at = operand.begin + (u32)(line / 8) * operand.stride + (u32)(line % 8) * operand.row_bytes + (u32)(chunk % 2) * 16;
  }
  return at ^ (at >> 7 & (operand.row_bytes / 16 - 1)) << 4;
}

// Calls visit(piece) for all that a warp's rows of a product need.
template <class Visit>
void operands_visit(const Product &product, Visit visit) {
  const Operand a = operand_read(product.a, product.turned), b = operand_read(product.b, product.turned);
  for (int chunk = 0; chunk < 2 * 64; chunk++)
    visit(block.pieces[(size_t)(shared_at(operand_chunk(a, 64, chunk), 16, 16) - block.shared) / PIECE_BYTES]);
  for (int chunk = 0; chunk < 2 * product.columns; chunk++)
    visit(block.pieces[(size_t)(shared_at(operand_chunk(b, product.columns, chunk), 16, 16) - block.shared) /
                       PIECE_BYTES]);
}

// values [lines][16] or, of the operand b, [16][lines].
void operand_load(const Operand &operand, int lines, bool bf16, float *values, int line_step, int depth_step) {
  for (int chunk = 0; chunk < 2 * lines; chunk++) {
    uint16_t elements[8];
    std::memcpy(elements, shared_at(operand_chunk(operand, lines, chunk), 16, 16), sizeof elements);
    for (int i = 0; i < 8; i++) {
      const int line = operand.turned ? chunk % (lines / 8) * 8 + i : chunk / 2;
      const int depth = operand.turned ? chunk / (lines / 8) : chunk % 2 * 8 + i;
      values[line * line_step + depth * depth_step] = bf16 ? from_bf16(elements[i]) : from_f16(elements[i]);
    }
  }
}

Sums &sums_get(Warp &warp, const Product &product) {
  for (Sums &sums : warp.sums)
    if (sums.at[0] == product.sums[0]) return sums;
  fault("a product whose sums are not on their way");
}

void sums_expect_poison(const Sums &sums) {
  for (int lane = 0; lane < WARP; lane++)
    for (size_t i = 0; i < (size_t)sums.count * sizeof(float); i++)
      if (((const unsigned char *)sums.at[lane])[i] != POISON)
        fault("sums are touched while products are on their way to them");
}

void product_run(Warp &warp, int quarter, Product &product) {
  enum { COLUMNS_MOST = 256 };
  static float a[64][16], b[16][COLUMNS_MOST], c[16][COLUMNS_MOST];
  if (product.done) return;
  product.done = true;
  operand_load(operand_read(product.a, product.turned), 64, product.bf16, a[0], 16, 1);
  operand_load(operand_read(product.b, product.turned), product.columns, product.bf16, b[0], 1, COLUMNS_MOST);
  Sums &sums = sums_get(warp, product);
  for (int i = 0; i < 16; i++) {
    for (int j = 0; j < product.columns; j++)
      c[i][j] = product.adds ? sums.values[i % 8 * 4 + j % 8 / 2][(size_t)(j / 8 * 4 + i / 8 * 2 + j % 2)] : 0;
    for (int k = 0; k < 16; k++)
      for (int j = 0; j < product.columns; j++) c[i][j] += a[quarter * 16 + i][k] * b[k][j];
    for (int j = 0; j < product.columns; j++)
      sums.values[i % 8 * 4 + j % 8 / 2][(size_t)(j / 8 * 4 + i / 8 * 2 + j % 2)] = c[i][j];
  }
}

// All that a warp has started, in order: earlier than it must be.
void products_run(Warp &warp, int quarter) {
  for (auto &group : warp.groups)
    for (Product &product : group) product_run(warp, quarter, product);
  for (Product &product : warp.started) product_run(warp, quarter, product);
}

// A bulk copy's bytes are there for a warp whose threads have all waited for its mbarrier; those of other copies for
// all, after copies_publish() and block_wait().
void operands_expect_there(const Product &product, size_t warp) {
  Piece seen = EMPTY;
  operands_visit(product, [&](Piece &piece) {
    if (!piece.brought) fault("a product reads what no copy has brought");
    piece.readers++;
    if (piece.mbarrier == NEVER) {
      if (piece.published_after == NEVER) fault("a product reads what was copied, without copies_publish()");
      if (piece.published_after == block.barriers) fault("a product reads the copies of others without block_wait()");
    } else if (piece.mbarrier != seen.mbarrier || piece.phase != seen.phase) {
      for (size_t i = warp * WARP; i < (warp + 1) * WARP; i++) {
        const std::vector<int64_t> &over = block.threads[i].over;
        if (over.size() <= (size_t)piece.mbarrier || over[(size_t)piece.mbarrier] <= piece.phase)
          fault("a product reads what a bulk copy has brought, and thread %zu has not waited for its mbarrier", i);
      }
      seen = piece;
    }
  });
}

void product_start(Warp &warp, Product product) {
  const size_t number = (size_t)(&warp - block.warps.data()), group = number / 4;
  if (block.warps.size() % 4) fault("a product of a warpgroup that has not four warps");
  if (!warp.fenced) fault("a product is started without warpgroup_fence() since the sums were touched");
  std::vector<Product> &all = block.products[group];
  if (warp.product_count == all.size()) all.push_back(product);
  if (!(all[warp.product_count++] == product)) fault("warps of one warpgroup start different products");
  operands_expect_there(product, number);
  const auto found =
      std::find_if(warp.sums.begin(), warp.sums.end(), [&](const Sums &sums) { return sums.at[0] == product.sums[0]; });
  if (found == warp.sums.end()) {
    Sums sums;
    sums.count = product.columns / 2;
    sums.products = 1;
    for (int lane = 0; lane < WARP; lane++) {
      sums.at[lane] = product.sums[lane];
      sums.values[lane].assign(sums.at[lane], sums.at[lane] + sums.count);
      std::memset((void *)sums.at[lane], POISON, sizeof(float) * (size_t)sums.count);
    }
    warp.sums.push_back(std::move(sums));
  } else {
    sums_expect_poison(*found);
    found->products++;
  }
  warp.started.push_back(product);
  // On a GPU products read their operands some time from here to the wait.
  if (block.schedule == Schedule::last_first || (block.schedule == Schedule::random && random_next() % 2))
    products_run(warp, (int)number % 4);
}

void products_wait(Warp &warp, int groups) {
  const int quarter = (int)(&warp - block.warps.data()) % 4;
  while ((int)warp.groups.size() > groups) {
    for (Product &product : warp.groups.front()) {
      product_run(warp, quarter, product);
      operands_visit(product, [](Piece &piece) { piece.readers--; });
      sums_get(warp, product).products--;
    }
    warp.groups.erase(warp.groups.begin());
  }
  for (size_t i = warp.sums.size(); i-- > 0;) {
    if (warp.sums[i].products) continue;
    sums_expect_poison(warp.sums[i]);
    for (int lane = 0; lane < WARP; lane++)
      std::memcpy((void *)warp.sums[i].at[lane], warp.sums[i].values[lane].data(),
                  sizeof(float) * (size_t)warp.sums[i].count);
    warp.sums.erase(warp.sums.begin() + (std::ptrdiff_t)i);
    warp.fenced = false;
  }
}

// What a warp has called together it must call alike: words of `in` that may not differ.
void words_agree(const Warp &warp, int words) {
  for (int lane = 1; lane < WARP; lane++)
    if (std::memcmp(warp.in[lane], warp.in[0], sizeof(u32) * (size_t)words))
      fault("threads of one warp give a function of their warpgroup different parameters");
}

}  // namespace

void warps_expect_end() {
  for (size_t i = 0; i < block.warps.size(); i++) {
    const Warp &warp = block.warps[i];
    if (warp.present) fault("a function of a warp that not all its threads have called");
    if (!warp.started.empty()) fault("the kernel ends with products started and not committed");
    if (!warp.groups.empty()) fault("the kernel ends with products on their way");
    if (warp.product_count != block.products[i / 4].size())
      fault("a product that not all warps of a warpgroup started");
  }
}

u32 warp_same(u32 value) {
  u32 same;
  together(Call::same, &value, 1, &same, 1, [](Warp &warp) {
    for (int lane = 0; lane < WARP; lane++) {
      if (warp.in[lane][0] != warp.in[0][0]) fault("threads of one warp have different values where they must not");
      warp.out[lane][0] = warp.in[0][0];
    }
  });
  return same;
}

void matrices_load(u32 *matrices, u32 row, bool transposed) {
  together(transposed ? Call::matrices_transposed : Call::matrices, &row, 1, matrices, 4,
           [transposed](Warp &warp) { load(warp, transposed); });
}

void matrix_multiply_add(float *c, const u32 *a, u32 b0, u32 b1, bool bf16) {
  u32 in[10];
  std::memcpy(in, a, 16);
  in[4] = b0;
  in[5] = b1;
  std::memcpy(in + 6, c, 16);
  u32 out[4];
  together(bf16 ? Call::multiply_bf16 : Call::multiply_f16, in, 10, out, 4,
           [bf16](Warp &warp) { multiply(warp, bf16); });
  std::memcpy(c, out, sizeof out);
}

void warpgroup_fence() {
  together(Call::warpgroup_fence, nullptr, 0, nullptr, 0, [](Warp &warp) { warp.fenced = true; });
}

void warpgroup_commit() {
  together(Call::warpgroup_commit, nullptr, 0, nullptr, 0, [](Warp &warp) {
    warp.groups.push_back(std::move(warp.started));
    warp.started.clear();
  });
}

void warpgroup_wait(int groups) {
  const u32 in = (u32)groups;
  together(Call::warpgroup_wait, &in, 1, nullptr, 0, [groups](Warp &warp) {
    words_agree(warp, 1);
    products_wait(warp, groups);
  });
}

void warpgroup_multiply_add(float *c, int columns, u64 a, u64 b, bool adds, bool turned, bool bf16) {
  enum { SAME = 6 };  // words: after them where the sums are
  const u32 in[SAME + 2] = {(u32)a,
                            (u32)(a >> 32),
                            (u32)b,
                            (u32)(b >> 32),
                            (u32)columns,
                            adds,
                            (u32)(uintptr_t)c,
                            (u32)((u64)(uintptr_t)c >> 32)};
  together(Call::warpgroup_product, in, SAME + 2, nullptr, 0, [=](Warp &warp) {
    words_agree(warp, SAME);
    Product product = {a, b, columns, adds, turned, bf16, false, {}};
    for (int lane = 0; lane < WARP; lane++)
      product.sums[lane] = (float *)(uintptr_t)(warp.in[lane][SAME] | (u64)warp.in[lane][SAME + 1] << 32);
    product_start(warp, product);
  });
}

}  // namespace simulated
