"""Non-negative least squares with SciPy's signature."""

import math
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult

from numopt._array import is_array
from numopt._core.status import Status
from numopt._typing import Array
from numopt.coordinate._bcd import bcd
from numopt.coordinate._least_squares import LeastSquares

__all__ = ["nnls"]


def nnls(
    A: Any,
    b: Any,
    maxiter: int | None = None,
    *,
    atol: float | None = None,
    tol: float | None = None,
    return_result: bool = False,
    x0: Any = None,
    sample_weight: Any = None,
    check_finite: bool = True,
    **bcd_options: Any,
) -> tuple[Array, float] | OptimizeResult:
    """Non-negative least squares, called as `scipy.optimize.nnls`.

    Minimises ``||A x - b||_2`` over ``x >= 0``.

    Parameters
    ----------
    A : array or sparse matrix of shape (m, n)
        NumPy or CuPy, dense or CSR/CSC, or anything else that `LeastSquares` takes; float32 or float64 (integers and
        lists become float64; SciPy computes in float64 always). Not modified.
    b : array of shape (m,) or (m, 1)
        Right-hand side.
    maxiter : int, optional
        Largest number of block updates. None and 0 leave the limit to `bcd`. An update here moves many variables, an
        iteration of SciPy's frees one.
    atol : float, optional
        Accepted for code written for SciPy, and not used, as SciPy does not use it; `tol` sets the accuracy.
    tol : float, optional
        Converged when the largest entry of the projected gradient of ``1/2 ||A x - b||^2`` is at most `tol` times that
        at x = 0 (and what rounding leaves of it). Default 1e-12 in double precision, 1e-5 in single.
    return_result : bool, default False
        Return the result object instead of the pair. Then nothing is raised for want of convergence.
    x0 : array of shape (n,) or earlier result, optional
        Starting point, projected onto x >= 0 with a warning if it is outside; zeros by default.
    sample_weight : array of shape (m,), optional
        Weights of the squared residuals, at least 0.
    check_finite : bool, default True
        Look for NaN and infinite values in the data.
    **bcd_options
        Further keywords of `bcd`.

    Returns
    -------
    x : array of shape (n,)
        The solution, in the library, dtype and on the device of the data.
    rnorm : float
        ``||A x - b||_2`` (with weights, the root of the weighted sum of squares).
    res : OptimizeResult
        With ``return_result=True`` alone, in place of the pair: as from `bcd`, with ``rnorm`` as a field.

    Raises
    ------
    RuntimeError
        If `maxiter` or another limit ended the solve, unless ``return_result=True``. Reaching the rounding level of the
        dtype above `tol` (status PRECISION) raises nothing.
    TypeError
        For complex data, mixed array libraries, or unknown keywords.
    ValueError
        For shapes that do not fit and values that are not finite.

    See Also
    --------
    bvls : Bounds on both sides.
    BCDNNLS : The scikit-learn estimator.

    Notes
    -----
    SciPy runs the active-set method of Lawson and Hanson [1]_. Here working sets of many variables take Newton steps
    together. Where columns depend on each other, minimisers are not unique and the two may return different ones, of
    the same residual.

    References
    ----------
    .. [1] C. L. Lawson, R. J. Hanson, "Solving Least Squares Problems", SIAM, 1995, chapter 23.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import nnls
    >>> x, rnorm = nnls(np.array([[1, 0], [1, 0], [0, 1]]), np.array([2, 1, 1]))
    >>> x.round(12), round(rnorm, 12)
    (array([1.5, 1. ]), 0.707106781187)
    """
    problem = LeastSquares(A, _column(b), sample_weight, nonneg=True, check_finite=check_finite)
    if tol is None:
        tol = 1e-5 if problem.dtype == problem.xp.float32 else 1e-12
    result = bcd(problem, x0, tol=tol, maxiter=maxiter or None, **bcd_options)
    rnorm = math.sqrt(2 * result.fun)
    result["rnorm"] = rnorm
    if return_result:
        return result
    # The pair cannot say that the answer is not one; SciPy raises in the only such case that it has.
    if result.status not in (Status.CONVERGED, Status.PRECISION):
        raise RuntimeError(result.message)
    return result.x, rnorm


def _column(b: Any) -> Any:
    """Return a right-hand side of shape (m, 1) as a vector, as SciPy does, anything else as it is."""
    if isinstance(b, list | tuple):
        b = np.asarray(b)
    return b[:, 0] if is_array(b) and b.ndim == 2 and b.shape[1] == 1 else b
