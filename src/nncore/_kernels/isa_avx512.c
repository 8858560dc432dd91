#define NN_ISA_NAME avx512
#define NN_VECTOR_BYTES 64
#define MR 12
#include "isa.h"
