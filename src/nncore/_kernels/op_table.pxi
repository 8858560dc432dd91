# The ops by name, and their declarations, against which bindings are checked.

cdef void *address(array, int64_t *stride=NULL, int64_t *length=NULL, bint writes=True) except *:
    """The address of an array's data, its row stride and its number of rows; NULL for None.

    The array must be aligned, and writeable if it is written to: a buffer that is neither would end in undefined behavior, a
    segmentation fault or changed constants.
    """
    cdef Py_buffer view
    if array is None:
        return NULL
    if writes:
        try:
            PyObject_GetBuffer(array, &view, PyBUF_STRIDED)
        except (ValueError, BufferError) as error:
            raise ValueError(f"an array that is written to must be writeable: {error}") from None
    else:
        PyObject_GetBuffer(array, &view, PyBUF_STRIDED_RO)
    cdef void *data = view.buf
    cdef int64_t unit = min(view.itemsize, 8)
    cdef bint aligned = unit < 2 or <uint64_t>data % unit == 0
    if view.ndim > 0:
        aligned = aligned and (view.shape[0] < 2 or unit < 2 or view.strides[0] % unit == 0)
        if stride != NULL:
            stride[0] = view.strides[0]
        if length != NULL:
            length[0] = view.shape[0]
    PyBuffer_Release(&view)    # the caller that binds the array keeps it alive
    if not aligned:
        raise ValueError("an array must be aligned, got one whose elements are not")
    return data


cdef tuple words(const char *text):
    """The names in a declaration, without their marks."""
    return tuple([word.rstrip("=?") for word in text.decode().split()])


cdef class Declaration:
    """The declaration of an op in op_table.h: the names of its arrays, sizes and constants, in order.

    ``written`` and ``optional`` have one bool per array: whether the op writes to it, whether it may be None. Sizes beyond the
    first ``least_sizes`` may be omitted. An update op reads the first ``coefficients`` numbers of a step's row.
    """

    cdef const nn_entry *entry
    cdef readonly str name
    cdef readonly tuple arrays, written, optional, sizes, constants
    cdef readonly int least_sizes, coefficients
    cdef int n_arrays
    cdef unsigned writes, needs    # bit k: array k is written, is required
    cdef int places[NN_MAX_ARRAYS]    # index of each array in nn_op

    cdef int read(self, const nn_entry *entry) except -1:
        cdef list arrays = entry.arrays.decode().split()
        self.entry, self.name, self.coefficients = entry, entry.name.decode(), entry.coefficients
        self.arrays, self.sizes, self.constants = words(entry.arrays), words(entry.sizes), words(entry.constants)
        self.written = tuple(["=" in word for word in arrays])
        self.optional = tuple(["?" in word for word in arrays])
        self.least_sizes = sum(["?" not in word for word in entry.sizes.decode().split()])
        if len(arrays) > NN_MAX_ARRAYS or len(self.sizes) > NN_MAX_SIZES or len(self.constants) > NN_MAX_CONSTANTS:
            raise ValueError(f"op {self.name}: too many arrays, sizes or constants are declared")
        self.n_arrays, self.writes, self.needs = len(arrays), 0, 0
        for i, name in enumerate(self.arrays):
            self.places[i] = NN_TILE_TABLE if name == "tile_table" else i
            self.writes |= <unsigned>self.written[i] << <int>i
            self.needs |= <unsigned>(not self.optional[i]) << <int>i
        return 0

    def columns(self, arrays, sizes):
        """How long a step's row of coefficients must be for the op: it reads the first ones, or those that its sizes name, at the
        places that its tile table has."""
        named = [size + 1 for name, size in zip(self.sizes, sizes) if name == "column" or name.endswith("_column")]
        cdef int last = self.n_arrays - 1
        columns, table = max(named, default=self.coefficients), arrays[last]
        if columns and table is not None and self.arrays[last] == "tile_table" and table.ndim == 2 and table.shape[1] == NN_TILE_COLUMNS:
            columns += int(table[:, 4].max(initial=0))
        return columns

    cdef int check_counts(self, arrays, sizes, constants) except -1:
        """Raise unless the numbers of arrays, sizes and constants are as declared."""
        for kind, names, least, given in (("arrays", self.arrays, len(self.arrays), arrays), ("sizes", self.sizes, self.least_sizes, sizes),
                                          ("constants", self.constants, len(self.constants), constants)):
            if not least <= len(given) <= len(names):
                count = len(names) if least == len(names) else f"{least} to {len(names)}"
                raise ValueError(f"op {self.name} must have {count} {kind} ({', '.join(names)}), got {len(given)}")
        return 0

    cdef int bind(self, nn_op *op, int slot, array) except -1:
        """Bind an array to the op."""
        cdef int place = self.places[slot]
        try:
            op.array[place] = address(array, &op.stride[place], &op.length[place], self.writes >> slot & 1)
        except ValueError as error:
            raise ValueError(f"op {self.name}: array {self.arrays[slot]}: {error}") from None
        if place == NN_TILE_TABLE and array is not None and (array.ndim != 2 or array.shape[1] != NN_TILE_COLUMNS or array.dtype != np.int64):
            raise ValueError(f"op {self.name}: tile_table must be int64 of shape (tiles, {NN_TILE_COLUMNS}), got {array.dtype} of {array.shape}")
        return 0

    cdef bint lacks(self, const nn_op *op, int slot) noexcept:
        """Whether a required array is missing."""
        return op.array[self.places[slot]] == NULL and self.needs >> slot & 1


cdef class OpTable:
    """The kernels of one instruction set, by name; those that its module lacks are of another table, ``rest``."""

    cdef dict index

    def __init__(self, capsule, OpTable rest=None):
        cdef const nn_entry *entry = <const nn_entry *>PyCapsule_GetPointer(capsule, "nncore.op_table")
        cdef Declaration declaration
        self.index = {} if rest is None else dict(rest.index)
        while entry.name != NULL:
            declaration = Declaration.__new__(Declaration)
            declaration.read(entry)
            self.index[declaration.name] = declaration
            entry += 1

    @property
    def names(self):
        return tuple(self.index)

    def __contains__(self, name):
        return name in self.index

    def declaration(self, str name) -> Declaration:
        """The declaration of an op."""
        if name not in self.index:
            raise ValueError(f"unknown op {name!r}")
        return self.index[name]
