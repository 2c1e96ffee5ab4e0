// Philox4x32-10, distributions over it, and a stateless permutation: a Feistel network on the smallest even number of
// bits that holds the count, walked until it lands inside (Black and Rogaway, 2002).
#include "runtime/random.h"

#include <math.h>

void seer_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t random[4]) {
  uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
  uint32_t k0 = key[0], k1 = key[1];
  for (int round = 0; round < 10; round++) {
    uint64_t a = (uint64_t)0xD2511F53u * c0, b = (uint64_t)0xCD9E8D57u * c2;
    c0 = (uint32_t)(b >> 32) ^ c1 ^ k0;
    c1 = (uint32_t)b;
    c2 = (uint32_t)(a >> 32) ^ c3 ^ k1;
    c3 = (uint32_t)a;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  random[0] = c0;
  random[1] = c1;
  random[2] = c2;
  random[3] = c3;
}

SeerRandom seer_random_make(uint64_t seed, SeerStream stream, uint32_t epoch, uint64_t position, uint32_t lane) {
  uint32_t high = (uint32_t)(position >> 32) & 0xFFFFu;
  SeerRandom random = {
      .key = {(uint32_t)seed, (uint32_t)(seed >> 32)},
      .counter = {0, epoch, (uint32_t)position, high | (lane & 0xFFu) << 16 | (uint32_t)stream << 24},
      .used = 4,
  };
  return random;
}

void seer_random_seek(SeerRandom *random, uint32_t block) {
  random->counter[0] = block;
  random->used = 4;
}

uint32_t seer_random_word(SeerRandom *random) {
  if (random->used == 4) {
    seer_philox(random->counter, random->key, random->block);
    random->counter[0]++;
    random->used = 0;
  }
  return random->block[random->used++];
}

double seer_random_uniform(SeerRandom *random) {
  uint64_t high = seer_random_word(random) >> 5, low = seer_random_word(random) >> 6;
  return (double)(high << 26 | low) * 0x1p-53;
}

double seer_random_between(SeerRandom *random, double low, double high) {
  double offset = (high - low) * seer_random_uniform(random);
  return low + offset;
}

uint32_t seer_random_below(SeerRandom *random, uint32_t count) {
  // Lemire 2019: the high half of word * count is uniform once the low halves that would favour some values are
  // redrawn.
  uint32_t reject_below = -count % count;
  for (;;) {
    uint64_t product = (uint64_t)seer_random_word(random) * count;
    if ((uint32_t)product >= reject_below) { return (uint32_t)(product >> 32); }
  }
}

double seer_random_normal(SeerRandom *random) {
  double radius = sqrt(-2.0 * log(1.0 - seer_random_uniform(random)));
  double angle = 6.283185307179586 * seer_random_uniform(random);
  return radius * cos(angle);
}

int64_t seer_permutation(uint64_t seed, uint32_t epoch, int64_t count, int64_t i) {
  enum { ROUNDS = 8 };
  int half_bits = 1;
  while ((int64_t)1 << (2 * half_bits) < count) { half_bits++; }
  uint32_t mask = (uint32_t)(((uint64_t)1 << half_bits) - 1);
  uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
  uint64_t value = (uint64_t)i;
  do {
    uint32_t left = (uint32_t)(value >> half_bits) & mask, right = (uint32_t)value & mask;
    for (uint32_t round = 0; round < ROUNDS; round++) {
      uint32_t counter[4] = {right, epoch, round, (uint32_t)SEER_STREAM_ORDER << 24}, random[4];
      seer_philox(counter, key, random);
      uint32_t next = left ^ (random[0] & mask);
      left = right;
      right = next;
    }
    value = (uint64_t)left << half_bits | right;
  } while (value >= (uint64_t)count);
  return (int64_t)value;
}
