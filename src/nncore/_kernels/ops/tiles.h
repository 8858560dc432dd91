/* Iteration over the tiles of the parameters. */
#ifndef NNCORE_TILES_H
#define NNCORE_TILES_H

/* The tile table int64 (tiles, 5) has a row for each tile: offset into theta, rows, columns, row stride, and where the coefficients of
 * its parameters lie in a step's row: learning rates and decays may differ between parameter arrays.  A number of rows of -1 - k stands
 * for list k of rows: those that have a gradient in this step, where the data are sparse. */
#define TILE_COEFFICIENTS (context->coefficients + tile[4])

#define LISTED_AHEAD 12   /* rows of a list that are fetched before they are needed */

/* `call` for each contiguous range of tile t: `at` is its offset, n its length, `within` its offset in the tile; `later` is the offset of
 * one to come that no processor would foresee, or `at` */
#define FOR_STRETCHES(t, call)                                                                                                 \
    do {                                                                                                                       \
        const int64_t *tile = (const int64_t *)op->array[NN_TILE_TABLE] + NN_TILE_COLUMNS * (t);                               \
        const nn_touched *list = tile[1] < 0 ? context->touched - 1 - tile[1] : NULL;                                          \
        const int whole = !list && tile[2] == tile[3];                                                                         \
        const int64_t rows = list ? list->count : whole ? 1 : tile[1], n = whole ? tile[1] * tile[2] : tile[2];                \
        for (int64_t row = 0; row < rows; row++) {                                                                             \
            const int64_t at = tile[0] + (list ? list->rows[row] : row) * tile[3], within = row * n;                           \
            const int64_t later = list && row + LISTED_AHEAD < rows ? tile[0] + list->rows[row + LISTED_AHEAD] * tile[3] : at; \
            (void)within, (void)later;                                                                                         \
            call;                                                                                                              \
        }                                                                                                                      \
    } while (0)

/* A contiguous range of the gradient: in `array`, the full gradient array, or in the tile-local one, which does not outlive the tile */
#define STRETCH(array) (context->tile_gradient ? (real *)context->tile_gradient + within : (real *)(array) + at)

#endif
