/* The dense layer on rows of a sparse matrix: x (rows, inputs) with few numbers, W stored by input, (inputs, units), so that what
 * belongs to a number of x lies together.
 *
 * Every number of a result is one chain of multiply-adds in the order of the dense kernels.  As a zero does not change such a chain, the
 * bits are theirs too.  Threads share the gradient by columns: a shard is a range of columns, and each of its sums goes over all rows of
 * the batch in order, so that the bounds of the shards may be any.
 *
 * The matrix belongs to the user, who may modify it while a program runs: `locate` checks the places of each row once and keeps
 * them, and each column is read once and checked. */

#define MOST_VECTORS 4    /* of units that stay in registers */
#define ROWS_AHEAD 4      /* rows whose values are fetched before they are needed */
#define COLUMNS_AHEAD 12  /* rows whose columns are */
#define STARTS_AHEAD 24   /* rows whose beginnings are */
#define MOST_FETCHED 1024 /* numbers of a row */
#define MOST_SHARDS 8
#define COUNTED 1000      /* numbers of a row, from which on it is faster to search for a bound than to count what is below it */
#define NUMBERS_AHEAD 12  /* numbers whose rows of W are fetched before they are needed */

typedef integer NAME(whole) __attribute__((vector_size(NN_VECTOR_BYTES), may_alias));    /* the bits of a vector of reals */

/* The numbers of the batch's rows: row i has values[k] in column columns[k], for k from places[i, 0] to places[i, shards]. */
typedef struct {
    const real *values;
    const void *columns;
    int64_t bytes;               /* of a column */
    const int64_t *places;       /* (rows, stride) */
    int64_t stride;              /* 1 + number of shards */
    uint64_t first, width;       /* columns [first, first + width) are valid */
    int *failed;
} NAME(csr);

/* `slot`: of values; columns and places follow. */
NN_INLINE NAME(csr) NAME(csr_of)(const nn_op *op, const nn_context *context, int slot, int64_t first, int64_t last) {
    return (NAME(csr)){op->array[slot], op->array[slot + 1], op->stride[slot + 1], op->array[slot + 2],
                       op->stride[slot + 2] / (int64_t)sizeof(int64_t), (uint64_t)first, (uint64_t)(last - first), context->failed};
}

/* The column of number k; an invalid one counts as the first, and sets `bad`: without a branch, sums stay in registers. */
NN_INLINE int64_t NAME(csr_column)(const NAME(csr) *x, const int64_t bytes, int64_t k, int *bad) {
    const uint64_t column = (uint64_t)NAME(integer)(x->columns, bytes, k);
    const int wrong = column - x->first >= x->width;
    *bad |= wrong;
    return (int64_t)(wrong ? x->first : column);
}

/* The first of the numbers [first, last), in ascending columns, whose column is at least `bound` */
NN_INLINE int64_t NAME(csr_search)(const void *columns, int64_t bytes, int64_t first, int64_t last, int64_t bound) {
    int64_t length = last - first;
    while (length > 0) {
        const int64_t half = length / 2;
        const int below = NAME(integer)(columns, bytes, first + half) < bound;
        first = below ? first + half + 1 : first;
        length = below ? length - half - 1 : half;
    }
    return first;
}

/* For each of `count` bounds, how many of the n columns are below it: for rows of some hundred numbers faster than to search, as no
 * branch depends on the data.  The rest of the last vector is filled with the largest integer, which is below no bound. */
#define COUNT_BELOW(type, name)                                                                                                \
    typedef type NAME(name##_vector) __attribute__((vector_size(NN_VECTOR_BYTES), aligned(sizeof(type)), may_alias));         \
    NN_INLINE void NAME(name)(const type *columns, int64_t n, const int64_t *bounds, const int count, int64_t *below) {       \
        enum { WIDTH = NN_VECTOR_BYTES / sizeof(type) };                                                                       \
        NAME(name##_vector) sum[MOST_SHARDS - 1];                                                                              \
        NN_UNROLL for (int s = 0; s < count; s++) sum[s] = (NAME(name##_vector)){0};                                           \
        for (int64_t k = 0; k < n; k += WIDTH) {                                                                               \
            type rest[WIDTH];                                                                                                  \
            const type *from = columns + k;                                                                                    \
            if (n - k < WIDTH) {                                                                                               \
                for (int i = 0; i < WIDTH; i++) rest[i] = i < n - k ? from[i] : (type)(((uint64_t)1 << (8 * sizeof(type) - 1)) - 1); \
                from = rest;                                                                                                   \
            }                                                                                                                  \
            const NAME(name##_vector) some = *(const NAME(name##_vector) *)from;                                               \
            NN_UNROLL for (int s = 0; s < count; s++) sum[s] += some < (type)bounds[s];                                        \
        }                                                                                                                      \
        NN_UNROLL for (int s = 0; s < count; s++) {                                                                            \
            type total = 0;                                                                                                    \
            for (int i = 0; i < WIDTH; i++) total -= sum[s][i];                                                                \
            below[s] = total;                                                                                                  \
        }                                                                                                                      \
    }
COUNT_BELOW(int32_t, below_32)
COUNT_BELOW(int64_t, below_64)
#undef COUNT_BELOW

/* places[s] for the shards 1, 2, ... of a row with numbers [first, last) */
NN_INLINE void NAME(csr_cut)(const void *columns, int64_t bytes, int64_t first, int64_t last, const int64_t *bounds, const int shards,
                             int64_t *places) {
    if (bytes == 4) NAME(below_32)((const int32_t *)columns + first, last - first, bounds + 1, shards - 1, places + 1);
    else NAME(below_64)((const int64_t *)columns + first, last - first, bounds + 1, shards - 1, places + 1);
    NN_UNROLL for (int s = 1; s < shards; s++) places[s] += first;
}

/* Fetch where row i of the batch begins, or its columns from there on, which will be needed soon. */
NN_INLINE void NAME(fetch_start)(const nn_op *op, const NAME(batch) *batch, int64_t i, int64_t end) {
    const int64_t r = i < end ? NAME(data_row)(batch, i) : -1;
    if (r >= 0) NN_PREFETCH((const char *)op->array[3] + r * op->stride[3]);
}

NN_INLINE void NAME(fetch_columns)(const nn_op *op, const NAME(batch) *batch, int64_t i, int64_t end) {
    const int64_t r = i < end ? NAME(data_row)(batch, i) : -1;
    if (r < 0) return;
    const int64_t first = NAME(integer)(op->array[3], op->stride[3], r), last = NAME(integer)(op->array[3], op->stride[3], r + 1);
    const char *columns = (const char *)op->array[2] + first * op->stride[2];
    for (int64_t k = 0; k < last - first && k < MOST_FETCHED; k += NN_CACHE_LINE / op->stride[2])
        NN_PREFETCH(columns + k * op->stride[2]);
}

/* Where the numbers of each row lie, shard by shard: places[i, s] is the first number of row i in a column >= bounds[s].
 * arrays: places (rows, shards + 1) int64, values, columns, starts, bounds (shards + 1,) int64: 0 to the width */
static void NAME(op_csr_locate)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t kept = op->length[1] < op->length[2] ? op->length[1] : op->length[2], bytes = op->stride[2];
    const int64_t shards = op->length[4] - 1, *bounds = op->array[4];
    const NAME(batch) batch = NAME(batch_of)(context, op->length[3] - 1);
    for (int64_t i = begin; i < end; i++) {
        int64_t *places = (int64_t *)op->array[0] + i * (shards + 1), first = 0, last = 0;
        const int64_t r = NAME(data_row)(&batch, i);
        NAME(fetch_start)(op, &batch, i + STARTS_AHEAD, end);
        NAME(fetch_columns)(op, &batch, i + COLUMNS_AHEAD, end);
        if (r >= 0) {
            first = NAME(integer)(op->array[3], op->stride[3], r), last = NAME(integer)(op->array[3], op->stride[3], r + 1);
            if (first < 0 || first > last || last > kept) {
                *context->failed |= NN_BAD_START;
                first = last = 0;
            }
        }
        places[0] = first;
        if (shards == 4 && last - first < COUNTED) NAME(csr_cut)(op->array[2], bytes, first, last, bounds, 4, places);
        else if (shards == MOST_SHARDS && last - first < COUNTED)
            NAME(csr_cut)(op->array[2], bytes, first, last, bounds, MOST_SHARDS, places);
        else
            for (int64_t s = 1; s < shards; s++)
                places[s] = NAME(csr_search)(op->array[2], bytes, places[s - 1], last, bounds[s]);
        places[shards] = last;
    }
}

/* Fetch the values of a row that will be needed soon. */
NN_INLINE void NAME(fetch_row)(const NAME(csr) *x, int64_t i, int64_t end) {
    if (i >= end) return;
    const int64_t first = x->places[i * x->stride], last = x->places[i * x->stride + x->stride - 1];
    for (int64_t k = first; k < last && k < first + MOST_FETCHED; k += NN_CACHE_LINE / (int64_t)sizeof(real))
        NN_PREFETCH(x->values + k);
}

/* y = x W^T + b for `count` vectors of units from u on, the last with `last` of them */
NN_INLINE void NAME(csr_forward_units)(const int count, const int64_t bytes, real *restrict y, const NAME(csr) *x, int64_t i,
                                       const real *restrict w, const real *restrict b, int64_t units, const int last) {
    vec sum[MOST_VECTORS];
    int bad = 0;
#define UNITS(p, v) NAME(load_some)((p) + (v) * LANES, (v) == count - 1 ? last : LANES)
    NN_UNROLL for (int v = 0; v < count; v++) sum[v] = b ? UNITS(b, v) : (vec){0};
    const int64_t end = x->places[i * x->stride + x->stride - 1];
    for (int64_t k = x->places[i * x->stride]; k < end; k++) {
        const int64_t column = NAME(csr_column)(x, bytes, k, &bad);
        if (k + NUMBERS_AHEAD < end) {
            const real *ahead = w + NAME(integer)(x->columns, bytes, k + NUMBERS_AHEAD) * units;
            NN_UNROLL for (int v = 0; v < count; v++) NN_PREFETCH(ahead + v * LANES);
        }
        const vec value = NAME(broadcast)(x->values[k]);
        NN_UNROLL for (int v = 0; v < count; v++) sum[v] += value * UNITS(w + column * units, v);
    }
    NN_UNROLL for (int v = 0; v < count; v++)
        if (v == count - 1 && last < LANES) NAME(store_part)(y + v * LANES, sum[v], last);
        else NAME(store)(y + v * LANES, sum[v]);
#undef UNITS
    if (bad) *x->failed |= NN_BAD_COLUMN;
}

/* The same for one unit and four rows at a time, so that their chains overlap */
NN_INLINE void NAME(csr_forward_one)(const int64_t bytes, real *restrict y, const NAME(csr) *x, int64_t begin, int64_t end,
                                     const real *restrict w, const real *restrict b) {
    int bad = 0;
#define ADD(sum, k) sum += x->values[k] * w[NAME(csr_column)(x, bytes, k, &bad)]
#define REST(sum, r)                                                                                                           \
    if (i + r < end) {                                                                                                         \
        for (int64_t k = first[r] + shortest; k < first[r] + length[r]; k++) ADD(sum, k);                                      \
        y[i + r] = sum;                                                                                                        \
    }
    for (int64_t i = begin; i < end; i += 4) {
        int64_t first[4], length[4], shortest = INT64_MAX;
        for (int r = 0; r < 4; r++) {
            const int64_t *places = x->places + (i + r < end ? i + r : i) * x->stride;
            first[r] = places[0], length[r] = places[x->stride - 1] - first[r];
            if (length[r] < shortest) shortest = length[r];
            NAME(fetch_row)(x, i + r + 2 * ROWS_AHEAD, end);
        }
        real s0 = b ? b[0] : 0, s1 = s0, s2 = s0, s3 = s0;
        for (int64_t k = 0; k < shortest; k++) {
            ADD(s0, first[0] + k);
            ADD(s1, first[1] + k);
            ADD(s2, first[2] + k);
            ADD(s3, first[3] + k);
        }
        REST(s0, 0)
        REST(s1, 1)
        REST(s2, 2)
        REST(s3, 3)
    }
#undef ADD
#undef REST
    if (bad) *x->failed |= NN_BAD_COLUMN;
}

#define PANEL_UNITS (MOST_VECTORS * LANES)
#define SOME_UNITS(count)                                                                                                      \
    case count:                                                                                                                \
        if (last == LANES) { CALL(count, LANES); }                                                                             \
        else { CALL(count, last); }                                                                                            \
        break;
/* CALL(number of vectors, units of the last one) for the units [u, units), of which there are at least one and at most PANEL_UNITS */
#define WITH_UNITS                                                                                                             \
    do {                                                                                                                       \
        const int64_t here = units - u < PANEL_UNITS ? units - u : PANEL_UNITS;                                                \
        const int last = (int)((here - 1) % LANES + 1);                                                                        \
        switch ((here + LANES - 1) / LANES) { SOME_UNITS(1) SOME_UNITS(2) SOME_UNITS(3) SOME_UNITS(4) }                        \
    } while (0)

NN_INLINE void NAME(csr_forward)(const int64_t bytes, real *restrict y, const NAME(csr) *x, int64_t begin, int64_t end,
                                 const real *restrict w, const real *restrict b, int64_t units) {
    if (units == 1) {
        NAME(csr_forward_one)(bytes, y, x, begin, end, w, b);
        return;
    }
    for (int64_t i = begin; i < end; i++) {
        NAME(fetch_row)(x, i + ROWS_AHEAD, end);
        for (int64_t u = 0; u < units; u += PANEL_UNITS) {
#define CALL(count, last) NAME(csr_forward_units)(count, bytes, y + i * units + u, x, i, w + u, b ? b + u : NULL, units, last)
            WITH_UNITS;
#undef CALL
        }
    }
}

/* arrays: y, values, columns, places, W (inputs, units), b or NULL; sizes: units, inputs */
static void NAME(op_csr_forward)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const NAME(csr) x = NAME(csr_of)(op, context, 1, 0, op->size[1]);
    if (x.bytes == 4) NAME(csr_forward)(4, op->array[0], &x, begin, end, op->array[4], op->array[5], op->size[0]);
    else NAME(csr_forward)(8, op->array[0], &x, begin, end, op->array[4], op->array[5], op->size[0]);
}

/* The rows of W that have a gradient, in the order in which they got one.  `place` is where row j stands among them, or -1.  A tile-local
 * gradient has its rows in this order; in the full array, rows that are not among them may hold numbers of an earlier step, which
 * `stale` says: they are made 0 after the last one (`csr_settle`). */
typedef struct {
    int32_t *restrict rows;      /* with room for one more */
    int64_t count;
    int32_t *restrict place;
    uint8_t *restrict stale;     /* NULL: the gradient is tile-local */
} NAME(touched);

/* Where the gradient of row j is, and whether it has one already; from now on it has. Without a branch, which no processor could predict. */
NN_INLINE int64_t NAME(touch)(NAME(touched) *touched, int64_t j, int *has) {
    const int32_t known = touched->place[j], absent = known >> 31, place = (known & ~absent) | ((int32_t)touched->count & absent);
    *has = absent + 1;
    touched->rows[touched->count] = (int32_t)j;
    touched->place[j] = place;
    touched->count -= absent;
    if (!touched->stale) return place;
    touched->stale[j] = 1;
    return j;
}

/* v, or 0 if it is not to be kept, whatever it is; without a branch */
NN_INLINE vec NAME(kept)(vec v, int keep) {
    return (vec)((NAME(whole))v & ((NAME(whole)){0} - (integer)keep));
}

NN_INLINE real NAME(kept_one)(real v, int keep) {
    integer bits;
    memcpy(&bits, &v, sizeof bits);
    bits &= -(integer)keep;
    memcpy(&v, &bits, sizeof bits);
    return v;
}

/* g += dy^T x over row i of the batch in shard s, for `count` vectors of units.  With `touched`, these are the first of a row, and a row
 * that had no gradient begins with 0: here, and in the `rest` of its units, which follow. */
NN_INLINE void NAME(csr_add_units)(const int count, const int64_t bytes, real *restrict g, const real *restrict dy,
                                   const NAME(csr) *x, int64_t i, int64_t s, NAME(touched) *touched, int64_t units, const int last,
                                   int64_t rest) {
    vec delta[MOST_VECTORS];
    int bad = 0;
#define UNITS(p, v) NAME(load_some)((p) + (v) * LANES, (v) == count - 1 ? last : LANES)
    NN_UNROLL for (int v = 0; v < count; v++) delta[v] = UNITS(dy, v);
    const int64_t end = x->places[i * x->stride + s + 1];
    for (int64_t k = x->places[i * x->stride + s]; k < end; k++) {
        const int64_t column = NAME(csr_column)(x, bytes, k, &bad);
        int has = 1;
        real *row = g + (touched ? NAME(touch)(touched, column, &has) : column) * units;
        if (touched && rest > 0 && !has) memset(row + count * LANES, 0, (size_t)rest * sizeof(real));
        const vec value = NAME(broadcast)(x->values[k]);
        NN_UNROLL for (int v = 0; v < count; v++) {
            const vec old = touched ? NAME(kept)(UNITS(row, v), has) : UNITS(row, v), sum = old + value * delta[v];
            if (v == count - 1 && last < LANES) NAME(store_part)(row + v * LANES, sum, last);
            else NAME(store)(row + v * LANES, sum);
        }
    }
#undef UNITS
    if (bad) *x->failed |= NN_BAD_COLUMN;
}

NN_INLINE void NAME(csr_add_one)(const int64_t bytes, real *restrict g, real dy, const NAME(csr) *x, int64_t i, int64_t s,
                                 NAME(touched) *touched) {
    int bad = 0;
    const int64_t end = x->places[i * x->stride + s + 1];
    for (int64_t k = x->places[i * x->stride + s]; k < end; k++) {
        const int64_t column = NAME(csr_column)(x, bytes, k, &bad);
        int has = 1;
        real *sum = g + (touched ? NAME(touch)(touched, column, &has) : column);
        *sum = NAME(kept_one)(*sum, has) + x->values[k] * dy;
    }
    if (bad) *x->failed |= NN_BAD_COLUMN;
}

/* g += dy^T x over all rows of the batch in order, in the columns of shard s */
NN_INLINE void NAME(csr_add)(const int64_t bytes, real *restrict g, const real *restrict dy, const NAME(csr) *x, int64_t rows, int64_t s,
                             NAME(touched) *touched, int64_t units) {
    for (int64_t i = 0; i < rows; i++) {
        if (units == 1) NAME(csr_add_one)(bytes, g, dy[i], x, i, s, touched);
        else
            for (int64_t u = 0; u < units; u += PANEL_UNITS) {
#define CALL(count, last)                                                                                                      \
    NAME(csr_add_units)(count, bytes, g + u, dy + i * units + u, x, i, s, touched, units, last, u ? 0 : units - PANEL_UNITS)
                WITH_UNITS;
#undef CALL
            }
    }
}

/* The gradient of all of W.
 * arrays: g (inputs, units), dy, values, columns, places, bounds; sizes: units, inputs; one tile per shard */
static void NAME(op_csr_backward_weight)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t units = op->size[0], *bounds = op->array[5];
    real *g = op->array[0];
    for (int64_t s = begin; s < end; s++) {
        const NAME(csr) x = NAME(csr_of)(op, context, 2, bounds[s], bounds[s + 1]);
        memset(g + bounds[s] * units, 0, (size_t)((bounds[s + 1] - bounds[s]) * units) * sizeof(real));
        if (x.bytes == 4) NAME(csr_add)(4, g, op->array[1], &x, context->rows, s, NULL, units);
        else NAME(csr_add)(8, g, op->array[1], &x, context->rows, s, NULL, units);
    }
}

/* The gradient where the batch has numbers.  Leaves the list of these rows to the other ops of the tile (tiles.h).
 * arrays: g (inputs, units), lists (shards,), rows (inputs + shards,) int32, place (inputs,) int32, stale (inputs,) uint8, dy, values,
 * columns, places, bounds; sizes: units, inputs; one tile per shard */
static void NAME(op_csr_backward_touched)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t units = op->size[0], *bounds = op->array[9];
    real *local = context->tile_gradient, *g = local ? local : op->array[0];
    for (int64_t s = begin; s < end; s++) {
        const NAME(csr) x = NAME(csr_of)(op, context, 6, bounds[s], bounds[s + 1]);
        nn_touched *list = (nn_touched *)op->array[1] + s;
        NAME(touched) touched = {(int32_t *)op->array[2] + bounds[s] + s, 0, op->array[3], local ? NULL : op->array[4]};
        for (int64_t k = 0; k < list->count; k++) touched.place[list->rows[k]] = -1;
        if (x.bytes != 4) NAME(csr_add)(8, g, op->array[5], &x, context->rows, s, &touched, units);
        else if (local) {    /* the usual case */
            touched.stale = NULL;
            NAME(csr_add)(4, g, op->array[5], &x, context->rows, s, &touched, units);
        } else NAME(csr_add)(4, g, op->array[5], &x, context->rows, s, &touched, units);
        *list = (nn_touched){touched.count, touched.rows};
    }
}

/* Before the first step: no row has a gradient, and any may hold numbers of something else.
 * arrays: lists, place, stale, bounds; one tile per shard */
static void NAME(op_csr_begin)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t *bounds = op->array[3];
    (void)context;
    for (int64_t s = begin; s < end; s++) {
        const size_t rows = (size_t)(bounds[s + 1] - bounds[s]);
        memset((int32_t *)op->array[1] + bounds[s], -1, rows * sizeof(int32_t));
        memset((uint8_t *)op->array[2] + bounds[s], 1, rows);
        ((nn_touched *)op->array[0])[s].count = 0;
    }
}

/* After the last step: the gradient is 0 where the batch had no numbers.
 * arrays: g (inputs, units), place, stale, bounds; sizes: units; one tile per shard */
static void NAME(op_csr_settle)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t units = op->size[0], *bounds = op->array[3];
    const int32_t *place = op->array[1];
    uint8_t *stale = op->array[2];
    (void)context;
    for (int64_t s = begin; s < end; s++)
        for (int64_t j = bounds[s]; j < bounds[s + 1]; j++) {
            if (!stale[j] || place[j] >= 0) continue;
            memset((real *)op->array[0] + j * units, 0, (size_t)units * sizeof(real));
            stale[j] = 0;
        }
}

#undef MOST_VECTORS
#undef ROWS_AHEAD
#undef COLUMNS_AHEAD
#undef STARTS_AHEAD
#undef MOST_FETCHED
#undef MOST_SHARDS
#undef COUNTED
#undef NUMBERS_AHEAD
#undef PANEL_UNITS
#undef SOME_UNITS
#undef WITH_UNITS
