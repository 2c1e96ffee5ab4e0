// The thread in the sandbox and the one that hands it pictures take turns: what is to be decoded lies in the decoder.
#include "runtime/data/decoder.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/data/sandbox.h"

typedef enum Turn { TURN_STARTING, TURN_WAITING, TURN_WORKING, TURN_STOPPING, TURN_FAILED } Turn;

struct SeerDecoder {
  const SeerSource *source;
  bool sandboxed;
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t changed;
  Turn turn;
  // what is decoded
  int64_t picture, max_pixels;
  size_t count;
  SeerPicture *decoded;
  // what came of it
  SeerStatus status;
  const char *reason;
};

static const char *picture_name(const void *context) {
  const SeerDecoder *decoder = context;
  return decoder->decoded != NULL ? seer_source_name(decoder->source, decoder->picture) : "no picture yet";
}

static void *sandbox_run(void *argument) {
  SeerDecoder *decoder = argument;
  decoder->status = seer_sandbox_enter(picture_name, decoder);
  pthread_mutex_lock(&decoder->lock);
  decoder->turn = decoder->status == SEER_OK ? TURN_WAITING : TURN_FAILED;
  pthread_cond_signal(&decoder->changed);
  while (decoder->turn != TURN_STOPPING && decoder->turn != TURN_FAILED) {
    if (decoder->turn != TURN_WORKING) {
      pthread_cond_wait(&decoder->changed, &decoder->lock);
      continue;
    }
    pthread_mutex_unlock(&decoder->lock);
    decoder->status = seer_source_decode_read(decoder->source, decoder->picture, decoder->max_pixels, decoder->count,
                                              decoder->decoded, &decoder->reason);
    pthread_mutex_lock(&decoder->lock);
    decoder->turn = TURN_WAITING;
    pthread_cond_signal(&decoder->changed);
  }
  pthread_mutex_unlock(&decoder->lock);
  return NULL;
}

static SeerStatus sandbox_start(SeerDecoder *decoder) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);  // signals are the main thread's business
  int failed = pthread_create(&decoder->thread, NULL, sandbox_run, decoder);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (failed != 0) {
    return seer_fail(SEER_MACHINE, "cannot start a thread that decodes: %s\nnote: set fewer data.decode_threads",
                     strerror(failed));
  }
  pthread_mutex_lock(&decoder->lock);
  while (decoder->turn == TURN_STARTING) { pthread_cond_wait(&decoder->changed, &decoder->lock); }
  SeerStatus status = decoder->status;
  pthread_mutex_unlock(&decoder->lock);
  if (status != SEER_OK) { pthread_join(decoder->thread, NULL); }
  return status;
}

SeerStatus seer_decoder_make(const SeerSource *source, bool sandboxed, SeerDecoder **decoder) {
  *decoder = NULL;
  SeerDecoder *made = calloc(1, sizeof *made);
  if (made == NULL) { return seer_fail(SEER_MACHINE, "out of memory to decode pictures"); }
  *made = (SeerDecoder){.source = source, .sandboxed = sandboxed};
  pthread_mutex_init(&made->lock, NULL);
  pthread_cond_init(&made->changed, NULL);
  SeerStatus status = sandboxed ? sandbox_start(made) : SEER_OK;
  if (status != SEER_OK) {
    made->sandboxed = false;
    seer_decoder_release(made);
    return status;
  }
  *decoder = made;
  return SEER_OK;
}

void seer_decoder_release(SeerDecoder *decoder) {
  if (decoder == NULL) { return; }
  if (decoder->sandboxed) {
    pthread_mutex_lock(&decoder->lock);
    decoder->turn = TURN_STOPPING;
    pthread_cond_signal(&decoder->changed);
    pthread_mutex_unlock(&decoder->lock);
    pthread_join(decoder->thread, NULL);
  }
  pthread_cond_destroy(&decoder->changed);
  pthread_mutex_destroy(&decoder->lock);
  free(decoder);
}

const SeerSource *seer_decoder_source(const SeerDecoder *decoder) { return decoder->source; }

SeerStatus seer_decoder_decode_read(SeerDecoder *decoder, int64_t picture, int64_t max_pixels, size_t count,
                                    SeerPicture *decoded, const char **reason) {
  if (!decoder->sandboxed) {
    return seer_source_decode_read(decoder->source, picture, max_pixels, count, decoded, reason);
  }
  pthread_mutex_lock(&decoder->lock);
  decoder->picture = picture;
  decoder->max_pixels = max_pixels;
  decoder->count = count;
  decoder->decoded = decoded;
  decoder->turn = TURN_WORKING;
  pthread_cond_signal(&decoder->changed);
  while (decoder->turn == TURN_WORKING) { pthread_cond_wait(&decoder->changed, &decoder->lock); }
  SeerStatus status = decoder->status;
  *reason = decoder->reason;
  pthread_mutex_unlock(&decoder->lock);
  return status;
}

SeerStatus seer_decoder_decode(SeerDecoder *decoder, int64_t picture, int64_t max_pixels, SeerPicture *decoded,
                               const char **reason) {
  size_t count;
  SeerStatus status =
      seer_source_read(decoder->source, picture, seer_source_byte_limit(max_pixels), &decoded->file, &count, reason);
  return status != SEER_OK ? status : seer_decoder_decode_read(decoder, picture, max_pixels, count, decoded, reason);
}
