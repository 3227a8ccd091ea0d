"""One call for each common model: the problem is built from the data, and `bcd` solves it."""

from typing import Any

from scipy.optimize import OptimizeResult

from numopt._core.validation import check_vector
from numopt.coordinate._bcd import bcd
from numopt.coordinate._least_squares import LeastSquares
from numopt.coordinate._logistic import Logistic
from numopt.coordinate._quadratic import LabelPropagation
from numopt.coordinate._softmax import Multinomial

__all__ = ["bvls", "elastic_net", "label_propagation", "lasso", "logistic", "multinomial"]


def lasso(
    A: Any,
    b: Any,
    l1: Any,
    *,
    intercept: bool = False,
    sample_weight: Any = None,
    nonneg: bool = False,
    x0: Any = None,
    tol: float = 1e-6,
    check_finite: bool = True,
    **bcd_options: Any,
) -> OptimizeResult:
    """Least squares with an l1 penalty (Lasso).

    Minimises ``F(x) = 1/2 sum_j w_j (a_j'x + c - b_j)^2 + sum_i l1_i |x_i|``, the intercept c being 0 unless asked for.
    The data term is a sum, not a mean: scikit-learn's `alpha` is ``l1 / n_samples``.

    Parameters
    ----------
    A : array, sparse matrix or LinearOperator of shape (n_samples, n_features)
        Dense (C or Fortran order) or CSR/CSC of NumPy/SciPy or CuPy, int32 or int64 indices, or an operator that gives
        its columns, as for `LeastSquares`; float32 or float64 (integers become float64). Not modified.
    b : array of shape (n_samples,)
        Targets.
    l1 : float or array of shape (n_features,)
        Weight of the penalty, at least 0.
    intercept : bool, default False
        Fit an intercept, which is not penalised.
    sample_weight : array of shape (n_samples,), optional
        The weights w, at least 0; ones by default.
    nonneg : bool, default False
        Require x >= 0.
    x0 : array of shape (n_features,) or earlier result, optional
        Starting point; zeros by default. A result brings its intercept along.
    tol : float, default 1e-6
        Converged when the duality gap is at most ``tol * (F(0) - D)``, D the best value of the dual found: a relative
        error of the objective.
    check_finite : bool, default True
        Look for NaN and infinite values in the data.
    **bcd_options
        Further keywords of `bcd`: `max_passes`, `time_limit`, `callback`, `history`, `selection`, `update`, ...

    Returns
    -------
    res : OptimizeResult
        As from `bcd`: ``x`` of shape (n_features,) in the library, dtype and on the device of the data, ``intercept``,
        ``fun``, ``gap`` (duality gap, recomputed from x), ``kkt``, ``active_set``, ``success``, ``status``,
        ``message``, ``nit``, ``npass`` and more.

    Raises
    ------
    TypeError
        For complex data, mixed array libraries, or unknown keywords.
    ValueError
        For shapes that do not fit, a negative `l1` or weight, and values that are not finite.

    See Also
    --------
    lasso_path : Solutions for many values of `l1`.
    BCDLasso : The scikit-learn estimator.

    Notes
    -----
    By default the working-set method of `bcd` runs, with screening of coordinates by the duality gap and Newton steps
    on the support; the rules of [1]_ are available through `partition`, `selection` and `update`. Cost of an outer
    step: a product with the transpose of A and one with the columns of the support.

    References
    ----------
    .. [1] J. Nutini, I. Laradji, M. Schmidt, "Let's Make Block Coordinate Descent Converge Faster: Faster Greedy Rules,
       Message-Passing, Active-Set Complexity, and Superlinear Convergence", J. Mach. Learn. Res. 23 (2022).

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import lasso
    >>> A = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    >>> res = lasso(A, np.array([3.0, 0.5, 1.0]), l1=1.0)
    >>> res.x, res.success
    (array([2., 0.]), True)
    """
    problem = LeastSquares(
        A, b, sample_weight, l1=l1, nonneg=nonneg, intercept=intercept, check_finite=check_finite
    )  # fmt: skip
    return bcd(problem, x0, tol=tol, **bcd_options)


def elastic_net(
    A: Any,
    b: Any,
    l1: Any,
    l2: Any,
    *,
    intercept: bool = False,
    sample_weight: Any = None,
    nonneg: bool = False,
    x0: Any = None,
    tol: float = 1e-6,
    check_finite: bool = True,
    **bcd_options: Any,
) -> OptimizeResult:
    """Least squares with an l1 and a squared l2 penalty (elastic net).

    Minimises ``F(x) = 1/2 sum_j w_j (a_j'x + c - b_j)^2 + sum_i (l1_i |x_i| + l2_i / 2 x_i^2)``, the intercept c being
    0 unless asked for. In scikit-learn's terms ``l1 = alpha * l1_ratio * n_samples`` and
    ``l2 = alpha * (1 - l1_ratio) * n_samples``.

    Parameters
    ----------
    A : array, sparse matrix or LinearOperator of shape (n_samples, n_features)
        As for `lasso`.
    b : array of shape (n_samples,)
        Targets.
    l1, l2 : float or array of shape (n_features,)
        Weights of the two penalties, at least 0.
    intercept : bool, default False
        Fit an intercept, which is not penalised.
    sample_weight : array of shape (n_samples,), optional
        The weights w, at least 0; ones by default.
    nonneg : bool, default False
        Require x >= 0.
    x0 : array of shape (n_features,) or earlier result, optional
        Starting point; zeros by default.
    tol : float, default 1e-6
        Converged when the duality gap is at most ``tol * (F(0) - D)``, D the best value of the dual found.
    check_finite : bool, default True
        Look for NaN and infinite values in the data.
    **bcd_options
        Further keywords of `bcd`.

    Returns
    -------
    res : OptimizeResult
        As from `lasso`.

    Raises
    ------
    TypeError
        For complex data, mixed array libraries, or unknown keywords.
    ValueError
        For shapes that do not fit, a negative penalty or weight, and values that are not finite.

    See Also
    --------
    lasso_path : Solutions for many values of `l1`, with an `l2` of its own.
    BCDElasticNet : The scikit-learn estimator.

    Notes
    -----
    The penalty is that of [1]_ before its rescaling. Method and cost are those of `lasso`.

    References
    ----------
    .. [1] H. Zou, T. Hastie, "Regularization and variable selection via the elastic net", J. R. Stat. Soc. B 67 (2005).

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import elastic_net
    >>> elastic_net(np.eye(2), np.array([3.0, 0.5]), l1=1.0, l2=1.0).x
    array([1., 0.])
    """
    problem = LeastSquares(
        A, b, sample_weight, l1=l1, l2=l2, nonneg=nonneg, intercept=intercept, check_finite=check_finite
    )  # fmt: skip
    return bcd(problem, x0, tol=tol, **bcd_options)


def bvls(
    A: Any,
    b: Any,
    bounds: Any,
    *,
    sample_weight: Any = None,
    x0: Any = None,
    tol: float = 1e-10,
    check_finite: bool = True,
    **bcd_options: Any,
) -> OptimizeResult:
    """Least squares with bounds on the variables.

    Minimises ``F(x) = 1/2 sum_j w_j (a_j'x - b_j)^2`` over ``lower <= x <= upper``, as `scipy.optimize.lsq_linear`.

    Parameters
    ----------
    A : array, sparse matrix or LinearOperator of shape (n_samples, n_features)
        As for `lasso`.
    b : array of shape (n_samples,)
        Right-hand side.
    bounds : pair of float or array of shape (n_features,)
        Lower and upper bounds, infinite where there are none.
    sample_weight : array of shape (n_samples,), optional
        The weights w, at least 0; ones by default.
    x0 : array of shape (n_features,) or earlier result, optional
        Starting point, projected onto the bounds with a warning if it is outside; by default the point within the
        bounds that is nearest to 0.
    tol : float, default 1e-10
        Converged when the largest entry of the projected gradient is at most `tol` times that at the default starting
        point; with two finite bounds on every variable when the duality gap is at most ``tol * (F - D)``, F the
        objective there and D the best value of the dual found.
    check_finite : bool, default True
        Look for NaN and infinite values in the data.
    **bcd_options
        Further keywords of `bcd`.

    Returns
    -------
    res : OptimizeResult
        As from `lasso`; ``kkt`` is the largest entry of the projected gradient, recomputed from x.

    Raises
    ------
    TypeError
        For complex data, mixed array libraries, or unknown keywords.
    ValueError
        For shapes that do not fit, a lower bound above the upper one, and values that are not finite.

    See Also
    --------
    nnls : Bounds 0 and infinity, with SciPy's signature.
    scipy.optimize.lsq_linear : The same problem by trust regions or dense active sets.

    Notes
    -----
    The name is that of Stark and Parker's algorithm [1]_, an active-set method that changes one variable at a time.
    Here whole blocks of free variables take Newton steps, and an iteration may free or fix many.

    References
    ----------
    .. [1] P. B. Stark, R. L. Parker, "Bounded-variable least-squares: an algorithm and applications", Comput. Stat. 10
       (1995), 129-141.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import bvls
    >>> bvls(np.eye(3), np.array([-2.0, 0.25, 2.0]), bounds=(-1.0, 1.0)).x
    array([-1.  ,  0.25,  1.  ])
    """
    problem = LeastSquares(A, b, sample_weight, bounds=bounds, check_finite=check_finite)
    return bcd(problem, x0, tol=tol, **bcd_options)


def logistic(
    A: Any,
    y: Any,
    *,
    l1: Any = 0.0,
    l2: Any = 0.0,
    intercept: bool = False,
    sample_weight: Any = None,
    nonneg: bool = False,
    x0: Any = None,
    tol: float = 1e-6,
    check_finite: bool = True,
    **bcd_options: Any,
) -> OptimizeResult:
    """Logistic regression with l1 and squared l2 penalties.

    Minimises ``F(x) = sum_j w_j log(1 + exp(-y_j (a_j'x + c))) + sum_i (l1_i |x_i| + l2_i / 2 x_i^2)``, the intercept c
    being 0 unless asked for. The data term is a sum: scikit-learn's `C` is ``1 / l1`` or ``1 / l2``.

    Parameters
    ----------
    A : array, sparse matrix or LinearOperator of shape (n_samples, n_features)
        As for `lasso`.
    y : array of shape (n_samples,)
        Labels, -1 and 1 or 0 and 1.
    l1, l2 : float or array of shape (n_features,)
        Weights of the two penalties, at least 0.
    intercept : bool, default False
        Fit an intercept, which is not penalised.
    sample_weight : array of shape (n_samples,), optional
        The weights w, at least 0; ones by default.
    nonneg : bool, default False
        Require x >= 0.
    x0 : array of shape (n_features,) or earlier result, optional
        Starting point; zeros by default.
    tol : float, default 1e-6
        With a penalty, converged when the duality gap is at most ``tol * (F(0) - D)``, D the best value of the dual
        found; without one when the largest entry of the gradient is at most `tol` times its value at 0.
    check_finite : bool, default True
        Look for NaN and infinite values in the data.
    **bcd_options
        Further keywords of `bcd`.

    Returns
    -------
    res : OptimizeResult
        As from `lasso`. Status NOT_ATTAINED for separable data without a penalty: the infimum 0 lies at infinity, and
        `x` separates the classes.

    Raises
    ------
    TypeError
        For complex data, mixed array libraries, or unknown keywords.
    ValueError
        For shapes that do not fit, labels that are neither -1/1 nor 0/1, one class only, a negative penalty or weight,
        and values that are not finite.

    See Also
    --------
    multinomial : More than two classes.
    BCDLogisticRegression : The scikit-learn estimator.

    Notes
    -----
    With an l1 penalty working sets and Newton steps on them, in the manner of [1]_; without one Newton's method on all
    coordinates. Method and cost are described with `bcd`.

    References
    ----------
    .. [1] G.-X. Yuan, C.-H. Ho, C.-J. Lin, "An improved GLMNET for L1-regularized logistic regression", J. Mach. Learn.
       Res. 13 (2012), 1999-2030.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import logistic
    >>> rng = np.random.default_rng(0)
    >>> A = rng.standard_normal((100, 5))
    >>> res = logistic(A, np.sign(A[:, 0] + 0.1 * rng.standard_normal(100)), l1=20.0)
    >>> res.success, np.flatnonzero(res.x)
    (True, array([0]))
    """
    problem = Logistic(
        A, y, sample_weight, l1=l1, l2=l2, nonneg=nonneg, intercept=intercept, check_finite=check_finite
    )  # fmt: skip
    return bcd(problem, x0, tol=tol, **bcd_options)


def multinomial(
    A: Any,
    Y: Any,
    *,
    l1: Any = 0.0,
    l2: Any = 0.0,
    intercept: bool = False,
    sample_weight: Any = None,
    x0: Any = None,
    tol: float = 1e-6,
    check_finite: bool = True,
    **bcd_options: Any,
) -> OptimizeResult:
    """Multinomial logistic regression with l1 and squared l2 penalties.

    Minimises ``F(X) = sum_j w_j (logsumexp(m_j) - m_j[Y_j]) + sum_ic (l1 |X_ic| + l2 / 2 X_ic^2)`` with the margins
    ``m_j = X'a_j + c``, one for each class; the intercepts c are 0 unless asked for.

    Parameters
    ----------
    A : array, sparse matrix or LinearOperator of shape (n_samples, n_features)
        As for `lasso`.
    Y : array of shape (n_samples,)
        Labels, integers from 0 to n_classes - 1, as for `Multinomial`.
    l1, l2 : float or array
        Weights of the two penalties, at least 0.
    intercept : bool, default False
        Fit an intercept for each class, which is not penalised.
    sample_weight : array of shape (n_samples,), optional
        The weights w, at least 0; ones by default.
    x0 : array of shape (n_features, n_classes) or earlier result, optional
        Starting point; zeros by default.
    tol : float, default 1e-6
        With a penalty and no intercept, converged when the duality gap is at most ``tol * (F(0) - D)``, D the best
        value of the dual found; else when the largest entry of the minimal subgradient is at most `tol` times its value
        at 0.
    check_finite : bool, default True
        Look for NaN and infinite values in the data.
    **bcd_options
        Further keywords of `bcd`.

    Returns
    -------
    res : OptimizeResult
        As from `logistic`, with ``x`` of shape (n_features, n_classes) and ``intercept`` of shape (n_classes,).

    Raises
    ------
    TypeError
        For complex data, mixed array libraries, or unknown keywords.
    ValueError
        For shapes that do not fit, labels that are not class numbers, one class only, a negative penalty or weight, and
        values that are not finite.

    See Also
    --------
    logistic : Two classes, one vector of coefficients.
    BCDLogisticRegression : The scikit-learn estimator.

    Notes
    -----
    The model has one vector of coefficients for each class, so that without a penalty a constant may be added to all of
    them. Curvature bounds of the blocks are those of [1]_.

    References
    ----------
    .. [1] D. Boehning, "Multinomial logistic regression algorithm", Ann. Inst. Stat. Math. 44 (1992), 197-200.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import multinomial
    >>> rng = np.random.default_rng(0)
    >>> A = rng.standard_normal((60, 3))
    >>> res = multinomial(A, np.argmax(A, axis=1), l2=1.0)
    >>> res.x.shape, float(np.mean(np.argmax(A @ res.x, axis=1) == np.argmax(A, axis=1))) > 0.9
    ((3, 3), True)
    """
    problem = Multinomial(A, Y, sample_weight, l1=l1, l2=l2, intercept=intercept, check_finite=check_finite)
    return bcd(problem, x0, tol=tol, **bcd_options)


def label_propagation(
    W: Any,
    labels: Any,
    mask: Any = None,
    *,
    l2: float = 0.0,
    x0: Any = None,
    tol: float = 1e-6,
    **bcd_options: Any,
) -> OptimizeResult:
    """Labels of all nodes of a graph from those of a few (harmonic functions).

    Minimises ``1/4 sum_ij W_ij (x_i - x_j)^2 + l2 / 2 sum_u x_u^2`` over the unlabelled nodes u, with x fixed at the
    labels elsewhere: without `l2` each unknown is the weighted mean of its neighbours.

    Parameters
    ----------
    W : sparse matrix or array of shape (n_nodes, n_nodes)
        Symmetric weights of the edges, at least 0; float32 or float64. The diagonal does not matter.
    labels : array of shape (n_nodes,)
        Labels, any real numbers; where nothing is known, ignored.
    mask : bool array of shape (n_nodes,), optional
        True where the label is known; None: unknown labels are NaN.
    l2 : float, default 0
        Weight that draws the unknowns to 0.
    x0 : array of shape (n_nodes,) or earlier result, optional
        Starting point; the entries of labelled nodes are ignored. Zeros by default.
    tol : float, default 1e-6
        Converged when the largest entry of the gradient is at most `tol` times its value at 0.
    **bcd_options
        Further keywords of `bcd`: `partition` and `update` choose red-black, tree or forest blocks.

    Returns
    -------
    res : OptimizeResult
        As from `bcd`, with ``x`` of shape (n_nodes,), the known labels included, and ``unknown``, the unlabelled nodes;
        ``grad``, ``active_set`` and what a callback sees belong to these, in this order.

    Raises
    ------
    TypeError
        For complex data, mixed array libraries, or unknown keywords.
    ValueError
        For shapes that do not fit, a matrix that is not symmetric, negative weights, no label at all, or (with
        ``l2=0``) a connected component without any, of which a node is named.

    See Also
    --------
    BCDLabelPropagation : The scikit-learn classifier, which also builds the graph.

    Notes
    -----
    The harmonic functions of [1]_: a sparse linear system with the graph's Laplacian. The default is preconditioned
    conjugate gradients, which wins on large graphs; `partition` and ``update='message_passing'`` give the block
    coordinate descent of [2]_, in which induced forests are solved exactly in linear time.

    References
    ----------
    .. [1] X. Zhu, Z. Ghahramani, J. Lafferty, "Semi-supervised learning using Gaussian fields and harmonic functions",
       ICML 2003.
    .. [2] J. Nutini, I. Laradji, M. Schmidt, "Let's Make Block Coordinate Descent Converge Faster", J. Mach. Learn.
       Res. 23 (2022), section 4.

    Examples
    --------
    >>> import numpy as np, scipy.sparse as sp
    >>> from numopt.coordinate import label_propagation
    >>> W = sp.diags_array([1.0, 1.0], offsets=[-1, 1], shape=(5, 5), format="csr")
    >>> label_propagation(W, np.array([0.0, np.nan, np.nan, np.nan, 4.0])).x.round(6)
    array([0., 1., 2., 3., 4.])
    """
    problem = LabelPropagation(W, labels, mask, l2=l2)
    result = bcd(problem, _unknown_part(problem, x0), tol=tol, **bcd_options)
    result.update(x=problem.expand(result.x), unknown=problem.unknown)
    return result


def _unknown_part(problem: LabelPropagation, x0: Any) -> Any:
    """Return the entries of a start for all nodes that belong to the unknown ones."""
    if x0 is None:
        return None
    if isinstance(x0, OptimizeResult):
        x0 = x0.x
    x0 = check_vector(x0, "x0", xp=problem.xp, dtype=problem.dtype, finite=False, size=problem.n_nodes)
    return problem.xp.take(x0, problem.unknown)
