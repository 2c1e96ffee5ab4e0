// Nearest-neighbour accuracy while a network trains: of a fixed set of labelled pictures, each voted by the others of
// the set, after every so many steps. Reads the state and changes nothing of the run.
#ifndef SEER_RUNTIME_EVALUATE_KNN_WATCH_H
#define SEER_RUNTIME_EVALUATE_KNN_WATCH_H

#include "runtime/data/source.h"
#include "runtime/engine.h"
#include "runtime/options.h"

enum { SEER_KNN_FIGURES = 4 };

typedef struct SeerKnnFigure {
  int k;
  double temperature, accuracy;
} SeerKnnFigure;

// What one look has found: the figure by the program's k and temperature, and those of 20 and 200 neighbours at 0.07
// and 0.1 (Caron et al., 2020, and VISSL's default); k is at most the number of other pictures.
typedef struct SeerKnnLook {
  double accuracy;
  int64_t pictures, skipped;
  SeerKnnFigure figures[SEER_KNN_FIGURES];
} SeerKnnLook;

typedef struct SeerKnnWatch SeerKnnWatch;

// Steps between looks, as asked by --knn-every or the spec; 0: none.
int64_t seer_knn_watch_every(const SeerProgram *program, const SeerOptions *options);
// `training`: the pictures of the run, which are looked at when the spec and --eval-data name none. They must outlive
// the watch. SEER_INPUT when the pictures have no labels.
SeerStatus seer_knn_watch_make(const SeerProgram *program, const SeerOptions *options, const SeerSource *training,
                               SeerKnnWatch **watch);
void seer_knn_watch_release(SeerKnnWatch *watch);
// `engine`: of a program that evaluates, with the state to look at.
SeerStatus seer_knn_watch_look(SeerKnnWatch *watch, SeerEngine *engine, SeerKnnLook *look);

#endif
