// Streams into writers; see streams.h.
#include "compiler/driver/streams.h"

#include <stdlib.h>

#include "compiler/base/bug.h"

void stream_begin(WriterStream *stream, Writer *out) {
  *stream = (WriterStream){.out = out};
  stream->file = open_memstream(&stream->text, &stream->size);
  if (!stream->file) BUG("no memory for a stream");
}

void stream_end(WriterStream *stream) {
  if (fclose(stream->file) != 0) BUG("no memory for a stream");
  writer_bytes(stream->out, stream->text, stream->size);
  free(stream->text);
}

void plot_write(Writer *out, const SeerPlot *plot) {
  WriterStream stream;
  stream_begin(&stream, out);
  seer_plot_print(stream.file, plot);
  stream_end(&stream);
}
