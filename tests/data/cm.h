// cmocka, with the headers it wants before it.
#ifndef SEER_TESTS_DATA_CM_H
#define SEER_TESTS_DATA_CM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
