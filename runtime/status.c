// The first error of a run, kept with its context until the program prints it. Later errors are usually its echoes, so
// they are dropped. Any thread may report.
#include "runtime/status.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { ERROR_BYTES = 8192 };

static pthread_mutex_t error_lock = PTHREAD_MUTEX_INITIALIZER;
static char error_text[ERROR_BYTES];

SeerStatus seer_fail(SeerStatus status, const char *format, ...) {
  pthread_mutex_lock(&error_lock);
  if (error_text[0] == '\0') {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error_text, sizeof error_text, format, arguments);
    va_end(arguments);
  }
  pthread_mutex_unlock(&error_lock);
  return status;
}

SeerStatus seer_context(SeerStatus status, const char *format, ...) {
  char context[1024];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(context, sizeof context - 2, format, arguments);
  va_end(arguments);
  memcpy(context + strlen(context), ": ", sizeof ": ");

  pthread_mutex_lock(&error_lock);
  if (error_text[0] != '\0') {
    size_t prefix = strlen(context), length = strlen(error_text);
    if (length > sizeof error_text - 1 - prefix) { length = sizeof error_text - 1 - prefix; }
    memmove(error_text + prefix, error_text, length);
    memcpy(error_text, context, prefix);
    error_text[prefix + length] = '\0';
  }
  pthread_mutex_unlock(&error_lock);
  return status;
}

const char *seer_error(void) { return error_text; }

void seer_error_print(const char *name) {
  if (*seer_error()) fprintf(stderr, "%s: error: %s\n", name, seer_error());
  seer_error_clear();
}

void seer_error_clear(void) {
  pthread_mutex_lock(&error_lock);
  error_text[0] = '\0';
  pthread_mutex_unlock(&error_lock);
}
