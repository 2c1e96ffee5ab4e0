// Texts kept once each and known by number: names of pictures, units, values of attributes, labels.
#ifndef SEER_RUNTIME_EVALUATE_WORDS_H
#define SEER_RUNTIME_EVALUATE_WORDS_H

#include <stddef.h>
#include <stdint.h>

// Start from {0}.
typedef struct SeerWords {
  char **items;  // [count]; they stay where they are
  int32_t count, capacity;
  int32_t *slots;  // open addressing; number + 1, 0: free
  uint32_t slot_count;
} SeerWords;

// The number of a text, a new one if it was not there; -1 without memory.
int32_t seer_words_add(SeerWords *words, const char *text);
int32_t seer_words_find(const SeerWords *words, const char *text);  // -1: not there
void seer_words_release(SeerWords *words);

#endif
