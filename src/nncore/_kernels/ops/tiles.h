/* Walking over the tiles of the parameters. */
#ifndef NNCORE_TILES_H
#define NNCORE_TILES_H

/* `call` for each contiguous stretch of tile t, of which the op's tile table says where it is (optimizers.h): at is its offset, n its
 * length, within where it begins in the tile */
#define FOR_STRETCHES(t, call)                                                                                                 \
    do {                                                                                                                       \
        const int64_t *tile = (const int64_t *)op->array[NN_TILE_TABLE] + 4 * (t);                                             \
        const int64_t rows = tile[2] == tile[3] ? 1 : tile[1], n = tile[2] == tile[3] ? tile[1] * tile[2] : tile[2];           \
        for (int64_t row = 0; row < rows; row++) {                                                                             \
            const int64_t at = tile[0] + row * tile[3], within = row * n;                                                      \
            (void)within;                                                                                                      \
            call;                                                                                                              \
        }                                                                                                                      \
    } while (0)

/* A stretch of the gradient: in `array`, that of all gradients, or in the tile's own, which is gone after the tile */
#define STRETCH(array) (context->tile_gradient ? (real *)context->tile_gradient + within : (real *)(array) + at)

#endif
