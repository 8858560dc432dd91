# Python code within a run: ops written in Python, and the question whether to stop.

cdef void call_python(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) noexcept with gil:
    """A whole-batch op written in Python: array[0] is a callable of the number of rows. If it returns False, the step ends there."""
    call = <object>op.array[0]
    cdef uint64_t denormals = nn_keep_denormals()
    cdef int process = getpid()
    try:
        if call.function(context.rows) is False:
            context.failed[0] = 1
    except BaseException as error:  # stored, and raised again by the thread that runs the program
        call.error = error
        context.failed[0] = 1
    if call.threads > 1 and getpid() != process:
        leave_child(call.error)
    nn_set_denormals(denormals)


def leave_child(error):
    """End a child that was forked within a program: it would wait for the other threads of the run, which do not exist there."""
    try:
        if error is not None:
            traceback.print_exception(error)
        print(
            "nncore: a child that was forked by Python code within a program, such as a layer or a loss, cannot go on with it on "
            "one of several threads: end it with os._exit() or exec, fork outside of programs, or call nncore.set_num_threads(1)",
            file=sys.stderr, flush=True,
        )
    finally:
        os._exit(1)


class PythonOp:
    """A Python function of the number of rows as an op of a program; stores the exception it raised."""

    def __init__(self, function):
        self.function, self.error, self.threads = function, None, 1


cdef list taken_errors(list ops):
    """What the ops have raised. None of it is left, which a later run would raise."""
    errors = []
    for op in ops:
        if op.error is not None:
            errors.append(op.error)
            op.error = None
    return errors


class _Stop:
    """Whether a run is to stop: for a signal whose handler raises (kept in ``error``), or because ``wanted()`` says so."""

    def __init__(self, wanted):
        self.wanted, self.error = wanted, None

    def __call__(self):
        try:
            PyErr_CheckSignals()
            return self.wanted is not None and self.wanted()
        except BaseException as error:    # raised again by the thread that runs the program
            self.error = error
            return True


cdef int call_stop(void *stop) noexcept with gil:
    cdef uint64_t denormals = nn_keep_denormals()    # for the handlers of signals
    cdef int stops = (<object>stop)()
    nn_set_denormals(denormals)
    return stops
