"""The one array interface: which library, which dtype, which device.

This is the only module that knows array libraries by name. NumPy and CuPy are supported and array-api-strict is the
backend of the tests; the library of an object is told by its class, so nothing is imported that the caller has not
imported before.
"""

import functools
import importlib
import os
from collections.abc import Hashable
from typing import Any, cast

import array_api_compat
import numpy as np

from numopt._typing import Array, Namespace

__all__ = [
    "add_at",
    "asarray_like",
    "contiguous",
    "default_float",
    "device_of",
    "is_array",
    "is_cupy",
    "is_linear_operator",
    "is_numpy",
    "is_sparse",
    "memory_of",
    "namespace",
    "promote",
    "scalars",
    "to_host",
]

_LIBRARY_NAMES = {"numpy": "NumPy", "cupy": "CuPy", "strict": "array-api-strict"}

# How to leave a library that is not supported, by the top-level module of the class.
_CONVERSIONS = {
    "torch": ("PyTorch", "x.detach().cpu().numpy() or, on a GPU, cupy.from_dlpack(x)"),
    "jax": ("JAX", "numpy.asarray(x) or cupy.from_dlpack(x)"),
    "jaxlib": ("JAX", "numpy.asarray(x) or cupy.from_dlpack(x)"),
    "dask": ("Dask", "x.compute()"),
    "ndonnx": ("ndonnx", "x.unwrap_numpy()"),
    "tensorflow": ("TensorFlow", "x.numpy()"),
    "sparse": ("pydata/sparse", "x.to_scipy_sparse()"),
    "dpnp": ("dpnp", "x.asnumpy()"),
    "pandas": ("pandas", "x.to_numpy()"),
    "polars": ("polars", "x.to_numpy()"),
    "pyarrow": ("pyarrow", "x.to_numpy()"),
}


@functools.lru_cache(maxsize=256)
def _classify(cls: Hashable) -> tuple[str, str]:
    """Return (library, form) of a class; form is 'dense', 'sparse', 'operator', 'wrapped', 'none' or 'foreign'.

    Subclasses count as what they derive from, hence the walk over the whole MRO.
    """
    assert isinstance(cls, type)
    if issubclass(cls, np.matrix | np.ma.MaskedArray):
        return cls.__name__, "foreign"
    for base in cls.__mro__:
        module, name = base.__module__, base.__name__
        package = module.split(".")[0]
        if package in ("numpy", "cupy") and name == "ndarray":
            return package, "dense"
        if package == "array_api_strict" and name == "Array":
            return "strict", "dense"
        if module.startswith(("scipy.sparse", "cupyx.scipy.sparse")):
            library = "numpy" if package == "scipy" else "cupy"
            if name == "LinearOperator":
                return library, "operator"
            if name in ("spmatrix", "sparray"):
                return library, "sparse"
        if module == "numopt._operator":
            return "", "wrapped"
        if package in _CONVERSIONS:
            return package, "foreign"
    return "", "none"


def _kind(x: object) -> tuple[str, str]:
    return _classify(cast(Hashable, type(x)))


def _unsupported(x: Any, library: str) -> TypeError:
    cls = type(x)
    if isinstance(x, np.ma.MaskedArray):
        return TypeError("numpy.ma.MaskedArray is not supported; convert with x.filled(value).")
    if isinstance(x, np.matrix):
        return TypeError("numpy.matrix is not supported; convert with numpy.asarray(x).")
    name, how = _CONVERSIONS[library]
    return TypeError(
        f"{name} objects are not supported (got {cls.__module__}.{cls.__qualname__}); pass a NumPy or CuPy array, "
        f"for instance {how}."
    )


@functools.cache
def _load(library: str) -> Namespace:
    """Import a namespace; only called for a library whose arrays are there, and for NumPy."""
    module = "array_api_strict" if library == "strict" else f"array_api_compat.{library}"
    return importlib.import_module(module)


def namespace(*arrays: Any) -> Namespace:
    """Return the array namespace that all `arrays` share.

    Parameters
    ----------
    *arrays : array, sparse matrix, LinearOperator, MatrixOperator, Python object or None
        None, numbers, lists and other plain Python objects do not take part. Sparse matrices and LinearOperators count
        as the dense library that they compute with.

    Returns
    -------
    xp : module
        array-api-compat's wrapper of NumPy or CuPy, or array_api_strict; NumPy's when no array is among `arrays`.

    Raises
    ------
    TypeError
        If two libraries are mixed, or an array of an unsupported library came; both messages say how to convert.

    Notes
    -----
    Well below a microsecond per argument after the first call with its class, but still meant to be called once per
    solve.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt._array import namespace
    >>> namespace(np.ones(3), None, 2.0).__name__
    'array_api_compat.numpy'
    """
    found = ""
    for x in arrays:
        library, form = _kind(x)
        if form == "none":
            continue
        if form == "foreign":
            raise _unsupported(x, library)
        if form == "wrapped":
            library = "cupy" if is_cupy(x.xp) else "numpy" if is_numpy(x.xp) else "strict"
        if found and library != found:
            raise TypeError(
                f"All arrays must come from one library, got {_LIBRARY_NAMES[found]} and {_LIBRARY_NAMES[library]}; "
                "convert with cupy.asarray(x) to compute on the GPU or cupy.asnumpy(x) to compute on the host."
            )
        found = library
    return _load(found or "numpy")


def is_numpy(xp: Namespace) -> bool:
    """Tell whether the namespace `xp` is NumPy (plain or wrapped)."""
    return bool(array_api_compat.is_numpy_namespace(xp))


def is_cupy(xp: Namespace) -> bool:
    """Tell whether the namespace `xp` is CuPy (plain or wrapped)."""
    return bool(array_api_compat.is_cupy_namespace(xp))


def is_sparse(A: Any) -> bool:
    """Tell whether `A` is a sparse matrix or array of scipy.sparse or cupyx.scipy.sparse."""
    return _kind(A)[1] == "sparse"


def is_linear_operator(A: Any) -> bool:
    """Tell whether `A` is a LinearOperator of scipy.sparse.linalg or cupyx.scipy.sparse.linalg."""
    return _kind(A)[1] == "operator"


def is_array(x: Any) -> bool:
    """Tell whether `x` is a dense array of a supported library (NumPy scalars are not)."""
    return _kind(x)[1] == "dense"


def default_float(xp: Namespace) -> Any:
    """Return the real floating dtype that `xp` gives to Python floats."""
    return xp.__array_namespace_info__().default_dtypes()["real floating"]


def device_of(x: Any) -> Any:
    """Return the device of a dense array, or None for anything else (sparse, scalars, lists).

    None is also what creation functions take for the default device.
    """
    return array_api_compat.device(x) if is_array(x) else None


def _check_dtype(dtype: Any) -> None:
    """Refuse dtypes outside the standard, which no factorisation or kernel here handles."""
    name = str(getattr(dtype, "name", dtype))
    kind = getattr(dtype, "kind", "f")
    if kind in "OSUVMm" or name in ("longdouble", "clongdouble", "float128", "float96", "complex256", "complex192"):
        raise TypeError(
            f"Arrays of dtype {name} are not supported; expected real or complex numbers in single or double precision."
        )


def promote(*arrays: Any, xp: Namespace, force_floating: bool = True) -> tuple[Any, ...]:
    """Return all `arrays` as arrays of one dtype on one device.

    Parameters
    ----------
    *arrays : array, sparse matrix, list, number or None
        Lists and numbers become arrays on the device of the first array; None stays None; sparse matrices keep their
        format. An array that has the common dtype already is returned as it is, without a copy.
    xp : module
        The namespace from `namespace`.
    force_floating : bool, default True
        When nothing is floating, give the library's default float rather than a common integer dtype.

    Returns
    -------
    tuple
        As many entries as came.

    Raises
    ------
    TypeError
        If a dtype is not numeric or wider than double, if arrays live on different devices, or are not of `xp`.

    Notes
    -----
    Integer and boolean arrays, lists of them and all numbers follow the floating arrays they come with: float32
    data with integer labels stay float32. float16 is widened to float32. Real and complex give complex of the wider
    precision.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt._array import namespace, promote
    >>> X, y = np.ones((2, 2), dtype=np.float32), np.array([1, -1])
    >>> [a.dtype.name for a in promote(X, y, xp=namespace(X, y))]
    ['float32', 'float32']
    """
    device = _common_device(arrays)
    # What most calls bring: nothing but arrays and matrices of one floating dtype.
    given = [a for a in arrays if a is not None]
    dtypes = [a.dtype for a in given if is_array(a) or is_sparse(a)]
    if (
        dtypes
        and len(dtypes) == len(given)
        and dtypes[0] in (xp.float64, xp.float32)
        and dtypes.count(dtypes[0]) == len(dtypes)
    ):
        return arrays
    items: list[Any] = []
    weak: list[bool] = []
    for a in arrays:
        # Numbers carry no precision of their own; a list is data in double precision.
        weak.append(isinstance(a, bool | int | float | complex | np.generic))
        if a is None or is_array(a) or is_sparse(a):
            items.append(a)
        else:
            host = np.asarray(a)
            _check_dtype(host.dtype)
            items.append(xp.asarray(host, device=device))
    dtype = _common_dtype(items, weak, xp, force_floating)
    return tuple(None if a is None else _cast(a, dtype, xp) for a in items)


def _common_device(arrays: tuple[Any, ...]) -> Any:
    devices = [device_of(a) for a in arrays if is_array(a)]
    for d in devices[1:]:
        if d != devices[0]:
            raise TypeError(f"All arrays must live on one device, got {devices[0]} and {d}; move one of them.")
    return devices[0] if devices else None


def _common_dtype(items: list[Any], weak: list[bool], xp: Namespace, force_floating: bool) -> Any:
    """Return the dtype that all `items` take; weak items (numbers) only decide real or complex."""
    floating, integral = [], []
    is_complex = False
    for a, is_weak in zip(items, weak, strict=True):
        if a is None:
            continue
        _check_dtype(a.dtype)
        if str(getattr(a.dtype, "name", "")) == "float16":
            floating.append(xp.float32)
        elif xp.isdtype(a.dtype, ("real floating", "complex floating")):
            is_complex = is_complex or xp.isdtype(a.dtype, "complex floating")
            if not is_weak:
                floating.append(a.dtype)
            elif not force_floating:
                floating.append(default_float(xp))
        elif not is_weak:
            integral.append(a.dtype)
    if floating:
        dtype = xp.result_type(*floating)
    elif integral and not force_floating:
        numeric = [d for d in integral if not xp.isdtype(d, "bool")]
        dtype = xp.result_type(*(numeric or integral))
    elif force_floating:
        dtype = default_float(xp)
    else:
        dtype = xp.__array_namespace_info__().default_dtypes()["integral"]
    if is_complex and not xp.isdtype(dtype, "complex floating"):
        dtype = xp.complex64 if dtype == xp.float32 else xp.complex128
    return dtype


def _cast(a: Any, dtype: Any, xp: Namespace) -> Any:
    if a.dtype == dtype:
        return a
    return a.astype(dtype) if is_sparse(a) else xp.astype(a, dtype)


def asarray_like(value: Any, ref: Array, dtype: Any = None) -> Array:
    """Return `value` as an array of the library and on the device of `ref`.

    Parameters
    ----------
    value : array, list or number
        A NumPy array is moved to the device of `ref`; the other direction is `to_host`.
    ref : array
        The array whose library and device count.
    dtype : dtype, optional
        By default an array keeps its dtype, and Python floats take the dtype of a floating `ref`.

    Returns
    -------
    array
        `value` itself when nothing has to change.

    Raises
    ------
    TypeError
        If `value` is an array on another library's device (CuPy to NumPy would be a hidden copy to the host).

    Examples
    --------
    >>> import numpy as np
    >>> from numopt._array import asarray_like
    >>> asarray_like([0.5, 1.0], np.ones(2, dtype=np.float32)).dtype.name
    'float32'
    """
    xp = namespace(ref)
    device = device_of(ref)
    if is_array(value) and not isinstance(value, np.ndarray):
        namespace(value, ref)
        return xp.asarray(value, dtype=dtype, device=device)
    if dtype is None and not isinstance(value, np.ndarray | np.generic):
        value = np.asarray(value)
        if value.dtype == np.float64 and xp.isdtype(ref.dtype, ("real floating", "complex floating")):
            dtype = ref.dtype
    return xp.asarray(value, dtype=dtype, device=device)


def contiguous(A: Array) -> Array:
    """Return A in row-major order and writeable, itself where it is so.

    Numba compiles kernels once more for arrays that cannot be written.
    """
    flags = getattr(A, "flags", None)  # array-api-strict has none; its copies are in row-major order
    # CuPy's flags have no such member, nor can its arrays be locked.
    if flags is not None and flags.c_contiguous and getattr(flags, "writeable", True):
        return A
    out = namespace(A).empty(A.shape, dtype=A.dtype, device=A.device)
    out[...] = A
    return out


def to_host(x: Any) -> "np.ndarray[Any, Any]":
    """Copy a dense array of any supported library to a NumPy array.

    The only explicit copy to the host: for tests, results written to files, and host-only factorisations that say so.
    A NumPy array is returned as it is.
    """
    library, form = _kind(x)
    if form == "foreign":
        raise _unsupported(x, library)
    if form == "dense" and library == "cupy":
        return x.get()  # type: ignore[no-any-return]
    if form == "dense" and library == "strict":
        return np.asarray(x.to_device(_load("strict").Device("CPU_DEVICE")))
    return np.asarray(x)


def memory_of(x: Array) -> int:
    """Return the bytes of memory of the device that holds `x`: of the GPU, or of this machine."""
    library, _ = _kind(x)
    if library == "cupy":
        return int(x.device.mem_info[1])
    # Not every system tells (Windows has no sysconf): then what any machine has.
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 1 << 32


def scalars(xp: Namespace, *zero_d: Any) -> tuple[float, ...]:
    """Fetch several 0-d real arrays as Python floats with a single transfer.

    Parameters
    ----------
    xp : module
        Their namespace.
    *zero_d : 0-d array or number
        Real, integer or boolean; numbers pass through without touching the device.

    Returns
    -------
    tuple of float
        In the order given.

    Notes
    -----
    On a GPU every `float(x)` waits for all queued work. Stopping measures are therefore gathered here into one small
    array and fetched once per check.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt._array import scalars
    >>> scalars(np, np.sum(np.ones(3)), 2)
    (3.0, 2.0)
    """
    if is_numpy(xp):
        return tuple([float(v) for v in zero_d])
    on_device = [i for i, v in enumerate(zero_d) if is_array(v)]
    values = [0.0 if is_array(v) else float(v) for v in zero_d]
    if on_device:
        gathered = xp.stack([xp.astype(xp.reshape(zero_d[i], ()), xp.float64) for i in on_device])
        for i, value in zip(on_device, to_host(gathered).tolist(), strict=True):
            values[i] = value
    return tuple(values)


def add_at(x: Array, index: Array, values: Array) -> None:
    """Add `values` to the entries of the vector `x` that `index` names, each at most once.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt._array import add_at
    >>> x = np.zeros(3)
    >>> add_at(x, np.array([2, 0]), np.array([1.0, 5.0]))
    >>> x
    array([5., 0., 1.])
    """
    if _kind(x)[0] == "strict":  # the array standard has no assignment to an array of indices
        for position, i in enumerate(to_host(index).tolist()):
            x[i] += values[position]
    else:
        x[index] += values
