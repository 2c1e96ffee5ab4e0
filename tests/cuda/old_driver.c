// A CUDA driver of long ago, for the driver's tests: it has less than the runtime calls.
int cuInit(unsigned flags);
int cuDriverGetVersion(int *version);

int cuInit(unsigned flags) { return (int)flags; }

int cuDriverGetVersion(int *version) {
  *version = 5050;
  return 0;
}
