#include "shuffle.h"

#include "math/philox.h"

/* An unbiased integer from 0 … i (Lemire: Fast random integer generation in an interval, 2019): a few values of the random number
 * are rejected and redrawn with a counter that no element uses. */
static int64_t below(int64_t i, uint32_t random, uint64_t seed, uint64_t epoch) {
    const uint32_t bound = (uint32_t)i + 1;
    uint64_t product = (uint64_t)random * bound;
    for (uint64_t again = 1; (uint32_t)product < bound && (uint32_t)product < -bound % bound; again++) {
        uint32_t other[4];
        nn_philox(other, seed, again << 32 | bound, epoch);
        product = (uint64_t)other[0] * bound;
    }
    return (int64_t)(product >> 32);
}

/* Inside-out Fisher-Yates: element i is inserted at a random position up to i, and the element there moves to position i. */
void nn_shuffled_orders(nn_kernel random_words, int64_t *order, int64_t n, int64_t epochs, uint64_t seed, uint64_t first_epoch) {
    enum { DRAWN = 256 };
    uint32_t random[DRAWN];
    nn_op op = {.array = {random}, .size = {(int64_t)seed}};
    for (uint64_t epoch = first_epoch; epoch < first_epoch + (uint64_t)epochs; epoch++, order += n) {
        const nn_context context = {.step = epoch};
        for (int64_t first = 0; first < n; first += DRAWN) {
            const int64_t last = first + DRAWN < n ? first + DRAWN : n;
            op.size[1] = first;
            random_words(&op, &context, 0, last - first);
            for (int64_t i = first; i < last; i++) {
                const int64_t j = below(i, random[i - first], seed, epoch);
                order[i] = order[j];
                order[j] = i;
            }
        }
    }
}
