// What pages that put several models side by side have in common; the frame is page.h's.
#ifndef SEER_RUNTIME_EVALUATE_MODELS_PAGE_H
#define SEER_RUNTIME_EVALUATE_MODELS_PAGE_H

enum { SEER_MODELS_MAX = 16, SEER_MODELS_NAME = 22 };

extern const char seer_models_style[];  // a <style>

// "140 million", "10 billion"
void seer_models_size(double parameters, char text[32]);
// What of a name has room under its mark; letters of several bytes stay whole.
void seer_models_name(const char *name, char cut[SEER_MODELS_NAME + 1]);
// Of four or so round steps in a span.
double seer_models_step(double span);

#endif
