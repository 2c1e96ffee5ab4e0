// A tar shard without an index: one walk over its headers adds its pictures to the catalogue, in sorted order.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/data/catalogue.h"
#include "runtime/data/tar.h"

typedef struct Shard {
  SeerSource *source;
  const char *path;
  int32_t container;
} Shard;

static SeerStatus member_add(void *context, int file, const SeerTarMember *member) {
  (void)file;
  const Shard *shard = context;
  SeerSource *source = shard->source;
  const char *slash = strrchr(member->name, '/');
  const char *base = slash != NULL ? slash + 1 : member->name;
  if (base[0] == '\0' || base[0] == '.') { return SEER_OK; }
  SeerSuffix suffix = seer_suffix_of(member->name);
  if (suffix == SEER_SUFFIX_UNREAD) { source->unread++; }
  if (suffix != SEER_SUFFIX_PICTURE && !seer_magic_is_picture(member->start, member->start_bytes)) { return SEER_OK; }
  SeerItem item = {.offset = member->content, .size = member->size, .container = shard->container, .label = -1};
  const char *first_slash = strchr(member->name, '/');
  if (first_slash != NULL && first_slash != member->name) {
    SeerStatus status = seer_catalogue_label(source, member->name, (size_t)(first_slash - member->name), &item.label);
    if (status != SEER_OK) { return status; }
  }
  char full[2 * SEER_TAR_NAME_MAX + 2];
  int length = snprintf(full, sizeof full, "%s:%s", shard->path, member->name);
  if (length >= (int)sizeof full) {
    return seer_fail(SEER_INPUT, "member '%.60s...' of '%.60s...' has too long a path", member->name, shard->path);
  }
  item.name = seer_catalogue_string(source, full, (size_t)length);
  return item.name != NULL ? seer_catalogue_item(source, item) : SEER_MACHINE;
}

static int item_compare(const void *a, const void *b) {
  const SeerItem *one = a, *other = b;
  int order = strcmp(one->name, other->name);
  return order != 0 ? order : (one->offset > other->offset) - (one->offset < other->offset);
}

static SeerStatus duplicates_check(const SeerSource *source, int64_t first) {
  for (int64_t i = first + 1; i < source->count; i++) {
    if (strcmp(source->items[i - 1].name, source->items[i].name) == 0) {
      return seer_fail(SEER_INPUT, "'%s' occurs twice in its archive\nnote: write the shard again, each member once",
                       source->items[i].name);
    }
  }
  return SEER_OK;
}

SeerStatus seer_tar_index(SeerSource *source, const char *path) {
  SeerContainer container = {.kind = SEER_TAR, .path = seer_catalogue_string(source, path, strlen(path))};
  Shard shard = {.source = source, .path = path};
  if (container.path == NULL || seer_catalogue_container(source, container, &shard.container) != SEER_OK) {
    return SEER_MACHINE;
  }
  int64_t first = source->count;
  SeerStatus status = seer_tar_walk(path, member_add, &shard, NULL);
  if (status == SEER_OK && source->count > first) {
    qsort(source->items + first, (size_t)(source->count - first), sizeof *source->items, item_compare);
    status = duplicates_check(source, first);
  }
  return status;
}
