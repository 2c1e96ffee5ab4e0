// Finds the profile in a file and the description in the profile. Nothing in either is trusted: every length is
// compared with what is there.
#include "compiler/data/profile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "runtime/data/catalogue.h"
#include "runtime/utf8.h"

enum { PROFILE_MOST = 1 << 20, HEADER = 128, TAG = 12, TAGS_MOST = 1000, GAMMA_OF_SRGB = 45455 };

typedef struct Bytes {
  const uint8_t *at;
  size_t count;
} Bytes;

static uint32_t big(const uint8_t *bytes, int length) {
  uint32_t value = 0;
  for (int i = 0; i < length; i++) value = value << 8 | bytes[i];
  return value;
}

static uint32_t little(const uint8_t *bytes) {
  return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

// [offset, offset + count) of `bytes`, or nothing.
static Bytes slice(Bytes bytes, size_t offset, size_t count) {
  if (offset > bytes.count || count > bytes.count - offset) return (Bytes){0};
  return (Bytes){bytes.at + offset, count};
}

// ---- text ----

// Appends UTF-8 while it fits; controls become blanks.
static void text_add(char text[DATA_PROFILE_BYTES], uint32_t letter) {
  size_t used = strlen(text);
  int length = letter < 0x80 ? 1 : letter < 0x800 ? 2 : letter < 0x10000 ? 3 : 4;
  if (letter < 0x20 || letter == 0x7F) letter = ' ';
  if (used + (size_t)length >= DATA_PROFILE_BYTES || (letter == ' ' && used == 0)) return;
  static const uint8_t heads[] = {0, 0, 0xC0, 0xE0, 0xF0};
  for (int i = length - 1; i > 0; i--, letter >>= 6) text[used + (size_t)i] = (char)(0x80 | (letter & 0x3F));
  text[used] = (char)(heads[length] | letter);
  text[used + (size_t)length] = '\0';
}

static void text_end(char text[DATA_PROFILE_BYTES]) {
  for (size_t used = strlen(text); used > 0 && text[used - 1] == ' '; used--) text[used - 1] = '\0';
}

static void latin_add(char text[DATA_PROFILE_BYTES], Bytes letters) {
  for (size_t i = 0; i < letters.count && letters.at[i] != 0; i++) text_add(text, letters.at[i]);
}

static void utf16_add(char text[DATA_PROFILE_BYTES], Bytes letters) {
  for (size_t i = 0; i + 2 <= letters.count; i += 2) {
    uint32_t letter = big(letters.at + i, 2);
    if (letter == 0) return;
    if (letter >= 0xD800 && letter < 0xDC00 && i + 4 <= letters.count) {
      letter = 0x10000 + ((letter & 0x3FF) << 10) + (big(letters.at + i + 2, 2) & 0x3FF);
      i += 2;
    } else if (letter >= 0xD800 && letter < 0xE000) {
      letter = 0xFFFD;
    }
    text_add(text, letter);
  }
}

// ---- profiles ----

// ICC.1:2010, 10.13 and ICC.1:2001, 6.5.17: the first name of a multi-localised one, or plain text.
static void description_add(char text[DATA_PROFILE_BYTES], Bytes tag) {
  if (tag.count >= 28 && memcmp(tag.at, "mluc", 4) == 0 && big(tag.at + 8, 4) > 0)
    utf16_add(text, slice(tag, big(tag.at + 24, 4), big(tag.at + 20, 4)));
  if (tag.count >= 12 && memcmp(tag.at, "desc", 4) == 0) latin_add(text, slice(tag, 12, big(tag.at + 8, 4)));
}

static void profile_describe(Bytes profile, char text[DATA_PROFILE_BYTES]) {
  char description[DATA_PROFILE_BYTES] = "";
  bool sound = profile.count >= HEADER + 4 && memcmp(profile.at + 36, "acsp", 4) == 0;
  uint32_t tags = sound ? big(profile.at + HEADER, 4) : 0;
  for (uint32_t i = 0; i < tags && i < TAGS_MOST; i++) {
    Bytes tag = slice(profile, HEADER + 4 + (size_t)i * TAG, TAG);
    if (tag.count == 0) break;
    if (memcmp(tag.at, "desc", 4) != 0) continue;
    description_add(description, slice(profile, big(tag.at + 4, 4), big(tag.at + 8, 4)));
    break;
  }
  text_end(description);
  if (!sound) {
    snprintf(text, DATA_PROFILE_BYTES, "damaged profile");
    return;
  }
  if (memcmp(profile.at + 16, "RGB ", 4) != 0) {
    latin_add(text, slice(profile, 16, 4));
    text_end(text);
    latin_add(text, (Bytes){(const uint8_t *)": ", 2});
  }
  const char *from = *description != '\0' ? description : "without a name";
  size_t used = strlen(text), length = strlen(from);
  if (length > DATA_PROFILE_BYTES - 1 - used) length = DATA_PROFILE_BYTES - 1 - used;
  while (length > 0 && ((unsigned char)from[length] & 0xC0) == 0x80) length--;
  memcpy(text + used, from, length);
  text[used + length] = '\0';
}

// ---- files ----

// Segments until the scan; a profile may be cut into several, numbered from 1, in any order.
static void jpeg_find(Bytes file, char text[DATA_PROFILE_BYTES]) {
  static const char magic[] = "ICC_PROFILE";
  Bytes parts[256] = {{0}};
  size_t whole = 0;
  int components = 0;
  for (size_t at = 2; at + 4 <= file.count && file.at[at] == 0xFF;) {
    uint8_t marker = file.at[at + 1];
    if (marker == 0xFF || marker == 0x01 || (marker >= 0xD0 && marker <= 0xD8)) {
      at += marker == 0xFF ? 1 : 2;
      continue;
    }
    if (marker == 0xD9 || marker == 0xDA) break;
    size_t size = big(file.at + at + 2, 2);
    Bytes segment = size >= 2 ? slice(file, at + 4, size - 2) : (Bytes){0};
    bool is_frame = marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
    if (is_frame && segment.count >= 6) components = segment.at[5];
    if (marker == 0xE2 && segment.count > 14 && memcmp(segment.at, magic, sizeof magic) == 0) {
      Bytes *part = &parts[segment.at[12]];
      if (part->at == NULL) *part = (Bytes){segment.at + 14, segment.count - 14}, whole += part->count;
    }
    at += 2 + (size > 2 ? size : 2);
  }
  uint8_t *profile = whole > 0 && whole <= PROFILE_MOST ? malloc(whole) : NULL;
  size_t used = 0;
  for (int i = 0; profile != NULL && i < 256; i++) {
    if (parts[i].at == NULL) continue;
    memcpy(profile + used, parts[i].at, parts[i].count);
    used += parts[i].count;
  }
  if (whole > 0)
    profile_describe((Bytes){profile, used}, text);
  else if (components == 4)
    snprintf(text, DATA_PROFILE_BYTES, "CMYK");
  free(profile);
}

// iCCP: a name, NUL, method 0, a zlib stream.
static void png_profile(Bytes chunk, char text[DATA_PROFILE_BYTES]) {
  size_t name = strnlen((const char *)chunk.at, chunk.count);
  Bytes packed = slice(chunk, name + 2, chunk.count > name + 2 ? chunk.count - name - 2 : 0);
  uint8_t *profile = malloc(PROFILE_MOST);
  z_stream stream = {.next_in = (Bytef *)(uintptr_t)packed.at, .avail_in = (uInt)packed.count};
  stream.next_out = profile;
  stream.avail_out = PROFILE_MOST;
  size_t unpacked = 0;
  if (profile != NULL && packed.count > 0 && inflateInit(&stream) == Z_OK) {
    inflate(&stream, Z_FINISH);
    unpacked = PROFILE_MOST - stream.avail_out;  // of a longer one the beginning will do
    inflateEnd(&stream);
  }
  profile_describe((Bytes){profile, unpacked}, text);
  free(profile);
}

// The profile counts, else sRGB, else the gamma, whatever their order before the pixels.
static void png_find(Bytes file, char text[DATA_PROFILE_BYTES]) {
  uint32_t gamma = 0;
  bool is_srgb = false;
  for (size_t at = 8; at + 8 <= file.count;) {
    const uint8_t *kind = file.at + at + 4;
    Bytes chunk = slice(file, at + 8, big(file.at + at, 4));
    if (memcmp(kind, "IDAT", 4) == 0 || (chunk.count == 0 && big(file.at + at, 4) > 0)) break;
    if (memcmp(kind, "iCCP", 4) == 0 && chunk.count > 0) {
      png_profile(chunk, text);
      return;
    }
    is_srgb |= memcmp(kind, "sRGB", 4) == 0;
    if (memcmp(kind, "gAMA", 4) == 0 && chunk.count == 4) gamma = big(chunk.at, 4);
    at += 12 + chunk.count;
  }
  if (is_srgb)
    snprintf(text, DATA_PROFILE_BYTES, "sRGB");
  else if (gamma > 0 && (gamma < GAMMA_OF_SRGB - 1000 || gamma > GAMMA_OF_SRGB + 1000))
    snprintf(text, DATA_PROFILE_BYTES, "gamma %.2f", 100000.0 / gamma);
}

static void webp_find(Bytes file, char text[DATA_PROFILE_BYTES]) {
  for (size_t at = 12; at + 8 <= file.count;) {
    size_t size = little(file.at + at + 4);
    Bytes chunk = slice(file, at + 8, size);
    if (chunk.count < size) return;
    if (memcmp(file.at + at, "ICCP", 4) == 0) {
      profile_describe(chunk, text);
      return;
    }
    at += 8 + size + (size & 1);
  }
}

void data_profile_find(const uint8_t *bytes, size_t count, char text[DATA_PROFILE_BYTES]) {
  text[0] = '\0';
  if (!seer_magic_is_picture(bytes, count)) return;
  (bytes[0] == 0xFF ? jpeg_find : bytes[0] == 0x89 ? png_find : webp_find)((Bytes){bytes, count}, text);
}
