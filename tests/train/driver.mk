# Builds step_driver in a folder that `seerc build --keep` left, with the flags of its own Makefile:
#   make -C FOLDER -f ROOT/tests/train/driver.mk ROOT=ROOT step_driver
include Makefile

driver_objects := $(filter objects/blocks/% objects/kernels/% objects/step.o objects/program.o objects/plan_page.o \
  objects/runtime/comm/% objects/runtime/files.o objects/runtime/parallel.o objects/runtime/launch.o \
  objects/runtime/pairwise.o objects/runtime/slices.o objects/runtime/status.o objects/runtime/clock.o \
  objects/runtime/profile.o objects/runtime/sample.o,$(objects))

step_driver: $(driver_objects) objects/step_driver.o objects/raw_file.o
	$(CC) $(SANITIZE) -o $@ $^ $(libraries)

objects/step_driver.o objects/raw_file.o: objects/%.o: $(ROOT)/tests/train/%.c $(ROOT)/tests/train/raw_file.h \
  $(ROOT)/runtime/program.h
	@mkdir -p $(@D)
	$(CC) $(common) -Werror $(plain_flags) -I$(ROOT) -c -o $@ $<
