// Parts of tensors; see parts.h.
#include "runtime/parts.h"

uint64_t seer_tensor_count(const SeerTensor *tensor) {
  uint64_t count = 1;
  for (int i = 0; i < tensor->rank; i++) count *= (uint64_t)tensor->size[i];
  return count;
}

uint64_t seer_part_count(const SeerTensor *tensor) {
  return tensor->shards > 1 ? tensor->part : seer_tensor_count(tensor);
}

bool seer_part_next(const SeerTensor *tensor, int rank, SeerPiece *piece) {
  uint64_t count = seer_tensor_count(tensor);
  if (tensor->shards <= 1) {
    bool first = piece->count == 0 && count > 0;
    *piece = (SeerPiece){.count = count};
    return first;
  }
  uint64_t shards = (uint64_t)tensor->shards, shard = (uint64_t)rank % shards, chunk = tensor->chunk;
  uint64_t local = piece->local + piece->count, begin = (local / chunk * shards + shard) * chunk;
  if (local % chunk || local >= tensor->part || begin >= count) return false;
  uint64_t left = count - begin;
  *piece = (SeerPiece){.local = local, .begin = begin, .count = left < chunk ? left : chunk};
  return true;
}

bool seer_part_is_first(const SeerTensor *tensor, int rank) {
  return rank < (tensor->shards > 1 ? tensor->shards : 1);
}
