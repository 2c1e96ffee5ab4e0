// The first error of a run, kept with its context until the program prints it. Later errors are usually its echoes, so
// they are dropped. Any thread may report.
#include "runtime/status.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static pthread_mutex_t error_lock = PTHREAD_MUTEX_INITIALIZER;
static char error_text[SEER_ERROR_BYTES];
static _Thread_local char *kept_text;  // NULL: error_text

static char *text_of_thread(void) { return kept_text ? kept_text : error_text; }

void seer_error_keep(char *text) {
  if (text) text[0] = '\0';
  kept_text = text;
}

SeerStatus seer_fail(SeerStatus status, const char *format, ...) {
  char *text = text_of_thread();
  pthread_mutex_lock(&error_lock);
  if (text[0] == '\0') {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, SEER_ERROR_BYTES, format, arguments);
    va_end(arguments);
  }
  pthread_mutex_unlock(&error_lock);
  return status;
}

SeerStatus seer_context(SeerStatus status, const char *format, ...) {
  char context[1024], *text = text_of_thread();
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(context, sizeof context - 2, format, arguments);
  va_end(arguments);
  memcpy(context + strlen(context), ": ", sizeof ": ");

  pthread_mutex_lock(&error_lock);
  if (text[0] != '\0') {
    size_t prefix = strlen(context), length = strlen(text);
    if (length > SEER_ERROR_BYTES - 1 - prefix) { length = SEER_ERROR_BYTES - 1 - prefix; }
    memmove(text + prefix, text, length);
    memcpy(text, context, prefix);
    text[prefix + length] = '\0';
  }
  pthread_mutex_unlock(&error_lock);
  return status;
}

SeerStatus seer_note(SeerStatus status, const char *format, ...) {
  char *text = text_of_thread();
  pthread_mutex_lock(&error_lock);
  size_t length = strlen(text);
  if (length) {
    va_list arguments;
    va_start(arguments, format);
    length += (size_t)snprintf(text + length, SEER_ERROR_BYTES - length, "\nnote: ");
    if (length < SEER_ERROR_BYTES) vsnprintf(text + length, SEER_ERROR_BYTES - length, format, arguments);
    va_end(arguments);
  }
  pthread_mutex_unlock(&error_lock);
  return status;
}

const char *seer_error(void) { return text_of_thread(); }

void seer_error_print(const char *name) {
  if (*seer_error()) fprintf(stderr, "%s: error: %s\n", name, seer_error());
  seer_error_clear();
}

void seer_error_clear(void) {
  pthread_mutex_lock(&error_lock);
  text_of_thread()[0] = '\0';
  pthread_mutex_unlock(&error_lock);
}
