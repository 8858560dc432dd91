/* Pearlmutter's R-operator (tangents.h) through recurrent layers (recurrent.h), row by row and step by step as there.
 * The prefix t of an array denotes R{}: th = R{h}; V is the direction's part for U.  Without zoneout: h_t = new_t.  The initial
 * state does not depend on the parameters.
 * Included twice, after tangents.h. */

/* product = h_{t-1} U^T + c   =>   its tangent = th_{t-1} U^T + h_{t-1} V^T + v_c for one step; v_c may be NULL */
static void NAME(recurrent_tangent_product)(real *restrict product, const real *restrict tprevious, const real *restrict previous,
                                            const real *restrict packed, const real *restrict packed_v,
                                            const real *restrict v_c, int64_t rows, int64_t outputs, int64_t units,
                                            int64_t steps, int64_t t) {
    for (int64_t u = 0; u < outputs; u += PANEL) {
        const int64_t width = MIN(PANEL, outputs - u), stride = ROUND_UP(width, LANES), row = steps * units;
        NAME(multiply_panel)(rows, width, units, previous + t * units, row, 1, packed_v + u * units, stride, v_c ? v_c + u : NULL,
                             product + u, outputs);
        NAME(add_panel)(rows, width, units, tprevious + t * units, row, 1, packed + u * units, stride, product + u, outputs);
    }
}

/* delta_t U   =>   tdelta_t U + delta_t V, the part through the cell of R{gradient of h_{t-1}} */
static void NAME(recurrent_tangent_carry)(real *restrict carry, const real *restrict tdelta, const real *restrict delta,
                                          const real *restrict w, const real *restrict v, int64_t rows, int64_t outputs,
                                          int64_t units, int64_t steps, int64_t t) {
    for (int64_t j = 0; j < units; j += PANEL) {
        const int64_t width = MIN(PANEL, units - j), row = steps * outputs;
        NAME(multiply_panel)(rows, width, outputs, tdelta + t * outputs, row, 1, w + j, units, NULL, carry + j, 2 * units);
        NAME(add_panel)(rows, width, outputs, delta + t * outputs, row, 1, v + j, units, carry + j, 2 * units);
    }
}

/* ---- the simple cell */

/* new_t = tanh(a_t + U h_{t-1})   =>   tnew_t = (1 - new_t^2) (ta_t + U th_{t-1} + V h_{t-1});  `tnew` holds ta on entry */
static void NAME(simple_rnn_tangent_forward)(real *restrict ty, real *restrict tnew, real *restrict tprevious,
                                             real *restrict product, const real *restrict new, const real *restrict previous,
                                             const real *restrict packed, const real *restrict packed_v,
                                             const NAME(recurrence) *r, int64_t rows) {
    const int64_t units = r->units, steps = r->steps;
    NAME(first_state)(tprevious, NULL, r, rows);
    for (int64_t step = 0; step < steps; step++) {
        const int64_t t = NAME(place_of)(r, step);
        NAME(recurrent_tangent_product)(product, tprevious, previous, packed, packed_v, NULL, rows, units, units, steps, t);
        for (int64_t i = 0; i < rows; i++) {
            const int64_t here = (i * steps + t) * units;
            const real *restrict p = product + i * units, *restrict h = new + here;
            real *restrict ta = tnew + here, *restrict th = NAME(state_after)(ty, tprevious, r, i, t);
            for (int64_t j = 0; j < units; j++) th[j] = ta[j] = (1 - h[j]) * (1 + h[j]) * (ta[j] + p[j]);
            NAME(leave_state)(ty, th, tprevious, r, i, t);
        }
    }
}

/* delta_t = g_t (1 - new_t^2),  g_{t-1} = dh_{t-1} + U^T delta_t
 * =>   tdelta_t = tg_t (1 - new_t^2) - 2 g_t new_t tnew_t,  tg_{t-1} = tdh_{t-1} + U^T tdelta_t + V^T delta_t */
static void NAME(simple_rnn_tangent_backward)(real *restrict tdelta, real *restrict carry, const real *restrict tdy,
                                              const real *restrict g, const real *restrict delta, const real *restrict new,
                                              const real *restrict tnew, const real *restrict w, const real *restrict v,
                                              const NAME(recurrence) *r, int64_t rows) {
    const int64_t units = r->units, steps = r->steps;
    memset(carry, 0, (size_t)(rows * 2 * units) * sizeof(real));
    for (int64_t step = steps - 1; step >= 0; step--) {
        const int64_t t = NAME(place_of)(r, step);
        for (int64_t i = 0; i < rows; i++) {
            NAME(enter_state)(carry, NULL, tdy, r, i, t);
            const int64_t here = (i * steps + t) * units;
            const real *restrict tg = carry + i * 2 * units, *restrict gt = g + here;
            const real *restrict h = new + here, *restrict th = tnew + here;
            real *restrict to = tdelta + here;
            for (int64_t j = 0; j < units; j++) to[j] = tg[j] * ((1 - h[j]) * (1 + h[j])) - 2 * gt[j] * h[j] * th[j];
        }
        if (step > 0) NAME(recurrent_tangent_carry)(carry, tdelta, delta, w, v, rows, units, units, steps, t);
    }
}

/* ---- the gated recurrent unit:  r = sigmoid(a_r + p_r)  z = sigmoid(a_z + p_z)  n = tanh(a_n + r q) */

/* new_t = (1 - z) n + z h_{t-1}   =>   tr = r (1 - r) (ta_r + tp_r),  tz likewise,  tn = (1 - n^2) (ta_n + tr q + r tq),
 *     tnew_t = (1 - z) tn + z th_{t-1} + tz (h_{t-1} - n);   `tgates` holds ta on entry, and tr, tz, tn on return */
static void NAME(gru_tangent_forward)(real *restrict ty, real *restrict tgates, real *restrict tq, real *restrict tprevious,
                                      real *restrict product, const real *restrict gates, const real *restrict q,
                                      const real *restrict previous, const real *restrict packed,
                                      const real *restrict packed_v, const real *restrict v_c, const NAME(recurrence) *s,
                                      int64_t rows) {
    const int64_t units = s->units, steps = s->steps;
    NAME(first_state)(tprevious, NULL, s, rows);
    for (int64_t step = 0; step < steps; step++) {
        const int64_t t = NAME(place_of)(s, step);
        NAME(recurrent_tangent_product)(product, tprevious, previous, packed, packed_v, v_c, rows, 3 * units, units, steps, t);
        for (int64_t i = 0; i < rows; i++) {
            const int64_t here = (i * steps + t) * units;
            const real *restrict r = gates + 3 * here, *restrict z = r + units, *restrict n = z + units;
            const real *restrict qt = q + here, *restrict h = previous + here, *restrict th = tprevious + here;
            real *restrict tr = tgates + 3 * here, *restrict tz = tr + units, *restrict tn = tz + units;
            real *restrict tqt = tq + here, *restrict next = NAME(state_after)(ty, tprevious, s, i, t);
            const real *restrict p = product + i * 3 * units;
            for (int64_t j = 0; j < 2 * units; j++) tr[j] = r[j] * (1 - r[j]) * (tr[j] + p[j]);
            for (int64_t j = 0; j < units; j++) tqt[j] = p[2 * units + j];
            for (int64_t j = 0; j < units; j++)
                tn[j] = (1 - n[j]) * (1 + n[j]) * (tn[j] + tr[j] * qt[j] + r[j] * tqt[j]);
            for (int64_t j = 0; j < units; j++) next[j] = (1 - z[j]) * tn[j] + z[j] * th[j] + tz[j] * (h[j] - n[j]);
            NAME(leave_state)(ty, next, tprevious, s, i, t);
        }
    }
}

/* dn = g (1 - z) (1 - n^2)    dz = g (h_{t-1} - n) z (1 - z)    dr = dn q r (1 - r)    dq = dn r    past = g z   =>
 *     tdn = (tg (1 - z) - g tz) (1 - n^2) - 2 g (1 - z) n tn
 *     tdz = (tg (h_{t-1} - n) + g (th_{t-1} - tn)) z (1 - z) + g (h_{t-1} - n) (1 - 2z) tz
 *     tdr = (tdn q + dn tq) r (1 - r) + dn q (1 - 2r) tr
 *     tdq = tdn r + dn tr    tpast = tg z + g tz */
static void NAME(gru_tangent_backward)(real *restrict tdelta, real *restrict tdelta_recurrent, real *restrict carry,
                                       const real *restrict tdy, const real *restrict g, const real *restrict delta_recurrent,
                                       const real *restrict gates, const real *restrict q, const real *restrict previous,
                                       const real *restrict tgates, const real *restrict tq, const real *restrict tprevious,
                                       const real *restrict w, const real *restrict v, const NAME(recurrence) *s,
                                       int64_t rows) {
    const int64_t units = s->units, steps = s->steps;
    memset(carry, 0, (size_t)(rows * 2 * units) * sizeof(real));
    for (int64_t step = steps - 1; step >= 0; step--) {
        const int64_t t = NAME(place_of)(s, step);
        for (int64_t i = 0; i < rows; i++) {
            NAME(enter_state)(carry, NULL, tdy, s, i, t);
            const int64_t here = (i * steps + t) * units;
            const real *restrict tg = carry + i * 2 * units, *restrict gt = g + here;
            const real *restrict h = previous + here, *restrict th = tprevious + here;
            const real *restrict qt = q + here, *restrict tqt = tq + here;
            const real *restrict r = gates + 3 * here, *restrict z = r + units, *restrict n = z + units;
            const real *restrict tr = tgates + 3 * here, *restrict tz = tr + units, *restrict tn = tz + units;
            real *restrict past = carry + (i * 2 + 1) * units, *restrict to = tdelta + 3 * here;
            real *restrict to_recurrent = tdelta_recurrent + 3 * here;
            for (int64_t j = 0; j < units; j++) {
                const real slope = (1 - n[j]) * (1 + n[j]), open = 1 - z[j], move = h[j] - n[j], tmove = th[j] - tn[j];
                const real dn = gt[j] * open * slope;
                const real tdn = (tg[j] * open - gt[j] * tz[j]) * slope - 2 * gt[j] * open * n[j] * tn[j];
                const real tdz = (tg[j] * move + gt[j] * tmove) * (z[j] * open) + gt[j] * move * (1 - 2 * z[j]) * tz[j];
                const real tdr = (tdn * qt[j] + dn * tqt[j]) * (r[j] * (1 - r[j])) + dn * qt[j] * (1 - 2 * r[j]) * tr[j];
                past[j] += tg[j] * z[j] + gt[j] * tz[j];
                to[j] = to_recurrent[j] = tdr;
                to[units + j] = to_recurrent[units + j] = tdz;
                to[2 * units + j] = tdn;
                to_recurrent[2 * units + j] = tdn * r[j] + dn * tr[j];
            }
        }
        if (step > 0)
            NAME(recurrent_tangent_carry)(carry, tdelta_recurrent, delta_recurrent, w, v, rows, 3 * units, units, steps, t);
    }
}

/* ---- the gated recurrent unit of Cho et al.:  (r, z) = sigmoid(a + U_rz h_{t-1})  reset = r h_{t-1}  n = tanh(a_n + U_n reset) */

/* =>   tr = r (1 - r) (ta_r + tp_r),  tz likewise,  treset = tr h_{t-1} + r th_{t-1},  tn = (1 - n^2) (ta_n + tp_n),
 *     tp_n = U_n treset + V_n reset,  tnew_t = (1 - z) tn + z th_{t-1} + tz (h_{t-1} - n) */
static void NAME(gru_reset_before_tangent_forward)(real *restrict ty, real *restrict tgates, real *restrict treset,
                                                   real *restrict tprevious, real *restrict product, const real *restrict gates,
                                                   const real *restrict reset, const real *restrict previous,
                                                   const real *const *packed, const NAME(recurrence) *s, int64_t rows) {
    const int64_t units = s->units, steps = s->steps;
    NAME(first_state)(tprevious, NULL, s, rows);
    for (int64_t step = 0; step < steps; step++) {
        const int64_t t = NAME(place_of)(s, step);
        NAME(recurrent_tangent_product)(product, tprevious, previous, packed[0], packed[2], NULL, rows, 2 * units, units, steps, t);
        for (int64_t i = 0; i < rows; i++) {
            const int64_t here = (i * steps + t) * units;
            const real *restrict r = gates + 3 * here, *restrict h = previous + here, *restrict th = tprevious + here;
            const real *restrict p = product + i * 2 * units;
            real *restrict tr = tgates + 3 * here, *restrict to = treset + here;
            for (int64_t j = 0; j < 2 * units; j++) tr[j] = r[j] * (1 - r[j]) * (tr[j] + p[j]);
            for (int64_t j = 0; j < units; j++) to[j] = tr[j] * h[j] + r[j] * th[j];
        }
        NAME(recurrent_tangent_product)(product, treset, reset, packed[1], packed[3], NULL, rows, units, units, steps, t);
        for (int64_t i = 0; i < rows; i++) {
            const int64_t here = (i * steps + t) * units;
            const real *restrict z = gates + 3 * here + units, *restrict n = z + units;
            const real *restrict h = previous + here, *restrict th = tprevious + here;
            real *restrict tz = tgates + 3 * here + units, *restrict tn = tz + units;
            real *restrict next = NAME(state_after)(ty, tprevious, s, i, t);
            const real *restrict p = product + i * units;
            for (int64_t j = 0; j < units; j++) tn[j] = (1 - n[j]) * (1 + n[j]) * (tn[j] + p[j]);
            for (int64_t j = 0; j < units; j++) next[j] = (1 - z[j]) * tn[j] + z[j] * th[j] + tz[j] * (h[j] - n[j]);
            NAME(leave_state)(ty, next, tprevious, s, i, t);
        }
    }
}

/* dreset = U_n^T dn    dr = dreset h_{t-1} r (1 - r)    past = g z + dreset r   =>   tdn and tdz as above, and
 *     tdreset = U_n^T tdn + V_n^T dn    tpast = tg z + g tz + tdreset r + dreset tr
 *     tdr = (tdreset h_{t-1} + dreset th_{t-1}) r (1 - r) + dreset h_{t-1} (1 - 2r) tr
 * `dreset` (rows, units) is computed again; w and v: U and V of r and z, and of n */
static void NAME(gru_reset_before_tangent_backward)(real *restrict tdelta, real *restrict tdelta_rz, real *restrict tdelta_n,
                                                    real *restrict carry, real *restrict dreset, const real *restrict tdy,
                                                    const real *restrict g, const real *restrict delta_rz,
                                                    const real *restrict delta_n, const real *restrict gates,
                                                    const real *restrict previous, const real *restrict tgates,
                                                    const real *restrict tprevious, const real *restrict w,
                                                    const real *restrict v, const NAME(recurrence) *s, int64_t rows) {
    const int64_t units = s->units, steps = s->steps, of_n = 2 * units * units;
    memset(carry, 0, (size_t)(rows * 2 * units) * sizeof(real));
    for (int64_t step = steps - 1; step >= 0; step--) {
        const int64_t t = NAME(place_of)(s, step);
        for (int64_t i = 0; i < rows; i++) {
            NAME(enter_state)(carry, NULL, tdy, s, i, t);
            const int64_t here = (i * steps + t) * units;
            const real *restrict tg = carry + i * 2 * units, *restrict gt = g + here;
            const real *restrict h = previous + here, *restrict th = tprevious + here;
            const real *restrict z = gates + 3 * here + units, *restrict n = z + units;
            const real *restrict tz = tgates + 3 * here + units, *restrict tn = tz + units;
            real *restrict past = carry + (i * 2 + 1) * units, *restrict to = tdelta + 3 * here;
            for (int64_t j = 0; j < units; j++) {
                const real slope = (1 - n[j]) * (1 + n[j]), open = 1 - z[j], move = h[j] - n[j], tmove = th[j] - tn[j];
                const real tdn = (tg[j] * open - gt[j] * tz[j]) * slope - 2 * gt[j] * open * n[j] * tn[j];
                const real tdz = (tg[j] * move + gt[j] * tmove) * (z[j] * open) + gt[j] * move * (1 - 2 * z[j]) * tz[j];
                past[j] += tg[j] * z[j] + gt[j] * tz[j];
                to[units + j] = tdelta_rz[2 * here + units + j] = tdz;
                to[2 * units + j] = tdelta_n[here + j] = tdn;
            }
        }
        NAME(step_product)(dreset, units, delta_n, w + of_n, units, NULL, s, rows, units, units, t);
        NAME(recurrent_tangent_carry)(carry, tdelta_n, delta_n, w + of_n, v + of_n, rows, units, units, steps, t);
        for (int64_t i = 0; i < rows; i++) {
            const int64_t here = (i * steps + t) * units;
            const real *restrict td = carry + i * 2 * units, *restrict d = dreset + i * units;
            const real *restrict h = previous + here, *restrict th = tprevious + here;
            const real *restrict r = gates + 3 * here, *restrict tr = tgates + 3 * here;
            real *restrict past = carry + (i * 2 + 1) * units, *restrict to = tdelta + 3 * here;
            for (int64_t j = 0; j < units; j++) {
                past[j] += td[j] * r[j] + d[j] * tr[j];
                to[j] = tdelta_rz[2 * here + j] =
                    (td[j] * h[j] + d[j] * th[j]) * (r[j] * (1 - r[j])) + d[j] * h[j] * (1 - 2 * r[j]) * tr[j];
            }
        }
        if (step > 0) NAME(recurrent_tangent_carry)(carry, tdelta_rz, delta_rz, w, v, rows, 2 * units, units, steps, t);
    }
}

/* ---- the ops of all cells; sizes and constants as in recurrent.h, the rate of zoneout being 0 */

/* arrays: ty, tnew (ta on entry), tprevious, product (rows, units), new, previous, packed U, packed V, mask */
static void NAME(op_simple_rnn_tangent_forward)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const NAME(recurrence) r = NAME(recurrence_of)(op, context, begin, 8);
    const int64_t all = begin * r.steps * r.units;
    NAME(simple_rnn_tangent_forward)(OF_OUTPUT(0), OF_STEPS(1), OF_STEPS(2), OF_ROWS(3, r.units), OF_STEPS(4), OF_STEPS(5),
                                     op->array[6], op->array[7], &r, end - begin);
}

static void NAME(op_simple_rnn_tangent_backward)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const NAME(recurrence) r = NAME(recurrence_of)(op, context, begin, 9);
    const int64_t all = begin * r.steps * r.units;
    NAME(simple_rnn_tangent_backward)(OF_STEPS(0), OF_ROWS(1, 2 * r.units), OF_OUTPUT(2), OF_STEPS(3), OF_STEPS(4), OF_STEPS(5),
                                      OF_STEPS(6), op->array[7], op->array[8], &r, end - begin);
}

/* arrays: ty, tgates (ta on entry), tq, tprevious, product (rows, 3 units), gates, q, previous, packed U, packed V, v_c, mask */
static void NAME(op_gru_tangent_forward)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const NAME(recurrence) r = NAME(recurrence_of)(op, context, begin, 11);
    const int64_t all = begin * r.steps * r.units;
    NAME(gru_tangent_forward)(OF_OUTPUT(0), OF_GATES(1), OF_STEPS(2), OF_STEPS(3), OF_ROWS(4, 3 * r.units), OF_GATES(5),
                              OF_STEPS(6), OF_STEPS(7), op->array[8], op->array[9], op->array[10], &r, end - begin);
}

static void NAME(op_gru_tangent_backward)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const NAME(recurrence) r = NAME(recurrence_of)(op, context, begin, 14);
    const int64_t all = begin * r.steps * r.units;
    NAME(gru_tangent_backward)(OF_GATES(0), OF_GATES(1), OF_ROWS(2, 2 * r.units), OF_OUTPUT(3), OF_STEPS(4), OF_GATES(5),
                               OF_GATES(6), OF_STEPS(7), OF_STEPS(8), OF_GATES(9), OF_STEPS(10), OF_STEPS(11), op->array[12],
                               op->array[13], &r, end - begin);
}

/* arrays: ty, tgates (ta on entry), treset, tprevious, product (rows, 2 units), gates, reset, previous, packed U of r and z, of n,
 * packed V of r and z, of n, mask */
static void NAME(op_gru_reset_before_tangent_forward)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const NAME(recurrence) r = NAME(recurrence_of)(op, context, begin, 12);
    const int64_t all = begin * r.steps * r.units;
    const real *packed[] = {op->array[8], op->array[9], op->array[10], op->array[11]};
    NAME(gru_reset_before_tangent_forward)(OF_OUTPUT(0), OF_GATES(1), OF_STEPS(2), OF_STEPS(3), OF_ROWS(4, 2 * r.units),
                                           OF_GATES(5), OF_STEPS(6), OF_STEPS(7), packed, &r, end - begin);
}

/* arrays: tdelta, tdelta_rz, tdelta_n, carry (rows, 3, units) with room for dreset, tdy, g, delta_rz, delta_n, gates, previous,
 * tgates, tprevious, U, V, mask */
static void NAME(op_gru_reset_before_tangent_backward)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const NAME(recurrence) r = NAME(recurrence_of)(op, context, begin, 14);
    const int64_t all = begin * r.steps * r.units;
    real *carry = OF_ROWS(3, 3 * r.units);
    NAME(gru_reset_before_tangent_backward)(OF_GATES(0), OF_STEPS(1) + all, OF_STEPS(2), carry, carry + (end - begin) * 2 * r.units,
                                            OF_OUTPUT(4), OF_STEPS(5), OF_STEPS(6) + all, OF_STEPS(7), OF_GATES(8), OF_STEPS(9),
                                            OF_GATES(10), OF_STEPS(11), op->array[12], op->array[13], &r, end - begin);
}
#undef OF_STEPS
#undef OF_GATES
#undef OF_OUTPUT
#undef OF_ROWS
#undef OF_G

/* ---- a dense layer at every step: tangents.h over rows * steps rows; sizes: units, inputs, 0, 0, steps */

static void NAME(op_dense_steps_tangent_forward)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    NAME(op_dense_tangent_forward)(op, context, begin * op->size[4], end * op->size[4]);
}

static void NAME(op_dense_steps_tangent_backward_input)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    NAME(op_dense_tangent_backward_input)(op, context, begin * op->size[4], end * op->size[4]);
}

static void NAME(op_dense_steps_tangent_backward_weight)(const nn_op *op, const nn_context *context, int64_t begin,
                                                         int64_t end) {
    nn_context longer = *context;
    longer.rows *= op->size[4];
    NAME(op_dense_tangent_backward_weight)(op, &longer, begin, end);
}
