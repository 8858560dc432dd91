# Many members of an ensemble at once: programs of which each runs one member at a time.

cdef extern from "members.h" nogil:
    ctypedef struct nn_slot:
        const nn_program *program
        const nn_program *rest
        int64_t *whole
        char **arrays
        void ***places
        int64_t **seeds
        int64_t *order
        int64_t *batch_order
        char *tile_gradients
        const nn_program *lanes
        char **lane_arrays
        double *lane_sums
        double *lane_coefficients
        int busy
    ctypedef struct nn_group:
        nn_slot *slots
        int64_t n_slots, n_kept, n_bound, n_seeds
        const int64_t *bytes
        int64_t number_bytes
    ctypedef struct nn_member:
        int64_t group
        nn_run run
        char **kept
        void **bound
        int stores, shuffled
        const int64_t *chosen
        uint64_t seed, order_seed, first_epoch
        int64_t epochs, turn, steps
        int failure, failed
    ctypedef struct nn_unit:
        int64_t first, count
    ctypedef struct nn_members:
        nn_group *groups
        nn_member *members
        const nn_unit *units
        int64_t n_units
        nn_kernel random_words
        int (*stop)(void *) noexcept nogil
        void *stop_argument
    int64_t nn_next_unit(const nn_members *)
    void nn_execute_members(nn_members *, int)


cdef as_words(numbers, int64_t n):
    """(n,) uint64; zeros for None."""
    words = np.zeros(n, dtype=np.uint64) if numbers is None else np.ascontiguousarray(numbers).astype(np.uint64)
    if words.shape != (n,):
        raise ValueError(f"there must be a number for each of {n} members, got shape {words.shape}")
    return words


cdef void *checked_order(str name, array, int64_t needed) except NULL:
    """The address of row numbers; the ops check each that they read."""
    if array.dtype != np.int64 or array.size < needed or not array.flags.c_contiguous:
        raise ValueError(f"{name} must be at least {needed} contiguous int64, got shape {array.shape} of {array.dtype}")
    return address(array, NULL, NULL, False)


FEW_IN_LANES = 4    # fewer members are faster one by one


cdef void *room(int64_t count, size_t size) except NULL:
    cdef void *memory = calloc(max(count, 1), size)
    if memory == NULL:
        raise MemoryError
    return memory


cdef list units_of(const nn_member *members, int64_t first, int64_t n, int64_t lanes):
    """(first, count) of what a thread takes at once: up to ``lanes`` members with the same number of examples, or one."""
    cdef int64_t i = 0, count
    units = []
    while i < n:
        count = 1
        while (count < lanes and i + count < n and members[i + count].run.examples == members[i].run.examples
               and members[i + count].run.coefficient_stride == members[i].run.coefficient_stride):
            count += 1
        if count < FEW_IN_LANES:
            units += [(first + i + k, 1) for k in range(count)]
        else:
            units.append((first + i, count))
        i += count
    return units


cdef class MemberGroup:
    """The programs of members of the same architecture: the same ops on arrays of their own, one for each thread.

    programs: list of Program; rests: for each the program that catches up weights of sparse data, and its state.
    arrays: for each the arrays of its ops that hold the numbers of the member at work, in the same order.
    places: (index of an op, slot) of arrays that are each member's own and used in place.
    lanes: for each a program that runs as many members at once as a vector has lanes, and its arrays (n, lanes); or none.
    """

    cdef nn_group group
    cdef list keep
    cdef readonly list programs
    cdef list rests, lanes

    def __cinit__(self, list programs, list arrays, *, list rests=None, list places=[], list lanes=[]):
        cdef Program program
        cdef nn_slot *slot
        cdef int64_t p, i, op, size
        self.programs, self.rests, self.lanes, self.keep = programs, rests or [], lanes, [arrays]
        self.group.number_bytes = arrays[0][0].itemsize
        self.group.n_slots, self.group.n_kept, self.group.n_bound = len(programs), len(arrays[0]), len(places)
        self.group.slots = <nn_slot *>room(len(programs), sizeof(nn_slot))
        nbytes = np.array([array.nbytes for array in arrays[0]], dtype=np.int64)
        self.keep.append(nbytes)
        self.group.bytes = <const int64_t *>address(nbytes)
        self.group.n_seeds = len((<Program>programs[0]).seed_places())
        for p, (program, own) in enumerate(zip(programs, arrays)):
            slot = self.group.slots + p
            slot.program = &program.program
            slot.arrays = <char **>room(len(own), sizeof(void *))
            for i, array in enumerate(own):
                if array.nbytes != nbytes[i] or not array.flags.c_contiguous:
                    raise ValueError(f"arrays of the programs of a group must be alike and contiguous, got {array.nbytes} and {nbytes[i]} bytes")
                slot.arrays[i] = <char *>address(array)
            slot.places = <void ***>room(len(places), sizeof(void *))
            for i, (op, size) in enumerate(places):
                slot.places[i] = program.position(op, size)
            seeds = program.seed_places()
            slot.seeds = <int64_t **>room(len(seeds), sizeof(void *))
            for i, (op, size) in enumerate(seeds):
                slot.seeds[i] = &program.ops[op].size[size]
            if lanes:
                many, wide = lanes[p]
                slot.lanes = &(<Program>many).program
                slot.lane_arrays = <char **>room(len(wide), sizeof(void *))
                for i, array in enumerate(wide):
                    if array.nbytes != nbytes[i] * (<Program>many).program.lanes or not array.flags.c_contiguous:
                        raise ValueError("arrays of lanes must be contiguous, with a number of each lane for each of a member's")
                    slot.lane_arrays[i] = <char *>address(array)
            if rests:
                late, state = rests[p]
                slot.rest, slot.whole = &(<Program>late).program, <int64_t *>address(state) + 2
                self.keep.append(state)

    def __dealloc__(self):
        cdef int64_t p
        if self.group.slots == NULL:
            return
        for p in range(self.group.n_slots):
            free(self.group.slots[p].arrays)
            free(self.group.slots[p].places)
            free(self.group.slots[p].seeds)
            free(self.group.slots[p].lane_arrays)
        free(self.group.slots)

    cdef int make_room(self) except -1:
        for i, program in enumerate(self.programs):
            self.group.slots[<int64_t>i].tile_gradients = (<Program>program).room_for_tiles(1)
        return 0

    @property
    def python_ops(self):
        """Those of all programs."""
        return [op for program in self.programs for op in (<Program>program).python_ops]


cdef class Members:
    """Members of groups, for one run: ``add`` those of each group, then ``run``."""

    cdef list groups, keep, binds, units
    cdef nn_members all
    cdef nn_group *c_groups
    cdef nn_member *members
    cdef int64_t count, most

    def __cinit__(self, list groups, int64_t most):
        """``most``: members that can be added."""
        self.groups, self.keep, self.binds, self.units, self.count, self.most = groups, [], [], [], 0, most
        self.c_groups = <nn_group *>room(len(groups), sizeof(nn_group))
        self.members = <nn_member *>room(most, sizeof(nn_member))

    def __dealloc__(self):
        free(self.c_groups)
        free(self.members)

    def add(self, int64_t group, *, list kept, list bound=[], list binds, examples, bint stores=True, seeds=None, order_seeds=None,
            first_epochs=None, list chosen=None, list orders=None, int64_t batch, int64_t merge=0, int64_t epochs=1,
            int64_t turn=1, list coefficients=None, step_offsets=None, bint keep_examples=False):
        """Add members of a group. Returns the sums, notes and losses of their steps, which the run fills.

        kept, bound: pairs (array, the members' rows in it): their numbers, and arrays that ops use in place.
        binds: for each program of the group, then for each of ``rests`` and of ``lanes``, the arrays of the data as for
        `Program.run`.
        examples: (members,) of an epoch. seeds: of their random layers. order_seeds: if each epoch has a new order;
        first_epochs: epochs before. chosen: int64 arrays, the rows of the data of each, or None. orders: instead, (epochs,
        examples) for each. coefficients: float64 (steps, k) for each. step_offsets: steps before.
        keep_examples: keep the loss of each example.
        """
        cdef MemberGroup owner = <MemberGroup>self.groups[group]
        cdef Program program = <Program>owner.programs[0]
        cdef nn_group *c = &owner.group
        cdef nn_member *member
        cdef int64_t first = self.count, n = len(examples), i, per_epoch, rest, steps, most = 0, most_examples = 0, records
        if first + n > self.most or turn < 1 or epochs < 1 or batch < 1 or np.min(examples, initial=1) < 1:
            raise ValueError("members must be as many as announced, with at least one example, epoch, turn and row of a batch")
        if len(kept) != c.n_kept or len(bound) != c.n_bound or len(binds) != len(owner.programs) + len(owner.rests) + len(owner.lanes):
            raise ValueError(f"a group must get {c.n_kept} arrays, {c.n_bound} in place and data for each program, got {len(kept)}, {len(bound)} and {len(binds)}")
        words = [as_words(numbers, n) for numbers in (examples, seeds, order_seeds, first_epochs, step_offsets)]
        cdef const int64_t *size = <const int64_t *>address(words[0])
        cdef const uint64_t *seed = <const uint64_t *>address(words[1])
        cdef const uint64_t *order_seed = <const uint64_t *>address(words[2])
        cdef const uint64_t *epoch = <const uint64_t *>address(words[3])
        cdef const uint64_t *offset = <const uint64_t *>address(words[4])
        pointers = np.empty((n, c.n_kept + c.n_bound), dtype=np.uintp)
        for i, (array, rows) in enumerate((*kept, *bound)):
            if not array[0].flags.c_contiguous or (i < c.n_kept and array[0].nbytes != c.bytes[i]):
                raise ValueError("arrays of members must have contiguous rows of the size of the program's")
            if len(rows) != n or not 0 <= np.min(rows, initial=0) <= np.max(rows, initial=0) < len(array):
                raise ValueError(f"arrays of members must have a row for each of {n}, got {len(rows)} of {len(array)}")
            pointers[:, i] = <uint64_t>address(array, NULL, NULL, i >= c.n_kept or stores) + np.asarray(rows, dtype=np.uint64) * array.strides[0]
        for i in range(n):
            rest = size[i] % batch
            per_epoch = max(size[i] // batch + (rest > 0 and not (rest <= merge and size[i] > batch)), 1)
            most, most_examples = max(most, epochs * per_epoch), max(most_examples, epochs * size[i])
            member = self.members + first + i
            member.run.last_step = epochs * per_epoch
        records = program.program.n_records + 1
        sums, notes = np.full((n, most, records), np.nan), np.full((n, most, program.program.n_notes), np.nan)
        losses = np.full((n, most_examples), np.nan) if keep_examples else None
        longest = np.max(examples, initial=0)
        cdef int64_t wide = c.slots[0].lanes.lanes if owner.lanes else 0, turns = min(turn, epochs)
        buffers = [np.empty(max(wide, 1) * turns * longest, dtype=np.int64) for _ in owner.programs]
        for i, buffer in enumerate(buffers):
            c.slots[i].order = <int64_t *>address(buffer)
        if wide:
            wide_sums = [np.empty(turns * (most // epochs) * (program.program.n_records * wide + 1)) for _ in owner.programs]
            for i, buffer in enumerate(wide_sums):
                c.slots[i].lane_sums = <double *>address(buffer)
            columns = max([columns_of(own) for own in coefficients or ()], default=0)
            wide_coefficients = [np.empty(turns * (most // epochs) * columns * wide) for _ in owner.programs]
            for i, buffer in enumerate(wide_coefficients):
                c.slots[i].lane_coefficients = <double *>address(buffer)
            batch_orders = [np.empty(min(batch, longest) * wide, dtype=np.int64) for _ in owner.programs]
            for i, buffer in enumerate(batch_orders):
                c.slots[i].batch_order = <int64_t *>address(buffer)
            buffers += [wide_sums, wide_coefficients, batch_orders]
        self.keep += [pointers, sums, notes, losses, buffers, kept, bound, chosen, orders, coefficients]
        cdef char **pointer = <char **>address(pointers)
        cdef double *sum_ = <double *>address(sums)
        cdef double *note = <double *>address(notes)
        cdef double *loss = <double *>address(losses)
        for i in range(n):
            member = self.members + first + i
            steps = member.run.last_step
            member.group, member.epochs, member.turn, member.stores = group, epochs, turn, stores
            member.kept = pointer + i * (c.n_kept + c.n_bound)
            member.bound = <void **>(member.kept + c.n_kept)
            member.run.examples, member.run.batch, member.run.merge = size[i], batch, merge
            member.seed, member.order_seed, member.first_epoch = seed[i], order_seed[i], epoch[i]
            member.shuffled = order_seeds is not None
            member.run.step_offset = offset[i]
            member.run.sums = sum_ + i * most * records
            if program.program.n_notes:
                member.run.notes_out = note + i * most * program.program.n_notes
            if keep_examples:
                member.run.examples_out = loss + i * most_examples
            if chosen is not None and chosen[i] is not None:
                member.chosen = <const int64_t *>checked_order("chosen", chosen[i], size[i])
            if orders is not None and orders[i] is not None:
                member.run.order = <const int64_t *>checked_order("order", orders[i], epochs * size[i])
            if coefficients is not None:
                program.check_columns(columns_of(coefficients[i]))
                if len(coefficients[i]) < steps:
                    raise ValueError(f"coefficients must have a row for each of {steps} steps, got {len(coefficients[i])}")
                member.run.coefficients, member.run.coefficient_stride = <const double *>address(coefficients[i], NULL, NULL, False), coefficients[i].shape[1]
            elif program.updates:
                program.check_columns(0)
        self.units += units_of(self.members + first, first, n, wide)
        self.count += n
        self.binds += zip([*owner.programs, *[late for late, _ in owner.rests], *[many for many, _ in owner.lanes]], binds)
        return sums, notes, losses

    def run(self, int threads, stop=None):
        """Run all members. Returns for each the number of steps completed, and whether the next one failed.

        Where Python code raises, ``steps`` says how far they came.
        """
        cdef int64_t i
        cdef Program program
        for program, _ in self.binds:
            program.check_free()
        python_ops = [op for owner in self.groups for op in (<MemberGroup>owner).python_ops]
        # after an error no other member is worth its time
        asked = _Stop(lambda: any([op.error is not None for op in python_ops]) or (stop is not None and stop()))
        if python_ops:    # they find their locks and their thread-local state on the calling thread only
            threads = 1
        for i, owner in enumerate(self.groups):
            (<MemberGroup>owner).make_room()
            self.c_groups[i] = (<MemberGroup>owner).group
        units = np.array(self.units, dtype=np.int64).reshape(-1, 2)
        self.all.units, self.all.n_units = <const nn_unit *>address(units), len(units)
        self.all.groups, self.all.members = self.c_groups, self.members
        self.all.random_words = random_words
        self.all.stop, self.all.stop_argument = call_stop, <void *>asked
        bound = []
        try:
            for program, bind in self.binds:
                bound.append((program, bind))
                program.bind(bind)
            for program, _ in bound:
                program.hold()
            with nogil:
                nn_execute_members(&self.all, threads)
        finally:
            for program, bind in bound:
                program.let_go()
                program.release(bind)
        errors = taken_errors(python_ops)
        if asked.error is not None:
            raise asked.error
        if errors:
            raise errors[0]
        steps = self.steps
        failed = np.array([self.members[i].failed for i in range(self.count)], dtype=bool)
        failures = np.array([self.members[i].failure for i in range(self.count)], dtype=np.int64)
        for fault, message in FAULTS.items():
            if np.bitwise_or.reduce(failures, initial=0) & fault:
                raise ValueError(message)
        return steps, failed

    @property
    def steps(self):
        """The number of steps that each member has completed, also after an error."""
        cdef int64_t i
        return np.array([self.members[i].steps for i in range(self.count)], dtype=np.int64)

    @property
    def unit_sizes(self):
        """How many members a thread takes at once, in their order."""
        return [count for _, count in self.units]

    @property
    def taken(self):
        """The number of members that threads have taken so far."""
        cdef int64_t taken = min(nn_next_unit(&self.all), len(self.units))
        return self.units[taken][0] if taken < len(self.units) else self.count
