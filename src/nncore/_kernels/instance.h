/* All kernels in one precision: included twice by isa.h, with `real` float and double. */
#include "simd.h"
#include "elementary.h"
#include "gemm.h"
#include "dense.h"
#include "rows.h"
#include "activations.h"
#include "losses.h"
#include "optimizers.h"
