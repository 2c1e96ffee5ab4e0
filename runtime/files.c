// Files and folders; see files.h.
#include "runtime/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <xxhash.h>

static const char full_note[] =
    "note: free some space or choose another folder with --out; shards and snapshots written before are intact";

// The error of a failed write-side call, by errno.
static SeerStatus write_failed(const char *verb, const char *path) {
  int error = errno;
  const char *note = "";
  if (error == ENOSPC || error == EDQUOT || error == EFBIG) note = full_note;
  if (error == EACCES || error == EPERM || error == EROFS)
    note = "note: choose a folder that can be written with --out";
  return seer_fail(SEER_MACHINE, "cannot %s '%s': %s%s%s", verb, path, strerror(error), *note ? "\n" : "", note);
}

SeerStatus seer_path_print(SeerPath *path, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(path->text, sizeof path->text, format, arguments);
  va_end(arguments);
  if (length >= 0 && (size_t)length < sizeof path->text) return SEER_OK;
  return seer_fail(SEER_INPUT, "path '%.60s...' is longer than %d bytes", path->text, SEER_PATH_MAX - 1);
}

bool seer_path_exists(const char *path) {
  struct stat info;
  return lstat(path, &info) == 0;
}

bool seer_path_is_folder(const char *path) {
  struct stat info;
  return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

SeerStatus seer_folder_make(const char *path) {
  SeerPath prefix;
  SeerStatus status = seer_path_print(&prefix, "%s", path);
  if (status) return status;
  for (char *at = prefix.text + 1;; at++) {
    if (*at != '/' && *at != '\0') continue;
    char kept = *at;
    *at = '\0';
    if (mkdir(prefix.text, 0777) != 0 && !seer_path_is_folder(prefix.text)) {
      if (errno == EEXIST) errno = ENOTDIR;
      return write_failed("make folder", prefix.text);
    }
    *at = kept;
    if (!kept) return SEER_OK;
  }
}

SeerStatus seer_folder_sync(const char *path) {
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return write_failed("open folder", path);
  int failed = fsync(fd);
  SeerStatus status = failed && errno != EINVAL ? write_failed("flush folder", path) : SEER_OK;
  close(fd);
  return status;
}

// Removes the entries of an open folder: files, and folders one level down.
static int entries_remove(int folder, int depth) {
  DIR *stream = fdopendir(folder);
  if (!stream) {
    close(folder);
    return -1;
  }
  int failed = 0;
  for (struct dirent *entry; !failed && (entry = readdir(stream)) != NULL;) {
    if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
    if (unlinkat(folder, entry->d_name, 0) == 0 || errno == ENOENT) continue;
    failed = -1;
    int inner = depth > 0 ? openat(folder, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
    if (inner >= 0) failed = entries_remove(inner, depth - 1) || unlinkat(folder, entry->d_name, AT_REMOVEDIR);
  }
  int error = errno;
  closedir(stream);
  errno = error;
  return failed;
}

SeerStatus seer_folder_remove(const char *path) {
  int folder = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (folder < 0) return errno == ENOENT ? SEER_OK : write_failed("remove folder", path);
  if (entries_remove(folder, 1) != 0 || rmdir(path) != 0) return write_failed("remove folder", path);
  return SEER_OK;
}

SeerStatus seer_folder_writable(const char *path) {
  SeerPath probe;
  SeerStatus status = seer_path_print(&probe, "%s/.writable.%ld", path, (long)getpid());
  if (status) return status;
  int fd = open(probe.text, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return write_failed("write to folder", path);
  close(fd);
  unlink(probe.text);
  return SEER_OK;
}

uint64_t seer_folder_free_bytes(const char *path) {
  struct statvfs info;
  if (statvfs(path, &info) != 0) return UINT64_MAX;
  return (uint64_t)info.f_bavail * (uint64_t)info.f_frsize;
}

SeerStatus seer_fd_write(int fd, const char *path, const void *data, uint64_t bytes) {
  const char *at = data;
  while (bytes > 0) {
    ssize_t written = write(fd, at, bytes < (1u << 26) ? bytes : (1u << 26));
    if (written < 0 && errno == EINTR) continue;
    if (written == 0) errno = ENOSPC;
    if (written <= 0) return write_failed("write", path);
    at += written;
    bytes -= (uint64_t)written;
  }
  return SEER_OK;
}

SeerStatus seer_file_create(SeerFile *file, const char *path) {
  *file = (SeerFile){.fd = -1};
  SeerStatus status = seer_path_print(&file->path, "%s", path);
  if (status) return status;
  file->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
  if (file->fd < 0) return write_failed("create", path);
  file->hash = XXH3_createState();
  if (!file->hash) return seer_fail(SEER_MACHINE, "no memory to write '%s'", path);
  XXH3_128bits_reset(file->hash);
  return SEER_OK;
}

SeerStatus seer_file_write(SeerFile *file, const void *data, uint64_t bytes) {
  XXH3_128bits_update(file->hash, data, bytes);
  file->bytes += bytes;
  return seer_fd_write(file->fd, file->path.text, data, bytes);
}

static void hash_print(XXH128_hash_t value, SeerHash *hash) {
  snprintf(hash->hex, sizeof hash->hex, "%016llx%016llx", (unsigned long long)value.high64,
           (unsigned long long)value.low64);
}

SeerStatus seer_file_finish(SeerFile *file, SeerStatus status, SeerHash *hash) {
  if (!status && fsync(file->fd) != 0 && errno != EINVAL) status = write_failed("flush", file->path.text);
  if (file->fd >= 0 && close(file->fd) != 0 && !status) status = write_failed("close", file->path.text);
  if (file->hash && hash) hash_print(XXH3_128bits_digest(file->hash), hash);
  XXH3_freeState(file->hash);
  file->fd = -1;
  file->hash = NULL;
  return status;
}

SeerStatus seer_file_replace(const char *path, const void *data, uint64_t bytes) {
  SeerPath temporary, folder;
  SeerStatus status = seer_path_print(&temporary, "%s.tmp", path);
  if (!status) status = seer_path_print(&folder, "%s", path);
  if (status) return status;
  unlink(temporary.text);
  SeerFile file;
  status = seer_file_create(&file, temporary.text);
  if (!status) status = seer_file_write(&file, data, bytes);
  status = seer_file_finish(&file, status, NULL);
  if (!status && rename(temporary.text, path) != 0) status = write_failed("rename to", path);
  if (status) {
    unlink(temporary.text);
    return status;
  }
  char *slash = strrchr(folder.text, '/');
  if (slash) *slash = '\0';
  return seer_folder_sync(!slash ? "." : *folder.text ? folder.text : "/");
}

static SeerStatus read_failed(const char *path) {
  int error = errno;
  return seer_fail(error == EIO || error == ENOMEM ? SEER_MACHINE : SEER_INPUT, "cannot read '%s': %s", path,
                   strerror(error));
}

SeerStatus seer_file_read(const char *path, uint64_t limit, char **data, uint64_t *bytes) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return read_failed(path);
  struct stat info;
  SeerStatus status = SEER_OK;
  *data = NULL;
  if (fstat(fd, &info) != 0)
    status = read_failed(path);
  else if (!S_ISREG(info.st_mode))
    status = seer_fail(SEER_INPUT, "'%s' is no regular file", path);
  else if ((uint64_t)info.st_size > limit)
    status = seer_fail(SEER_INPUT, "'%s' is larger than %llu bytes", path, (unsigned long long)limit);
  else if (!(*data = malloc((size_t)info.st_size + 1)))
    status = seer_fail(SEER_MACHINE, "no memory to read '%s'", path);
  uint64_t done = 0;
  while (!status && done < (uint64_t)info.st_size) {
    ssize_t got = read(fd, *data + done, (size_t)info.st_size - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) status = read_failed(path);
    if (got <= 0) break;
    done += (uint64_t)got;
  }
  close(fd);
  if (status) {
    free(*data);
    *data = NULL;
    return status;
  }
  (*data)[done] = '\0';
  *bytes = done;
  return SEER_OK;
}

SeerStatus seer_file_hash(const char *path, SeerHash *hash) {
  enum { CHUNK = 1 << 20 };
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return read_failed(path);
  char *chunk = malloc(CHUNK);
  XXH3_state_t *state = XXH3_createState();
  SeerStatus status = chunk && state ? SEER_OK : seer_fail(SEER_MACHINE, "no memory to read '%s'", path);
  if (!status) XXH3_128bits_reset(state);
  while (!status) {
    ssize_t got = read(fd, chunk, CHUNK);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) status = read_failed(path);
    if (got <= 0) break;
    XXH3_128bits_update(state, chunk, (size_t)got);
  }
  if (!status) hash_print(XXH3_128bits_digest(state), hash);
  XXH3_freeState(state);
  free(chunk);
  close(fd);
  return status;
}
