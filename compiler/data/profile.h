// Which colours a picture's numbers stand for, as its file says: ICC profiles of JPEG, PNG and WebP, and what else PNG
// and Adobe's JPEGs tell. Trainers take the numbers as they stand, so what is not sRGB is worth knowing.
#ifndef SEER_COMPILER_DATA_PROFILE_H
#define SEER_COMPILER_DATA_PROFILE_H

#include <stddef.h>
#include <stdint.h>

enum { DATA_PROFILE_BYTES = 80 };

// "Display P3", "CMYK: Coated FOGRA39" of a profile that is not one of RGB, "CMYK" without a profile, "sRGB" or "gamma
// 1.80" of PNG, "damaged profile"; UTF-8, cut at DATA_PROFILE_BYTES - 1. Empty: the file says nothing. At most 1 MiB of
// a profile is unpacked.
void data_profile_find(const uint8_t *bytes, size_t count, char text[DATA_PROFILE_BYTES]);

#endif
