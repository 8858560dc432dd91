/* The optimizers: each is one pass over a contiguous range of n parameters.  Included twice: for one network, and for one in each lane of
 * a vector (lanes.h), with coefficients of its own, c (k, LANES).
 *
 * Arguments: theta, grad, the slots (the optimizer's state, one number per parameter each), c: this step's row of coefficients
 * in the order given above each kernel, n.  `new_x` is the value of x after the step; `root` is the divisor of the step.
 *
 * A parameter is updated only if it and its slots all stay finite; otherwise they keep their values.  A kernel returns 1
 * if any parameter was not updated. */

#if REAL_IS_FLOAT
#define SQRT sqrtf
#define ABS fabsf
#define WORD uint32_t
#define INFINITY_BITS UINT32_C(0x7f800000)
#else
#define SQRT sqrt
#define ABS fabs
#define WORD uint64_t
#define INFINITY_BITS UINT64_C(0x7ff0000000000000)
#endif
#define SIGN(x) ((x) > 0 ? (real)1 : (x) < 0 ? (real)-1 : (real)0)
#define SAME_SIGN(a, b) ((((a) > 0) & ((b) > 0)) | (((a) < 0) & ((b) < 0)))    /* of two nonzero numbers */
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define MIN(a, b) ((a) < (b) ? (a) : (b))

#if !LANEWISE
/* All ones if x is finite, else 0: the exponent is not all ones.  With integers, because every instruction set has vector operations
 * for them and no compiler turns them into branches. */
NN_INLINE WORD NAME(finite)(real x) {
    WORD bits;
    memcpy(&bits, &x, sizeof bits);
    return (WORD)((integer)((bits & INFINITY_BITS) - INFINITY_BITS) >> (8 * sizeof bits - 1));
}

/* a where ok is all ones, b where it is 0 */
NN_INLINE real NAME(either)(WORD ok, real a, real b) {
    WORD a_bits, b_bits;
    memcpy(&a_bits, &a, sizeof a);
    memcpy(&b_bits, &b, sizeof b);
    a_bits = (a_bits & ok) | (b_bits & ~ok);
    memcpy(&a, &a_bits, sizeof a);
    return a;
}

static int NAME(any)(const WORD failed[LANES]) {
    WORD any = 0;
    for (int l = 0; l < LANES; l++) any |= failed[l];
    return any != 0;
}
#endif

/* A loop body ends with one STORE per array, and COUNT.  C(k): coefficient k, of the network that number i belongs to. */
#if LANEWISE
#define UPDATE(f) NAME(lanes_##f)
#define OF_OP(f) NAME(op_lanes_##f)
#define NETWORKS LANES
#define C(k) c[(k) * LANES + i - first]
#define LOOP                                                                                                                   \
    WORD failed[LANES] = {0};                                                                                                  \
    for (int64_t first = 0; first < n; first += LANES)                                                                         \
        for (int64_t i = first; i < first + LANES; i++)
#define COUNT failed[i - first] |= ~ok
#define DONE return NAME(any)(failed)
#else
#define UPDATE(f) NAME(f)
#define OF_OP(f) NAME(op_##f)
#define NETWORKS 1
#define C(k) c[k]
#define LOOP WORD failed = 0; for (int64_t i = 0; i < n; i++)
#define COUNT failed |= ~ok
#define DONE return failed != 0
#endif
#define FROM(column) (context->coefficients + (column) * NETWORKS)
#define FINITE NAME(finite)
#define FMA NAME(nn_fma)    /* a x + b y with the first product fused, wherever it is compiled */
#define STORE(array, value) array[i] = NAME(either)(ok, value, array[i])

/* Two placements of ε: added to the root (outside) or under it (inside). */
#define OUTSIDE(r, eps) (SQRT(r) + (eps))
#define INSIDE(r, eps) SQRT((r) + (eps))

/* SGD: θ ← θ − ηg
 * c: η */
static int UPDATE(sgd_update)(real *restrict theta, const real *restrict grad, const double *restrict c, int64_t n) {
    LOOP {
        const real eta = (real)C(0);
        const real new_theta = theta[i] - eta * grad[i];
        const WORD ok = FINITE(new_theta);
        STORE(theta, new_theta);
        COUNT;
    }
    DONE;
}

/* Path-SGD: θ ← θ − ηg/γ;  where γ = 0 no path leads through the weight, and θ stays
 * c: η */
static int UPDATE(path_sgd_update)(real *restrict theta, const real *restrict grad, const real *restrict gamma,
                                   const double *restrict c, int64_t n) {
    LOOP {
        const real eta = (real)C(0);
        const real new_theta = theta[i] - (gamma[i] == 0 ? 0 * grad[i] : eta * grad[i] / gamma[i]);
        const WORD ok = FINITE(new_theta);
        STORE(theta, new_theta);
        COUNT;
    }
    DONE;
}

/* Momentum, η inside the velocity: v ← μv − ηg,  θ ← θ + v
 * c: η, μ */
static int UPDATE(momentum_update)(real *restrict theta, const real *restrict grad, real *restrict v, const double *restrict c,
                                 int64_t n) {
    LOOP {
        const real eta = (real)C(0), mu = (real)C(1);
        const real new_v = FMA(mu, v[i], -(eta * grad[i]));
        const real new_theta = theta[i] + new_v;
        const WORD ok = FINITE(new_theta) & FINITE(new_v);
        STORE(theta, new_theta);
        STORE(v, new_v);
        COUNT;
    }
    DONE;
}

/* Momentum, η outside: v ← μv + g,  θ ← θ − ηv
 * c: η, μ */
static int UPDATE(momentum_outside_update)(real *restrict theta, const real *restrict grad, real *restrict v,
                                         const double *restrict c, int64_t n) {
    LOOP {
        const real eta = (real)C(0), mu = (real)C(1);
        const real new_v = mu * v[i] + grad[i];
        const real new_theta = theta[i] - eta * new_v;
        const WORD ok = FINITE(new_theta) & FINITE(new_v);
        STORE(theta, new_theta);
        STORE(v, new_v);
        COUNT;
    }
    DONE;
}

/* Nesterov.  Between enter and leave theta holds the point the gradient is taken at, origin + μv, and origin the parameters.
 *
 * Enter: origin ← θ,  θ ← θ + μv.  v and origin are slots; grad is not read.
 * c: η, μ of the first step */
static int UPDATE(nesterov_enter)(real *restrict theta, const real *restrict grad, const real *restrict v,
                                  real *restrict origin, const double *restrict c, int64_t n) {
    (void)grad;
    LOOP {
        const real mu = (real)C(1);
        const real new_theta = theta[i] + mu * v[i];
        const WORD ok = FINITE(new_theta);
        origin[i] = theta[i];
        STORE(theta, new_theta);
        COUNT;
    }
    DONE;
}

/* Step: v ← μv − ηg,  origin ← origin + v,  θ ← origin + μ′v,  μ′ being the momentum of the next step
 * c: η, μ, μ′ */
static int UPDATE(nesterov_update)(real *restrict theta, const real *restrict grad, real *restrict v, real *restrict origin,
                                 const double *restrict c, int64_t n) {
    LOOP {
        const real eta = (real)C(0), mu = (real)C(1), mu_next = (real)C(2);
        const real new_v = FMA(mu, v[i], -(eta * grad[i]));
        const real new_origin = origin[i] + new_v;
        const real new_theta = new_origin + mu_next * new_v;
        const WORD ok = FINITE(new_theta) & FINITE(new_origin) & FINITE(new_v);
        STORE(theta, new_theta);
        STORE(v, new_v);
        STORE(origin, new_origin);
        COUNT;
    }
    DONE;
}

/* Leave: θ ← origin */
static int UPDATE(nesterov_leave)(real *restrict theta, const real *restrict grad, const real *restrict v,
                                const real *restrict origin, const double *restrict c, int64_t n) {
    (void)grad, (void)v, (void)c;
    for (int64_t i = 0; i < n; i++) theta[i] = origin[i];
    return 0;
}

/* AdaGrad: r ← r + g²,  θ ← θ − ηg/(√r + ε)   (inside: ηg/√(r + ε))
 * c: η, ε */
#define ADAGRAD(name, ROOT)                                                                                                    \
    static int UPDATE(name)(real *restrict theta, const real *restrict grad, real *restrict r, const double *restrict c,       \
                          int64_t n) {                                                                                         \
        LOOP {                                                                                                                 \
            const real eta = (real)C(0), eps = (real)C(1);                                                                     \
            const real new_r = r[i] + grad[i] * grad[i];                                                                       \
            const real new_theta = theta[i] - eta * grad[i] / ROOT(new_r, eps);                                                \
            const WORD ok = FINITE(new_theta) & FINITE(new_r);                                                                 \
            STORE(theta, new_theta);                                                                                           \
            STORE(r, new_r);                                                                                                   \
            COUNT;                                                                                                             \
        }                                                                                                                      \
        DONE;                                                                                                                  \
    }
ADAGRAD(adagrad_update, OUTSIDE)
ADAGRAD(adagrad_inside_update, INSIDE)

/* RMSProp: r ← αr + (1−α)g²,  θ ← θ − ηg/(√r + ε)   (inside: ηg/√(r + ε))
 * c: η, α, ε */
#define RMSPROP(name, ROOT)                                                                                                    \
    static int UPDATE(name)(real *restrict theta, const real *restrict grad, real *restrict r, const double *restrict c,       \
                          int64_t n) {                                                                                         \
        LOOP {                                                                                                                 \
            const real eta = (real)C(0), alpha = (real)C(1), rest = (real)(1 - C(1)), eps = (real)C(2);                        \
            const real new_r = FMA(alpha, r[i], rest * grad[i] * grad[i]);                                                     \
            const real new_theta = theta[i] - eta * grad[i] / ROOT(new_r, eps);                                                \
            const WORD ok = FINITE(new_theta) & FINITE(new_r);                                                                 \
            STORE(theta, new_theta);                                                                                           \
            STORE(r, new_r);                                                                                                   \
            COUNT;                                                                                                             \
        }                                                                                                                      \
        DONE;                                                                                                                  \
    }
RMSPROP(rmsprop_update, OUTSIDE)
RMSPROP(rmsprop_inside_update, INSIDE)

/* RMSProp with momentum: r as above,  v ← μv + g/(√r + ε),  θ ← θ − ηv
 * c: η, α, ε, μ */
#define RMSPROP_MOMENTUM(name, ROOT)                                                                                           \
    static int UPDATE(name)(real *restrict theta, const real *restrict grad, real *restrict r, real *restrict v,               \
                          const double *restrict c, int64_t n) {                                                               \
        LOOP {                                                                                                                 \
            const real eta = (real)C(0), alpha = (real)C(1), rest = (real)(1 - C(1)), eps = (real)C(2), mu = (real)C(3);       \
            const real new_r = FMA(alpha, r[i], rest * grad[i] * grad[i]);                                                     \
            const real new_v = mu * v[i] + grad[i] / ROOT(new_r, eps);                                                         \
            const real new_theta = theta[i] - eta * new_v;                                                                     \
            const WORD ok = FINITE(new_theta) & FINITE(new_r) & FINITE(new_v);                                                 \
            STORE(theta, new_theta);                                                                                           \
            STORE(r, new_r);                                                                                                   \
            STORE(v, new_v);                                                                                                   \
            COUNT;                                                                                                             \
        }                                                                                                                      \
        DONE;                                                                                                                  \
    }
RMSPROP_MOMENTUM(rmsprop_momentum_update, OUTSIDE)
RMSPROP_MOMENTUM(rmsprop_momentum_inside_update, INSIDE)

/* RMSProp, centered: r as above,  a ← αa + (1−α)g,  θ ← θ − ηg/(√(r − a²) + ε).  The variance r − a² is 0 where rounding makes it
 * negative.
 * c: η, α, ε */
#define RMSPROP_CENTERED(name, ROOT)                                                                                           \
    static int UPDATE(name)(real *restrict theta, const real *restrict grad, real *restrict r, real *restrict a,               \
                          const double *restrict c, int64_t n) {                                                               \
        LOOP {                                                                                                                 \
            const real eta = (real)C(0), alpha = (real)C(1), rest = (real)(1 - C(1)), eps = (real)C(2);                        \
            const real new_r = FMA(alpha, r[i], rest * grad[i] * grad[i]);                                                     \
            const real new_a = FMA(alpha, a[i], rest * grad[i]);                                                               \
            const real variance = MAX(new_r - new_a * new_a, 0);                                                               \
            const real new_theta = theta[i] - eta * grad[i] / ROOT(variance, eps);                                             \
            const WORD ok = FINITE(new_theta) & FINITE(new_r) & FINITE(new_a);                                                 \
            STORE(theta, new_theta);                                                                                           \
            STORE(r, new_r);                                                                                                   \
            STORE(a, new_a);                                                                                                   \
            COUNT;                                                                                                             \
        }                                                                                                                      \
        DONE;                                                                                                                  \
    }
RMSPROP_CENTERED(rmsprop_centered_update, OUTSIDE)
RMSPROP_CENTERED(rmsprop_centered_inside_update, INSIDE)

/* RMSProp, centered, with momentum: r, a as above,  v ← μv + g/(√(r − a²) + ε),  θ ← θ − ηv
 * c: η, α, ε, μ */
#define RMSPROP_CENTERED_MOMENTUM(name, ROOT)                                                                                  \
    static int UPDATE(name)(real *restrict theta, const real *restrict grad, real *restrict r, real *restrict a,               \
                          real *restrict v, const double *restrict c, int64_t n) {                                             \
        LOOP {                                                                                                                 \
            const real eta = (real)C(0), alpha = (real)C(1), rest = (real)(1 - C(1)), eps = (real)C(2), mu = (real)C(3);       \
            const real new_r = FMA(alpha, r[i], rest * grad[i] * grad[i]);                                                     \
            const real new_a = FMA(alpha, a[i], rest * grad[i]);                                                               \
            const real variance = MAX(new_r - new_a * new_a, 0);                                                               \
            const real new_v = mu * v[i] + grad[i] / ROOT(variance, eps);                                                      \
            const real new_theta = theta[i] - eta * new_v;                                                                     \
            const WORD ok = FINITE(new_theta) & FINITE(new_r) & FINITE(new_a) & FINITE(new_v);                                 \
            STORE(theta, new_theta);                                                                                           \
            STORE(r, new_r);                                                                                                   \
            STORE(a, new_a);                                                                                                   \
            STORE(v, new_v);                                                                                                   \
            COUNT;                                                                                                             \
        }                                                                                                                      \
        DONE;                                                                                                                  \
    }
RMSPROP_CENTERED_MOMENTUM(rmsprop_centered_momentum_update, OUTSIDE)
RMSPROP_CENTERED_MOMENTUM(rmsprop_centered_momentum_inside_update, INSIDE)

/* AdaDelta: r ← ρr + (1−ρ)g²,  Δ ← g√(d + ε)/√(r + ε),  d ← ρd + (1−ρ)Δ²,  θ ← θ − ηΔ   (outside: Δ ← g(√d + ε)/(√r + ε))
 * c: η, ρ, ε */
#define ADADELTA(name, ROOT)                                                                                                   \
    static int UPDATE(name)(real *restrict theta, const real *restrict grad, real *restrict r, real *restrict d,               \
                          const double *restrict c, int64_t n) {                                                               \
        LOOP {                                                                                                                 \
            const real eta = (real)C(0), rho = (real)C(1), rest = (real)(1 - C(1)), eps = (real)C(2);                          \
            const real new_r = FMA(rho, r[i], rest * grad[i] * grad[i]);                                                       \
            const real delta = grad[i] * ROOT(d[i], eps) / ROOT(new_r, eps);                                                   \
            const real new_d = FMA(rho, d[i], rest * delta * delta);                                                           \
            const real new_theta = theta[i] - eta * delta;                                                                     \
            const WORD ok = FINITE(new_theta) & FINITE(new_r) & FINITE(new_d);                                                 \
            STORE(theta, new_theta);                                                                                           \
            STORE(r, new_r);                                                                                                   \
            STORE(d, new_d);                                                                                                   \
            COUNT;                                                                                                             \
        }                                                                                                                      \
        DONE;                                                                                                                  \
    }
ADADELTA(adadelta_update, INSIDE)
ADADELTA(adadelta_outside_update, OUTSIDE)

/* FTRL-Proximal: with s = sign θ, n ← n + g²,  D = (β + √n)/α + λ₂,  z ← h + g − Dθ − λ₁s,  where h is z cut to [−λ₁, λ₁] for θ = 0,
 * and 0 otherwise;  then θ = −(z − λ₁ sign z)/D where |z| > λ₁, else 0.  This is computed from q = θ − (g + h)/D: as long as θ keeps
 * its sign, the step is exactly that of AdaGrad.  Nothing changes where g = 0, nor with α = 0, for which z has no limit.
 * c: α, β, λ₁, λ₂ */
static int UPDATE(ftrl_update)(real *restrict theta, const real *restrict grad, real *restrict z, real *restrict squares,
                             const double *restrict c, int64_t n) {
    LOOP {
        const real inverse = C(0) > 0 ? (real)(1 / C(0)) : 0, beta = (real)C(1), l1 = (real)C(2), l2 = (real)C(3);
        const real s = SIGN(theta[i]);
        const real held = s == 0 ? MIN(MAX(z[i], -l1), l1) : 0;
        const WORD moves = (WORD)-(integer)((grad[i] != 0) & (inverse != 0));
        const real next_squares = squares[i] + grad[i] * grad[i];
        const real divisor = (beta + SQRT(next_squares)) * inverse + l2, rate = 1 / divisor;
        const real q = theta[i] - rate * (grad[i] + held), zone = rate * l1;
        const real next_theta = MAX(q - zone * (1 - s), 0) + MIN(q + zone * (1 + s), 0);
        const real next_z = grad[i] + held - divisor * theta[i] - l1 * s;
        const real new_theta = NAME(either)(moves, next_theta, theta[i]);
        const real new_z = NAME(either)(moves, next_z, z[i]);
        const real new_squares = NAME(either)(moves, next_squares, squares[i]);
        const WORD ok = FINITE(new_theta) & FINITE(new_z) & FINITE(new_squares) & (FINITE(rate) | ~moves);
        STORE(theta, new_theta);
        STORE(z, new_z);
        STORE(squares, new_squares);
        COUNT;
    }
    DONE;
}

/* Adam: m ← β₁m + (1−β₁)g,  v ← β₂v + (1−β₂)g²,  θ ← θ − ηₜm/(√v + εₜ)   (inside: ηₜm/√(v + εₜ))
 * With ηₜ = η√(1−β₂ᵗ)/(1−β₁ᵗ) this is η m̂/(√v̂ + ε) for εₜ = ε√(1−β₂ᵗ) and η m̂/√(v̂ + ε) for εₜ = ε(1−β₂ᵗ).
 * c: ηₜ, β₁, β₂, εₜ
 * AdamW: the same with θ − δθ instead of θ, δ = ηλ
 * c: ηₜ, β₁, β₂, εₜ, δ */
#define ADAM(name, THETA, ROOT)                                                                                                \
    static int UPDATE(name)(real *restrict theta, const real *restrict grad, real *restrict m, real *restrict v,               \
                          const double *restrict c, int64_t n) {                                                               \
        LOOP {                                                                                                                 \
            const real eta = (real)C(0), beta1 = (real)C(1), rest1 = (real)(1 - C(1));                                         \
            const real beta2 = (real)C(2), rest2 = (real)(1 - C(2)), eps = (real)C(3);                                         \
            const real new_m = FMA(beta1, m[i], rest1 * grad[i]);                                                              \
            const real new_v = FMA(beta2, v[i], rest2 * grad[i] * grad[i]);                                                    \
            const real new_theta = THETA - eta * new_m / ROOT(new_v, eps);                                                     \
            const WORD ok = FINITE(new_theta) & FINITE(new_m) & FINITE(new_v);                                                 \
            STORE(theta, new_theta);                                                                                           \
            STORE(m, new_m);                                                                                                   \
            STORE(v, new_v);                                                                                                   \
            COUNT;                                                                                                             \
        }                                                                                                                      \
        DONE;                                                                                                                  \
    }
#define PLAIN theta[i]
#define DECAYED (theta[i] - (real)C(4) * theta[i])
ADAM(adam_update, PLAIN, OUTSIDE)
ADAM(adam_inside_update, PLAIN, INSIDE)
ADAM(adamw_update, DECAYED, OUTSIDE)
ADAM(adamw_inside_update, DECAYED, INSIDE)

/* AMSGrad: Adam with top ← max(top, v) instead of v under the root
 * c: ηₜ, β₁, β₂, εₜ */
#define AMSGRAD(name, ROOT)                                                                                                    \
    static int UPDATE(name)(real *restrict theta, const real *restrict grad, real *restrict m, real *restrict v,               \
                          real *restrict top, const double *restrict c, int64_t n) {                                           \
        LOOP {                                                                                                                 \
            const real eta = (real)C(0), beta1 = (real)C(1), rest1 = (real)(1 - C(1));                                         \
            const real beta2 = (real)C(2), rest2 = (real)(1 - C(2)), eps = (real)C(3);                                         \
            const real new_m = FMA(beta1, m[i], rest1 * grad[i]);                                                              \
            const real new_v = FMA(beta2, v[i], rest2 * grad[i] * grad[i]);                                                    \
            const real new_top = MAX(top[i], new_v);                                                                           \
            const real new_theta = theta[i] - eta * new_m / ROOT(new_top, eps);                                                \
            const WORD ok = FINITE(new_theta) & FINITE(new_m) & FINITE(new_v);                                                 \
            STORE(theta, new_theta);                                                                                           \
            STORE(m, new_m);                                                                                                   \
            STORE(v, new_v);                                                                                                   \
            STORE(top, new_top);                                                                                               \
            COUNT;                                                                                                             \
        }                                                                                                                      \
        DONE;                                                                                                                  \
    }
AMSGRAD(amsgrad_update, OUTSIDE)
AMSGRAD(amsgrad_inside_update, INSIDE)

/* AdaMax: m ← β₁m + (1−β₁)g,  u ← max(β₂u, |g| + ε),  θ ← θ − ηₜm/u,  ηₜ = η/(1−β₁ᵗ)
 * c: ηₜ, β₁, β₂, ε */
static int UPDATE(adamax_update)(real *restrict theta, const real *restrict grad, real *restrict m, real *restrict u,
                               const double *restrict c, int64_t n) {
    LOOP {
        const real eta = (real)C(0), beta1 = (real)C(1), rest1 = (real)(1 - C(1)), beta2 = (real)C(2), eps = (real)C(3);
        const real new_m = FMA(beta1, m[i], rest1 * grad[i]);
        const real new_u = MAX(beta2 * u[i], ABS(grad[i]) + eps);
        const real new_theta = theta[i] - eta * new_m / new_u;
        const WORD ok = FINITE(new_theta) & FINITE(new_m) & FINITE(new_u);
        STORE(theta, new_theta);
        STORE(m, new_m);
        STORE(u, new_u);
        COUNT;
    }
    DONE;
}

/* NAdam: m, v as in Adam,  θ ← θ − (a m + b g)/(√v + εₜ), where with s = √(1−β₂ᵗ) and μᵢ the momentum of step i
 * a = ηs μₜ₊₁/(1−μ₁…μₜ₊₁),  b = ηs (1−μₜ)/(1−μ₁…μₜ),  εₜ = sε
 * c: a, b, β₁, β₂, εₜ */
static int UPDATE(nadam_update)(real *restrict theta, const real *restrict grad, real *restrict m, real *restrict v,
                              const double *restrict c, int64_t n) {
    LOOP {
        const real a = (real)C(0), b = (real)C(1), beta1 = (real)C(2), rest1 = (real)(1 - C(2));
        const real beta2 = (real)C(3), rest2 = (real)(1 - C(3)), eps = (real)C(4);
        const real new_m = FMA(beta1, m[i], rest1 * grad[i]);
        const real new_v = FMA(beta2, v[i], rest2 * grad[i] * grad[i]);
        const real new_theta = theta[i] - FMA(a, new_m, b * grad[i]) / OUTSIDE(new_v, eps);
        const WORD ok = FINITE(new_theta) & FINITE(new_m) & FINITE(new_v);
        STORE(theta, new_theta);
        STORE(m, new_m);
        STORE(v, new_v);
        COUNT;
    }
    DONE;
}

/* Lion: θ ← θ − η(sign(β₁m + (1−β₁)g) + λθ),  then m ← β₂m + (1−β₂)g
 * c: η, β₁, β₂, λ */
static int UPDATE(lion_update)(real *restrict theta, const real *restrict grad, real *restrict m, const double *restrict c,
                             int64_t n) {
    LOOP {
        const real eta = (real)C(0), beta1 = (real)C(1), rest1 = (real)(1 - C(1));
        const real beta2 = (real)C(2), rest2 = (real)(1 - C(2)), decay = (real)(C(0) * C(3));
        const real direction = FMA(beta1, m[i], rest1 * grad[i]);
        const real new_theta = theta[i] - decay * theta[i] - eta * SIGN(direction);
        const real new_m = FMA(beta2, m[i], rest2 * grad[i]);
        const WORD ok = FINITE(new_theta) & FINITE(new_m);
        STORE(theta, new_theta);
        STORE(m, new_m);
        COUNT;
    }
    DONE;
}

/* Rprop.  Let p be the last gradient and s the parameter's step.
 * s ← s η⁺ if g and p agree in sign, s η⁻ if they differ, then clipped to [smin, smax]
 * p ← 0 if they differ, else g;  θ ← θ − s sign(p)
 * c: η⁻, η⁺, smin, smax */
static int UPDATE(rprop_update)(real *restrict theta, const real *restrict grad, real *restrict previous, real *restrict size,
                              const double *restrict c, int64_t n) {
    LOOP {
        const real minus = (real)C(0), plus = (real)C(1), smallest = (real)C(2), largest = (real)C(3);
        const real g = grad[i], p = previous[i], s = size[i];
        const int same = SAME_SIGN(g, p), differ = SAME_SIGN(g, -p);
        const real factor = same ? plus : differ ? minus : 1, scaled = s * factor;
        const real new_size = MIN(MAX(scaled, smallest), largest);
        const real new_previous = differ ? 0 * g : g;
        const real new_theta = theta[i] - new_size * SIGN(new_previous);
        const WORD ok = FINITE(new_theta) & FINITE(new_previous) & FINITE(new_size);
        STORE(theta, new_theta);
        STORE(previous, new_previous);
        STORE(size, new_size);
        COUNT;
    }
    DONE;
}

/* Delta-bar-delta: η ← η + κ if g and the running mean d̄ of previous gradients agree in sign, (1−φ)η if they differ
 * θ ← θ − ηg,  then d̄ ← ρd̄ + (1−ρ)g
 * c: κ, φ, ρ */
static int UPDATE(delta_bar_delta_update)(real *restrict theta, const real *restrict grad, real *restrict mean,
                                          real *restrict eta, const double *restrict c, int64_t n) {
    LOOP {
        const real kappa = (real)C(0), phi = (real)C(1), rho = (real)C(2), rest = (real)(1 - C(2));
        const real rate = eta[i];
        const int same = SAME_SIGN(grad[i], mean[i]), differ = SAME_SIGN(grad[i], -mean[i]);
        const real new_eta = same ? rate + kappa : differ ? rate - phi * rate : rate;
        const real new_theta = theta[i] - new_eta * grad[i];
        const real new_mean = FMA(rho, mean[i], rest * grad[i]);
        const WORD ok = FINITE(new_theta) & FINITE(new_mean) & FINITE(new_eta);
        STORE(theta, new_theta);
        STORE(mean, new_mean);
        STORE(eta, new_eta);
        COUNT;
    }
    DONE;
}

/* Averages of the parameters, after the update: a ← a + w(θ − a), computed from whichever of the two has the larger weight, so that w = 1
 * is a copy.  w is the same for all parameters.
 * c: w */
static int UPDATE(average)(real *restrict a, const real *restrict theta, const double *restrict c, int64_t n) {
    LOOP {
        const real near = (real)C(0), rest = (real)(1 - C(0));
        const int from_a = C(0) < 0.5;
        const real difference = theta[i] - a[i];
        const real new_a = from_a ? a[i] + near * difference : theta[i] - rest * difference;
        const WORD ok = FINITE(new_a);
        STORE(a, new_a);
        COUNT;
    }
    DONE;
}

/* arrays: a, theta; sizes: column of w */
static void OF_OP(average)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const double *w = FROM(op->size[0]);
    int failed = 0;
    for (int64_t t = begin; t < end; t++)
        FOR_STRETCHES(t, failed |= UPDATE(average)((real *)op->array[0] + at, (const real *)op->array[1] + at, w, n));
    *context->failed |= failed;
}

/* Decoupled weight decay, before the update: θ ← θ − ηλθ
 * c: ηλ */
static int UPDATE(decay)(real *restrict theta, const double *restrict c, int64_t n) {
    LOOP {
        const real share = (real)C(0);
        const real new_theta = theta[i] - share * theta[i];
        const WORD ok = FINITE(new_theta);
        STORE(theta, new_theta);
        COUNT;
    }
    DONE;
}

/* arrays: theta; sizes: column of ηλ */
static void OF_OP(decay)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    int failed = 0;
    for (int64_t t = begin; t < end; t++)
        FOR_STRETCHES(t, failed |= UPDATE(decay)((real *)op->array[0] + at, FROM(tile[4] + op->size[0]), n));
    *context->failed |= failed;
}

/* The ops.  arrays: theta, grad, slots, and at NN_TILE_TABLE the tile table (tiles.h).  grad and the slots have the offsets of theta. */
#define SLOT(k) (real *)op->array[2 + (k)] + at
#define SLOTS_0
#define SLOTS_1 SLOT(0),
#define SLOTS_2 SLOT(0), SLOT(1),
#define SLOTS_3 SLOT(0), SLOT(1), SLOT(2),
#define ARRAYS_SLOTS_0 2
#define ARRAYS_SLOTS_1 3
#define ARRAYS_SLOTS_2 4
#define ARRAYS_SLOTS_3 5
#if !LANEWISE
NN_INLINE void NAME(fetch_later)(const int arrays, const nn_op *op, int64_t at, int64_t later, int64_t n) {
    if (later == at) return;
    for (int64_t i = 0; i < n; i += NN_CACHE_LINE / (int64_t)sizeof(real))
        NN_UNROLL for (int k = 0; k < arrays; k++)
            if (k != 1) NN_PREFETCH((const real *)op->array[k] + later + i);    /* the gradient is in the cache */
}
#endif

#define TILE_OP(kernel, slots)                                                                                                 \
    static void OF_OP(kernel)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {                        \
        int failed = 0;                                                                                                        \
        for (int64_t t = begin; t < end; t++)                                                                                  \
            FOR_STRETCHES(t, NAME(fetch_later)(ARRAYS_##slots, op, at, later, n);                                              \
                             failed |= UPDATE(kernel)((real *)op->array[0] + at, STRETCH(op->array[1]), slots FROM(tile[4]),   \
                                                      n));                                                                     \
        *context->failed |= failed;                                                                                            \
    }

TILE_OP(sgd_update, SLOTS_0)
TILE_OP(path_sgd_update, SLOTS_1)
TILE_OP(momentum_update, SLOTS_1)
TILE_OP(momentum_outside_update, SLOTS_1)
TILE_OP(nesterov_enter, SLOTS_2)
TILE_OP(nesterov_update, SLOTS_2)
TILE_OP(nesterov_leave, SLOTS_2)
TILE_OP(adagrad_update, SLOTS_1)
TILE_OP(adagrad_inside_update, SLOTS_1)
TILE_OP(rmsprop_update, SLOTS_1)
TILE_OP(rmsprop_inside_update, SLOTS_1)
TILE_OP(rmsprop_momentum_update, SLOTS_2)
TILE_OP(rmsprop_momentum_inside_update, SLOTS_2)
TILE_OP(rmsprop_centered_update, SLOTS_2)
TILE_OP(rmsprop_centered_inside_update, SLOTS_2)
TILE_OP(rmsprop_centered_momentum_update, SLOTS_3)
TILE_OP(rmsprop_centered_momentum_inside_update, SLOTS_3)
TILE_OP(adadelta_update, SLOTS_2)
TILE_OP(adadelta_outside_update, SLOTS_2)
TILE_OP(ftrl_update, SLOTS_2)
TILE_OP(adam_update, SLOTS_2)
TILE_OP(adam_inside_update, SLOTS_2)
TILE_OP(adamw_update, SLOTS_2)
TILE_OP(adamw_inside_update, SLOTS_2)
TILE_OP(amsgrad_update, SLOTS_3)
TILE_OP(amsgrad_inside_update, SLOTS_3)
TILE_OP(adamax_update, SLOTS_2)
TILE_OP(nadam_update, SLOTS_2)
TILE_OP(lion_update, SLOTS_1)
TILE_OP(rprop_update, SLOTS_2)
TILE_OP(delta_bar_delta_update, SLOTS_2)

#undef SQRT
#undef ABS
#undef WORD
#undef INFINITY_BITS
#undef FINITE
#undef FMA
#undef SIGN
#undef SAME_SIGN
#undef MAX
#undef MIN
#undef UPDATE
#undef OF_OP
#undef NETWORKS
#undef C
#undef LOOP
#undef FROM
#undef STORE
#undef COUNT
#undef DONE
#undef OUTSIDE
#undef INSIDE
#undef ADAGRAD
#undef RMSPROP
#undef RMSPROP_MOMENTUM
#undef RMSPROP_CENTERED
#undef RMSPROP_CENTERED_MOMENTUM
#undef ADADELTA
#undef ADAM
#undef PLAIN
#undef DECAYED
#undef AMSGRAD
#undef SLOT
#undef SLOTS_0
#undef SLOTS_1
#undef SLOTS_2
#undef SLOTS_3
#undef ARRAYS_SLOTS_0
#undef ARRAYS_SLOTS_1
#undef ARRAYS_SLOTS_2
#undef ARRAYS_SLOTS_3
#undef TILE_OP
