/* The random numbers that shuffle the examples: element e = 4c + w has word w of counter c, whose high half is the step of the
 * context, an epoch.  Even and odd counters are two chains, as in nn_random_block.
 * arrays: out (rows,), the elements from `first` on; sizes: shuffle_key, first, a multiple of 4 as `begin` is */
static void NAME(op_random_words)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    uint32_t *restrict out = (uint32_t *)op->array[0];
    const uint64_t key = (uint64_t)op->size[0], epoch = context->step;
    for (int64_t i = begin; i < end; i += 8 * NN_WORDS) {
        const uint64_t counter = (uint64_t)(op->size[1] + i) / 4;
        nn_words even[4], odd[4], low, high;
        uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
        NN_UNROLL for (int lane = 0; lane < NN_WORDS; lane++) {
            low[lane] = counter + 2 * (uint64_t)lane;
            high[lane] = (counter + 2 * (uint64_t)lane) >> 32;
        }
        even[0] = low, even[1] = high;
        odd[0] = low + 1, odd[1] = (low + 1) >> 32;
        even[2] = odd[2] = (nn_words){0} + (epoch & 0xFFFFFFFFu);
        even[3] = odd[3] = (nn_words){0} + (epoch >> 32);
        NN_UNROLL for (int round = 0; round < 10; round++) {
            nn_philox_round(even, k0, k1);
            nn_philox_round(odd, k0, k1);
            k0 += 0x9E3779B9u;
            k1 += 0xBB67AE85u;
        }
        uint64_t pairs[4][NN_WORDS], words[4 * NN_WORDS];    /* words 0 and 1 of the even counters, 2 and 3, those of the odd ones */
        NN_UNROLL for (int w = 0; w < 2; w++) {
            *(nn_words *)pairs[w] = (even[2 * w] & 0xFFFFFFFFu) | even[2 * w + 1] << 32;
            *(nn_words *)pairs[2 + w] = (odd[2 * w] & 0xFFFFFFFFu) | odd[2 * w + 1] << 32;
        }
        NN_UNROLL for (int k = 0; k < 4 * NN_WORDS; k++) words[k] = pairs[k % 4][k / 4];
        const int64_t left = end - i < 8 * NN_WORDS ? end - i : 8 * NN_WORDS;
        memcpy(out + i, words, (size_t)left * sizeof(uint32_t));
    }
}
