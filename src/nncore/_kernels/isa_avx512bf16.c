#define NN_ISA_NAME avx512bf16
#define NN_VECTOR_BYTES 64
#define MR 12
#define BFLOAT16_ONLY    /* all other ops are those of avx512 */
#include "isa.h"
