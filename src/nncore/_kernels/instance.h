/* All kernels in one precision: included twice by table.h, with `real` float and double. */
#include "math/simd.h"
#include "math/elementary.h"
#define GEMM(f) NAME(f)
#define factor real
#define factors vec
#define MULTIPLY_ADD(c, a, b) (c) + (a) * (b)
#include "math/gemm.h"
#undef GEMM
#undef factor
#undef factors
#undef MULTIPLY_ADD
#include "ops/dense.h"
#if REAL_IS_FLOAT
#include "math/bfloat16.h"
#include "ops/bfloat16.h"
#endif
#include "ops/dense_direct.h"
#include "ops/blas.h"
#include "ops/recurrent.h"
#include "ops/sequences.h"
#include "ops/rows.h"
#include "ops/csr.h"
#include "ops/lazy.h"
#include "ops/activations.h"
#include "math/normal.h"
#include "ops/dropout.h"
#include "ops/weight_noise.h"
#include "ops/activity.h"
#include "ops/scale.h"
#include "ops/select.h"
#include "math/moments.h"
#include "ops/batch_norm.h"
#include "ops/group_norm.h"
#include "ops/weight_norm.h"
#include "ops/losses.h"
#include "ops/tangents.h"
#include "ops/recurrent_tangents.h"
#include "ops/normalization_tangents.h"
#include "ops/weight_norm_tangents.h"
#include "ops/gradients.h"
#include "ops/path_norm.h"
#include "ops/gradient_noise.h"
#include "ops/draw.h"
#include "ops/lanes.h"
#define LANEWISE 0
#include "ops/optimizers.h"
#undef LANEWISE
#define LANEWISE 1
#include "ops/optimizers.h"
#undef LANEWISE
#include "ops/online.h"
