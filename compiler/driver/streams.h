// The runtime prints to streams, the compiler to writers: what a stream between begin and end takes is added to the
// writer.
#ifndef SEER_DRIVER_STREAMS_H
#define SEER_DRIVER_STREAMS_H

#include <stdio.h>

#include "compiler/base/writer.h"
#include "runtime/plot.h"

typedef struct WriterStream {
  FILE *file;
  Writer *out;
  char *text;
  size_t size;
} WriterStream;

// In place, since the stream keeps the addresses of its text: the structure is not moved before its end.
void stream_begin(WriterStream *stream, Writer *out);
void stream_end(WriterStream *stream);
void plot_write(Writer *out, const SeerPlot *plot);

#endif
