/* One instruction set: the module that passes the table of its kernels to the boundary.
 * The isa_*.c define NN_ISA_NAME, NN_VECTOR_BYTES and MR (table.h). */
#include <Python.h>
#include "table.h"

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
