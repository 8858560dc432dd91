/* Random orders of examples. */
#ifndef NNCORE_SHUFFLE_H
#define NNCORE_SHUFFLE_H

#include "kernels.h"

/* order (epochs, n): for each epoch e a permutation of 0 … n-1 that depends on (seed, first_epoch + e) alone. */
void nn_shuffled_orders(nn_kernel random_words, int64_t *order, int64_t n, int64_t epochs, uint64_t seed, uint64_t first_epoch);

#endif
