/* Pearlmutter's R-operator (tangents.h) through weight normalization (weight_norm.h).  For each unit, with tv = R{v} and
 * tg = R{g} the direction's parts for v and the length g,
 *     s = |v|^2,   p = v . tv / s = R{|v|} / |v|,   a = g / |v|,   ta = R{a} = tg / |v| - a p.
 * Included twice, after weight_norm.h.  Sums are in double. */

typedef struct { double square, p, a, ta; } NAME(weight_norm_factors);

static NAME(weight_norm_factors) NAME(weight_norm_factors_of)(const real *restrict v, const real *restrict tv, double g, double tg,
                                                              int64_t inputs) {
    const double square = NAME(row_dot)(v, v, inputs), norm = sqrt(square), a = g / norm;
    const double p = NAME(row_dot)(v, tv, inputs) / square;
    return (NAME(weight_norm_factors)){square, p, a, tg / norm - a * p};
}

/* W = a v   =>   R{W} = a tv + ta v */
static void NAME(weight_norm_tangent_weight)(real *restrict tw, const real *restrict direction, const real *restrict length,
                                             const real *restrict tdirection, const real *restrict tlength, int64_t units,
                                             int64_t inputs) {
    for (int64_t u = 0; u < units; u++, tw += inputs, direction += inputs, tdirection += inputs) {
        const NAME(weight_norm_factors) f =
            NAME(weight_norm_factors_of)(direction, tdirection, length[u], tlength[u], inputs);
        const real a = (real)f.a, ta = (real)f.ta;
        for (int64_t j = 0; j < inputs; j++) tw[j] = a * tdirection[j] + ta * direction[j];
    }
}

/* b = dW . v / s,   dv = a (dW - b v),   dg = b |v|
 * =>   tb = (tdW . v + dW . tv) / s - 2 b p,   tdv = ta (dW - b v) + a (tdW - tb v - b tv),   tdg = |v| (tb + b p) */
static void NAME(weight_norm_tangent_backward)(real *restrict tddirection, real *restrict tdlength, const real *restrict tdw,
                                               const real *restrict dw, const real *restrict direction,
                                               const real *restrict length, const real *restrict tdirection,
                                               const real *restrict tlength, int64_t units, int64_t inputs) {
    for (int64_t u = 0; u < units; u++) {
        const real *restrict v = direction + u * inputs, *restrict tv = tdirection + u * inputs;
        const real *restrict d = dw + u * inputs, *restrict td = tdw + u * inputs;
        const NAME(weight_norm_factors) f = NAME(weight_norm_factors_of)(v, tv, length[u], tlength[u], inputs);
        const double slope = NAME(row_dot)(d, v, inputs) / f.square;
        const double turned = NAME(row_dot)(td, v, inputs) + NAME(row_dot)(d, tv, inputs);
        const double change = turned / f.square - 2 * slope * f.p;
        const real a = (real)f.a, ta = (real)f.ta, b = (real)slope, tb = (real)change;
        real *restrict to = tddirection + u * inputs;
        for (int64_t j = 0; j < inputs; j++) to[j] = ta * (d[j] - b * v[j]) + a * (td[j] - tb * v[j] - b * tv[j]);
        tdlength[u] = (real)(sqrt(f.square) * (change + slope * f.p));
    }
}

/* A tile is a run of units [u0, u1): arrays: R{W}, direction, length, R{direction}, R{length}, tiles (tiles, 4) int64,
 * packed R{W}; sizes: units, inputs */
static void NAME(op_weight_norm_tangent_weight)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const NAME(rectangle) *tile = (const NAME(rectangle) *)op->array[5] + begin;
    const int64_t inputs = op->size[1], u = tile->u0, at = u * inputs;
    (void)context, (void)end;
    NAME(weight_norm_tangent_weight)((real *)op->array[0] + at, (const real *)op->array[1] + at, (const real *)op->array[2] + u,
                                     (const real *)op->array[3] + at, (const real *)op->array[4] + u, tile->u1 - u, inputs);
    NAME(pack_weight)(op->array[6], op->array[0], u, tile->u1, 0, inputs, op->size[0], inputs);
}

static void NAME(op_weight_norm_tangent_backward)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const NAME(rectangle) *tile = (const NAME(rectangle) *)op->array[8] + begin;
    const int64_t inputs = op->size[1], u = tile->u0, at = u * inputs;
    (void)context, (void)end;
    NAME(weight_norm_tangent_backward)((real *)op->array[0] + at, (real *)op->array[1] + u, (const real *)op->array[2] + at,
                                       (const real *)op->array[3] + at, (const real *)op->array[4] + at,
                                       (const real *)op->array[5] + u, (const real *)op->array[6] + at,
                                       (const real *)op->array[7] + u, tile->u1 - u, inputs);
}
