#define NN_ISA_NAME baseline
#define NN_VECTOR_BYTES 16
#define MR 4
#include "isa.h"
