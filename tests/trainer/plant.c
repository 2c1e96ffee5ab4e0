// Loaded before libjpeg: its decoder, once it has decoded some pictures, tries to read a file, as one that a picture
// has taken over might.
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include <jpeglib.h>

boolean jpeg_finish_decompress(j_decompress_ptr jpeg) {
  static atomic_int pictures;
  boolean (*finish)(j_decompress_ptr);
  *(void **)&finish = dlsym(RTLD_NEXT, "jpeg_finish_decompress");
  if (atomic_fetch_add(&pictures, 1) == 20) { close(open("/etc/passwd", O_RDONLY)); }
  return finish(jpeg);
}
