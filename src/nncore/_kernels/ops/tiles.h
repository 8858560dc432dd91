/* Iteration over the tiles of the parameters. */
#ifndef NNCORE_TILES_H
#define NNCORE_TILES_H

/* The tile table int64 (tiles, 5) has a row for each tile: offset into theta, rows, columns, row stride, and where the coefficients of
 * its parameters lie in a step's row: learning rates and decays may differ between parameter arrays. */
#define TILE_COEFFICIENTS (context->coefficients + tile[4])

/* `call` for each contiguous range of tile t: `at` is its offset, n its length, `within` its offset in the tile */
#define FOR_STRETCHES(t, call)                                                                                                 \
    do {                                                                                                                       \
        const int64_t *tile = (const int64_t *)op->array[NN_TILE_TABLE] + NN_TILE_COLUMNS * (t);                               \
        const int64_t rows = tile[2] == tile[3] ? 1 : tile[1], n = tile[2] == tile[3] ? tile[1] * tile[2] : tile[2];           \
        for (int64_t row = 0; row < rows; row++) {                                                                             \
            const int64_t at = tile[0] + row * tile[3], within = row * n;                                                      \
            (void)within;                                                                                                      \
            call;                                                                                                              \
        }                                                                                                                      \
    } while (0)

/* A contiguous range of the gradient: in `array`, the full gradient array, or in the tile-local one, which does not outlive the tile */
#define STRETCH(array) (context->tile_gradient ? (real *)context->tile_gradient + within : (real *)(array) + at)

#endif
