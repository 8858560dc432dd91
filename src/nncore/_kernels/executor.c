#define _GNU_SOURCE    /* sched_getcpu */
#include "executor.h"

#include <math.h>
#include <string.h>
#include <time.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "math/denormals.h"
#include "team.h"

static const double SECONDS_PER_QUESTION = 0.05;    /* interval between calls of `stop` */

/* The state of one thread. */
typedef struct {
    int number, count;
    uint64_t stages;             /* number of stages reached */
    char *tile_gradient;         /* buffer for a tile-local gradient; NULL: none is tile-local */
    int failed;                  /* set by an op of this thread */
    double *op_seconds;          /* accumulated time of each op, or NULL */
    double asked;                /* time of the last call of `stop` */
} nn_thread;

/* The shared state of the threads of a run. */
typedef struct {
    const nn_program *program;
    const nn_run *run;
    uint64_t failed_stage;       /* the number of the stage in which an op failed; 0: none */
    int64_t done;
    int home;                    /* the core of the calling thread */
    nn_share *shares;            /* (threads,) */
    int stopped;                 /* `stop` returned nonzero: remaining work items are skipped */
    char pad[NN_CACHE_LINE];
    nn_barrier barrier;
} nn_team;

/* The first work item of thread t: work items are assigned in order, balanced by cost. */
static int64_t share(const nn_stage *stage, int64_t pieces, int t, int threads) {
    if (!stage->cost) return pieces * t / threads;
    const double goal = stage->cost[pieces] * t / threads;
    int64_t piece = 0;
    while (piece < pieces && 0.5 * (stage->cost[piece] + stage->cost[piece + 1]) < goal) piece++;
    return t == threads ? pieces : piece;
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void run_op(const nn_program *program, const nn_op *op, const nn_context *context, const nn_thread *thread, int64_t begin,
                   int64_t end) {
    if (!thread->op_seconds) {
        op->run(op, context, begin, end);
        return;
    }
    const double start = now();
    op->run(op, context, begin, end);
    thread->op_seconds[op - program->ops] += now() - start;
}

static void run_rows(const nn_program *program, const nn_stage *stage, const nn_context *context, const nn_thread *thread,
                     int64_t piece) {
    const int64_t first = piece * program->block_rows, last = first + program->block_rows;
    for (const nn_op *op = program->ops + stage->first_op; op < program->ops + stage->last_op; op++)
        run_op(program, op, context, thread, first, last < context->rows ? last : context->rows);
}

static void run_tile(const nn_program *program, const nn_stage *stage, nn_context *context, const nn_thread *thread,
                     int64_t piece) {
    const nn_op *gradient = NULL;    /* the first op of a tile whose gradient is tile-local */
    context->tile_gradient = stage->passing && stage->passing[piece] ? thread->tile_gradient : NULL;
    for (const nn_op *op = program->ops + stage->first_op; op < program->ops + stage->last_op; op++) {
        if (piece < op->first_piece || op->last_piece <= piece) continue;
        if (context->partial && context->partial == 1 - 2 * op->of_parts) continue;
        if (!gradient) gradient = op;
        run_op(program, op, context, thread, piece - op->first_piece, piece - op->first_piece + 1);
    }
    if (context->tile_gradient && thread->failed) {    /* the run ends here: store the gradient for the user */
        context->tile_gradient = NULL;
        run_op(program, gradient, context, thread, piece - gradient->first_piece, piece - gradient->first_piece + 1);
    }
}

static void run_piece(const nn_program *program, const nn_stage *stage, nn_context *context, const nn_thread *thread,
                      int64_t piece) {
    if (stage->axis == NN_ROWS) run_rows(program, stage, context, thread, piece);
    else run_tile(program, stage, context, thread, piece);
}

/* Between two work items: whether to stop the run here.  The calling thread calls `stop`, and the stage then counts as failed. */
static int should_stop(nn_team *team, nn_thread *thread, int may_stop) {
    const nn_run *run = team->run;
    if (!run->stop) return 0;
    if (thread->number == 0 && may_stop && !team->stopped && now() > thread->asked + SECONDS_PER_QUESTION) {
        if (run->stop(run->stop_argument)) {
            thread->failed = NN_STOPPED;
            __atomic_store_n(&team->stopped, 1, __ATOMIC_RELAXED);
        }
        thread->asked = now();
    }
    return __atomic_load_n(&team->stopped, __ATOMIC_RELAXED);
}

/* Each thread processes its own share and then steals work items from the ends of the others', so that a thread whose core is
 * busy with another process does not delay all.  The bits of a work item do not depend on the thread.  A serial stage runs on
 * the calling thread, so that Python code in it finds its locks and its thread-local state. */
static void run_pieces(nn_team *team, const nn_stage *stage, nn_context *context, nn_thread *thread, int may_stop) {
    const nn_program *program = team->program;
    const int64_t block = program->block_rows;
    const int64_t pieces = stage->axis == NN_ROWS ? (context->rows + block - 1) / block : stage->pieces;
    const int count = stage->axis == NN_WHOLE ? 1 : thread->count;
    if (thread->number >= count) return;
    if (count == 1) {
        for (int64_t piece = 0; piece < pieces && !should_stop(team, thread, may_stop); piece++)
            run_piece(program, stage, context, thread, piece);
        return;
    }
    if (pieces <= MOST_SHARED) {
        for (int t = 0; t < count; t++) {
            const int whose = (thread->number + t) % count;
            const int64_t first = share(stage, pieces, whose, count), last = share(stage, pieces, whose + 1, count);
            int64_t piece;
            while (!should_stop(team, thread, may_stop) &&
                   (piece = take_piece(team->shares + whose, thread->stages, first, last, t == 0)) >= 0)
                run_piece(program, stage, context, thread, piece);
        }
        return;
    }
    const int64_t last = share(stage, pieces, thread->number + 1, count);
    for (int64_t piece = share(stage, pieces, thread->number, count); piece < last && !should_stop(team, thread, may_stop); piece++)
        run_piece(program, stage, context, thread, piece);
}

/* The sum of a record over the batch, in four fixed chains. */
static double record_sum(const double *record, int64_t rows) {
    double s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    int64_t i = 0;
    for (; i + 4 <= rows; i += 4) s0 += record[i], s1 += record[i + 1], s2 += record[i + 2], s3 += record[i + 3];
    for (; i < rows; i++) s0 += record[i];
    return (s0 + s1) + (s2 + s3);
}

/* The sums of several networks, which an op has added up over all parts of a batch up to this one; whether those of the losses are
 * finite. */
static int keep_lanes(const nn_program *program, const nn_run *run, int64_t step) {
    const int64_t lanes = program->lanes;
    double *sums = run->sums + (step - run->first_step) * (program->n_records * lanes + 1);
    int finite = 1;
    for (int64_t r = 0; r < program->n_records; r++) memcpy(sums + r * lanes, program->records[r], (size_t)lanes * sizeof *sums);
    for (int64_t lane = 0; lane < lanes; lane++) finite &= isfinite(sums[lane]) != 0;
    return finite;
}

/* Whether the sum of the losses is finite; one thread stores the sums and per-example values of the step. */
static int keep_records(const nn_program *program, const nn_run *run, int64_t step, const nn_context *context,
                        const nn_thread *thread) {
    if (program->lanes > 1) return keep_lanes(program, run, step);
    /* Every thread computes the same sum and the same decision: no barrier is needed. */
    const int finite = isfinite(record_sum(program->records[0], context->rows));
    if (thread->number) return finite;
    double *sums = run->sums + (step - run->first_step) * (program->n_records + 1);
    int adds = context->first_row > 0;
    if (program->part_sums) {
        sums = program->part_sums + (context->first_row / program->part_rows - program->first_part) * program->n_records;
        adds = 0;
    }
    for (int64_t r = 0; r < program->n_records; r++)
        sums[r] = (adds ? sums[r] : 0) + record_sum(program->records[r], context->rows);
    if (run->examples_out)
        for (int64_t i = 0; i < context->rows; i++) run->examples_out[context->position + i] = program->records[0][i];
    return finite;
}

/* Stages [first, last) on one step's batch, or on a part of it; 0 if the step failed. */
static int run_stages(nn_team *team, int64_t first, int64_t last, int64_t step, nn_context *context, nn_thread *thread) {
    const nn_program *program = team->program;
    for (int64_t s = first; s < last; s++) {
        const nn_stage *stage = program->stages + s;
        thread->stages++;
        run_pieces(team, stage, context, thread, s >= program->enter && s < program->commits);
        if (thread->failed) {
            __atomic_fetch_or(team->run->failure, thread->failed, __ATOMIC_RELAXED);
            thread->failed = 0;
            __atomic_store_n(&team->failed_stage, thread->stages, __ATOMIC_RELAXED);
        }
        meet(&team->barrier, thread->count);
        /* A faster thread may already have failed in a later stage: only this stage counts here. */
        const uint64_t failed = __atomic_load_n(&team->failed_stage, __ATOMIC_RELAXED);
        if (failed && failed <= thread->stages) return 0;
        if (!stage->checks_loss) continue;
        if (!keep_records(program, team->run, step, context, thread) && program->stops) return 0;
        if (s == last - 1) meet(&team->barrier, thread->count);    /* otherwise the next step would overwrite the records */
    }
    return 1;
}

/* The next rows of several networks side by side, (rows, lanes), from the order of each. */
static const int64_t *side_by_side(const nn_run *run, int64_t lanes, int64_t start, int64_t rows) {
    enum { TOGETHER = NN_CACHE_LINE / sizeof(int64_t) };
    int64_t *out = run->batch_order, first = 0;
    for (; first + TOGETHER <= rows; first += TOGETHER, out += TOGETHER * lanes)
        for (int64_t lane = 0; lane < lanes; lane++) {
            const int64_t *own = run->order + lane * run->order_stride + start + first;
            for (int i = 0; i < TOGETHER; i++) out[i * lanes + lane] = own[i];
        }
    for (; first < rows; first++)
        for (int64_t lane = 0; lane < lanes; lane++) *out++ = run->order[lane * run->order_stride + start + first];
    return run->batch_order;
}

/* `start` is the position of the step's batch in its epoch. */
static void set_batch(nn_context *context, const nn_run *run, int64_t lanes, int64_t step, int64_t epoch, int64_t start) {
    const int64_t rows = run->examples - start;
    context->ends_epoch = rows <= run->batch + run->merge;
    context->rows = context->ends_epoch ? rows : run->batch;
    context->index = run->order ? run->order + epoch * run->examples + start : NULL;
    if (run->order && lanes > 1) context->index = side_by_side(run, lanes, (epoch * run->examples + start) / lanes, context->rows / lanes);
    context->start = run->origin + start;
    context->position = run->origin + epoch * run->examples + start;
    context->scale = run->scale != 0 ? run->scale : (double)lanes / (double)context->rows;
    context->step = run->step_offset + (uint64_t)step;
    if (run->coefficients) context->coefficients = run->coefficients + (step - run->first_step) * run->coefficient_stride;
}

/* Whether the rows of a batch from `start` on are no part of their own: a rest of `merge` rows, less than a part or merged themselves. */
static int joins_part(const nn_run *run, int64_t start, int64_t size, int64_t rows) {
    return start >= rows || (start > 0 && rows - start <= run->merge && (rows - start < size || start >= run->batch));
}

/* The first row of a part of a batch; all rows for a part that the batch does not have. */
static int64_t part_start(const nn_run *run, int64_t part, int64_t size, int64_t rows) {
    return part >= rows || joins_part(run, part * size, size, rows) ? rows : part * size;
}

/* One step's batch, in parts: each adds its gradient to those before, and the last one updates the parameters.  0 if it failed.
 * A process without a part of a small batch has only the update. */
static int run_step(nn_team *team, int64_t step, nn_context *context, nn_thread *thread) {
    const nn_program *program = team->program;
    const nn_context batch = *context;
    const int64_t size = program->part_rows ? program->part_rows : batch.rows;
    int64_t first = program->first_part ? part_start(team->run, program->first_part, size, batch.rows) : 0;
    const int64_t end = program->part_sums ? part_start(team->run, program->last_part, size, batch.rows) : batch.rows;
    const int64_t first_stage = first < end ? program->enter : program->commits;
    do {
        const int64_t left = end - first;
        context->rows = left <= size || joins_part(team->run, first + size, size, batch.rows) ? left : size;
        context->first_row = first, context->partial = context->rows ? context->rows < left : -1;
        context->index = batch.index ? batch.index + first : NULL;
        context->start = batch.start + first, context->position = batch.position + first;
        if (!run_stages(team, first_stage, program->leave, step, context, thread)) return 0;
        first += context->rows;
    } while (first < end);
    return 1;
}

static void run_thread(nn_team *team, int number, int count) {
    const nn_program *program = team->program;
    const nn_run *run = team->run;
    if (number) leave_core(team->home);
    const uint64_t denormals = run->keep_denormals ? nn_denormals() : nn_flush_denormals();
    nn_thread thread = {number, count, 0, NULL, 0, run->op_seconds, run->stop && !number ? now() : 0};
    nn_context context = {0};
    context.failed = &thread.failed, context.touched = program->touched;
    const int64_t last = run->examples % run->batch, merged = last <= run->merge && run->examples > run->batch;
    const int64_t per_epoch = run->examples / run->batch + (last > 0 && !merged);
    int64_t step = run->first_step, epoch = step / per_epoch, start = step % per_epoch * run->batch;
    set_batch(&context, run, program->lanes, step, epoch, start);
    int good = run_stages(team, 0, run->prepared ? 0 : program->enter, step, &context, &thread);
    for (; good && step < run->last_step; step += good) {
        set_batch(&context, run, program->lanes, step, epoch, start);
        if (number == 0 && program->state_bytes) memcpy(program->kept, program->state, (size_t)program->state_bytes);
        thread.tile_gradient = step + 1 < run->last_step ? run->tile_gradients + number * program->tile_bytes : NULL;
        start += context.rows;
        if (start >= run->examples) start = 0, epoch++;
        good = run_step(team, step, &context, &thread);
        /* The next step's tiles follow a barrier that waits for this thread: the parts still belong to this step. */
        if (program->n_partials) {
            const double penalty = record_sum(program->partials, program->n_partials);
            if (number == 0) run->sums[(step - run->first_step + 1) * (program->n_records * program->lanes + 1) - 1] = penalty;
            good = good && isfinite(penalty);
        }
        if (run->notes_out && number == 0)    /* for the same reason */
            for (int64_t k = 0; k < program->n_notes; k++)
                run->notes_out[(step - run->first_step) * program->n_notes + k] = record_sum(program->notes[k], program->note_parts[k]);
        /* A step that is not completed leaves no trace in the state, which no thread works on after its last barrier. */
        if (!good && number == 0 && program->state_bytes) memcpy(program->state, program->kept, (size_t)program->state_bytes);
    }
    meet(&team->barrier, count);
    if (number == 0) {    /* the last stages run in any case */
        __atomic_store_n(&team->failed_stage, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&team->stopped, 0, __ATOMIC_RELAXED);
    }
    meet(&team->barrier, count);
    run_stages(team, program->leave, program->n_stages, step, &context, &thread);
    if (number == 0) team->done = step - run->first_step;
    nn_set_denormals(denormals);
}

int64_t nn_execute(const nn_program *program, const nn_run *run, int threads) {
    nn_team team = {.program = program, .run = run, .home = -1};
    if (run->first_step >= run->last_step) return 0;
    if (threads <= 1) {
        run_thread(&team, 0, 1);
        return team.done;
    }
#ifdef _OPENMP
    team.home = current_core();
    nn_share shares[NN_MAX_THREADS];
    if (threads > NN_MAX_THREADS) threads = NN_MAX_THREADS;
    for (int t = 0; t < threads; t++) shares[t].left = 0;
    team.shares = shares;
#pragma omp parallel num_threads(threads)
    run_thread(&team, omp_get_thread_num(), omp_get_num_threads());
#else
    run_thread(&team, 0, 1);
#endif
    return team.done;
}
