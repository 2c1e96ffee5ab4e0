// Random numbers addressed by what they are for, not by how many were drawn before: Philox4x32-10 (Salmon et al., 2011)
// with the seed as key and (stream, epoch, position, lane, block) as counter. Any thread, any order, any resume point
// gives the same numbers.
#ifndef SEER_RUNTIME_RANDOM_H
#define SEER_RUNTIME_RANDOM_H

#include <stdint.h>

// Purposes never share numbers. At most 256.
typedef enum SeerStream {
  SEER_STREAM_ORDER,
  SEER_STREAM_VIEWS,
  SEER_STREAM_INIT,
  SEER_STREAM_STEP,
  SEER_STREAM_SAMPLE,       // which pictures monitor counts
  SEER_STREAM_BOOTSTRAP,    // items drawn again, for intervals
  SEER_STREAM_HEAD,         // heads of runtime/evaluate: their start, their dropout
  SEER_STREAM_PROBE_VIEWS,  // views of pictures whose features heads are trained on
  SEER_STREAM_PICK          // some pictures of a set
} SeerStream;

typedef struct SeerRandom {
  uint32_t key[2], counter[4], block[4];
  int used;  // words of `block` handed out
} SeerRandom;

// The bare function: 128 bits of counter to 128 random bits.
void seer_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t random[4]);

// position < 2^48, lane < 256. A sequence holds 2^34 words.
SeerRandom seer_random_make(uint64_t seed, SeerStream stream, uint32_t epoch, uint64_t position, uint32_t lane);
// Continues at word 4 * block: lets threads share one long sequence.
void seer_random_seek(SeerRandom *random, uint32_t block);
uint32_t seer_random_word(SeerRandom *random);
double seer_random_uniform(SeerRandom *random);                           // [0, 1), 53 bits, two words
double seer_random_between(SeerRandom *random, double low, double high);  // [low, high)
uint32_t seer_random_below(SeerRandom *random, uint32_t count);           // 0..count-1, no bias; count >= 1
double seer_random_normal(SeerRandom *random);                            // mean 0, deviation 1; four words

// The i-th of a permutation of 0..count-1 that (seed, epoch) names, without a table. 0 <= i < count <= 2^48.
int64_t seer_permutation(uint64_t seed, uint32_t epoch, int64_t count, int64_t i);

#endif
