// pictures.jsonl of a run, pictures-rankN.jsonl of its other ranks: which pictures each micro-step saw, one line each,
// in the order of the batch. What a killed run did after its last snapshot stands there twice, as it was seen twice.
#ifndef SEER_RUNTIME_PICTURE_LIST_H
#define SEER_RUNTIME_PICTURE_LIST_H

#include "runtime/files.h"

typedef struct SeerPictureList {
  int fd;  // -1: none is kept
  SeerPath path;
} SeerPictureList;

SeerStatus seer_picture_list_open(const char *run, int rank, SeerPictureList *list);
// `step` is the one that they are for, from 1; `pictures` their numbers in the data set.
SeerStatus seer_picture_list_add(const SeerPictureList *list, int64_t step, const int64_t *pictures, int count);
void seer_picture_list_close(SeerPictureList *list);

#endif
