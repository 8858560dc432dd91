/* Random numbers inside kernels: Philox4x32-10 (philox.h) for whole vectors of counters at once.
 *
 * Each number has an address, and no state is stored: key = the model's seed, and the four words of the counter are
 *     0, 1: (block * 16 + lane), so that element e of an array has block e / 64;
 *     2:    the step, low 32 bits;
 *     3:    place | the step, high 12 bits; the place is the layer (16 bits) and the stream within it (4 bits), as in layout.h.
 * Each of a block's 16 counters yields four words; word w of lane l is the number of element 64 block + 16 w + l.  So the
 * numbers depend neither on threads, nor on the division of rows into blocks, nor on the instruction set, and the backward
 * kernel can draw the numbers of the forward kernel again. */
#ifndef NNCORE_RANDOM_H
#define NNCORE_RANDOM_H

enum { NN_RANDOM_BLOCK = 64, NN_WORDS = NN_VECTOR_BYTES / 8 };

/* The address of a stream in one step. */
typedef struct {
    uint64_t key;
    uint32_t step, place;    /* words 2 and 3 of the counter */
} nn_stream;

/* sizes [at], [at + 1] of an op: key, and place (layer and stream) */
NN_INLINE nn_stream nn_stream_of(const nn_op *op, const nn_context *context, int at) {
    const nn_stream stream = {(uint64_t)op->size[at], (uint32_t)context->step,
                              (uint32_t)op->size[at + 1] | ((uint32_t)(context->step >> 32) & ((1u << NN_STREAM_SHIFT) - 1))};
    return stream;
}

/* 64-bit lanes that hold 32-bit words in their low halves; the high halves are arbitrary. */
typedef uint64_t nn_words __attribute__((vector_size(NN_VECTOR_BYTES), aligned(8), may_alias));

NN_INLINE nn_words nn_wide_product(nn_words a, uint32_t b) {
#if NN_VECTOR_BYTES == 64
    return (nn_words)_mm512_mul_epu32((__m512i)a, _mm512_set1_epi64(b));
#elif NN_VECTOR_BYTES == 32
    return (nn_words)_mm256_mul_epu32((__m256i)a, _mm256_set1_epi64x(b));
#elif defined(__SSE2__)
    return (nn_words)_mm_mul_epu32((__m128i)a, _mm_set1_epi64x(b));
#else
    return (a & 0xFFFFFFFFu) * (uint64_t)b;
#endif
}

/* One round, as in nn_philox. */
NN_INLINE void nn_philox_round(nn_words x[4], uint32_t k0, uint32_t k1) {
    const nn_words p0 = nn_wide_product(x[0], 0xD2511F53u), p1 = nn_wide_product(x[2], 0xCD9E8D57u);
    x[0] = (p1 >> 32) ^ x[1] ^ (uint64_t)k0;
    x[1] = p1;
    x[2] = (p0 >> 32) ^ x[3] ^ (uint64_t)k1;
    x[3] = p0;
}

/* The 64 numbers of a block.  Even and odd counters are two chains, whose results are the two halves of the lanes. */
NN_INLINE void nn_random_block(uint32_t bits[NN_RANDOM_BLOCK], nn_stream stream, uint64_t block) {
    const uint64_t counter = block * 16;
    for (int lane = 0; lane < 16; lane += 2 * NN_WORDS) {
        nn_words even[4], odd[4], first;
        uint32_t k0 = (uint32_t)stream.key, k1 = (uint32_t)(stream.key >> 32);
        NN_UNROLL for (int i = 0; i < NN_WORDS; i++) first[i] = (uint32_t)counter + (uint32_t)(lane + 2 * i);
        even[0] = first, odd[0] = first + 1;
        even[1] = odd[1] = (nn_words){0} + (counter >> 32);
        even[2] = odd[2] = (nn_words){0} + stream.step;
        even[3] = odd[3] = (nn_words){0} + stream.place;
        NN_UNROLL for (int round = 0; round < 10; round++) {
            nn_philox_round(even, k0, k1);
            nn_philox_round(odd, k0, k1);
            k0 += 0x9E3779B9u;
            k1 += 0xBB67AE85u;
        }
        NN_UNROLL for (int word = 0; word < 4; word++)
            *(nn_words *)(bits + 16 * word + lane) = (even[word] & 0xFFFFFFFFu) | (odd[word] << 32);
    }
}

/* Number of elements from i to end that are in i's block. */
NN_INLINE int nn_in_block(int64_t i, int64_t end) {
    const int64_t rest = NN_RANDOM_BLOCK - i % NN_RANDOM_BLOCK;
    return (int)(rest < end - i ? rest : end - i);
}

#endif
