# Whether the numbers of an array are finite, or labels.

cdef bint finite_floats(const uint32_t *bits, Py_ssize_t n) noexcept nogil:
    cdef uint32_t beyond = 0
    cdef Py_ssize_t i
    for i in range(n):    # 1 if the exponent is all ones: infinite or NaN
        beyond |= ((bits[i] & 0x7F800000u) + 0x00800000u) >> 31
    return not beyond


cdef bint finite_doubles(const uint64_t *bits, Py_ssize_t n) noexcept nogil:
    cdef uint64_t beyond = 0
    cdef Py_ssize_t i
    for i in range(n):
        beyond |= ((bits[i] & 0x7FF0000000000000u) + 0x0010000000000000u) >> 63
    return not beyond


cdef bint is_plain(const Py_buffer *view) noexcept:
    """Whether it is an aligned (n, width) array of float or double with contiguous rows."""
    cdef bint real = view.format != NULL and view.format[0] in (b'f', b'd') and view.format[1] == 0
    return (real and view.ndim == 2 and view.strides[1] == view.itemsize and view.strides[0] % view.itemsize == 0
            and <uint64_t>view.buf % <uint64_t>view.itemsize == 0)


cdef bint finite_rows(const Py_buffer *view) noexcept:
    cdef Py_ssize_t n = view.shape[0], width = view.shape[1], step = view.strides[0], size = view.itemsize, i
    cdef const char *data = <const char *>view.buf
    cdef bint good = True
    with nogil:
        if step == width * size:
            n, width = 1, n * width
        for i in range(n):
            good = finite_floats(<const uint32_t *>(data + i * step), width) if size == 4 else finite_doubles(
                <const uint64_t *>(data + i * step), width)
            if not good:
                break
    return good


def all_finite(array):
    """Whether all numbers of an array are finite. float32 and float64 with contiguous rows: in one pass, without a copy."""
    cdef Py_buffer view
    cdef bint plain, good = True
    if type(array) is np.ndarray:
        try:
            PyObject_GetBuffer(array, &view, PyBUF_RECORDS_RO)
        except (ValueError, BufferError):    # of a dtype that buffers do not have
            return _other_finite(array)
        plain = is_plain(&view)
        if plain:
            good = finite_rows(&view)
        PyBuffer_Release(&view)
        if plain:
            return good
    return _other_finite(np.asarray(array))


def _other_finite(array):
    """The same for any dtype and layout."""
    if array.dtype.kind in "biu" or not array.size:
        return True
    if array.dtype in (np.float32, np.float64) and array.flags.aligned:  # in the machine's byte order
        if array.ndim != 2 and array.flags.c_contiguous:
            return all_finite(array.reshape(1, -1))
        if array.ndim == 2 and (array.shape[0] == 1 or array.strides[0] == array.itemsize):
            return all_finite(np.ascontiguousarray(array.T))
    return _finite_parts(array)


def _finite_parts(array):
    """The same with NumPy, in chunks of rows."""
    array = np.atleast_1d(array)
    step = max(1, (1 << 20) // max(1, array[:1].size))
    return all(bool(np.isfinite(array[i : i + step]).all()) for i in range(0, len(array), step))


def are_labels(array, int64_t classes):
    """Whether an int64 array (n,) holds numbers from 0 to classes − 1 only."""
    cdef Py_buffer view
    cdef Py_ssize_t i
    cdef uint64_t largest = 0
    PyObject_GetBuffer(array, &view, PyBUF_RECORDS_RO)
    cdef const char *data = <const char *>view.buf
    for i in range(view.shape[0]):
        largest = max(largest, (<const uint64_t *>(data + i * view.strides[0]))[0])    # numbers below 0 are large
    PyBuffer_Release(&view)
    return largest < <uint64_t>classes
