/* Constants shared by kernels and the code that makes their arrays: program.pyx exports them to Python. */
#ifndef NNCORE_LAYOUT_H
#define NNCORE_LAYOUT_H

enum { NN_CACHE_LINE = 64 };    /* bytes */

/* The packed copy of W (dense.h): panels of this many units, rounded up to full vectors.  The values are those of the instruction
 * set with the longest vectors, in float; the values of all others divide them. */
enum { NN_MOST_LANES = 16, NN_MOST_PANEL = 32 };

/* The `place` of random numbers (random.h): layer << NN_LAYER_SHIFT | stream << NN_STREAM_SHIFT */
enum { NN_LAYER_SHIFT = 16, NN_STREAM_SHIFT = 12 };

/* Sums over the batch: a block of rows stores its sums in slot begin / NN_SLOT_ROWS; tiles of NN_CHANNELS channels add them up. */
enum { NN_SLOT_ROWS = 16, NN_CHANNELS = 64 };

/* Batch normalization: a block's sums of each channel (origin, sum, square), ... */
enum { NN_MOMENTS = 3 };
/* ... the table of constants per channel (batch_norm.h), and of their derivatives (normalization_tangents.h) */
enum { NN_HIGH, NN_LOW, NN_SCALE, NN_SHIFT, NN_RSTD, NN_R, NN_D, NN_TABLE };
enum { NN_R_W, NN_R_V_W, NN_R_V_B, NN_R_MEAN_TX, NN_R_P, NN_R_MEAN_G, NN_R_Q, NN_R_MEAN_TG, NN_R_TQ, NN_TANGENTS };

/* Losses: rows are processed in chunks of this many numbers, fewer in longer types (simd.h) */
enum { NN_CHUNK_BYTES = 2048 };

/* Group normalization: mean (high, low) and rstd of each group */
enum { NN_GROUP_STATISTICS = 3 };

/* Descent by single examples (online.h): the losses, the ways to choose a step, ... */
enum { NN_HINGE, NN_PERCEPTRON, NN_SQUARED_HINGE, NN_LOG_LOSS, NN_MODIFIED_HUBER, NN_SQUARED_ERROR, NN_HUBER, NN_INSENSITIVE,
       NN_SQUARED_INSENSITIVE, NN_SOFTMAX };
enum { NN_SCHEDULED, NN_PASSIVE_1, NN_PASSIVE_2 };
/* ... and the rows of the state: bias; scale of W; factor of the rates, of the steps for y > 0 and for others; sum of L1 penalties;
 * squares and absolute values of w; sum of losses and penalties; the average, (average + kept W) / divisor, and its bias; examples */
enum { NN_BIAS, NN_ONLINE_SCALE, NN_FACTOR, NN_POSITIVE, NN_NEGATIVE, NN_SHRUNK, NN_SQUARE, NN_ABSOLUTE, NN_OBJECTIVE, NN_KEPT,
       NN_DIVISOR, NN_AVERAGE_BIAS, NN_STEPS, NN_STATE };

#endif
