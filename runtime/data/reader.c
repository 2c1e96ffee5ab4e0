// Pictures of files that a reader of the user's own takes; see reader.h. What it lists is checked against the file.
#include "runtime/data/reader.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "runtime/data/catalogue.h"

bool seer_reader_takes(const char *path, const uint8_t *start, size_t count) {
  return &seer_reader != NULL && seer_reader.takes(path, start, count);
}

typedef struct Listing {
  SeerSource *source;
  const char *path;
  uint64_t bytes;  // of the file
  int32_t container;
} Listing;

static SeerStatus picture_add(void *context, const SeerReaderPicture *picture) {
  const Listing *listing = context;
  char name[8192];
  int length = snprintf(name, sizeof name, "%s:%s", listing->path, picture->name);
  if (picture->size > listing->bytes || picture->offset > listing->bytes - picture->size) {
    return seer_fail(SEER_INPUT,
                     "'%s' has %llu bytes, too few for its picture '%s', of %llu at %llu\nnote: copy the "
                     "file again, if its reader is right",
                     listing->path, (unsigned long long)listing->bytes, picture->name,
                     (unsigned long long)picture->size, (unsigned long long)picture->offset);
  }
  if (length >= (int)sizeof name) {
    return seer_fail(SEER_INPUT, "a picture of '%s' has too long a name", listing->path);
  }
  SeerItem item = {.name = seer_catalogue_string(listing->source, name, (size_t)length),
                   .offset = picture->offset,
                   .size = picture->size,
                   .container = listing->container,
                   .label = -1};
  if (item.name == NULL) { return SEER_MACHINE; }
  if (picture->label != NULL) {
    SeerStatus status = seer_catalogue_label(listing->source, picture->label, strlen(picture->label), &item.label);
    if (status != SEER_OK) { return status; }
  }
  return seer_catalogue_item(listing->source, item);
}

SeerStatus seer_reader_add(SeerSource *source, const char *path) {
  SeerContainer container = {.kind = SEER_OWN, .path = seer_catalogue_string(source, path, strlen(path))};
  Listing listing = {.source = source, .path = path};
  struct stat info;
  if (stat(path, &info) != 0) { return seer_fail(SEER_INPUT, "cannot read '%s': %s", path, strerror(errno)); }
  listing.bytes = (uint64_t)info.st_size;
  if (container.path == NULL || seer_catalogue_container(source, container, &listing.container) != SEER_OK) {
    return SEER_MACHINE;
  }
  return seer_reader.list(path, picture_add, &listing);
}

bool seer_reader_decode(const uint8_t *bytes, size_t count, int64_t max_pixels, SeerPicture *picture,
                        const char **reason) {
  return seer_reader.decode != NULL ? seer_reader.decode(bytes, count, max_pixels, picture, reason)
                                    : seer_decode(bytes, count, max_pixels, picture, reason);
}
