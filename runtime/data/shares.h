// What is said of shares: how sure one may be of them, how far they are from others.
#ifndef SEER_RUNTIME_DATA_SHARES_H
#define SEER_RUNTIME_DATA_SHARES_H

#include <stddef.h>
#include <stdint.h>

// The interval in which the share lies of which `count` among `all` is a sample, with 95 % confidence: Wilson's score
// interval (J. Am. Stat. Assoc. 22, 1927), which holds for small counts too. 0 to 1 when `all` is 0.
void share_interval(uint64_t count, uint64_t all, double *low, double *high);
// Two distributions over the same values, each of sum 1.
// Half the sum of absolute differences: the part that would have to be other for both to be the same, 0 to 1.
double shares_distance(const double *shares, const double *reference, size_t count);
// Kullback and Leibler's divergence of `shares` from `reference`, in nats; infinite when the reference lacks a value.
double shares_divergence(const double *shares, const double *reference, size_t count);

#endif
