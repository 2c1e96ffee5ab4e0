// BUG(): a fault of seer itself, never of the user. Prints file, line and what was being done, then aborts;
// the driver turns SIGABRT into exit code 70.
#ifndef SEER_BASE_BUG_H
#define SEER_BASE_BUG_H

#define BUG(...) bug_report(__FILE__, __LINE__, __VA_ARGS__)

_Noreturn void bug_report(const char *file, int line, const char *format, ...) __attribute__((format(printf, 3, 4)));
// Names the pass or stage at work, for the report; NULL clears it.
void bug_set_stage(const char *stage);

#endif
