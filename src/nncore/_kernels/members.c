#define _GNU_SOURCE    /* nanosleep */
#include "members.h"

#include <string.h>
#include <time.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "shuffle.h"

static const double SECONDS_PER_QUESTION = 0.05;    /* interval between calls of `stop` */

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* For the calling thread, which alone may run Python's signal handlers. */
static int ask(void *argument) {
    nn_members *all = argument;
    if (all->stop && !all->stopped && now() > all->asked + SECONDS_PER_QUESTION) {
        if (all->stop(all->stop_argument)) __atomic_store_n(&all->stopped, 1, __ATOMIC_RELAXED);
        all->asked = now();
    }
    return all->stopped;
}

/* For the other threads. */
static int see(void *argument) { return __atomic_load_n(&((nn_members *)argument)->stopped, __ATOMIC_RELAXED); }

/* A program of the group that no thread runs: a group has one for each thread that may ask at the same time. */
static nn_slot *take_slot(nn_group *group) {
    for (;;)
        for (int64_t i = 0; i < group->n_slots; i++)
            if (!__atomic_exchange_n(&group->slots[i].busy, 1, __ATOMIC_ACQUIRE)) return group->slots + i;
}

static void copy_in(const nn_group *group, const nn_slot *slot, const nn_member *member) {
    for (int64_t i = 0; i < group->n_kept; i++) memcpy(slot->arrays[i], member->kept[i], (size_t)group->bytes[i]);
    for (int64_t i = 0; i < group->n_bound; i++) *slot->places[i] = member->bound[i];
    for (int64_t i = 0; i < group->n_seeds; i++) *slot->seeds[i] = (int64_t)member->seed;
}

static void copy_out(const nn_group *group, const nn_slot *slot, const nn_member *member) {
    if (!member->stores) return;
    for (int64_t i = 0; i < group->n_kept; i++) memcpy(member->kept[i], slot->arrays[i], (size_t)group->bytes[i]);
}

/* The rows of the next epochs in their order, in `order`; NULL: 0, 1, 2, … */
static const int64_t *order_of(const nn_members *all, const nn_member *member, int64_t *order, int64_t epoch, int64_t epochs) {
    const int64_t n = member->run.examples;
    if (member->run.order) return member->run.order + epoch * n;
    if (!member->shuffled && !member->chosen) return NULL;
    if (member->shuffled) {
        nn_shuffled_orders(all->random_words, order, n, epochs, member->order_seed, member->first_epoch + (uint64_t)epoch);
        if (member->chosen)
            for (int64_t i = 0; i < epochs * n; i++) order[i] = member->chosen[order[i]];
    } else
        for (int64_t i = 0; i < epochs * n; i++) order[i] = member->chosen[i % n];
    return order;
}

static void catch_up(const nn_slot *slot) {
    int failure = 0;
    double sums = 0;
    const nn_run run = {.last_step = 1, .examples = 1, .batch = 1, .sums = &sums, .failure = &failure};
    if (!slot->rest) return;
    *slot->whole = 1;
    nn_execute(slot->rest, &run, 1);
}

/* Of a turn in lanes, which takes milliseconds, so many rows are run without a question. */
enum { UNASKED = 1 << 17 };

/* Run the member's epochs from this one on turn by turn, until one fails or is to stop. */
static void run_member(nn_members *all, nn_member *member, nn_slot *slot, int64_t first, int calling) {
    const nn_group *group = all->groups + member->group;
    const nn_program *program = slot->program;
    const int64_t per_epoch = (member->run.last_step - member->run.first_step) / member->epochs;
    nn_run run = member->run;
    run.tile_gradients = slot->tile_gradients, run.failure = &member->failure;
    run.stop = calling ? ask : see, run.stop_argument = all;
    copy_in(group, slot, member);
    for (int64_t epoch = first; epoch < member->epochs; epoch += member->turn) {
        const int64_t epochs = member->epochs - epoch < member->turn ? member->epochs - epoch : member->turn;
        const int64_t steps = epochs * per_epoch, before = epoch * per_epoch;
        run.first_step = 0, run.last_step = steps;
        run.order = order_of(all, member, slot->order, epoch, epochs);
        run.step_offset = member->run.step_offset + (uint64_t)before;
        if (member->run.coefficients) run.coefficients = member->run.coefficients + before * run.coefficient_stride;
        run.sums = member->run.sums + before * (program->n_records + 1);
        if (member->run.notes_out) run.notes_out = member->run.notes_out + before * program->n_notes;
        if (member->run.examples_out) run.examples_out = member->run.examples_out + epoch * run.examples;
        const int64_t done = nn_execute(program, &run, 1);
        if (done < steps && (member->failure & NN_STOPPED || see(all))) {
            member->failure &= ~NN_STOPPED;
            break;    /* the turn counts as not begun */
        }
        catch_up(slot);
        copy_out(group, slot, member);
        member->steps += done;
        member->failed = done < steps;
        if (member->failed || see(all)) break;
    }
}

static void copy_number(char *to, const char *from, int64_t size) {
    if (size == 4) memcpy(to, from, 4);
    else memcpy(to, from, 8);
}

/* The numbers of `count` members into lanes, the last ones of which repeat the last member; and back. */
static void turn_in(const nn_group *group, const nn_slot *slot, const nn_member *members, int64_t count) {
    const int64_t lanes = slot->lanes->lanes, size = group->number_bytes;
    for (int64_t i = 0; i < group->n_kept; i++)
        for (int64_t lane = 0; lane < lanes; lane++) {
            const char *from = members[lane < count ? lane : count - 1].kept[i];
            for (int64_t k = 0; k < group->bytes[i] / size; k++)
                copy_number(slot->lane_arrays[i] + (k * lanes + lane) * size, from + k * size, size);
        }
}

static void turn_out(const nn_group *group, const nn_slot *slot, nn_member *members, int64_t count) {
    const int64_t lanes = slot->lanes->lanes, size = group->number_bytes;
    for (int64_t i = 0; i < group->n_kept; i++)
        for (int64_t lane = 0; lane < count; lane++)
            for (int64_t k = 0; k < group->bytes[i] / size; k++)
                copy_number(members[lane].kept[i] + k * size, slot->lane_arrays[i] + (k * lanes + lane) * size, size);
}

/* The orders of the next epochs, of one lane after the other. */
static const int64_t *lane_orders(const nn_members *all, const nn_slot *slot, const nn_member *members, int64_t count, int64_t epoch,
                                  int64_t epochs) {
    const int64_t lanes = slot->lanes->lanes, n = members->run.examples;
    for (int64_t lane = 0; lane < lanes; lane++) {
        int64_t *place = slot->order + lane * epochs * n;
        const int64_t *own = lane < count ? order_of(all, members + lane, place, epoch, epochs) : place - epochs * n;
        if (!own)
            for (int64_t i = 0; i < epochs * n; i++) place[i] = i % n;
        else if (own != place) memcpy(place, own, (size_t)(epochs * n) * sizeof *own);
    }
    return slot->order;
}

/* The coefficients of the next steps: each lane has its member's. */
static const double *lane_coefficients(const nn_slot *slot, const nn_member *members, int64_t count, int64_t before, int64_t steps) {
    const int64_t lanes = slot->lanes->lanes, columns = members->run.coefficient_stride;
    const double *own[NN_MOST_LANES];
    for (int64_t lane = 0; lane < lanes; lane++) own[lane] = members[lane < count ? lane : count - 1].run.coefficients + before * columns;
    for (int64_t k = 0; k < steps * columns; k++)
        for (int64_t lane = 0; lane < lanes; lane++) slot->lane_coefficients[k * lanes + lane] = own[lane][k];
    return slot->lane_coefficients;
}

static void keep_lane_sums(const nn_slot *slot, nn_member *members, int64_t count, int64_t before, int64_t steps) {
    const int64_t lanes = slot->lanes->lanes, records = slot->lanes->n_records;
    for (int64_t lane = 0; lane < count; lane++)
        for (int64_t s = 0; s < steps; s++)
            for (int64_t r = 0; r < records; r++)
                members[lane].run.sums[(before + s) * (records + 1) + r] = slot->lane_sums[s * (records * lanes + 1) + r * lanes + lane];
}

/* Members side by side in the lanes of vectors.  If a step of one of them fails, the turn is run again one by one. */
static void run_lanes(nn_members *all, nn_member *members, int64_t count, nn_slot *slot, int calling) {
    const nn_group *group = all->groups + members->group;
    const int64_t lanes = slot->lanes->lanes, per_epoch = members->run.last_step / members->epochs;
    int failure = 0;
    nn_run run = members->run;
    run.examples *= lanes, run.batch *= lanes, run.coefficient_stride *= lanes, run.sums = slot->lane_sums, run.failure = &failure;
    run.stop_argument = all, run.batch_order = slot->batch_order;
    turn_in(group, slot, members, count);
    for (int64_t epoch = 0; epoch < members->epochs; epoch += members->turn) {
        const int64_t epochs = members->epochs - epoch < members->turn ? members->epochs - epoch : members->turn;
        const int64_t steps = epochs * per_epoch, before = epoch * per_epoch;
        run.first_step = 0, run.last_step = steps;
        run.stop = epochs * run.examples <= UNASKED ? NULL : calling ? ask : see;
        run.order = lane_orders(all, slot, members, count, epoch, epochs), run.order_stride = epochs * members->run.examples;
        run.step_offset = members->run.step_offset + (uint64_t)before;
        run.coefficients = lane_coefficients(slot, members, count, before, steps);
        if (nn_execute(slot->lanes, &run, 1) < steps) {
            if (failure & NN_STOPPED || see(all)) return;    /* the turn counts as not begun */
            for (int64_t lane = 0; lane < count; lane++) run_member(all, members + lane, slot, epoch, calling);
            return;
        }
        turn_out(group, slot, members, count);
        keep_lane_sums(slot, members, count, before, steps);
        for (int64_t lane = 0; lane < count; lane++) members[lane].steps += steps;
        if (see(all)) return;
    }
}

static void run_unit(nn_members *all, const nn_unit *unit, int calling) {
    nn_member *first = all->members + unit->first;
    nn_slot *slot = take_slot(all->groups + first->group);
    if (unit->count > 1) run_lanes(all, first, unit->count, slot, calling);
    else run_member(all, first, slot, 0, calling);
    __atomic_store_n(&slot->busy, 0, __ATOMIC_RELEASE);
}

static void run_thread(nn_members *all, int number) {
    while (!see(all) && !(number == 0 && ask(all))) {
        const int64_t unit = __atomic_fetch_add(&all->next, 1, __ATOMIC_RELAXED);
        if (unit >= all->n_units) break;
        run_unit(all, all->units + unit, number == 0);
    }
    __atomic_sub_fetch(&all->running, 1, __ATOMIC_ACQ_REL);
    const struct timespec moment = {0, 200000};    /* waits for the others, and can be asked to stop meanwhile */
    while (number == 0 && __atomic_load_n(&all->running, __ATOMIC_ACQUIRE) > 0) ask(all), nanosleep(&moment, NULL);
}

void nn_execute_members(nn_members *members, int threads) {
    members->next = 0, members->stopped = 0, members->asked = now(), members->running = 1;
#ifdef _OPENMP
    if (threads > NN_MAX_THREADS) threads = NN_MAX_THREADS;
    if (threads > 1) {
#pragma omp parallel num_threads(threads)
        {
#pragma omp single
            members->running = omp_get_num_threads();
            run_thread(members, omp_get_thread_num());
        }
        return;
    }
#endif
    (void)threads;
    run_thread(members, 0);
}
