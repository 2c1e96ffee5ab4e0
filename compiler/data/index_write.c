// Lays the sections out, then fills entries, names and columns side by side, each through a buffer of its own.
#include "compiler/data/index_write.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/crc32c.h"
#include "runtime/files.h"

// One section, written front to back in whole blocks, whose CRCs the columns keep.
typedef struct Stream {
  uint64_t at, end;  // place in the file of the next block, and of the section's end
  uint8_t *block;
  size_t used;
  uint32_t crc;
  Writer *sums;  // of blocks; NULL: not kept
} Stream;

typedef struct Section {
  uint32_t kind, column;
  uint64_t offset, bytes;
  uint32_t crc;
} Section;

struct IndexWriter {
  SeerPath path, temporary;
  int file, column_count;
  uint64_t pictures, added, bytes, name_at;
  Section sections[SEER_INDEX_LABELS + 3 * SEER_INDEX_COLUMNS_MAX + 1];
  int section_count;
  Stream entries, names, values[SEER_INDEX_COLUMNS_MAX], perceptual;
  bool is_number[SEER_INDEX_COLUMNS_MAX];
  Writer sums[SEER_INDEX_COLUMNS_MAX];
};

static void store16(uint8_t *at, uint16_t value) {
  value = htole16(value);
  memcpy(at, &value, sizeof value);
}

static void store32(uint8_t *at, uint32_t value) {
  value = htole32(value);
  memcpy(at, &value, sizeof value);
}

static void store64(uint8_t *at, uint64_t value) {
  value = htole64(value);
  memcpy(at, &value, sizeof value);
}

static void print64(Writer *out, uint64_t value) {
  value = htole64(value);
  writer_bytes(out, (const char *)&value, sizeof value);
}

void index_words_print(Writer *list, const char *const *words, size_t count) {
  uint64_t place = 0;
  print64(list, count);
  print64(list, place);
  for (size_t i = 0; i < count; i++) print64(list, place += strlen(words[i]));
  for (size_t i = 0; i < count; i++) writer_text(list, words[i]);
}

void index_shards_print(Writer *section, const char *const *paths, const uint64_t *bytes, const char *const *hashes,
                        size_t count) {
  print64(section, count);
  for (size_t i = 0; i < count; i++) {
    print64(section, bytes[i]);
    for (size_t digit = 0; digit < 32; digit += 2) {
      unsigned byte = 0;
      if (hashes[i][0] != '\0') sscanf(hashes[i] + digit, "%2x", &byte);
      char as_char = (char)byte;
      writer_bytes(section, &as_char, 1);
    }
  }
  index_words_print(section, paths, count);
}

static SeerStatus write_at(IndexWriter *writer, const void *data, uint64_t bytes, uint64_t at) {
  const char *from = data;
  while (bytes > 0) {
    ssize_t written = pwrite(writer->file, from, bytes, (off_t)at);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0)
      return seer_fail(SEER_MACHINE, "cannot write '%s': %s\nnote: free some space, or choose another folder with -o",
                       writer->temporary.text, strerror(written == 0 ? ENOSPC : errno));
    from += written;
    at += (uint64_t)written;
    bytes -= (uint64_t)written;
  }
  return SEER_OK;
}

static SeerStatus stream_flush(IndexWriter *writer, Stream *stream) {
  if (stream->used == 0) return SEER_OK;
  SeerStatus status = write_at(writer, stream->block, stream->used, stream->at);
  stream->crc = seer_crc32c_extend(stream->crc, stream->block, stream->used);
  if (stream->sums != NULL) {
    uint32_t sum = htole32(seer_crc32c(stream->block, stream->used));
    writer_bytes(stream->sums, (const char *)&sum, sizeof sum);
  }
  stream->at += stream->used;
  stream->used = 0;
  return status;
}

static SeerStatus stream_add(IndexWriter *writer, Stream *stream, const void *data, size_t bytes) {
  const uint8_t *from = data;
  SeerStatus status = SEER_OK;
  while (status == SEER_OK && bytes > 0) {
    size_t room = SEER_INDEX_BLOCK_BYTES - stream->used, take = bytes < room ? bytes : room;
    memcpy(stream->block + stream->used, from, take);
    stream->used += take;
    from += take;
    bytes -= take;
    if (stream->used == SEER_INDEX_BLOCK_BYTES) status = stream_flush(writer, stream);
  }
  return status;
}

// Takes the next place in the file for a section.
static Section *section_place(IndexWriter *writer, uint32_t kind, uint32_t column, uint64_t bytes) {
  Section *section = &writer->sections[writer->section_count++];
  *section = (Section){kind, column, writer->bytes, bytes, 0};
  writer->bytes = (writer->bytes + bytes + 7) / 8 * 8;
  return section;
}

static SeerStatus text_place(IndexWriter *writer, uint32_t kind, uint32_t column, const Writer *text) {
  Section *section = section_place(writer, kind, column, text->size);
  section->crc = seer_crc32c(text->text, text->size);
  return write_at(writer, text->text, text->size, section->offset);
}

static SeerStatus stream_place(IndexWriter *writer, uint32_t kind, uint32_t column, uint64_t bytes, Stream *stream) {
  const Section *section = section_place(writer, kind, column, bytes);
  *stream = (Stream){.at = section->offset, .end = section->offset + bytes, .block = malloc(SEER_INDEX_BLOCK_BYTES)};
  if (stream->block != NULL) return SEER_OK;
  return seer_fail(SEER_MACHINE, "out of memory to write '%s'", writer->path.text);
}

// The order of sections is fixed, so the same pictures give the same bytes.
static SeerStatus sections_lay_out(IndexWriter *writer, const IndexPlan *plan) {
  uint64_t sections = SEER_INDEX_LABELS + 3 * (uint64_t)plan->column_count + plan->has_perceptual;
  writer->bytes = SEER_INDEX_HEADER_BYTES + sections * SEER_INDEX_SECTION_BYTES;
  SeerStatus status = text_place(writer, SEER_INDEX_SHARDS, 0, &plan->shards);
  if (status == SEER_OK)
    status = stream_place(writer, SEER_INDEX_ENTRIES, 0, plan->pictures * SEER_INDEX_ENTRY_BYTES, &writer->entries);
  if (status == SEER_OK)
    status = stream_place(writer, SEER_INDEX_NAMES, 0, plan->name_bytes + 4 * plan->pictures, &writer->names);
  if (status == SEER_OK) status = text_place(writer, SEER_INDEX_LABELS, 0, &plan->labels);
  for (int i = 0; status == SEER_OK && i < plan->column_count; i++) {
    const IndexColumnPlan *column = &plan->columns[i];
    uint64_t bytes = plan->pictures * (column->is_number ? 8 : 4);
    writer->is_number[i] = column->is_number;
    status = text_place(writer, SEER_INDEX_WORDS, (uint32_t)i, &column->words);
    if (status == SEER_OK) status = stream_place(writer, SEER_INDEX_VALUES, (uint32_t)i, bytes, &writer->values[i]);
    writer->values[i].sums = &writer->sums[i];
    section_place(writer, SEER_INDEX_SUMS, (uint32_t)i,
                  (bytes + SEER_INDEX_BLOCK_BYTES - 1) / SEER_INDEX_BLOCK_BYTES * 4);
  }
  if (status == SEER_OK && plan->has_perceptual)
    status = stream_place(writer, SEER_INDEX_PERCEPTUAL, 0, plan->pictures * 8, &writer->perceptual);
  return status;
}

SeerStatus index_writer_open(const char *path, const IndexPlan *plan, IndexWriter **writer) {
  *writer = NULL;
  IndexWriter *made = calloc(1, sizeof *made);
  if (made == NULL) return seer_fail(SEER_MACHINE, "out of memory to write '%s'", path);
  made->pictures = plan->pictures;
  made->column_count = plan->column_count;
  SeerStatus status = seer_path_print(&made->path, "%s", path);
  if (status == SEER_OK) status = seer_path_print(&made->temporary, "%s.tmp", path);
  made->file =
      status == SEER_OK ? open(made->temporary.text, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666) : -1;
  if (status == SEER_OK && made->file < 0)
    status = seer_fail(SEER_MACHINE, "cannot write '%s': %s\nnote: choose a folder that can be written with -o",
                       made->temporary.text, strerror(errno));
  if (status == SEER_OK) status = sections_lay_out(made, plan);
  if (status != SEER_OK) return index_writer_finish(made, status);
  *writer = made;
  return SEER_OK;
}

SeerStatus index_writer_add(IndexWriter *writer, const IndexRow *row) {
  uint8_t entry[SEER_INDEX_ENTRY_BYTES] = {0}, number[8], sum[4];
  size_t length = row->name_length < SEER_INDEX_NAME_MAX ? row->name_length : SEER_INDEX_NAME_MAX - 1;
  store64(entry, row->offset);
  store64(entry + 8, row->hash);
  store64(entry + 16, writer->name_at);
  store32(entry + 24, row->bytes);
  store32(entry + 28, row->shard);
  store32(entry + 32, row->label);
  store16(entry + 36, (uint16_t)row->width);
  store16(entry + 38, (uint16_t)row->height);
  store16(entry + 40, (uint16_t)length);
  store16(entry + 42, row->is_whole_file ? SEER_INDEX_WHOLE_FILE : 0);
  store64(number, writer->added++);
  store32(entry + 44, seer_crc32c_extend(seer_crc32c(number, sizeof number), entry, sizeof entry - 4));
  store32(sum, seer_crc32c(row->name, length));
  SeerStatus status = stream_add(writer, &writer->entries, entry, sizeof entry);
  if (status == SEER_OK) status = stream_add(writer, &writer->names, row->name, length);
  if (status == SEER_OK) status = stream_add(writer, &writer->names, sum, sizeof sum);
  writer->name_at += length + sizeof sum;
  for (int i = 0; status == SEER_OK && i < writer->column_count; i++) {
    uint8_t value[8];
    uint64_t bits;
    memcpy(&bits, &row->values[i].number, sizeof bits);
    if (writer->is_number[i])
      store64(value, bits);
    else
      store32(value, row->values[i].word);
    status = stream_add(writer, &writer->values[i], value, writer->is_number[i] ? 8 : 4);
  }
  if (status == SEER_OK && writer->perceptual.block != NULL) {
    store64(number, row->perceptual);
    status = stream_add(writer, &writer->perceptual, number, sizeof number);
  }
  return status;
}

static SeerStatus header_write(IndexWriter *writer) {
  uint64_t shards_end = SEER_INDEX_HEADER_BYTES + (uint64_t)writer->section_count * SEER_INDEX_SECTION_BYTES;
  uint8_t *bytes = calloc(1, shards_end);
  if (bytes == NULL) return seer_fail(SEER_MACHINE, "out of memory to write '%s'", writer->path.text);
  memcpy(bytes, SEER_INDEX_MAGIC, 8);
  store32(bytes + 8, SEER_INDEX_VERSION);
  store32(bytes + 12, (uint32_t)writer->section_count);
  store64(bytes + 16, writer->pictures);
  store64(bytes + 24, writer->bytes);
  for (int i = 0; i < writer->section_count; i++) {
    uint8_t *row = bytes + SEER_INDEX_HEADER_BYTES + i * SEER_INDEX_SECTION_BYTES;
    store32(row, writer->sections[i].kind);
    store32(row + 4, writer->sections[i].column);
    store64(row + 8, writer->sections[i].offset);
    store64(row + 16, writer->sections[i].bytes);
    store32(row + 24, writer->sections[i].crc);
  }
  store32(bytes + SEER_INDEX_CRC_AT, seer_crc32c(bytes, shards_end));
  SeerStatus status = write_at(writer, bytes, shards_end, 0);
  free(bytes);
  return status;
}

// Writes what is left of each stream, and what depends on all of it.
static SeerStatus sections_close(IndexWriter *writer) {
  SeerStatus status = SEER_OK;
  for (int i = 0; status == SEER_OK && i < writer->section_count; i++) {
    Section *section = &writer->sections[i];
    Stream *stream = section->kind == SEER_INDEX_ENTRIES      ? &writer->entries
                     : section->kind == SEER_INDEX_NAMES      ? &writer->names
                     : section->kind == SEER_INDEX_VALUES     ? &writer->values[section->column]
                     : section->kind == SEER_INDEX_PERCEPTUAL ? &writer->perceptual
                                                              : NULL;
    if (stream != NULL) {
      status = stream_flush(writer, stream);
      section->crc = stream->crc;
      if (status == SEER_OK && stream->at != stream->end)
        status = seer_fail(SEER_BUG, "section %u of '%s' has another size than was planned", section->kind,
                           writer->path.text);
    } else if (section->kind == SEER_INDEX_SUMS) {
      const Writer *sums = &writer->sums[section->column];
      section->crc = seer_crc32c(sums->text, sums->size);
      status = write_at(writer, sums->text, sums->size, section->offset);
    }
  }
  if (status == SEER_OK) status = header_write(writer);
  if (status == SEER_OK && ftruncate(writer->file, (off_t)writer->bytes) != 0)
    status = seer_fail(SEER_MACHINE, "cannot write '%s': %s", writer->temporary.text, strerror(errno));
  return status;
}

static SeerStatus file_commit(IndexWriter *writer) {
  SeerPath folder = writer->path;
  char *slash = strrchr(folder.text, '/');
  if (fsync(writer->file) != 0 || rename(writer->temporary.text, writer->path.text) != 0)
    return seer_fail(SEER_MACHINE, "cannot write '%s': %s", writer->path.text, strerror(errno));
  if (slash != NULL) slash[slash == folder.text] = '\0';
  return seer_folder_sync(slash != NULL ? folder.text : ".");
}

SeerStatus index_writer_finish(IndexWriter *writer, SeerStatus status) {
  if (status == SEER_OK) status = sections_close(writer);
  if (status == SEER_OK) status = file_commit(writer);
  if (status != SEER_OK && writer->file >= 0) unlink(writer->temporary.text);
  if (writer->file >= 0) close(writer->file);
  free(writer->entries.block);
  free(writer->names.block);
  free(writer->perceptual.block);
  for (int i = 0; i < writer->column_count; i++) {
    free(writer->values[i].block);
    writer_release(&writer->sums[i]);
  }
  free(writer);
  return status;
}
