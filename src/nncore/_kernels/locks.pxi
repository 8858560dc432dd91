# Locks: a run within itself is refused, and a deadlock between threads is found.

cdef class Exclusive:
    """Prevents nested runs: a run cannot begin in Python code that another run calls on the same thread.

    It is set and cleared next to the run, where no Python signal handler can interrupt; a forked child of another thread
    finds it free.
    """

    cdef unsigned long thread
    cdef int process
    cdef str message

    def __cinit__(self, str message):
        self.message = message

    def __reduce__(self):
        return Exclusive, (self.message,)

    cdef bint on_this_thread(self) noexcept:
        return self.thread == PyThread_get_thread_ident() and self.process == getpid()

    @property
    def held(self):
        """Whether it is set by a run on this thread."""
        return self.on_this_thread()

    cdef int check(self) except -1:
        if self.on_this_thread():
            raise RuntimeError(self.message)
        return 0

    cdef void hold(self) noexcept:
        self.thread, self.process = PyThread_get_thread_ident(), getpid()


cdef extern from *:
    """
    static int nn_exchange(uint64_t *word, uint64_t old, uint64_t new_word) {
        return __atomic_compare_exchange_n(word, &old, new_word, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    }
    """
    bint nn_exchange(uint64_t *word, uint64_t old, uint64_t new_word) noexcept nogil


cdef uint64_t this_thread() noexcept:
    """The calling thread, and the process as counted by forks, in one number: thread numbers are addresses of 48 bits."""
    return <uint64_t>PyThread_get_thread_ident() ^ <uint64_t>forks << 48


cdef class Claim:
    """The right to use something, which one thread has at a time; others are not kept waiting, but refused.

    Within ``with claim`` the same thread may claim it again. The class is compiled, so that no Python signal handler runs between a
    claim and the block that ends it. A forked child finds it free.
    """

    cdef uint64_t owner    # 0: none
    cdef int64_t blocks    # of the owner, one within another
    cdef str message

    def __cinit__(self, str message):
        self.message = message

    def __reduce__(self):    # a copy is another claim
        return Claim, (self.message,)

    cdef bint held(self) noexcept:
        """Whether a thread of this process has it."""
        return self.owner != 0 and (self.owner ^ this_thread()) >> 48 == 0

    cdef bint take(self) noexcept:
        cdef uint64_t me = this_thread(), owner = self.owner
        if owner != me:
            if self.held() or not nn_exchange(&self.owner, owner, me):
                return False
            self.blocks = 0
        self.blocks += 1
        return True

    cdef int take_alone(self) except -1:
        """Claim what not even this thread has claimed."""
        self.check()
        if not self.take():
            raise RuntimeError(self.message)
        return 0

    cdef void give(self) noexcept:
        if self.held():
            self.blocks -= 1
            if not self.blocks:
                self.owner = 0

    @property
    def taken(self):
        """Whether any thread has claimed it."""
        return self.held()

    @property
    def depth(self):
        """How many times this thread has claimed it."""
        return self.blocks if self.owner == this_thread() else 0

    cpdef int check(self) except -1:
        """Raise if this thread has claimed it."""
        if self.owner == this_thread():
            raise RuntimeError(self.message)
        return 0

    def __enter__(self):
        if not self.take():
            raise RuntimeError(self.message)

    def __exit__(self, kind, error, traceback):
        self.give()


waiting = {}    # the lock that a thread waits for, by the thread's number
LOOK = 0.25    # seconds after which a waiting thread checks for a deadlock

cdef int64_t forks = 1    # the number of this process among those that descend from the first one by forks


def after_fork():
    """In a forked child: its only thread waits for nothing, and nothing is under way."""
    global forks
    forks += 1
    waiting.clear()


cdef extern from * nogil:    # Python.h
    PyLockStatus PyThread_acquire_lock_timed(PyThread_type_lock lock, long long microseconds, int interruptible)


cdef class WatchedLock:
    """A reentrant lock; in a deadlock, one of the threads gets an error.

    It is compiled, so that no Python signal handler runs between acquiring the lock and entering the block that releases it.
    """

    cdef PyThread_type_lock lock
    cdef unsigned long owner    # the thread that has it; 0: none, or for a moment not yet known
    cdef int64_t depth          # how many times its owner has acquired it

    def __cinit__(self):
        self.lock = PyThread_allocate_lock()
        if self.lock == NULL:
            raise MemoryError("cannot allocate a lock")

    def __dealloc__(self):
        if self.lock != NULL and not self.depth:
            PyThread_free_lock(self.lock)

    @property
    def holder(self):
        return self.owner

    cdef bint take(self) noexcept:
        """Acquire it unless another thread has it."""
        cdef unsigned long me = PyThread_get_thread_ident()
        if self.owner != me:
            if not PyThread_acquire_lock(self.lock, NOWAIT_LOCK):
                return False
            self.owner = me
        self.depth += 1
        return True

    cdef bint take_within(self, double seconds) except -1:
        """Acquire it within this time, in which signal handlers run."""
        cdef PyLockStatus status
        cdef long long microseconds = <long long>(1e6 * seconds)
        with nogil:
            status = PyThread_acquire_lock_timed(self.lock, microseconds, 1)
        if status == PY_LOCK_ACQUIRED:
            self.owner, self.depth = PyThread_get_thread_ident(), 1
            return True
        PyErr_CheckSignals()
        return False

    def __enter__(self):
        if not self.take():
            self.wait()
        return True

    def __exit__(self, kind, error, traceback):
        self.release()

    def acquire(self, blocking=True, timeout=-1):
        if self.take():
            return True
        if not blocking:
            return False
        if timeout < 0:
            self.wait()
            return True
        end = monotonic() + timeout
        while (left := end - monotonic()) > 0:
            if self.take_within(min(left, LOOK)):
                return True
        return False

    def release(self):
        if self.owner != PyThread_get_thread_ident():
            raise RuntimeError("cannot release a lock that this thread has not acquired")
        self.depth -= 1
        if not self.depth:
            self.owner = 0
            PyThread_release_lock(self.lock)

    def renew(self):
        """Reset in a forked child: held by this thread as before, or free. The other threads do not exist there."""
        if self.owner == PyThread_get_thread_ident():
            return
        cdef PyThread_type_lock lock = PyThread_allocate_lock()
        if lock == NULL:
            raise MemoryError("cannot allocate a lock")
        self.lock, self.owner, self.depth = lock, 0, 0    # the old one may be held for ever, and is not freed

    def wait(self):
        """Acquire the lock, waiting without limit. A cycle counts as a deadlock if it is seen twice: a holder is registered a
        moment after it has acquired a lock."""
        me, circles = PyThread_get_thread_ident(), 0
        waiting[me] = self
        try:
            while not self.take_within(LOOK):
                circles = circles + 1 if self.closes_circle(me) else 0
                if circles == 2:
                    raise RuntimeError(
                        "two threads wait for each other: Python code within a program of one model, such as a layer or a loss, "
                        "must not copy, save, train or differentiate another model that does the same with the first"
                    )
        finally:
            waiting.pop(me, None)

    def closes_circle(self, me):
        """Whether the holder waits for a lock whose holder waits, and so on, for one that this thread holds."""
        lock, seen = self, set()
        while lock is not None and lock.holder not in seen:
            if lock.holder == me:
                return True
            seen.add(lock.holder)
            lock = waiting.get(lock.holder)
        return False
