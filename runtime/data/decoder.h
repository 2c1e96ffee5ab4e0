// Decodes the pictures of a source for one thread, which reads them: by itself, or in the sandbox (sandbox.h), on a
// thread that is handed bytes and gives pixels.
#ifndef SEER_RUNTIME_DATA_DECODER_H
#define SEER_RUNTIME_DATA_DECODER_H

#include "runtime/data/source.h"

typedef struct SeerDecoder SeerDecoder;

// SEER_MACHINE: want of memory or threads, or there is no sandbox here. Beside them nothing is kept.
SeerStatus seer_decoder_make(const SeerSource *source, bool sandboxed, SeerDecoder **decoder);
void seer_decoder_release(SeerDecoder *decoder);
const SeerSource *seer_decoder_source(const SeerDecoder *decoder);

// As seer_source_decode and seer_source_decode_read. One thread at a time; `reason` lasts until the next call.
SeerStatus seer_decoder_decode(SeerDecoder *decoder, int64_t picture, int64_t max_pixels, SeerPicture *decoded,
                               const char **reason);
SeerStatus seer_decoder_decode_read(SeerDecoder *decoder, int64_t picture, int64_t max_pixels, size_t count,
                                    SeerPicture *decoded, const char **reason);

#endif
