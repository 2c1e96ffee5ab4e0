// Operands of products in shared memory: matrices whose rows have 16, 32 or 64 elements, and whose chunks are swizzled
// within the row, so that one column of chunks meets all banks in eight rows. So products of a warpgroup know it (PTX
// ISA, "Asynchronous Warpgroup Level Matrix Shared Memory Layout"), and loads of a warp meet no conflict either.
//
// A matrix begins at a multiple of eight rows.
#ifndef SEER_KERNELS_OPERANDS_H
#define SEER_KERNELS_OPERANDS_H

#include "device.h"

// Steps that are copied ahead of the one that warpgroups multiply, at most STAGES; besides these there is that one's
// stage, and one whose products may not have ended. So many blocks are to fit a multiprocessor of sm_90a, whose stages
// may have 224 of its 227 KiB of shared memory.
#define STAGES_FIT(stage_bytes) (224 * 1024 / BLOCKS / (stage_bytes))
#define STEPS_AHEAD(stage_bytes) (STAGES_FIT(stage_bytes) < STAGES + 2 ? STAGES_FIT(stage_bytes) - 2 : STAGES)

// Bytes from the matrix's beginning to an element, the first of a chunk.
DEVICE u32 swizzled_place(int row_elements, int row, int column) {
  const u32 place = (row * row_elements + column) * 2;
  return place ^ (place >> 7 & (row_elements / CHUNK - 1)) << 4;
}
template <int row_elements>
DEVICE u32 operand_place(int row, int column) {
  static_assert(row_elements == 16 || row_elements == 32 || row_elements == 64, "a row that is swizzled");
  return swizzled_place(row_elements, row, column);
}

// Of a matrix that is wider: it lies in slabs of as many columns as this, one behind the other.
#define SLAB_COLUMNS(columns) ((columns) % 64 == 0 ? 64 : (columns) % 32 == 0 ? 32 : 16)
template <int row_elements>
DEVICE u32 slab_place(int row, int column, int slab_bytes) {
  return column / row_elements * slab_bytes + operand_place<row_elements>(row, column % row_elements);
}

// What a product of a warpgroup is told of an operand: where it begins (in the first of eight rows), how many bytes it
// is from slab to slab, and from eight rows to the next eight.
enum { ONE_SLAB = 16 };  // bytes, where there is no other
template <int row_elements>
DEVICE u64 operand_describe(u32 begin, int slab_bytes) {
  enum { MODE = row_elements == 64 ? 1 : row_elements == 32 ? 2 : 3, EIGHT_ROWS = 8 * row_elements * 2 };
  return (u64)(begin >> 4) | (u64)(slab_bytes >> 4) << 16 | (u64)(EIGHT_ROWS >> 4) << 32 | (u64)MODE << 62;
}
// The same, `bytes` further on.
DEVICE u64 operand_move(u64 description, int bytes) { return description + (bytes >> 4); }

#endif
