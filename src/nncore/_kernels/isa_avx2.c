#define NN_ISA_NAME avx2
#define NN_VECTOR_BYTES 32
#define MR 6
#include "isa.h"
