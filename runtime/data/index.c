// Opens an index and looks pictures up in it. Every offset, length and count is checked against the file before use:
// a hostile index ends in an error or in entries that are damaged, never outside of its mapping.
#include "runtime/data/index.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "runtime/crc32c.h"
#include "runtime/data/catalogue.h"
#include "runtime/data/index_bytes.h"

static const char again[] = "note: make it again with 'seerc data index'";

SeerStatus seer_index_damaged(const SeerIndex *index, const char *what) {
  return seer_fail(SEER_INPUT, "'%s' is damaged: %s\n%s", index->path, what, again);
}

bool seer_words_check(const uint8_t *bytes, uint64_t size, uint64_t *count) {
  if (size < 16) { return false; }
  *count = seer_load64(bytes);
  if (*count > (size - 16) / 8) { return false; }
  uint64_t text_bytes = size - 16 - *count * 8, before = 0;
  for (uint64_t i = 0; i <= *count; i++) {
    uint64_t place = seer_load64(bytes + 8 + i * 8);
    if (place < before || place > text_bytes || (i == 0 && place != 0)) { return false; }
    before = place;
  }
  return before == text_bytes;
}

static SeerStatus header_check(SeerIndex *index, uint32_t *sections) {
  if (index->bytes < SEER_INDEX_HEADER_BYTES || memcmp(index->map, SEER_INDEX_MAGIC, 8) != 0) {
    return seer_fail(SEER_INPUT, "'%s' is no index of pictures\nnote: make one with 'seerc data index'", index->path);
  }
  uint32_t version = seer_load32(index->map + 8);
  if (version != SEER_INDEX_VERSION) {
    return seer_fail(SEER_INPUT, "'%s' is an index of version %u, this program reads version %d\n%s", index->path,
                     version, SEER_INDEX_VERSION, again);
  }
  *sections = seer_load32(index->map + 12);
  uint64_t count = seer_load64(index->map + 16), bytes = seer_load64(index->map + 24);
  if (bytes != index->bytes) {
    return seer_fail(SEER_INPUT, "'%s' has %llu bytes, its header says %llu\n%s", index->path,
                     (unsigned long long)index->bytes, (unsigned long long)bytes, again);
  }
  uint64_t most = SEER_INDEX_LABELS + 3 * SEER_INDEX_COLUMNS_MAX + 1;
  uint64_t end = SEER_INDEX_HEADER_BYTES + (uint64_t)*sections * SEER_INDEX_SECTION_BYTES;
  if (*sections > most || end > bytes) { return seer_index_damaged(index, "its header has too many sections"); }
  static const uint8_t zero[4];
  uint32_t crc = seer_crc32c(index->map, SEER_INDEX_CRC_AT);
  crc = seer_crc32c_extend(crc, zero, sizeof zero);
  crc = seer_crc32c_extend(crc, index->map + SEER_INDEX_HEADER_BYTES, (size_t)(end - SEER_INDEX_HEADER_BYTES));
  if (crc != seer_load32(index->map + SEER_INDEX_CRC_AT)) {
    return seer_index_damaged(index, "the checksum of its header is wrong");
  }
  if (count > INT64_MAX / SEER_INDEX_ENTRY_BYTES) { return seer_index_damaged(index, "it has too many pictures"); }
  index->count = (int64_t)count;
  return SEER_OK;
}

// The i-th row of the section table.
static SeerStatus section_take(SeerIndex *index, uint32_t i, uint64_t *end) {
  const uint8_t *row = index->map + SEER_INDEX_HEADER_BYTES + (uint64_t)i * SEER_INDEX_SECTION_BYTES;
  uint32_t kind = seer_load32(row), column = seer_load32(row + 4);
  uint64_t offset = seer_load64(row + 8), size = seer_load64(row + 16);
  if (offset % 8 != 0 || offset < *end || offset - *end > 7 || offset > index->bytes || size > index->bytes - offset) {
    return seer_index_damaged(index, "its sections do not fit the file");
  }
  *end = offset + size;
  SeerIndexSection *section = NULL;
  if (kind >= SEER_INDEX_SHARDS && kind <= SEER_INDEX_LABELS) { section = &index->sections[kind]; }
  if (kind >= SEER_INDEX_WORDS && kind <= SEER_INDEX_SUMS && column < SEER_INDEX_COLUMNS_MAX) {
    section = &index->columns[column][kind - SEER_INDEX_WORDS];
    if ((int)column >= index->column_count) { index->column_count = (int)column + 1; }
  }
  if (kind == SEER_INDEX_PERCEPTUAL) { section = &index->perceptual; }
  if (section == NULL || section->bytes != NULL) {
    return seer_index_damaged(index, "it has a section of no known kind, or one twice");
  }
  *section = (SeerIndexSection){index->map + offset, size, seer_load32(row + 24)};
  return SEER_OK;
}

static bool section_holds(const SeerIndexSection *section) {
  return section->bytes != NULL && seer_crc32c(section->bytes, (size_t)section->size) == section->crc;
}

static SeerStatus shards_check(SeerIndex *index) {
  const SeerIndexSection *shards = &index->sections[SEER_INDEX_SHARDS];
  if (shards->size < 8) { return seer_index_damaged(index, "it has no table of shards"); }
  uint64_t count = seer_load64(shards->bytes), names = 0;
  if (count > (shards->size - 8) / SEER_INDEX_SHARD_BYTES || count > INT32_MAX) {
    return seer_index_damaged(index, "its table of shards is cut off");
  }
  uint64_t table = 8 + count * SEER_INDEX_SHARD_BYTES;
  index->shard_names = shards->bytes + table;
  if (!seer_words_check(index->shard_names, shards->size - table, &names) || names != count) {
    return seer_index_damaged(index, "the paths of its shards are no list");
  }
  for (uint64_t i = 0; i < count; i++) {
    size_t length;
    const char *name = seer_word(index->shard_names, i, &length);
    if (length == 0 || length >= SEER_INDEX_NAME_MAX || memchr(name, '\0', length) != NULL) {
      return seer_index_damaged(index, "the path of a shard is empty, too long or holds a zero byte");
    }
  }
  index->shard_count = count;
  return SEER_OK;
}

static SeerStatus columns_check(const SeerIndex *index) {
  for (int i = 0; i < index->column_count; i++) {
    const SeerIndexSection *words = &index->columns[i][0], *values = &index->columns[i][1],
                           *sums = &index->columns[i][2];
    bool fits = words->bytes != NULL && values->bytes != NULL && sums->bytes != NULL &&
                (values->size == (uint64_t)index->count * 4 || values->size == (uint64_t)index->count * 8) &&
                sums->size == (values->size + SEER_INDEX_BLOCK_BYTES - 1) / SEER_INDEX_BLOCK_BYTES * 4;
    if (!fits) { return seer_index_damaged(index, "a column of it is not whole"); }
  }
  return SEER_OK;
}

static SeerStatus index_check(SeerIndex *index) {
  uint32_t sections = 0;
  SeerStatus status = header_check(index, &sections);
  uint64_t end = SEER_INDEX_HEADER_BYTES + (uint64_t)sections * SEER_INDEX_SECTION_BYTES;
  for (uint32_t i = 0; status == SEER_OK && i < sections; i++) { status = section_take(index, i, &end); }
  if (status != SEER_OK) { return status; }
  if (index->bytes - end > 7) { return seer_index_damaged(index, "it goes on behind its last section"); }
  for (int kind = SEER_INDEX_SHARDS; kind <= SEER_INDEX_LABELS; kind++) {
    if (index->sections[kind].bytes == NULL) { return seer_index_damaged(index, "it lacks a section"); }
  }
  if (index->perceptual.bytes != NULL && index->perceptual.size != (uint64_t)index->count * 8) {
    return seer_index_damaged(index, "it has not as many perceptual hashes as pictures");
  }
  if (index->sections[SEER_INDEX_ENTRIES].size != (uint64_t)index->count * SEER_INDEX_ENTRY_BYTES) {
    return seer_index_damaged(index, "it has not as many entries as pictures");
  }
  const SeerIndexSection *labels = &index->sections[SEER_INDEX_LABELS];
  if (!section_holds(&index->sections[SEER_INDEX_SHARDS]) || !section_holds(labels)) {
    return seer_index_damaged(index, "the checksum of its shards or labels is wrong");
  }
  status = shards_check(index);
  if (status != SEER_OK) { return status; }
  if (!seer_words_check(labels->bytes, labels->size, &index->label_count) || index->label_count > INT32_MAX) {
    return seer_index_damaged(index, "its labels are no list");
  }
  return columns_check(index);
}

SeerStatus seer_index_open(const char *path, SeerIndex **index) {
  *index = NULL;
  SeerIndex *made = calloc(1, sizeof *made);
  if (made == NULL || (made->path = strdup(path)) == NULL) {
    free(made);
    return seer_no_memory("an index");
  }
  const char *slash = strrchr(path, '/');
  made->folder_length = slash != NULL ? (size_t)(slash - path) + 1 : 0;
  SeerStatus status = SEER_OK;
  struct stat info;
  int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0 || fstat(file, &info) != 0) {
    status = seer_fail(SEER_INPUT, "cannot read '%s': %s", path, strerror(errno));
  } else if (!S_ISREG(info.st_mode) || info.st_size <= 0) {
    status = seer_fail(SEER_INPUT, "'%s' is no index of pictures: it is %s\n%s", path,
                       S_ISREG(info.st_mode) ? "empty" : "no regular file", again);
  }
  if (status == SEER_OK) {
    void *map = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_SHARED, file, 0);
    if (map == MAP_FAILED) {
      status = seer_fail(SEER_MACHINE, "cannot map '%s' into memory: %s", path, strerror(errno));
    } else {
      madvise(map, (size_t)info.st_size, MADV_RANDOM);  // pictures come in no order: pages beside one are of no use
      made->map = map;
      made->bytes = (uint64_t)info.st_size;
      status = index_check(made);
    }
  }
  if (file >= 0) { close(file); }
  if (status != SEER_OK) {
    seer_index_close(made);
    return status;
  }
  *index = made;
  return SEER_OK;
}

// A shard that was added to the folder later would be missed in silence.
static SeerStatus folder_check(const SeerIndex *index) {
  if (strcmp(index->path + index->folder_length, SEER_INDEX_NAME) != 0) { return SEER_OK; }
  char folder[SEER_INDEX_NAME_MAX + 2];
  if (index->folder_length >= sizeof folder - 1) { return SEER_OK; }
  memcpy(folder, index->path, index->folder_length);
  memcpy(folder + index->folder_length, ".", 2);
  int64_t there = 0, named = 0;
  DIR *stream = opendir(folder);
  if (stream == NULL) { return seer_fail(SEER_INPUT, "cannot read folder '%s': %s", folder, strerror(errno)); }
  for (struct dirent *entry; (entry = readdir(stream)) != NULL;) {
    there += entry->d_name[0] != '.' && seer_suffix_of(entry->d_name) == SEER_SUFFIX_TAR;
  }
  closedir(stream);
  for (int64_t i = 0; i < seer_index_shard_count(index); i++) {
    char path[SEER_INDEX_NAME_MAX];
    size_t length;
    const char *name = seer_index_shard_name(index, i, &length);
    memcpy(path, name, length);
    path[length] = '\0';
    named += strchr(path, '/') == NULL && seer_suffix_of(path) == SEER_SUFFIX_TAR;
  }
  if (there <= named) { return SEER_OK; }
  return seer_fail(SEER_INPUT,
                   "'%s' names %lld of the %lld tar archives in its folder\nnote: index them all with 'seerc data "
                   "index', or move the others elsewhere",
                   index->path, (long long)named, (long long)there);
}

SeerStatus seer_index_check_shards(const SeerIndex *index) {
  for (int64_t i = 0; i < seer_index_shard_count(index); i++) {
    char path[2 * SEER_INDEX_NAME_MAX];
    struct stat info;
    if (!seer_index_shard_path(index, i, path, sizeof path)) {
      return seer_index_damaged(index, "the path of a shard is too long");
    }
    if (stat(path, &info) != 0) {
      return seer_fail(SEER_INPUT,
                       "'%s' names shard '%s', which cannot be read: %s\nnote: put it back, or index the shards "
                       "that are there with 'seerc data index'",
                       index->path, path, strerror(errno));
    }
    if (!S_ISREG(info.st_mode) || (uint64_t)info.st_size != seer_index_shard_bytes(index, i)) {
      return seer_fail(SEER_INPUT,
                       "'%s' does not fit its shards: '%s' has %llu bytes, not %llu\nnote: if the shard was "
                       "written again on purpose, index it again with 'seerc data index'",
                       index->path, path, (unsigned long long)info.st_size,
                       (unsigned long long)seer_index_shard_bytes(index, i));
    }
  }
  return folder_check(index);
}

void seer_index_close(SeerIndex *index) {
  if (index == NULL) { return; }
  if (index->map != NULL) { munmap((void *)(uintptr_t)index->map, (size_t)index->bytes); }
  seer_kept_release(&index->kept);
  free(index->path);
  free(index);
}

const char *seer_index_path(const SeerIndex *index) { return index->path; }

int64_t seer_index_count(const SeerIndex *index) { return index->keep != NULL ? index->kept.count : index->count; }

uint64_t seer_index_hash(const SeerIndex *index) {
  uint32_t sections = seer_load32(index->map + 12);
  uint64_t hash = XXH3_64bits(index->map, SEER_INDEX_HEADER_BYTES + (size_t)sections * SEER_INDEX_SECTION_BYTES);
  return index->keep != NULL ? XXH3_64bits_withSeed(index->keep->text, strlen(index->keep->text), hash) : hash;
}

bool seer_index_entry(const SeerIndex *index, int64_t picture, SeerIndexEntry *entry) {
  picture = seer_index_place(index, picture);
  const uint8_t *bytes = index->sections[SEER_INDEX_ENTRIES].bytes + (uint64_t)picture * SEER_INDEX_ENTRY_BYTES;
  uint64_t number = htole64((uint64_t)picture);
  uint32_t crc = seer_crc32c_extend(seer_crc32c(&number, sizeof number), bytes, SEER_INDEX_ENTRY_BYTES - 4);
  if (crc != seer_load32(bytes + SEER_INDEX_ENTRY_BYTES - 4)) { return false; }
  uint32_t label = seer_load32(bytes + 32);
  uint16_t flags = seer_load16(bytes + 42);
  *entry = (SeerIndexEntry){
      .offset = seer_load64(bytes),
      .hash = seer_load64(bytes + 8),
      .name_at = seer_load64(bytes + 16),
      .bytes = seer_load32(bytes + 24),
      .shard = seer_load32(bytes + 28),
      .label = label == UINT32_MAX ? -1 : (int32_t)label,
      .width = seer_load16(bytes + 36),
      .height = seer_load16(bytes + 38),
      .name_length = seer_load16(bytes + 40),
      .is_whole_file = flags & SEER_INDEX_WHOLE_FILE,
  };
  uint64_t names = index->sections[SEER_INDEX_NAMES].size, record = (uint64_t)entry->name_length + 4;
  if (entry->shard >= index->shard_count || (label != UINT32_MAX && label >= index->label_count) ||
      entry->name_at > names || record > names - entry->name_at || entry->name_length >= SEER_INDEX_NAME_MAX) {
    return false;
  }
  uint64_t shard = seer_index_shard_bytes(index, entry->shard);
  return entry->offset <= shard && entry->bytes <= shard - entry->offset;
}

const char *seer_index_name(const SeerIndex *index, const SeerIndexEntry *entry) {
  const uint8_t *name = index->sections[SEER_INDEX_NAMES].bytes + entry->name_at;
  uint32_t crc = seer_crc32c(name, (size_t)entry->name_length);
  return crc == seer_load32(name + entry->name_length) ? (const char *)name : NULL;
}

int64_t seer_index_shard_count(const SeerIndex *index) { return (int64_t)index->shard_count; }

const char *seer_index_shard_name(const SeerIndex *index, int64_t shard, size_t *length) {
  return seer_word(index->shard_names, (uint64_t)shard, length);
}

bool seer_index_shard_path(const SeerIndex *index, int64_t shard, char *path, size_t room) {
  size_t length;
  const char *name = seer_index_shard_name(index, shard, &length);
  size_t folder = name[0] == '/' ? 0 : index->folder_length;
  if (folder + length + 1 > room) { return false; }
  memcpy(path, index->path, folder);
  memcpy(path + folder, name, length);
  path[folder + length] = '\0';
  return true;
}

static const uint8_t *shard_row(const SeerIndex *index, int64_t shard) {
  return index->sections[SEER_INDEX_SHARDS].bytes + 8 + (uint64_t)shard * SEER_INDEX_SHARD_BYTES;
}

uint64_t seer_index_shard_bytes(const SeerIndex *index, int64_t shard) { return seer_load64(shard_row(index, shard)); }

bool seer_index_shard_hash(const SeerIndex *index, int64_t shard, char hex[33]) {
  const uint8_t *row = shard_row(index, shard) + 8;
  unsigned any = 0;
  for (size_t i = 0; i < 16; i++) {
    snprintf(hex + 2 * i, 3, "%02x", row[i]);
    any |= row[i];
  }
  return any != 0;
}

int seer_index_label_count(const SeerIndex *index) { return (int)index->label_count; }

const char *seer_index_label(const SeerIndex *index, int label, size_t *length) {
  return seer_word(index->sections[SEER_INDEX_LABELS].bytes, (uint64_t)label, length);
}

bool seer_index_has_perceptual(const SeerIndex *index) { return index->perceptual.bytes != NULL; }

uint64_t seer_index_perceptual(const SeerIndex *index, int64_t picture) {
  if (index->perceptual.bytes == NULL) { return 0; }
  return seer_load64(index->perceptual.bytes + (uint64_t)seer_index_place(index, picture) * 8);
}

SeerStatus seer_index_perceptual_check(const SeerIndex *index) {
  if (index->perceptual.bytes == NULL) {
    return seer_fail(SEER_INPUT,
                     "'%s' has no perceptual hashes\nnote: make it again with 'seerc data index --perceptual-hash'",
                     index->path);
  }
  if (section_holds(&index->perceptual)) { return SEER_OK; }
  return seer_index_damaged(index, "the checksum of its perceptual hashes is wrong");
}

int seer_index_column_count(const SeerIndex *index) { return index->column_count; }
