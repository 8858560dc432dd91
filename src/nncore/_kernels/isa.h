/* One instruction set: every kernel in float and in double, and the module that passes their table to the boundary.
 * The isa_*.c define NN_ISA_NAME, NN_VECTOR_BYTES and the micro-kernel's shape MR x NV (gemm.h). */
#include <Python.h>
#include <float.h>
#include <math.h>
#include <string.h>
#if NN_VECTOR_BYTES > 16
#include <immintrin.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#endif
#include "kernels.h"
#include "math/philox.h"
#include "ops/tiles.h"

#define NN_INLINE static inline __attribute__((always_inline, unused))
#define NN_UNROLL _Pragma("GCC unroll 16")
#define NN_PREFETCH(address) __builtin_prefetch(address)
#define NN_PREFETCH_FAR(address) __builtin_prefetch(address, 0, 2)    /* not into the first-level cache */
#if NN_VECTOR_BYTES > 16 || defined(__SSE2__)
#define NN_FENCE() _mm_sfence()
#else
#define NN_FENCE() (void)0
#endif
#define NN_AHEAD 64
#define NN_NEAR 16
#define NV 2
#pragma GCC diagnostic ignored "-Wunused-function"
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"    /* arrays that the micro-kernel fills through a pointer */
#endif

#include "math/random.h"

#define real float
#define integer int32_t
#define REAL(c) c##f
#define REAL_IS_FLOAT 1
#define NAME(f) f##_f32
#include "instance.h"
#undef real
#undef integer
#undef REAL
#undef REAL_IS_FLOAT
#undef NAME

#define real double
#define integer int64_t
#define REAL(c) c
#define REAL_IS_FLOAT 0
#define NAME(f) f##_f64
#include "instance.h"

#include "op_table.h"

#define MODULE_NAME_(isa) "_isa_" #isa
#define MODULE_NAME(isa) MODULE_NAME_(isa)
#define MODULE_INIT_(isa) PyInit__isa_##isa
#define MODULE_INIT(isa) MODULE_INIT_(isa)

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, MODULE_NAME(NN_ISA_NAME), NULL, 0, NULL, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC MODULE_INIT(NN_ISA_NAME)(void) {
    PyObject *m = PyModule_Create(&module);
    if (!m) return NULL;
#ifdef Py_GIL_DISABLED
    PyUnstable_Module_SetGIL(m, Py_MOD_GIL_NOT_USED);
#endif
    PyObject *table = PyCapsule_New((void *)nn_table, "nncore.op_table", NULL);
    if (!table || PyModule_AddObject(m, "op_table", table) < 0) {
        Py_XDECREF(table);
        Py_DECREF(m);
        return NULL;
    }
    return m;
}
