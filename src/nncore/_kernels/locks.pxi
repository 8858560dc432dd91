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

    cdef int check(self) except -1:
        if self.thread == PyThread_get_thread_ident() and self.process == getpid():
            raise RuntimeError(self.message)
        return 0


waiting = {}    # the lock that a thread waits for, by the thread's number
LOOK = 0.25    # seconds after which a waiting thread checks for a deadlock

cdef int64_t forks = 1    # the number of this process among those that descend from the first one by forks


def after_fork():
    """In a forked child: its only thread waits for nothing, and nothing is under way."""
    global forks
    forks += 1
    waiting.clear()


class WatchedLock(RLock):
    """A reentrant lock; in a deadlock, one of the threads gets an error.

    It is compiled, so that no Python signal handler runs between acquiring the lock and entering the block that releases it.
    """

    holder = 0    # the thread that acquired it last

    def __enter__(self):
        if not RLock.acquire(self, False):
            self.wait()
        self.holder = get_ident()
        return True

    def acquire(self, blocking=True, timeout=-1):
        if not RLock.acquire(self, blocking, timeout):
            return False
        self.holder = get_ident()
        return True

    def _acquire_restore(self, state):    # of threading.Condition
        RLock._acquire_restore(self, state)
        self.holder = get_ident()

    def wait(self):
        """Acquire the lock, waiting without limit. A cycle counts as a deadlock if it is seen twice: a holder is registered a
        moment after it has acquired a lock."""
        me, circles = get_ident(), 0
        waiting[me] = self
        try:
            while not RLock.acquire(self, True, LOOK):
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
