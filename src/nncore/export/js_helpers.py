"""The functions of a JavaScript module: from constants, the numbers x of one example, and sizes to the next numbers."""

__all__ = ["HELPERS"]

HELPERS = {
    "dense": """\
// W x + b
const dense = (W, b, x, units, inputs) =>
  Array.from({ length: units }, (_, u) => {
    let sum = b[u];
    for (let i = 0; i < inputs; i++) sum += W[u * inputs + i] * x[i];
    return sum;
  });
""",
    "affine": """\
// (x - center) * factor + offset
const affine = (center, factor, offset, x) => x.map((v, i) => (v - center[i]) * factor[i] + offset[i]);
""",
    "divide": """\
// (x - center) / divisor
const divide = (center, divisor, x) => x.map((v, i) => (v - center[i]) / divisor[i]);
""",
    "softmax": """\
// exp(x_j - m) / sum_k exp(x_k - m), m = max_k x_k
const softmax = (x) => {
  const m = x.reduce((a, b) => Math.max(a, b)), e = x.map((v) => Math.exp(v - m)), sum = e.reduce((a, b) => a + b);
  return e.map((v) => v / sum);
};
""",
    "normalize": """\
// (x - mean) / sqrt(mean of (x - mean)^2 + eps) * weight + bias within each group; the mean is 0 if not centered
const normalize = (weight, bias, x, groups, size, centered, eps) => {
  const y = [];
  for (let g = 0; g < groups; g++) {
    const group = x.slice(g * size, (g + 1) * size), mean = centered ? group.reduce((a, b) => a + b) / size : 0;
    const factor = 1 / Math.sqrt(group.reduce((sum, v) => sum + (v - mean) ** 2, 0) / size + eps);
    group.forEach((v, i) => y.push((v - mean) * factor * weight[g * size + i] + bias[g * size + i]));
  }
  return y;
};
""",
    "select": """\
// x_(columns_i)
const select = (columns, x) => Array.from(columns, (column) => x[column]);
""",
    "mask": """\
// for each step whether all its numbers equal value, or before_t
const mask = (x, before, inputs, value) =>
  Array.from({ length: x.length / inputs }, (_, t) =>
    x.slice(t * inputs, (t + 1) * inputs).every((v) => v === value) || Boolean(before[t]));
""",
    "recurrent": """\
// h_t = keep * h_(t-1) + (1 - keep) * cell(W x_t + b, U h_(t-1) + c, h_(t-1)), h_0 = 0: every h_t if `sequences`,
// else the last. Where skip_t, h_t = h_(t-1). In `reverse` the last x_t comes first.
const recurrent = (cell, W, b, U, c, x, skip, steps, inputs, units, sequences, reverse, keep) => {
  const states = [];
  let h = Array(units).fill(0);
  for (let step = 0; step < steps; step++) {
    const t = reverse ? steps - 1 - step : step;
    if (!skip[t]) {
      const a = dense(W, b, x.slice(t * inputs, (t + 1) * inputs), b.length, inputs), p = dense(U, c, h, c.length, units);
      h = cell(a, p, h).map((v, i) => keep * h[i] + (1 - keep) * v);
    }
    states[t] = h;
  }
  return sequences ? states.flat() : h;
};
""",
    "simple_rnn": """\
// tanh(a + p)
const simple_rnn = (...args) => recurrent((a, p) => a.map((v, i) => Math.tanh(v + p[i])), ...args);
""",
    "gru": """\
// of the blocks r, z, n: r = s(a_r + p_r), z = s(a_z + p_z), n = tanh(a_n + r p_n), (1 - z) n + z h, s(v) = 1 / (1 + exp(-v))
const gru = (...args) =>
  recurrent((a, p, h) => h.map((old, i) => {
    const j = h.length + i, k = 2 * h.length + i;
    const r = 1 / (1 + Math.exp(-a[i] - p[i])), z = 1 / (1 + Math.exp(-a[j] - p[j])), n = Math.tanh(a[k] + r * p[k]);
    return (1 - z) * n + z * old;
  }), ...args);
""",
    "gru_reset_before": """\
// r, z = s(a + p) of the first two blocks, n = tanh(a_n + V (r h)), (1 - z) n + z h, s(v) = 1 / (1 + exp(-v))
const gru_reset_before = (W, b, U, c, V, ...rest) =>
  recurrent((a, p, h) => {
    const n = h.length, gate = (j) => 1 / (1 + Math.exp(-a[j] - p[j]));
    const q = dense(V, a.slice(2 * n), h.map((old, i) => gate(i) * old), n, n);
    return h.map((old, i) => (1 - gate(n + i)) * Math.tanh(q[i]) + gate(n + i) * old);
  }, W, b, U, c, ...rest);
""",
    "join": """\
// (first_t, second_t) for each step t, of so many units each
const join = (first, second, units) =>
  Array.from({ length: 2 * first.length }, (_, i) => {
    const j = i % (2 * units), t = (i - j) / 2;
    return j < units ? first[t + j] : second[t + j - units];
  });
""",
    "add": """\
// factor * (first + second)
const add = (first, second, factor) => first.map((v, i) => factor * (v + second[i]));
""",
    "clip": """\
// x / sqrt(1 + (x / limit)^2)
const clip = (x, limit) => x.map((v) => v / Math.hypot(1, v / limit));
""",
    "unclip": """\
// x / sqrt(1 - (x / limit)^2), infinite from the limit on
const unclip = (x, limit) =>
  x.map((v) => {
    const share = Math.min(Math.max(v / limit, -1), 1);
    return v / Math.sqrt((1 - share) * (1 + share));
  });
""",
    "erfc": """\
// 1 - erf(z): below 3 by the series erf z = 2 / sqrt(pi) exp(-z^2) sum_k 2^k z^(2k+1) / (1 * 3 * ... * (2k+1)),
// above by the continued fraction exp(-z^2) / sqrt(pi) / (z + 1/2 / (z + 1 / (z + 3/2 / (z + ...))))
const erfc = (z) => {
  const x = Math.abs(z), scale = Math.exp(-x * x) / Math.sqrt(Math.PI);
  let upper = x;
  if (x < 3) {
    let term = x, sum = 0;
    for (let k = 1; term > 1e-17 * sum; k++, term *= (2 * x * x) / (2 * k - 1)) sum += term;
    upper = 1 - 2 * scale * sum;
  } else {
    for (let k = 60; k > 0; k--) upper = x + k / 2 / upper;
    upper = scale / upper;
  }
  return z < 0 ? 2 - upper : upper;
};
""",
}
