// TensorBoard events. Fields used, of tensorflow's event.proto and summary.proto:
//   Event { double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5;
//           SessionLog session_log = 7; }
//   Summary { repeated Value value = 1; }  Value { string tag = 1; float simple_value = 2; }
//   SessionLog { status = 1; }
// A record is: length u64, masked CRC of it, payload, masked CRC of that; all little-endian.
#include "runtime/events.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "runtime/crc32c.h"

enum { EVENT_BYTES_MAX = 4096, WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5, SESSION_START = 1 };

typedef struct Message {
  unsigned char bytes[EVENT_BYTES_MAX];
  size_t length;
} Message;

static void put(Message *message, const void *data, size_t bytes) {
  if (message->length + bytes > sizeof message->bytes) return;  // tags are ours and short
  memcpy(message->bytes + message->length, data, bytes);
  message->length += bytes;
}

static void put_fixed(Message *message, uint64_t value, int bytes) {
  unsigned char little[8];
  for (int i = 0; i < bytes; i++) little[i] = (unsigned char)(value >> (8 * i));
  put(message, little, (size_t)bytes);
}

static void put_varint(Message *message, uint64_t value) {
  do {
    unsigned char byte = (unsigned char)((value & 127) | (value > 127 ? 128u : 0u));
    put(message, &byte, 1);
    value >>= 7;
  } while (value);
}

static void put_key(Message *message, int field, int wire) { put_varint(message, (uint64_t)(field << 3 | wire)); }

static void put_bytes(Message *message, int field, const void *data, size_t bytes) {
  put_key(message, field, WIRE_BYTES);
  put_varint(message, bytes);
  put(message, data, bytes);
}

static void event_begin(Message *message, int64_t step) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  double seconds = (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
  uint64_t bits;
  memcpy(&bits, &seconds, sizeof bits);
  message->length = 0;
  put_key(message, 1, WIRE_64);
  put_fixed(message, bits, 8);
  put_key(message, 2, WIRE_VARINT);
  put_varint(message, (uint64_t)step);
}

static SeerStatus record_write(SeerEvents *events, const Message *message) {
  Message record = {.length = 0};
  put_fixed(&record, message->length, 8);
  put_fixed(&record, seer_crc32c_masked(record.bytes, 8), 4);
  put(&record, message->bytes, message->length);
  put_fixed(&record, seer_crc32c_masked(message->bytes, message->length), 4);
  return seer_fd_write(events->fd, events->path.text, record.bytes, record.length);
}

SeerStatus seer_events_open(SeerEvents *events, const char *folder, int64_t first_step) {
  char host[65] = "host";
  gethostname(host, sizeof host - 1);
  long long now = (long long)time(NULL);
  events->fd = -1;
  SeerStatus status = SEER_OK;
  for (int try = 0; events->fd < 0 && !status; try++) {
    status = seer_path_print(&events->path, "%s/events.out.tfevents.%010lld.%s.%d", folder, now, host, try);
    if (status) return status;
    events->fd = open(events->path.text, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0666);
    if (events->fd < 0 && (errno != EEXIST || try == 1000)) {
      status = seer_fail(SEER_MACHINE, "cannot create '%s': %s", events->path.text, strerror(errno));
    }
  }
  if (status) return status;
  Message message = {.length = 0};
  event_begin(&message, 0);
  put_bytes(&message, 3, "brain.Event:2", 13);
  status = record_write(events, &message);
  if (status || first_step == 0) return status;
  static const unsigned char session_start[] = {1 << 3 | WIRE_VARINT, SESSION_START};
  event_begin(&message, first_step);
  put_bytes(&message, 7, session_start, sizeof session_start);
  return record_write(events, &message);
}

SeerStatus seer_events_write(SeerEvents *events, int64_t step, const SeerScalar *scalars, int count) {
  if (events->fd < 0) return SEER_OK;
  Message summary = {.length = 0}, event;
  for (int i = 0; i < count; i++) {
    Message value = {.length = 0};
    float number = (float)scalars[i].value;
    uint32_t bits;
    memcpy(&bits, &number, sizeof bits);
    put_bytes(&value, 1, scalars[i].tag, strlen(scalars[i].tag));
    put_key(&value, 2, WIRE_32);
    put_fixed(&value, bits, 4);
    put_bytes(&summary, 1, value.bytes, value.length);
  }
  event_begin(&event, step);
  put_bytes(&event, 5, summary.bytes, summary.length);
  return record_write(events, &event);
}

void seer_events_close(SeerEvents *events) {
  if (events->fd >= 0) close(events->fd);
  events->fd = -1;
}
