// Opens a set of pictures: expands the patterns, sends each file to its reader, sorts the labels; then reads and
// decodes single pictures, from any thread, opening the file each time (a run may name more shards than a process may
// hold open).
#include "runtime/data/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "runtime/data/catalogue.h"
#include "runtime/data/decode.h"
#include "runtime/data/paths.h"

enum { TAR_MAGIC_AT = 257, PROBE_BYTES = 512 };

// The first bytes of a file; fewer when it is shorter or cannot be read.
static size_t file_probe(const char *path, uint8_t *bytes, size_t room) {
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) { return 0; }
  ssize_t got = pread(file, bytes, room, 0);
  close(file);
  return got > 0 ? (size_t)got : 0;
}

static SeerStatus file_add(SeerSource *source, const SeerFound *path, int32_t folder) {
  SeerItem item = {
      .name = seer_catalogue_string(source, path->path, strlen(path->path)), .container = folder, .label = -1};
  if (item.name == NULL) { return SEER_MACHINE; }
  const char *relative = path->path + path->root_length;
  relative += strspn(relative, "/");
  const char *slash = strrchr(relative, '/');
  if (path->root_length < strlen(path->path) && slash != NULL) {
    SeerStatus status = seer_catalogue_label(source, relative, (size_t)(slash - relative), &item.label);
    if (status != SEER_OK) { return status; }
  }
  return seer_catalogue_item(source, item);
}

// A file that the user named: it must be something.
static SeerStatus named_add(SeerSource *source, const SeerFound *path, int32_t folder) {
  uint8_t start[PROBE_BYTES];
  SeerSuffix suffix = seer_suffix_of(path->path);
  size_t count = file_probe(path->path, start, sizeof start);
  if (seer_reader_takes(path->path, start, count)) { return seer_reader_add(source, path->path); }
  if (count >= 8 && memcmp(start, SEER_INDEX_MAGIC, 8) == 0) { return seer_indexed_add(source, path->path); }
  if (seer_magic_is_picture(start, count) || suffix == SEER_SUFFIX_PICTURE) { return file_add(source, path, folder); }
  if (suffix == SEER_SUFFIX_TAR || (count >= TAR_MAGIC_AT + 5 && memcmp(start + TAR_MAGIC_AT, "ustar", 5) == 0)) {
    return seer_tar_index(source, path->path);
  }
  size_t length = strlen(path->path);
  bool gzip = count >= 2 && start[0] == 0x1F && start[1] == 0x8B;
  if (gzip && ((length > 7 && strcmp(path->path + length - 7, ".tar.gz") == 0) ||
               (length > 4 && strcmp(path->path + length - 4, ".tgz") == 0))) {
    return seer_fail(SEER_INPUT,
                     "'%s' is a compressed archive\nnote: pictures are compressed already, and a shard must be "
                     "read in any order: unpack it with gzip -d",
                     path->path);
  }
  if (gzip || seer_idx_is(start, count)) { return seer_idx_images(source, path->path); }
  if (suffix == SEER_SUFFIX_UNREAD) {
    return seer_fail(SEER_INPUT, "'%s' is of a kind that seer does not read\nnote: pictures are JPEG, PNG or WebP",
                     path->path);
  }
  return seer_fail(SEER_INPUT,
                   "'%s' is no picture, tar archive, IDX file or index\nnote: of a table that names pictures make an "
                   "index: 'seerc data index TABLE.csv -o NAME.index'",
                   path->path);
}

static SeerStatus found_add(SeerSource *source, const SeerFound *path, int32_t folder) {
  const char *slash = strrchr(path->path, '/');
  if (strcmp(slash != NULL ? slash + 1 : path->path, SEER_INDEX_NAME) == 0) {
    return seer_indexed_add(source, path->path);
  }
  switch (seer_suffix_of(path->path)) {
    case SEER_SUFFIX_PICTURE: return file_add(source, path, folder);
    case SEER_SUFFIX_TAR: return seer_tar_index(source, path->path);
    case SEER_SUFFIX_UNREAD:
    case SEER_SUFFIX_OTHER: break;
  }
  uint8_t start[PROBE_BYTES];
  size_t count = file_probe(path->path, start, sizeof start);
  if (seer_reader_takes(path->path, start, count)) { return seer_reader_add(source, path->path); }
  if (seer_suffix_of(path->path) == SEER_SUFFIX_UNREAD) {
    source->unread++;
    return SEER_OK;
  }
  return seer_magic_is_picture(start, count) ? file_add(source, path, folder) : SEER_OK;
}

static SeerStatus empty_fail(const SeerSource *source, const char *const *patterns, size_t files) {
  char looked_at[1024];
  size_t used = 0;
  looked_at[0] = '\0';
  for (size_t i = 0; patterns[i] != NULL && used < sizeof looked_at; i++) {
    used += (size_t)snprintf(looked_at + used, sizeof looked_at - used, "%s'%s'", i > 0 ? ", " : "", patterns[i]);
  }
  if (source->unread > 0) {
    return seer_fail(SEER_INPUT,
                     "no pictures in %s: of %zu files, %lld are pictures of kinds that seer does not read\n"
                     "note: convert them to JPEG, PNG or WebP",
                     looked_at, files, (long long)source->unread);
  }
  return seer_fail(SEER_INPUT,
                   "no pictures in %s: looked at %zu files\nnote: pictures are JPEG, PNG or WebP, in folders, "
                   ".tar shards or IDX files",
                   looked_at, files);
}

static SeerStatus source_fill(SeerSource *source, const char *const *patterns, const char *labels, SeerPaths *paths) {
  int32_t folder = 0;
  SeerStatus status = seer_catalogue_container(source, (SeerContainer){.kind = SEER_FOLDER}, &folder);
  for (size_t i = 0; status == SEER_OK && patterns[i] != NULL; i++) { status = seer_paths_expand(paths, patterns[i]); }
  if (status != SEER_OK) { return status; }
  seer_paths_sort(paths);
  for (size_t i = 0; status == SEER_OK && i < paths->count; i++) {
    const SeerFound *path = &paths->items[i];
    status = path->from_folder ? found_add(source, path, folder) : named_add(source, path, folder);
  }
  source->total = source->count;
  for (int i = 0; i < source->indexed_count; i++) {
    source->indexed[i].first = source->total;
    source->total += seer_index_count(source->indexed[i].index);
  }
  if (status == SEER_OK && source->total == 0) { status = empty_fail(source, patterns, paths->count); }
  if (status == SEER_OK && labels != NULL && labels[0] != '\0') {
    status =
        source->indexed_count == 0
            ? seer_idx_labels(source, labels)
            : seer_fail(SEER_INPUT, "'%s' cannot be the labels of '%s', which has its own\nnote: leave out data.labels",
                        labels, seer_index_path(source->indexed[0].index));
  } else if (status == SEER_OK) {
    status = seer_catalogue_sort_labels(source);
  }
  return status;
}

SeerStatus seer_source_open(const char *const *patterns, const char *labels, SeerSource **source) {
  *source = NULL;
  if (patterns == NULL || patterns[0] == NULL) {
    return seer_fail(SEER_INPUT, "no pictures are named\nnote: set data.pictures in the spec, or give --data");
  }
  SeerSource *made = calloc(1, sizeof *made);
  if (made == NULL) { return seer_no_memory("the list of pictures"); }
  SeerPaths paths = {0};
  SeerStatus status = source_fill(made, patterns, labels, &paths);
  seer_paths_release(&paths);
  if (status != SEER_OK) {
    seer_catalogue_release(made);
    return status;
  }
  *source = made;
  return SEER_OK;
}

void seer_source_close(SeerSource *source) {
  if (source != NULL) { seer_catalogue_release(source); }
}

int64_t seer_source_count(const SeerSource *source) { return source->total; }

const char *seer_source_name(const SeerSource *source, int64_t picture) {
  int64_t number;
  const SeerIndexed *indexed = seer_indexed_find(source, picture, &number);
  return indexed != NULL ? seer_indexed_name(indexed, number) : source->items[picture].name;
}

int32_t seer_source_label(const SeerSource *source, int64_t picture) {
  int64_t number;
  const SeerIndexed *indexed = seer_indexed_find(source, picture, &number);
  return indexed != NULL ? seer_indexed_label(indexed, number) : source->items[picture].label;
}

int seer_source_label_count(const SeerSource *source) { return source->label_count; }

const char *seer_source_label_name(const SeerSource *source, int32_t label) { return source->labels[label]; }

static uint64_t text_hash(const char *text, uint64_t seed) { return XXH3_64bits_withSeed(text, strlen(text), seed); }

uint64_t seer_source_hash(const SeerSource *source) {
  uint64_t hash = (uint64_t)source->total;
  if (source->keep != NULL) { hash = text_hash(source->keep->text, hash); }
  for (int32_t i = 0; i < source->label_count; i++) hash = text_hash(source->labels[i], hash);
  for (int64_t i = 0; i < source->count; i++) {
    const SeerItem *item = &source->items[i];
    const SeerContainer *container = &source->containers[item->container];
    const uint64_t numbers[] = {item->offset, item->size, (uint64_t)item->label, text_hash(item->name, hash)};
    hash = XXH3_64bits_withSeed(numbers, sizeof numbers, hash);
    if (container->kind != SEER_IDX) continue;
    size_t bytes = (size_t)container->width * (size_t)container->height * (size_t)container->channels;
    hash = XXH3_64bits_withSeed(container->pixels + item->offset * bytes, bytes, hash);
  }
  for (int i = 0; i < source->indexed_count; i++) {
    const uint64_t of_index = seer_index_hash(source->indexed[i].index);
    hash = XXH3_64bits_withSeed(&of_index, sizeof of_index, hash);
  }
  return hash;
}

uint64_t seer_source_byte_limit(int64_t max_pixels) {
  uint64_t limit = SEER_MAX_FILE_BYTES / SEER_FILE_BYTES_A_PIXEL;
  if ((uint64_t)max_pixels < limit) limit = (uint64_t)max_pixels;
  limit *= SEER_FILE_BYTES_A_PIXEL;
  return limit > SEER_MIN_FILE_BYTES ? limit : SEER_MIN_FILE_BYTES;
}

// Reads [offset, offset + size) of a file, or all of it when size is UINT64_MAX.
static bool bytes_read(const char *path, uint64_t offset, uint64_t size, uint64_t limit, SeerBuffer *buffer,
                       size_t *count, const char **reason) {
  int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct stat info;
  if (file < 0 || fstat(file, &info) != 0 || !S_ISREG(info.st_mode)) {
    *reason = seer_decode_reason("cannot be read: %s", file < 0 ? strerror(errno) : "not a file");
    if (file >= 0) { close(file); }
    return false;
  }
  size = size == UINT64_MAX ? (uint64_t)info.st_size : size;
  bool fine = size <= limit;
  if (!fine) {
    *reason = seer_decode_reason("%llu bytes are more than a picture of data.max_pixels needs, %llu",
                                 (unsigned long long)size, (unsigned long long)limit);
  } else if (!seer_buffer_reserve(buffer, (size_t)size)) {
    *reason = "not enough memory to read it";
    fine = false;
  }
  *count = 0;
  while (fine && *count < size) {
    ssize_t got = pread(file, buffer->bytes + *count, (size_t)size - *count, (off_t)(offset + *count));
    if (got < 0 && errno == EINTR) { continue; }
    if (got <= 0) {
      *reason = got < 0 ? seer_decode_reason("cannot be read: %s", strerror(errno)) : "the file has become shorter";
      fine = false;
    } else {
      *count += (size_t)got;
    }
  }
  close(file);
  return fine;
}

static bool idx_decode(const SeerContainer *container, uint64_t index, int64_t max_pixels, SeerPicture *decoded,
                       const char **reason) {
  size_t pixels = (size_t)container->width * (size_t)container->height, channels = (size_t)container->channels;
  if ((int64_t)pixels > max_pixels) {
    *reason = seer_decode_reason("%d x %d pixels are more than data.max_pixels", container->width, container->height);
    return false;
  }
  if (!seer_buffer_reserve(&decoded->image, pixels * 3)) {
    *reason = "not enough memory to decode it";
    return false;
  }
  const uint8_t *from = container->pixels + index * pixels * channels;
  uint8_t *to = decoded->image.bytes;
  for (size_t i = 0; i < pixels; i++, from += channels, to += 3) {
    to[0] = from[0];
    to[1] = from[channels == 3 ? 1 : 0];
    to[2] = from[channels == 3 ? 2 : 0];
  }
  decoded->pixels = decoded->image.bytes;
  decoded->width = decoded->full_width = container->width;
  decoded->height = decoded->full_height = container->height;
  return true;
}

static bool indexed_read(const SeerIndexed *indexed, int64_t number, uint64_t limit, SeerBuffer *file, size_t *count,
                         const char **reason) {
  char path[2 * SEER_INDEX_NAME_MAX];
  SeerIndexEntry entry;
  if (!seer_indexed_place(indexed, number, path, sizeof path, &entry, reason) ||
      !bytes_read(path, entry.offset, entry.bytes, limit, file, count, reason)) {
    return false;
  }
  if (entry.hash == 0 || XXH3_64bits(file->bytes, *count) == entry.hash) { return true; }
  *reason = "its bytes are not those that were indexed";
  return false;
}

SeerStatus seer_source_read(const SeerSource *source, int64_t picture, uint64_t limit, SeerBuffer *file, size_t *count,
                            const char **reason) {
  int64_t number;
  const SeerIndexed *indexed = seer_indexed_find(source, picture, &number);
  *count = 0;
  if (indexed != NULL) { return indexed_read(indexed, number, limit, file, count, reason) ? SEER_OK : SEER_INPUT; }
  const SeerItem *item = &source->items[picture];
  const SeerContainer *container = &source->containers[item->container];
  if (container->kind == SEER_IDX) { return SEER_OK; }
  bool within = container->kind == SEER_TAR || container->kind == SEER_OWN;
  return bytes_read(within ? container->path : item->name, within ? item->offset : 0, within ? item->size : UINT64_MAX,
                    limit, file, count, reason)
             ? SEER_OK
             : SEER_INPUT;
}

SeerStatus seer_source_decode_read(const SeerSource *source, int64_t picture, int64_t max_pixels, size_t count,
                                   SeerPicture *decoded, const char **reason) {
  const SeerItem *item = picture < source->count ? &source->items[picture] : NULL;
  const SeerContainer *container = item != NULL ? &source->containers[item->container] : NULL;
  const uint8_t *bytes = decoded->file.bytes;
  bool fine = false;
  switch (container != NULL ? container->kind : SEER_TAR) {
    case SEER_IDX: fine = idx_decode(container, item->offset, max_pixels, decoded, reason); break;
    case SEER_OWN: fine = seer_reader_decode(bytes, count, max_pixels, decoded, reason); break;
    case SEER_TAR:
    case SEER_FOLDER: fine = seer_decode(bytes, count, max_pixels, decoded, reason); break;
  }
  bool cut = fine && source->cuts != NULL && !source->cuts[picture].whole;
  if (cut) { fine = seer_picture_cut(decoded, &source->cuts[picture], reason); }
  return fine ? SEER_OK : SEER_INPUT;
}

SeerStatus seer_source_decode(const SeerSource *source, int64_t picture, int64_t max_pixels, SeerPicture *decoded,
                              const char **reason) {
  size_t count;
  SeerStatus status =
      seer_source_read(source, picture, seer_source_byte_limit(max_pixels), &decoded->file, &count, reason);
  return status != SEER_OK ? status : seer_source_decode_read(source, picture, max_pixels, count, decoded, reason);
}

bool seer_source_reads_files(const SeerSource *source) {
  for (int64_t i = 0; i < source->count; i++) {
    if (source->containers[source->items[i].container].kind != SEER_IDX) { return true; }
  }
  return source->indexed_count > 0;
}

void seer_picture_release(SeerPicture *picture) {
  seer_buffer_release(&picture->image);
  seer_buffer_release(&picture->spare);
  seer_buffer_release(&picture->file);
  *picture = (SeerPicture){0};
}
