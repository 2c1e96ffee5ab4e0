// The list of pictures seen; see picture_list.h.
#include "runtime/picture_list.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

SeerStatus seer_picture_list_open(const char *run, int rank, SeerPictureList *list) {
  char name[48] = "pictures.jsonl";
  list->fd = -1;
  if (rank > 0) snprintf(name, sizeof name, "pictures-rank%d.jsonl", rank);
  SeerStatus status = seer_path_print(&list->path, "%s/%s", run, name);
  if (status) return status;
  list->fd = open(list->path.text, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (list->fd >= 0) return SEER_OK;
  return seer_fail(SEER_MACHINE, "cannot write '%s': %s", list->path.text, strerror(errno));
}

SeerStatus seer_picture_list_add(const SeerPictureList *list, int64_t step, const int64_t *pictures, int count) {
  size_t capacity = (size_t)count * 24 + 64;
  char *text = malloc(capacity);
  if (!text) return seer_fail(SEER_MACHINE, "no memory to write '%s'", list->path.text);
  size_t at = (size_t)snprintf(text, capacity, "{\"step\": %lld, \"pictures\": [", (long long)step);
  for (int i = 0; i < count; i++)
    at += (size_t)snprintf(text + at, capacity - at, "%s%lld", i ? ", " : "", (long long)pictures[i]);
  at += (size_t)snprintf(text + at, capacity - at, "]}\n");
  SeerStatus status = seer_fd_write(list->fd, list->path.text, text, at);
  free(text);
  return status;
}

void seer_picture_list_close(SeerPictureList *list) {
  if (list->fd >= 0) close(list->fd);
  list->fd = -1;
}
