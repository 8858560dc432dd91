/* The network of the first page: the executor, the kernels of its programs, and what the page calls. */
#define NN_VECTOR_BYTES 16
#define MR 4
#ifndef THREADS
#define THREADS 1    /* a page has one */
#endif
#include "table.h"
#include "executor.c"
#include "shuffle.c"
#include "programs.h"

#define PAGE(name) __attribute__((export_name(#name)))

static int64_t order[EXAMPLES];

int clock_gettime(clockid_t clock, struct timespec *time) {    /* nobody asks for times, so the module imports nothing */
    (void)clock, *time = (struct timespec){0, 0};
    return 0;
}

/* Training steps [first, last), counted from the start; the number of those completed.  An epoch has its order, as in ``fit``. */
PAGE(train) int train_steps(int first, int last) {
    int failure = 0, step = first;
    while (step < last) {
        const int within = step % EPOCH, wanted = last - step < EPOCH - within ? last - step : EPOCH - within;
        nn_shuffled_orders(op_random_words_f32, order, EXAMPLES, 1, SEED, (uint64_t)(step / EPOCH));
        const nn_run run = {
            .first_step = within, .last_step = within + wanted, .examples = EXAMPLES, .batch = BATCH, .order = order,
            .coefficients = (const double *)at_coefficients() + step * COLUMNS, .coefficient_stride = COLUMNS,
            .step_offset = (uint64_t)(step - within), .sums = (double *)at_losses() + 2 * step, .failure = &failure,
        };
        const int done = (int)nn_execute(&train, &run, THREADS);
        step += done;
        if (done < wanted) break;
    }
    return step - first;
}

/* The layers' outputs for all points of the plane. */
PAGE(look) void look_at_plane(void) {
    static double no_sums[1];
    int failure = 0;
    const nn_run run = {.last_step = 1, .examples = POINTS, .batch = POINTS, .sums = no_sums, .failure = &failure};
    nn_execute(&look, &run, THREADS);
}
