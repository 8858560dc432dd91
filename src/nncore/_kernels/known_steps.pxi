# The steps of an optimizer whose coefficients are known, and the counting of those that were taken.

def advance_counts(dict counts, int64_t steps, int64_t steps_per_epoch, stretch):
    """Count steps as taken, in the attributes of an optimizer's state. ``stretch``: the run of epochs of one length that begins
    with the current epoch, None if the last one continues."""
    cdef int64_t within = counts["epoch_steps"] + steps
    stretches = counts["stretches"]
    if stretch is not None:
        while stretches and stretches[len(stretches) - 1][0] >= stretch[0]:
            stretches.pop()
        stretches.append(stretch)
    counts["step_count"] = counts["step_count"] + steps
    counts["epochs"] = counts["epochs"] + within // steps_per_epoch
    counts["epoch_steps"], counts["steps_per_epoch"] = within % steps_per_epoch, steps_per_epoch


cdef class KnownSteps:
    """The next steps of an optimizer. A step is counted in C right after it was taken: no Python signal handler runs between.

    counts: the attributes of the optimizer's state, of which other code may change the count of steps.
    known, known_at: how many steps are known, and the number of assignments at which they were computed.
    """

    cdef dict counts, products
    cdef object stretch
    cdef readonly object rows    # (known, k): coefficients
    cdef int64_t first, begun, steps_per_epoch
    cdef readonly int64_t next, known, known_at

    def __cinit__(self, dict counts, *args, **kwargs):
        self.counts, self.known_at = counts, -1

    def know(self, rows, dict products, stretch, int64_t known_at, int64_t steps_per_epoch=1):
        """The next steps: their coefficients (steps, k), the optimizer's running products after each, and the run of epochs of
        one length that begins with them, None if one continues."""
        self.first, self.begun = self.counts["step_count"], self.counts["epoch_steps"]
        self.rows, self.products, self.stretch = rows, products, stretch
        self.next, self.known, self.known_at, self.steps_per_epoch = 0, rows.shape[0], known_at, steps_per_epoch

    def continues(self, int64_t known_at, int64_t steps_per_epoch):
        """Whether the next step is the one after the last that was counted here, and nothing has been assigned since."""
        return (self.known_at == known_at and self.steps_per_epoch == steps_per_epoch and self.counts["step_count"] == self.first + self.next
                and self.counts["epoch_steps"] == (self.begun + self.next) % steps_per_epoch)

    cdef const double *coefficients(self) except NULL:
        """The row of the next step."""
        return <const double *>address(self.rows, NULL, NULL, False) + self.next * <int64_t>self.rows.shape[1]

    cdef int count(self, int64_t steps) except -1:
        """Count steps as taken."""
        if steps == 0:
            return 0
        advance_counts(self.counts, steps, self.steps_per_epoch, self.stretch)
        self.stretch = None
        self.next += steps
        if self.products:
            self.counts["products"] = {name: float(values[self.next - 1]) for name, values in self.products.items()}
        return 0
