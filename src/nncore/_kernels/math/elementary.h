/* exp, expm1, log, log1p, tanh, sigmoid, softplus, erf and the normal distribution function of one `real`, written
 * so that a loop over them vectorizes: no branch (only selects), no table, integer work on the bits alone.  Within 2 ulp
 * of the true value everywhere, with or without FMA (the normal distribution function: see there); results go gradually
 * to zero and to infinity; infinities, NaN and signed zeros as in NumPy.
 *
 * The polynomials are minimax fits (Remez, 200-bit arithmetic); each states its degree and the error it adds to the
 * result. No includes, no guard: the includer defines real, integer, NAME, REAL and REAL_IS_FLOAT and includes this
 * file twice. */

#if REAL_IS_FLOAT
#define WORD uint32_t
#define MANTISSA 23                      /* stored bits of the mantissa */
#define BIAS 127                         /* exponent field of 1.0 */
#define SHIFT REAL(12582912.0)           /* 1.5 * 2^23: x + SHIFT holds x, rounded to an integer, in its low bits */
#define TWO_MANTISSA REAL(8388608.0)     /* 2^23 */
#define SQRT_HALF_BITS 0x3f3504f3u
#define SMALLEST_NORMAL FLT_MIN
#define EPSILON FLT_EPSILON
#define LN2_HI REAL(0.693145751953125)   /* 15 bits, so n * LN2_HI is exact */
#define LN2_LO REAL(1.4286068203094172e-06)
#define EXP_MAX REAL(89.0)
#define EXP_MIN REAL(-104.0)
#else
#define WORD uint64_t
#define MANTISSA 52
#define BIAS 1023
#define SHIFT REAL(6755399441055744.0)
#define TWO_MANTISSA REAL(4503599627370496.0)
#define SQRT_HALF_BITS 0x3fe6a09e667f3bcdu
#define SMALLEST_NORMAL DBL_MIN
#define EPSILON DBL_EPSILON
#define LN2_HI REAL(0x1.62e42fefa38p-1)  /* 42 bits */
#define LN2_LO REAL(5.4979230187083711747e-14)
#define EXP_MAX REAL(710.0)
#define EXP_MIN REAL(-746.0)
#endif
#define LOG2_E REAL(1.4426950408889634074)
#define SIGN_BIT ((WORD)1 << (8 * sizeof(WORD) - 1))
#define NN_INFINITY ((real)INFINITY)
#define NN_NAN ((real)NAN)

static inline WORD NAME(nn_bits)(real x) {
    WORD bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline real NAME(nn_from_bits)(WORD bits) {
    real x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline real NAME(nn_abs)(real x) {
    return NAME(nn_from_bits)(NAME(nn_bits)(x) & ~SIGN_BIT);
}

/* magnitude (>= 0) with the sign of x */
static inline real NAME(nn_with_sign)(real magnitude, real x) {
    return NAME(nn_from_bits)(NAME(nn_bits)(magnitude) | (NAME(nn_bits)(x) & SIGN_BIT));
}

/* a b + c, fused wherever that is fast.  -ffp-contract does it for plain sums of products, but not reliably if a
 * select is in between, or if both sides are products: then a vector loop and its scalar tail could differ in
 * the last bit. */
static inline real NAME(nn_fma)(real a, real b, real c) {
#if REAL_IS_FLOAT && defined(__FP_FAST_FMAF)
    return __builtin_fmaf(a, b, c);
#elif !REAL_IS_FLOAT && defined(__FP_FAST_FMA)
    return __builtin_fma(a, b, c);
#else
    return a * b + c;
#endif
}

/* ---- exp: x = n ln 2 + r, |r| <= ln 2 / 2, e^x = 2^n e^r ------------------------------------------------------- */

/* (e^r - 1 - r) / r^2.  Degree 4, 2^-28 of e^r (float); degree 9, 2^-57 (double). */
static inline real NAME(nn_exp_tail)(real r) {
#if REAL_IS_FLOAT
    return (((REAL(0.00138139119) * r + REAL(0.00836906327)) * r + REAL(0.0416684213)) * r + REAL(0.166665178)) * r
        + REAL(0.499999933);
#else
    const real z = r * r;
    const real odd = (((REAL(2.4999563378803921e-8) * z + REAL(2.7557591579498755e-6)) * z
        + REAL(0.00019841269496738026)) * z + REAL(0.008333333333500803)) * z + REAL(0.166666666666664);
    const real even = (((REAL(2.7630959318305026e-7) * z + REAL(2.4801491256919157e-5)) * z
        + REAL(0.0013888888945239629)) * z + REAL(0.0416666666665248)) * z + REAL(0.50000000000000111);
    return odd * r + even;
#endif
}

static inline real NAME(nn_exp)(real x) {
    x = x > EXP_MAX ? EXP_MAX : x;   /* NaN passes both comparisons */
    x = x < EXP_MIN ? EXP_MIN : x;
    const real shifted = x * LOG2_E + SHIFT;
    const real n = shifted - SHIFT;
    const real r = (x - n * LN2_HI) - n * LN2_LO;
    const real y = REAL(1.0) + (r + r * r * NAME(nn_exp_tail)(r));
    /* 2^n in two factors, so that only the last product overflows, or rounds to a subnormal */
    const WORD exponent = NAME(nn_bits)(shifted) - NAME(nn_bits)(SHIFT) + 2 * BIAS;
    const WORD half = exponent >> 1;
    return y * NAME(nn_from_bits)(half << MANTISSA) * NAME(nn_from_bits)((exponent - half) << MANTISSA);
}

/* e^x - 1 = 2 ((s r + s - 1/2) + s w), with s = 2^(n-1) and e^r = 1 + r + w.  The first sum rounds no worse than the
 * last. */
static inline real NAME(nn_expm1)(real x) {
    real clamped = x > EXP_MAX ? EXP_MAX : x;
    clamped = clamped < REAL(-50.0) ? REAL(-50.0) : clamped;
    const real shifted = clamped * LOG2_E + SHIFT;
    const real n = shifted - SHIFT;
    const real whole = clamped - n * LN2_HI;
    const real r = whole - n * LN2_LO;
    const real rest = (whole - r) - n * LN2_LO;  /* the rounding error of r */
    const real w = r * r * NAME(nn_exp_tail)(r) + rest;
    const real s = NAME(nn_from_bits)((NAME(nn_bits)(shifted) - NAME(nn_bits)(SHIFT) + (BIAS - 1)) << MANTISSA);
    const real y = REAL(2.0) * ((s * r + (s - REAL(0.5))) + s * w);
    return NAME(nn_abs)(x) < EPSILON / 2 ? x : y;
}

/* ---- log: x = 2^k (1 + f), 1 + f in [sqrt(1/2), sqrt(2)) ------------------------------------------------------- */

/* k ln 2 + log(1 + f), where log(1 + f) = f - f^2/2 + s (f^2/2 + R), s = f / (2 + f), R = log((1 + s)/(1 - s))/s - 2
 * (the arrangement of FreeBSD's msun, e_log.c).  R / s^2 in s^2: degree 2, 2^-30 (float); degree 6, 2^-59 (double). */
static inline real NAME(nn_log_parts)(real k, real f) {
    const real s = f / (REAL(2.0) + f);
    const real z = s * s;
#if REAL_IS_FLOAT
    const real tail = ((REAL(0.298722968) * z + REAL(0.399775223)) * z + REAL(0.666667765)) * z;
#else
    const real tail = ((((((REAL(0.14796624675356939) * z + REAL(0.15313986868700134))
        * z + REAL(0.18183566660753738)) * z
        + REAL(0.22222198531393083)) * z + REAL(0.28571428742762461)) * z + REAL(0.3999999999941315)) * z
        + REAL(0.66666666666667346)) * z;
#endif
    const real half_square = REAL(0.5) * f * f;
    return k * LN2_HI - ((half_square - NAME(nn_fma)(s, half_square + tail, k * LN2_LO)) - f);
}

/* biased k << MANTISSA and the mantissa bits of f: see nn_log */
static inline WORD NAME(nn_log_split)(real x) {
    return NAME(nn_bits)(x) - SQRT_HALF_BITS + ((WORD)BIAS << MANTISSA);
}

static inline real NAME(nn_log_exponent)(WORD split) {
    return NAME(nn_from_bits)((split >> MANTISSA) | NAME(nn_bits)(TWO_MANTISSA)) - (TWO_MANTISSA + BIAS);
}

static inline real NAME(nn_log_mantissa)(WORD split) {
    return NAME(nn_from_bits)((split & (((WORD)1 << MANTISSA) - 1)) + SQRT_HALF_BITS);
}

static inline real NAME(nn_log)(real x) {
    const real scaled = x < SMALLEST_NORMAL ? x * TWO_MANTISSA : x;
    const real lift = x < SMALLEST_NORMAL ? (real)MANTISSA : REAL(0.0);
    const WORD split = NAME(nn_log_split)(scaled);
    real y = NAME(nn_log_parts)(NAME(nn_log_exponent)(split) - lift, NAME(nn_log_mantissa)(split) - REAL(1.0));
    y = x < NN_INFINITY ? y : x;                /* +inf, NaN */
    y = x >= REAL(0.0) ? y : NN_NAN;
    return x == REAL(0.0) ? -NN_INFINITY : y;
}

/* log where x is finite and at least 1, or NaN */
static inline real NAME(nn_log_from_one)(real x) {
    const WORD split = NAME(nn_log_split)(x);
    const real y = NAME(nn_log_parts)(NAME(nn_log_exponent)(split), NAME(nn_log_mantissa)(split) - REAL(1.0));
    return x == x ? y : x;
}

/* u = fl(1 + x) and c = 1 + x - u, exactly: log(1 + x) = k ln 2 + log(1 + f + c / 2^k), u = 2^k (1 + f) */
static inline real NAME(nn_log1p)(real x) {
    const real u = REAL(1.0) + x;
    const real c = x < REAL(1.0) ? x - (u - REAL(1.0)) : REAL(1.0) - (u - x);
    const WORD split = NAME(nn_log_split)(u);
    const real twice_over_power = NAME(nn_from_bits)(((WORD)(2 * BIAS + 1) - (split >> MANTISSA)) << MANTISSA);
    const real f = (NAME(nn_log_mantissa)(split) - REAL(1.0)) + REAL(0.5) * c * twice_over_power;
    real y = NAME(nn_log_parts)(NAME(nn_log_exponent)(split), f);
    y = NAME(nn_abs)(x) < EPSILON / 4 ? x : y;
    y = x < NN_INFINITY ? y : x;
    y = x >= REAL(-1.0) ? y : NN_NAN;
    return x == REAL(-1.0) ? -NN_INFINITY : y;
}

/* log1p where 0 <= x <= 1, or NaN */
static inline real NAME(nn_log1p_unit)(real x) {
    const real u = REAL(1.0) + x;
    const real c = x - (u - REAL(1.0));
    const WORD split = NAME(nn_log_split)(u);
    const real over_power = NAME(nn_from_bits)(((WORD)(2 * BIAS) - (split >> MANTISSA)) << MANTISSA);
    const real f = (NAME(nn_log_mantissa)(split) - REAL(1.0)) + c * over_power;
    return NAME(nn_log_parts)(NAME(nn_log_exponent)(split), f);
}

/* ---- activation functions ----- -------------------------------------------------------------------------------- */

/* tanh a = a + a^3 T(a^2) below 0.55, 1 - 2 / (e^2a + 1) above.  T: degree 4, 2^-30 (float); degree 9, 2^-55.5
 * (double). */
static inline real NAME(nn_tanh)(real x) {
    const real a = NAME(nn_abs)(x);
    const real z = a * a;
#if REAL_IS_FLOAT
    const real tail = (((REAL(-0.00627358588) * z + REAL(0.0210712836)) * z + REAL(-0.0538522332)) * z
        + REAL(0.133325856)) * z + REAL(-0.333333175);
#else
    const real v = z * z;
    const real odd = (((REAL(5.1011018844603055e-5) * v + REAL(0.00057912795466611077)) * v
        + REAL(0.0035917190909592343)) * v + REAL(0.021869485969259098)) * v + REAL(0.13333333333168234);
    const real even = (((REAL(-0.00021028743787806148) * v + REAL(-0.0014532137324274659)) * v
        + REAL(-0.0088631944293669208)) * v + REAL(-0.053968253875847374)) * v + REAL(-0.3333333333333231);
    const real tail = odd * z + even;
#endif
    const real small = a + a * (z * tail);
    const real large = REAL(1.0) - REAL(2.0) / (NAME(nn_exp)(REAL(2.0) * a) + REAL(1.0));
    return NAME(nn_with_sign)(a < REAL(0.55) ? small : large, x);
}

/* sigmoid(x), given e = e^-|x|.  With q = e / (1 + e): 1 - q for x >= 0 and q for x < 0, where q = e - e q rounds
 * better when e is small. */
static inline real NAME(nn_sigmoid_from)(real x, real e) {
    const real q = e / (REAL(1.0) + e);
    const real negative = e < REAL(0.35) ? NAME(nn_fma)(-e, q, e) : q;
    return x < REAL(0.0) ? negative : REAL(1.0) - q;
}

static inline real NAME(nn_sigmoid)(real x) {
    return NAME(nn_sigmoid_from)(x, NAME(nn_exp)(-NAME(nn_abs)(x)));
}

/* log(1 + e^x) = max(x, 0) + log1p(e^-|x|) */
static inline real NAME(nn_softplus)(real x) {
    return (x > REAL(0.0) ? x : REAL(0.0)) + NAME(nn_log1p_unit)(NAME(nn_exp)(-NAME(nn_abs)(x)));
}

/* erf a = a + a E(a^2) below 1, 1 - exp(-g(a)) above, g = -log erfc.
 * E: degree 6, 2^-29.7 (float); degree 11, 2^-57 (double).  g on [1, 4]: degree 6; on [1, 6]: degree 17; 2^-30 and
 * 2^-57 of erf; beyond, erf rounds to 1. */
static inline real NAME(nn_erf)(real x) {
    const real a = NAME(nn_abs)(x);
    const real z = a * a;
#if REAL_IS_FLOAT
    const real small = (((((REAL(7.88911916e-5) * z + REAL(-0.00080208457)) * z + REAL(0.00518953646)) * z
        + REAL(-0.0268544456)) * z + REAL(0.112836002)) * z + REAL(-0.376126271)) * z + REAL(0.128379166);
    const real t = (a > REAL(4.0) ? REAL(4.0) : a) - REAL(1.0);
    const real g = (((((REAL(-0.000185573599) * t + REAL(0.00182616277)) * t + REAL(-0.00989089279)) * t
        + REAL(0.0415006896)) * t + REAL(0.843118336)) * t + REAL(2.63896682)) * t + REAL(1.84960552);
#else
    const real v = z * z;
    const real small_odd = ((((REAL(-7.8011888740977516e-10) * v + REAL(-1.6209175911748696e-7)) * v
        + REAL(-1.492474466333549e-5)) * v + REAL(-0.0008548325989696758)) * v + REAL(-0.026866170643276218)) * v
        + REAL(-0.37612638903183547);
    const real small_even = ((((REAL(1.3722976265924503e-8) * v + REAL(1.6447517677871874e-6)) * v
        + REAL(0.00012055295320494294)) * v + REAL(0.0052239776074234678)) * v + REAL(0.11283791670945253)) * v
        + REAL(0.12837916709551257);
    const real small = small_odd * z + small_even;
    const real t = (a > REAL(6.0) ? REAL(6.0) : a) - REAL(1.0);
    const real u = t * t;
    const real odd = (((((((REAL(4.8647425047393465e-12) * u + REAL(1.3190518993984098e-9)) * u
        + REAL(3.3390330503952377e-8)) * u + REAL(-2.0481556730159731e-7)) * u + REAL(-9.671380702205932e-6)) * u
        + REAL(-2.6296328112544426e-5)) * u + REAL(0.0019779012156988079)) * u + REAL(0.041561098025080136)) * u
        + REAL(2.6389675142347758);
    const real even = (((((((REAL(-1.1932022811030046e-10) * u + REAL(-8.5185024539162145e-9)) * u
        + REAL(-5.8009405413842905e-8)) * u + REAL(2.1319441478731672e-6)) * u + REAL(2.7198975080073614e-5)) * u
        + REAL(-0.00023731643433446229)) * u + REAL(-0.010033825179109826)) * u + REAL(0.84310725635941253)) * u
        + REAL(1.8496055099332483);
    const real g = odd * t + even;
#endif
    const real large = REAL(1.0) - NAME(nn_exp)(-g);
    return NAME(nn_with_sign)(a < REAL(1.0) ? a + a * small : large, x);
}

/* The normal distribution function, given e = exp(-a^2/2), a = |x|: N = e t P(t) for x < 0, 1 - N above; t = 1/(1 + pa).
 * P, relative: degree 9, 2^-26.7 for a < 15 (float); degree 22, 2^-58 for a < 40 (double); beyond, N is 0.
 * Within 4 ulp for x >= 0 and 7 for x > -2; further down the rounding of a^2 / 2 in e adds up to a^2 / 2 ulp (where
 * 1 + erf would have no digits left). */
static inline real NAME(nn_normal_cdf_from)(real x, real e) {
    const real a = NAME(nn_abs)(x);
#if REAL_IS_FLOAT
    const real t = REAL(1.0) / (REAL(1.0) + REAL(0.25) * (a > REAL(15.0) ? REAL(15.0) : a));
    const real u = t - REAL(0.6);
    const real v = u * u;
    const real odd = (((REAL(0.0171771424) * v + REAL(-0.035062692)) * v + REAL(0.0167967019)) * v
        + REAL(0.474420874)) * v + REAL(0.393559934);
    const real even = (((REAL(0.0266376356) * v + REAL(-0.0867229585)) * v + REAL(0.261628744)) * v
        + REAL(0.514055458)) * v + REAL(0.223485232);
#else
    const real t = REAL(1.0) / (REAL(1.0) + REAL(0.1875) * (a > REAL(40.0) ? REAL(40.0) : a));
    const real u = t - REAL(0.5625);
    const real v = u * u;
    const real odd = (((((((((REAL(0.00045527607539240014) * v + REAL(-0.0013383247388229387)) * v
        + REAL(0.0025499679988715203)) * v + REAL(-0.0038599179590370626)) * v + REAL(0.0030887637292234773)) * v
        + REAL(0.011407040897485298)) * v + REAL(-0.083096647166208712)) * v + REAL(0.24316122860025802)) * v
        + REAL(0.75715702383118171)) * v + REAL(0.70002216750353519)) * v + REAL(0.31047361204662524);
    const real even = ((((((((((REAL(-0.00058497494398133978) * v + REAL(0.0016845960655418653)) * v
        + REAL(-0.0031745455481634013)) * v + REAL(0.0058547157445259553)) * v + REAL(-0.01198935557857832)) * v
        + REAL(0.026103559065257207)) * v + REAL(-0.048882113890969464)) * v + REAL(0.0063688650138028089)) * v
        + REAL(0.53916524363292388)) * v + REAL(0.80854656261048598)) * v + REAL(0.50629129371003296)) * v
        + REAL(0.16240567178099165);
#endif
    const real tail = t * (odd * u + even);
    return x < REAL(0.0) ? e * tail : NAME(nn_fma)(-e, tail, REAL(1.0));
}

static inline real NAME(nn_normal_cdf)(real x) {
    return NAME(nn_normal_cdf_from)(x, NAME(nn_exp)(REAL(-0.5) * x * x));
}

#undef WORD
#undef MANTISSA
#undef BIAS
#undef SHIFT
#undef TWO_MANTISSA
#undef SQRT_HALF_BITS
#undef SMALLEST_NORMAL
#undef EPSILON
#undef LN2_HI
#undef LN2_LO
#undef EXP_MAX
#undef EXP_MIN
#undef LOG2_E
#undef SIGN_BIT
#undef NN_INFINITY
#undef NN_NAN
