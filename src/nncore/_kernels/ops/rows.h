/* Copy rows between the user's arrays and the batch.
 *
 * The arrays belong to the user, who may modify them while a program runs: each number used as an index is
 * read once (READ_ONCE) and checked before use.  An invalid index is skipped, and the run stops. */

#define READ_ONCE(p) __atomic_load_n(p, __ATOMIC_RELAXED)

/* The rows of the data that form a batch: held in registers during a loop. */
typedef struct {
    const int64_t *index;
    int64_t start;
    uint64_t rows;               /* number of rows of the data */
    int *failed;
} NAME(batch);

NN_INLINE NAME(batch) NAME(batch_of)(const nn_context *context, int64_t rows) {
    return (NAME(batch)){context->index, context->start, rows < 0 ? 0 : (uint64_t)rows, context->failed};
}

/* The index in the data of row i of this batch; -1, and a failure, if it is out of range. */
NN_INLINE int64_t NAME(data_row)(const NAME(batch) *batch, int64_t i) {
    const int64_t row = batch->index ? READ_ONCE(batch->index + i) : batch->start + i;
    if ((uint64_t)row < batch->rows) return row;
    *batch->failed |= NN_BAD_ROW;
    return -1;
}

#if NN_VECTOR_BYTES == 64
/* The first 8 bytes of rows i, i + 1, ... i + 7 of this batch; 0, and a failure, of those out of range; stride in bytes */
NN_INLINE __m512i NAME(eight_rows)(const NAME(batch) *batch, const void *data, int64_t stride, int64_t i) {
    const __m512i row = batch->index ? _mm512_loadu_si512(batch->index + i)
                                     : _mm512_add_epi64(_mm512_set1_epi64(batch->start + i), _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0));
    const __mmask8 good = _mm512_cmplt_epu64_mask(row, _mm512_set1_epi64((int64_t)batch->rows));
    const __m512i at = _mm512_mullo_epi64(row, _mm512_set1_epi64(stride));
    if (good != 0xff) *batch->failed |= NN_BAD_ROW;
    return _mm512_mask_i64gather_epi64(_mm512_setzero_si512(), good, at, data, 1);
}
#endif

/* arrays: out (rows, width), data, its rows anywhere; sizes: width */
static void NAME(op_gather_rows)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t width = op->size[0], stride = op->stride[1] / (int64_t)sizeof(real);
    const NAME(batch) batch = NAME(batch_of)(context, op->length[1]);
    const real *restrict data = (const real *)op->array[1];
    real *restrict out = (real *)op->array[0];
    int64_t i = begin;
#if NN_VECTOR_BYTES == 64
    for (; width * sizeof(real) == 8 && i + 8 <= end; i += 8)
        _mm512_storeu_si512(out + i * width, NAME(eight_rows)(&batch, data, op->stride[1], i));
#endif
    for (; i < end; i++) {
        const int64_t row = NAME(data_row)(&batch, i);
        if (row < 0) continue;
        const real *restrict from = data + row * stride;
        real *restrict to = out + i * width;
        if (width <= 2) {    /* points in the plane: a loop would take longer to start than to copy */
            to[0] = from[0];
            to[width - 1] = from[width - 1];
        } else
            for (int64_t j = 0; j < width; j++) to[j] = from[j];
    }
}

/* Element k of an array of integers of `bytes` bytes each. */
NN_INLINE int64_t NAME(integer)(const void *array, int64_t bytes, int64_t k) {
    return bytes == 4 ? READ_ONCE((const int32_t *)array + k) : READ_ONCE((const int64_t *)array + k);
}

/* Rows of a sparse matrix made dense: out_ij = values_k where columns_k = j, starts_r <= k < starts_{r+1} of its row r; else 0.
 * arrays: out (rows, width), values, columns, starts, both of int32 or of int64; sizes: width */
static void NAME(op_gather_csr)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t width = op->size[0], bytes = op->stride[3];
    const int64_t kept = op->length[1] < op->length[2] ? op->length[1] : op->length[2];
    const real *restrict values = (const real *)op->array[1];
    const NAME(batch) batch = NAME(batch_of)(context, op->length[3] - 1);
    for (int64_t i = begin; i < end; i++) {
        real *restrict to = (real *)op->array[0] + i * width;
        memset(to, 0, (size_t)width * sizeof(real));
        const int64_t r = NAME(data_row)(&batch, i);
        if (r < 0) continue;
        const int64_t first = NAME(integer)(op->array[3], bytes, r), last = NAME(integer)(op->array[3], bytes, r + 1);
        if (first < 0 || first > last || last > kept) {
            *context->failed |= NN_BAD_START;
            continue;
        }
        for (int64_t k = first; k < last; k++) {
            const int64_t column = NAME(integer)(op->array[2], bytes, k);
            if (column >= 0 && column < width) to[column] = values[k];
            else *context->failed |= NN_BAD_COLUMN;
        }
    }
}

/* The label of row i of this batch, below `classes`; -1, and a failure, if it is invalid. */
NN_INLINE int64_t NAME(label)(const NAME(batch) *batch, const int64_t *labels, uint64_t classes, int64_t i) {
    const int64_t row = NAME(data_row)(batch, i);
    if (row < 0) return -1;
    const int64_t label = READ_ONCE(labels + row);
    if ((uint64_t)label < classes) return label;
    *batch->failed |= NN_BAD_LABEL;
    return -1;
}

/* arrays: out (rows,) int64, labels int64; sizes: classes.  The output is always a valid label: later ops rely on that. */
static void NAME(op_gather_labels)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const NAME(batch) batch = NAME(batch_of)(context, op->length[1]);
    const int64_t *restrict labels = (const int64_t *)op->array[1];
    const uint64_t classes = (uint64_t)op->size[0];
    int64_t *restrict out = (int64_t *)op->array[0];
    int64_t i = begin;
#if NN_VECTOR_BYTES == 64
    for (; i + 8 <= end; i += 8) {
        const __m512i label = NAME(eight_rows)(&batch, labels, sizeof(int64_t), i);
        const __mmask8 good = _mm512_cmplt_epu64_mask(label, _mm512_set1_epi64((int64_t)classes));
        if (good != 0xff) *context->failed |= NN_BAD_LABEL;
        _mm512_storeu_si512(out + i, _mm512_maskz_mov_epi64(good, label));
    }
#endif
    for (; i < end; i++) {
        const int64_t label = NAME(label)(&batch, labels, classes, i);
        out[i] = label < 0 ? 0 : label;
    }
}

/* arrays: out (rows, width), labels int64; sizes: width; constants: off value, on value */
static void NAME(op_gather_one_hot)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t width = op->size[0];
    const NAME(batch) batch = NAME(batch_of)(context, op->length[1]);
    for (int64_t i = begin; i < end; i++) {
        const int64_t label = NAME(label)(&batch, (const int64_t *)op->array[1], (uint64_t)width, i);
        real *to = (real *)op->array[0] + i * width;
        for (int64_t j = 0; j < width; j++) to[j] = (real)op->constant[0];
        if (label >= 0) to[label] = (real)op->constant[1];
    }
}

/* arrays: out (rows,) double, weights double */
static void NAME(op_gather_weights)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const NAME(batch) batch = NAME(batch_of)(context, op->length[1]);
    for (int64_t i = begin; i < end; i++) {
        const int64_t row = NAME(data_row)(&batch, i);
        if (row >= 0) ((double *)op->array[0])[i] = ((const double *)op->array[1])[row];
    }
}

/* The reverse copy, to consecutive rows: arrays: out, batch (rows, width); sizes: width */
static void NAME(op_write_rows)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t width = op->size[0];
    memcpy((real *)op->array[0] + (context->position + begin) * width, (const real *)op->array[1] + begin * width,
           (size_t)((end - begin) * width) * sizeof(real));
}

/* Copy rows to a larger stride: arrays: out, rows; sizes: width, gap between rows of out, number of such rows per batch row */
static void NAME(op_spread_rows)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t width = op->size[0], distance = width + op->size[1];
    (void)context;
    for (int64_t i = begin * op->size[2]; i < end * op->size[2]; i++)
        memcpy((real *)op->array[0] + i * distance, (const real *)op->array[1] + i * width, (size_t)width * sizeof(real));
}

#undef READ_ONCE
