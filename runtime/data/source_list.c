// Sets of pictures that are named one by one, and what is cut out of them; see source.h.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/data/catalogue.h"
#include "runtime/data/decode.h"

SeerStatus seer_source_list(const char *const *paths, const SeerCut *cuts, int64_t count, SeerSource **source) {
  *source = NULL;
  SeerSource *made = calloc(1, sizeof *made);
  if (made == NULL) { return seer_no_memory("the list of pictures"); }
  int32_t folder = 0;
  SeerStatus status = seer_catalogue_container(made, (SeerContainer){.kind = SEER_FOLDER}, &folder);
  for (int64_t i = 0; status == SEER_OK && i < count; i++) {
    SeerItem item = {.name = seer_catalogue_string(made, paths[i], strlen(paths[i])), .container = folder, .label = -1};
    status = item.name != NULL ? seer_catalogue_item(made, item) : SEER_MACHINE;
  }
  if (status == SEER_OK && cuts != NULL) {
    made->cuts = malloc(((size_t)count + 1) * sizeof *made->cuts);
    if (made->cuts == NULL) { status = seer_no_memory("boxes in pictures"); }
    if (made->cuts != NULL) { memcpy(made->cuts, cuts, (size_t)count * sizeof *cuts); }
  }
  made->total = made->count;
  if (status != SEER_OK) {
    seer_catalogue_release(made);
    return status;
  }
  *source = made;
  return SEER_OK;
}

bool seer_picture_cut(SeerPicture *picture, const SeerCut *cut, const char **reason) {
  double wide = cut->relative ? picture->width : 1, high = cut->relative ? picture->height : 1;
  double left = rint(cut->left * wide), right = rint(cut->right * wide);
  double top = rint(cut->top * high), bottom = rint(cut->bottom * high);
  if (!(left >= 0 && top >= 0 && right <= picture->width && bottom <= picture->height)) {
    *reason = "the box leaves the picture";
    return false;
  }
  if (right - left < fmax(1, cut->least) || bottom - top < fmax(1, cut->least)) {
    *reason = seer_decode_reason(SEER_CUT_SMALL ": a side has fewer than %d pixels", cut->least > 1 ? cut->least : 1);
    return false;
  }
  int width = (int)(right - left), height = (int)(bottom - top);
  if (cut->squared && width >= 1.2 * height) {
    left += (width - height) / 2;
    width = height;
  } else if (cut->squared && height >= 1.2 * width) {
    height = width;
  }
  for (int y = 0; y < height; y++) {
    const uint8_t *from = picture->pixels + (((size_t)top + (size_t)y) * (size_t)picture->width + (size_t)left) * 3;
    memmove(picture->pixels + (size_t)y * (size_t)width * 3, from, (size_t)width * 3);
  }
  picture->width = picture->full_width = width;
  picture->height = picture->full_height = height;
  return true;
}
