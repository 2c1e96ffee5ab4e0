// Makes keys that every reader of WebDataset tars takes apart alike; see keys.h.
#include "compiler/data/keys.h"

#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "runtime/data/picture_set.h"
#include "runtime/utf8.h"

enum { KEY_BYTES_MAX = 1024, HASH_DIGITS = 16 };

static char *key_clean(Arena *arena, const char *name) {
  const char *slash = strrchr(name, '/'), *dot = strrchr(slash != NULL ? slash + 1 : name, '.');
  size_t length = dot != NULL && dot != name && dot[-1] != '/' ? (size_t)(dot - name) : strlen(name);
  size_t base = slash != NULL ? (size_t)(slash + 1 - name) : 0, used = 0;
  char *key = arena_alloc(arena, 2 * length + HASH_DIGITS + 2);
  for (size_t i = 0; i < length;) {
    size_t bytes = seer_utf8_length(name + i);
    unsigned char first = (unsigned char)name[i];
    bool begins = i == 0 || name[i - 1] == '/';
    bool bad = bytes == 0 || first < 0x20 || first == 0x7F || first == '\\' || (first == '.' && i >= base);
    if (begins && first == '.' && !bad) key[used++] = '_';
    if (bytes <= 1) {
      key[used++] = bad ? '_' : name[i];
    } else {
      memcpy(key + used, name + i, bytes);
      used += bytes;
    }
    i += bytes > 0 ? bytes : 1;
  }
  if (used > KEY_BYTES_MAX) {
    used = KEY_BYTES_MAX - HASH_DIGITS - 1;
    while (((unsigned char)key[used] & 0xC0) == 0x80) used--;  // no half of a character
    snprintf(key + used, HASH_DIGITS + 2, "-%016llx", (unsigned long long)XXH3_64bits(name, strlen(name)));
    used += HASH_DIGITS + 1;
  }
  key[used] = '\0';
  return key;
}

// By hash: two keys that share one only get a number that they would not need.
static bool key_add(SeerPictureSet *set, const char *key, bool *fresh) {
  return seer_picture_set_add(set, (int64_t)(XXH3_64bits(key, strlen(key)) >> 2), fresh);
}

const char **data_keys_make(Arena *arena, const DataSamples *samples) {
  const char **keys = arena_array(arena, const char *, samples->count + 1);
  SeerPictureSet set = {0};
  bool fine = true;
  for (size_t i = 0; fine && i < samples->count; i++) {
    const char *wanted = key_clean(arena, samples->items[i].name);
    bool fresh = false;
    keys[i] = wanted;
    fine = key_add(&set, wanted, &fresh);
    for (int number = 2; fine && !fresh; number++) {
      keys[i] = arena_printf(arena, "%s~%d", wanted, number);
      fine = key_add(&set, keys[i], &fresh);
    }
  }
  free(set.slots);
  if (fine) return keys;
  seer_fail(SEER_MACHINE, "out of memory for the keys of %zu pictures", samples->count);
  return NULL;
}
