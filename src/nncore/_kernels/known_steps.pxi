# The steps of an optimizer whose coefficients are known, and the counting of those that were taken.

def advance_counts(dict counts, int64_t steps, int64_t steps_per_epoch, stretch, dict products={}):
    """Count steps as taken, in the attributes of an optimizer's state. ``stretch``: the run of epochs of one length that begins
    with the current epoch, None if the last one continues. ``products``: the running products after them."""
    cdef int64_t within = counts["epoch_steps"] + steps
    stretches = counts["stretches"]
    if stretch is not None:
        while stretches and stretches[len(stretches) - 1][0] >= stretch[0]:
            stretches.pop()
        stretches.append(stretch)
    counts["step_count"] = counts["step_count"] + steps
    counts["epochs"] = counts["epochs"] + within // steps_per_epoch
    counts["epoch_steps"], counts["steps_per_epoch"] = within % steps_per_epoch, steps_per_epoch
    if products:
        counts["products"] = products


cdef int64_t columns_of(rows) except -1:
    """The number of columns of a table of coefficients, which must be as kernels read it."""
    cdef Py_buffer view
    PyObject_GetBuffer(rows, &view, PyBUF_RECORDS_RO)
    cdef int64_t columns = view.shape[1] if view.ndim == 2 else 0
    cdef bint good = view.ndim == 2 and view.format != NULL and view.format[0] == b'd' and view.format[1] == 0
    if good and columns:
        good = (columns < 2 or view.strides[1] == 8) and (view.shape[0] < 2 or view.strides[0] == 8 * columns)
    PyBuffer_Release(&view)
    if not good:
        raise ValueError(f"coefficients must be contiguous float64 of shape (steps, k), got {rows.dtype} of shape {rows.shape} with "
                         f"strides {rows.strides}")
    return columns


cdef class KnownSteps:
    """The next steps of an optimizer. A step is counted in C right after it was taken: no Python signal handler runs between.

    counts: the attributes of the optimizer's state, of which other code may change the count of steps. Its ``busy`` is claimed
    while steps are taken: with the coefficients known here, or in any other place.
    known, known_at: how many steps are known, and the number of assignments at which they were computed.
    """

    cdef dict counts, products
    cdef Claim busy
    cdef object stretch
    cdef readonly object rows    # (known, k): coefficients
    cdef int64_t first, begun, steps_per_epoch, width
    cdef readonly int64_t next, known, known_at

    def __cinit__(self, dict counts, *args, **kwargs):
        self.counts, self.busy, self.known_at = counts, counts["busy"], -1

    def know(self, rows, dict products, stretch, int64_t known_at, int64_t steps_per_epoch=1):
        """The next steps: their coefficients (steps, k), the optimizer's running products after each, and the run of epochs of
        one length that begins with them, None if one continues."""
        if self.busy.held():    # the kernels are reading the present ones
            raise RuntimeError(self.busy.message)
        cdef int64_t width = columns_of(rows)
        self.check_columns(width)
        self.width = width
        self.first, self.begun = self.counts["step_count"], self.counts["epoch_steps"]
        self.rows, self.products, self.stretch = rows, products, stretch
        self.next, self.known, self.known_at, self.steps_per_epoch = 0, rows.shape[0], known_at, steps_per_epoch

    cdef int check_columns(self, int64_t width) except -1:
        """Raise unless the ops read no more columns; those of a program that is given to each run are compared there."""
        return 0

    def continues(self, int64_t known_at, int64_t steps_per_epoch):
        """Whether the next step is the one after the last that was counted here, and nothing has been assigned since."""
        return (self.known_at == known_at and self.steps_per_epoch == steps_per_epoch and self.counts["step_count"] == self.first + self.next
                and self.counts["epoch_steps"] == (self.begun + self.next) % steps_per_epoch)

    cdef const double *coefficients(self) except NULL:
        """The row of the next step."""
        return <const double *>address(self.rows, NULL, NULL, False) + self.next * self.width

    cdef int count(self, int64_t done, int64_t wanted) except -1:
        """Count the steps that were taken. What was known of those that failed is forgotten: values of schedules may be other ones
        when they are tried again."""
        if done < wanted:
            self.known = self.next + done
        if done == 0:
            return 0
        cdef int64_t last = self.next + done - 1
        advance_counts(self.counts, done, self.steps_per_epoch, self.stretch,
                       {name: float(values[last]) for name, values in self.products.items()})
        self.stretch = None
        self.next += done
        return 0


cdef class Switch(KnownSteps):
    """The move from the parameters to the point of the next gradient, or back: it counts as no step, but is noted in C too."""

    cdef bint entered

    def __cinit__(self, dict counts, bint entered):
        self.entered = entered

    cdef int count(self, int64_t done, int64_t wanted) except -1:
        if done:
            self.counts["entered"] = self.entered
        return 0
