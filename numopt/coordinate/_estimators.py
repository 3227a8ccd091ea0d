"""Estimators of scikit-learn: its parameters, their meanings and its checks around `bcd`."""

import math
from typing import Any

import numpy as np
import sklearn.exceptions
from scipy.optimize import OptimizeResult
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from numopt._array import device_of, is_array, namespace
from numopt._core.result import make_result
from numopt._core.status import Status
from numopt._core.validation import check_choice, check_scalar
from numopt._core.warnings import ConvergenceWarning, warn
from numopt._typing import Array
from numopt.coordinate._bcd import bcd
from numopt.coordinate._estimator_data import (
    check_affinity,
    check_samples,
    check_training_data,
    check_weights,
    class_weighted,
    encode,
    is_elsewhere,
)
from numopt.coordinate._least_squares import LeastSquares
from numopt.coordinate._logistic import Logistic
from numopt.coordinate._problem import Problem
from numopt.coordinate._quadratic import LabelPropagation
from numopt.coordinate._softmax import Multinomial

__all__ = ["BCDNNLS", "BCDElasticNet", "BCDLabelPropagation", "BCDLasso", "BCDLogisticRegression"]

UNKNOWN = -1  # scikit-learn's label of samples whose class is not known


class _NotConverged(ConvergenceWarning, sklearn.exceptions.ConvergenceWarning):  # type: ignore[misc]
    """Numopt's warning, which filters written for scikit-learn's catch as well."""


_NotConverged.__name__ = _NotConverged.__qualname__ = "ConvergenceWarning"


class _Estimator(BaseEstimator):  # type: ignore[misc]
    """What the five have in common: limits, tolerance, and the warning."""

    max_iter: int
    tol: float

    def _solve(self, problem: Problem, x0: Any = None) -> OptimizeResult:
        """Return the result of one solve, after a warning if it could have come closer to the solution."""
        result = bcd(
            problem,
            x0,
            tol=check_scalar(self.tol, "tol", low=0),
            max_passes=check_scalar(self.max_iter, "max_iter", kind=int, low=1),
        )
        if result.status not in (Status.CONVERGED, Status.PRECISION):
            warn(result.message, _NotConverged)
        return result

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


class _LinearRegressor(RegressorMixin, _Estimator):  # type: ignore[misc]
    """Least squares with the penalty ``alpha * (l1_ratio |w|_1 + (1 - l1_ratio) / 2 ||w||^2)`` of scikit-learn."""

    fit_intercept: bool
    warm_start: bool

    def _fit(
        self, X: Any, y: Any, sample_weight: Any, *, alpha: Any, l1_ratio: Any, positive: bool
    ) -> tuple[OptimizeResult, float]:
        """Fit, and return the result and the sum of the weights."""
        alpha = check_scalar(alpha, "alpha", low=0)
        l1_ratio = check_scalar(l1_ratio, "l1_ratio", low=0, high=1)
        X, y = check_training_data(self, X, y, y_numeric=True)
        weights, total = check_weights(sample_weight, X)
        # scikit-learn's data term is a weighted mean, ours a sum.
        problem = LeastSquares(
            X,
            y,
            weights,
            l1=alpha * l1_ratio * total,
            l2=alpha * (1 - l1_ratio) * total,
            nonneg=bool(positive),
            intercept=bool(self.fit_intercept),
            check_finite=False,
        )
        result = self._solve(problem, self._start(problem))
        self.coef_ = result.x
        self.intercept_ = float(result.intercept) if self.fit_intercept else 0.0
        self.n_iter_ = _passes(result)
        return result, total

    def _start(self, problem: Problem) -> OptimizeResult | None:
        """Return the fit before as the start of this one, if it is wanted and has the same unknowns."""
        if not self.warm_start or getattr(getattr(self, "coef_", None), "shape", None) != problem.shape:
            return None
        return make_result({"x": self.coef_, "intercept": self.intercept_})

    def predict(self, X: Any) -> Array:
        """Predict targets.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
            Samples, of the library that `fit` had.

        Returns
        -------
        y : array of shape (n_samples,)
            ``X @ coef_ + intercept_``.
        """
        check_is_fitted(self)
        X = check_samples(self, X)
        namespace(X, self.coef_)
        return X @ self.coef_ + self.intercept_


class BCDLasso(_LinearRegressor):
    """Lasso with the parameters of `sklearn.linear_model.Lasso`.

    Minimises ``1 / (2 n_samples) ||y - X w - c||^2 + alpha ||w||_1``; with sample weights the data term is their
    weighted mean.

    Parameters
    ----------
    alpha : float, default 1
        Weight of the penalty, as in scikit-learn: `numopt.coordinate.lasso` solves the same problem with
        ``l1 = alpha * n_samples`` (the sum of the weights, where there are any).
    fit_intercept : bool, default True
        Fit an intercept, which is not penalised.
    positive : bool, default False
        Require w >= 0.
    max_iter : int, default 1000
        Largest number of passes: computations of the whole gradient, or their equivalent.
    tol : float, default 1e-8
        Converged when the duality gap is at most `tol` times the value at w = 0 less the best value of the dual.
    warm_start : bool, default False
        Start from the coefficients of the fit before.

    Attributes
    ----------
    coef_ : array of shape (n_features,)
        Coefficients w.
    intercept_ : float
        Intercept c, 0 without.
    dual_gap_ : float
        Duality gap in the scale of the objective above; NaN without a penalty.
    n_iter_ : int
        Passes taken.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : array of shape (n_features,)
        Their names, where X had names that are all strings.

    See Also
    --------
    numopt.coordinate.lasso : The function, with all options.
    sklearn.linear_model.Lasso : The same model by cyclic coordinate descent.

    Notes
    -----
    Host data pass scikit-learn's validation. CuPy arrays and cupyx.scipy.sparse matrices, which that does not take, are
    validated here and stay on the GPU in `fit` and `predict`; `score` works on host arrays alone. Data of both kinds
    cannot be mixed. `fit` warns with a `sklearn.exceptions.ConvergenceWarning` when the tolerance was not reached,
    unless rounding in the dtype of the data is what keeps it out of reach.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import BCDLasso
    >>> X = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]])
    >>> model = BCDLasso(alpha=0.1).fit(X, [0, 1, 2])
    >>> round(float(np.sum(model.coef_)), 6), round(model.intercept_, 6)
    (0.85, 0.15)
    """

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        fit_intercept: bool = True,
        positive: bool = False,
        max_iter: int = 1000,
        tol: float = 1e-8,
        warm_start: bool = False,
    ) -> None:
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.positive = positive
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "BCDLasso":
        """Fit the model.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
            Samples; float32 is kept, other dtypes become float64.
        y : array of shape (n_samples,)
            Targets.
        sample_weight : array of shape (n_samples,), optional
            Weights, at least 0.

        Returns
        -------
        self : BCDLasso
            Fitted.
        """
        result, total = self._fit(X, y, sample_weight, alpha=self.alpha, l1_ratio=1.0, positive=self.positive)
        self.dual_gap_ = result.gap / total
        return self


class BCDElasticNet(_LinearRegressor):
    """Elastic net with the parameters of `sklearn.linear_model.ElasticNet`.

    Minimises ``1 / (2 n_samples) ||y - X w - c||^2 + alpha l1_ratio ||w||_1 + alpha (1 - l1_ratio) / 2 ||w||^2``; with
    sample weights the data term is their weighted mean.

    Parameters
    ----------
    alpha : float, default 1
        Weight of both penalties, as in scikit-learn: `numopt.coordinate.elastic_net` solves the same problem with
        ``l1 = alpha * l1_ratio * n_samples`` and ``l2 = alpha * (1 - l1_ratio) * n_samples``.
    l1_ratio : float, default 0.5
        Share of the l1 penalty, in [0, 1].
    fit_intercept : bool, default True
        Fit an intercept, which is not penalised.
    positive : bool, default False
        Require w >= 0.
    max_iter : int, default 1000
        Largest number of passes: computations of the whole gradient, or their equivalent.
    tol : float, default 1e-8
        Converged when the duality gap is at most `tol` times the value at w = 0 less the best value of the dual.
    warm_start : bool, default False
        Start from the coefficients of the fit before.

    Attributes
    ----------
    coef_ : array of shape (n_features,)
        Coefficients w.
    intercept_ : float
        Intercept c, 0 without.
    dual_gap_ : float
        Duality gap in the scale of the objective above; NaN without a penalty.
    n_iter_ : int
        Passes taken.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : array of shape (n_features,)
        Their names, where X had names that are all strings.

    See Also
    --------
    numopt.coordinate.elastic_net : The function, with all options.
    BCDLasso : With ``l1_ratio=1``.

    Notes
    -----
    Arrays of CuPy are treated as described with `BCDLasso`, and so is want of convergence.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import BCDElasticNet
    >>> X = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]])
    >>> BCDElasticNet(alpha=0.1).fit(X, [0, 1, 2]).coef_.round(4)
    array([0.4458, 0.4458])
    """

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        l1_ratio: float = 0.5,
        fit_intercept: bool = True,
        positive: bool = False,
        max_iter: int = 1000,
        tol: float = 1e-8,
        warm_start: bool = False,
    ) -> None:
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.positive = positive
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "BCDElasticNet":
        """Fit the model.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
            Samples; float32 is kept, other dtypes become float64.
        y : array of shape (n_samples,)
            Targets.
        sample_weight : array of shape (n_samples,), optional
            Weights, at least 0.

        Returns
        -------
        self : BCDElasticNet
            Fitted.
        """
        result, total = self._fit(
            X, y, sample_weight, alpha=self.alpha, l1_ratio=self.l1_ratio, positive=self.positive
        )  # fmt: skip
        self.dual_gap_ = result.gap / total
        return self


class BCDNNLS(_LinearRegressor):
    """Non-negative least squares as an estimator, like `sklearn.linear_model.LinearRegression(positive=True)`.

    Minimises ``||y - X w - c||^2`` over ``w >= 0``.

    Parameters
    ----------
    fit_intercept : bool, default False
        Fit an intercept, of any sign (scikit-learn's default is True).
    max_iter : int, default 1000
        Largest number of passes: computations of the whole gradient, or their equivalent.
    tol : float, default 1e-10
        Converged when the largest entry of the projected gradient is at most `tol` times that at w = 0.
    warm_start : bool, default False
        Start from the coefficients of the fit before.

    Attributes
    ----------
    coef_ : array of shape (n_features,)
        Coefficients w.
    intercept_ : float
        Intercept c, 0 without.
    n_iter_ : int
        Passes taken.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : array of shape (n_features,)
        Their names, where X had names that are all strings.

    See Also
    --------
    numopt.coordinate.nnls : The function, with SciPy's signature.

    Notes
    -----
    Arrays of CuPy are treated as described with `BCDLasso`, and so is want of convergence.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import BCDNNLS
    >>> BCDNNLS().fit(np.eye(3), np.array([1.0, -1.0, 2.0])).coef_
    array([1., 0., 2.])
    """

    def __init__(
        self, *, fit_intercept: bool = False, max_iter: int = 1000, tol: float = 1e-10, warm_start: bool = False
    ) -> None:
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "BCDNNLS":
        """Fit the model.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
            Samples; float32 is kept, other dtypes become float64.
        y : array of shape (n_samples,)
            Targets.
        sample_weight : array of shape (n_samples,), optional
            Weights, at least 0.

        Returns
        -------
        self : BCDNNLS
            Fitted.
        """
        self._fit(X, y, sample_weight, alpha=0.0, l1_ratio=1.0, positive=True)
        return self


class BCDLogisticRegression(ClassifierMixin, _Estimator):  # type: ignore[misc]
    """Logistic regression with the parameters of `sklearn.linear_model.LogisticRegression`.

    Minimises ``C sum_j s_j loss_j(w, c) + l1_ratio ||w||_1 + (1 - l1_ratio) / 2 ||w||^2``, where the loss is the
    logistic one for two classes and the multinomial one for more, and s_j the product of the sample's and its class's
    weight.

    Parameters
    ----------
    C : float, default 1
        Inverse of the penalty, positive; infinity for none.
    l1_ratio : float, default 0
        Share of the l1 penalty, in [0, 1]: 0 is the l2 penalty of scikit-learn's default, 1 the l1 penalty.
    fit_intercept : bool, default True
        Fit an intercept, which is not penalised.
    class_weight : dict or 'balanced', optional
        Weights of the classes by label, 1 where the dict has none. 'balanced' makes the sums of the weights of all
        classes equal.
    max_iter : int, default 1000
        Largest number of passes: computations of the whole gradient, or their equivalent.
    tol : float, default 1e-10
        Converged when the duality gap is at most `tol` times the value at w = 0 less the best value of the dual
        (without a penalty: the gradient, relative to that at w = 0).
    warm_start : bool, default False
        Start from the coefficients of the fit before.

    Attributes
    ----------
    classes_ : array of shape (n_classes,)
        Labels, sorted.
    coef_ : array of shape (1, n_features) or (n_classes, n_features)
        Coefficients; one row for two classes, whose decision is positive for ``classes_[1]``.
    intercept_ : array of shape (1,) or (n_classes,)
        Intercepts, zeros without; those of more than two classes have mean 0.
    n_iter_ : int array of shape (1,)
        Passes taken.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : array of shape (n_features,)
        Their names, where X had names that are all strings.

    See Also
    --------
    numopt.coordinate.logistic, numopt.coordinate.multinomial : The functions, with all options.
    sklearn.linear_model.LogisticRegression : The same models by other methods.

    Notes
    -----
    Penalties are chosen by `C` and `l1_ratio` alone, as in scikit-learn from version 1.8 on. Separable classes without
    a penalty have no optimum: `fit` then warns, and the coefficients separate the classes.

    Arrays of CuPy are treated as described with `BCDLasso`, and so is want of convergence. Labels must come from the
    library of X, and so do the predictions; strings therefore work on the host alone.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from numopt.coordinate import BCDLogisticRegression
    >>> X, y = load_iris(return_X_y=True)
    >>> model = BCDLogisticRegression(C=1.0).fit(X, y)
    >>> model.predict(X[:2]), round(model.score(X, y), 2)
    (array([0, 0]), 0.97)
    """

    def __init__(
        self,
        C: float = 1.0,
        *,
        l1_ratio: float = 0.0,
        fit_intercept: bool = True,
        class_weight: Any = None,
        max_iter: int = 1000,
        tol: float = 1e-10,
        warm_start: bool = False,
    ) -> None:
        self.C = C
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "BCDLogisticRegression":
        """Fit the model.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
            Samples; float32 is kept, other dtypes become float64.
        y : array of shape (n_samples,)
            Labels.
        sample_weight : array of shape (n_samples,), optional
            Weights, at least 0.

        Returns
        -------
        self : BCDLogisticRegression
            Fitted.
        """
        strength = 1 / check_scalar(self.C, "C", low=0, high=math.inf, include_low=False)
        l1_ratio = check_scalar(self.l1_ratio, "l1_ratio", low=0, high=1)
        X, y = check_training_data(self, X, y)
        classes, codes = encode(y)
        weights = class_weighted(self.class_weight, classes, codes, check_weights(sample_weight, X)[0], X)
        model = Logistic if classes.shape[0] == 2 else Multinomial
        problem = model(
            X,
            codes,
            weights,
            l1=strength * l1_ratio,
            l2=strength * (1 - l1_ratio),
            intercept=bool(self.fit_intercept),
            check_finite=False,
        )
        result = self._solve(problem, self._start(problem))
        self.classes_ = classes
        self.coef_, self.intercept_ = _rows(problem, result)
        self.n_iter_ = np.asarray([_passes(result)])
        return self

    def decision_function(self, X: Any) -> Array:
        """Return the margins.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
            Samples, of the library that `fit` had.

        Returns
        -------
        margins : array of shape (n_samples,) or (n_samples, n_classes)
            ``X @ coef_.T + intercept_``; for two classes one column, as a vector.
        """
        check_is_fitted(self)
        X = check_samples(self, X)
        margins = X @ namespace(X, self.coef_).matrix_transpose(self.coef_) + self.intercept_
        return margins[:, 0] if self.coef_.shape[0] == 1 else margins

    def predict(self, X: Any) -> Array:
        """Predict labels.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        y : array of shape (n_samples,)
            Labels.
        """
        margins = self.decision_function(X)
        xp = namespace(margins)
        best = xp.astype(margins > 0, xp.int64) if margins.ndim == 1 else xp.argmax(margins, axis=1)
        return xp.take(self.classes_, best)

    def predict_log_proba(self, X: Any) -> Array:
        """Return the logarithms of the probabilities.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        log_probabilities : array of shape (n_samples, n_classes)
            One column for each class.
        """
        margins = self.decision_function(X)
        xp = namespace(margins)
        if margins.ndim == 1:
            margins = xp.stack([xp.zeros_like(margins), margins], axis=1)
        # The largest margin first: exp overflows otherwise.
        margins = margins - xp.max(margins, axis=1, keepdims=True)
        return margins - xp.log(xp.sum(xp.exp(margins), axis=1, keepdims=True))

    def predict_proba(self, X: Any) -> Array:
        """Return the probabilities of the classes.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        probabilities : array of shape (n_samples, n_classes)
            One column for each class; rows sum to 1.
        """
        logarithms = self.predict_log_proba(X)
        return namespace(logarithms).exp(logarithms)

    def _start(self, problem: Problem) -> OptimizeResult | None:
        """Return the fit before as the start of this one, if it is wanted and has the same unknowns."""
        if not self.warm_start or not hasattr(self, "coef_"):
            return None
        xp = problem.xp
        if len(problem.shape) == 2:
            x, intercept = xp.matrix_transpose(self.coef_), self.intercept_
        else:
            x, intercept = self.coef_[0, :], self.intercept_[0]
        return make_result({"x": x, "intercept": intercept}) if x.shape == problem.shape else None


class BCDLabelPropagation(ClassifierMixin, _Estimator):  # type: ignore[misc]
    """Classes of many samples from the labels of a few, over the graph of nearest neighbours.

    For each class the probability of every unlabelled sample is the mean of its neighbours' (a harmonic function), the
    labelled ones being fixed at 0 or 1.

    Parameters
    ----------
    affinity : {'knn', 'precomputed'}, default 'knn'
        'knn' joins samples of which one is among the `n_neighbors` nearest of the other, with weight 1. With
        'precomputed' the X of `fit` is the symmetric matrix of the weights of the edges, and the X of `predict` holds
        the weights between new samples and those of `fit`.
    n_neighbors : int, default 5
        Number of neighbours, in the graph and in predictions.
    l2 : float, default 0
        Weight that draws unlabelled samples to no class at all: needed when a part of the graph has no label.
    max_iter : int, default 1000
        Largest number of passes for each class.
    tol : float, default 1e-8
        Converged when the largest entry of the gradient is at most `tol` times its value at 0.

    Attributes
    ----------
    classes_ : array of shape (n_classes,)
        Labels, sorted, without -1.
    label_distributions_ : array of shape (n_samples, n_classes)
        Probabilities of the classes for the samples of `fit`; rows sum to 1.
    transduction_ : array of shape (n_samples,)
        Labels of the samples of `fit`, those that were given included.
    n_iter_ : int
        Passes taken, of the class with most.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : array of shape (n_features,)
        Their names, where X had names that are all strings.

    See Also
    --------
    numopt.coordinate.label_propagation : The function, for any graph and real labels.
    sklearn.semi_supervised.LabelPropagation : A dense or kNN iteration with clamped labels.

    Notes
    -----
    The harmonic functions of [1]_: one sparse linear system for each class. New samples get the weighted mean of the
    distributions of their neighbours. scikit-learn builds the graph, so that 'knn' takes host data alone; CuPy matrices
    of weights come in as 'precomputed' and stay on the GPU. A connected component without any label raises a ValueError
    unless `l2` is positive; its samples then get equal probabilities.

    References
    ----------
    .. [1] X. Zhu, Z. Ghahramani, J. Lafferty, "Semi-supervised learning using Gaussian fields and harmonic functions",
       ICML 2003.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.coordinate import BCDLabelPropagation
    >>> X = np.concatenate([np.arange(8.0), np.arange(20.0, 28.0)])[:, None]
    >>> y = np.full(16, -1)
    >>> y[[0, 15]] = 0, 1
    >>> BCDLabelPropagation(n_neighbors=2).fit(X, y).predict([[3.2], [25.1]])
    array([0, 1])
    """

    def __init__(
        self,
        *,
        affinity: str = "knn",
        n_neighbors: int = 5,
        l2: float = 0.0,
        max_iter: int = 1000,
        tol: float = 1e-8,
    ) -> None:
        self.affinity = affinity
        self.n_neighbors = n_neighbors
        self.l2 = l2
        self.max_iter = max_iter
        self.tol = tol

    def fit(self, X: Any, y: Any) -> "BCDLabelPropagation":
        """Spread the labels.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
            Samples, or with ``affinity='precomputed'`` the weights, of shape (n_samples, n_samples).
        y : array of shape (n_samples,)
            Labels, -1 where the class is not known.

        Returns
        -------
        self : BCDLabelPropagation
            Fitted.
        """
        affinity = check_choice(self.affinity, "affinity", ("knn", "precomputed"))
        n_neighbors = check_scalar(self.n_neighbors, "n_neighbors", kind=int, low=1)
        l2 = check_scalar(self.l2, "l2", low=0)
        X, y = check_training_data(self, X, y, min_samples=2)
        W = _neighbour_graph(self._index(X, n_neighbors)) if affinity == "knn" else check_affinity(X)
        xp = namespace(W)
        known = y != UNKNOWN
        if not bool(xp.any(known)):
            raise ValueError(f"`y` must hold at least one label of a class; all are unknown ({UNKNOWN}).")
        self.classes_, found = encode(y[known])
        codes = xp.zeros(known.shape[0], dtype=found.dtype, device=device_of(found))
        codes[known] = found
        self.n_iter_ = 1
        self.label_distributions_ = self._spread(W, known, codes, l2)
        self.transduction_ = self._labels(self.label_distributions_)
        return self

    def predict(self, X: Any) -> Array:
        """Predict labels.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
            Samples, or with ``affinity='precomputed'`` their weights, of shape (n_samples, n_samples_of_fit).

        Returns
        -------
        y : array of shape (n_samples,)
            Labels.
        """
        return self._labels(self.predict_proba(X))

    def predict_proba(self, X: Any) -> Array:
        """Return the probabilities of the classes.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
            Samples, or with ``affinity='precomputed'`` their weights, of shape (n_samples, n_samples_of_fit).

        Returns
        -------
        probabilities : array of shape (n_samples, n_classes)
            The weighted mean of the distributions of the neighbours among the samples of `fit`.
        """
        check_is_fitted(self)
        X = check_samples(self, X)
        distributions = self.label_distributions_
        xp = namespace(X, distributions)
        if self.affinity == "precomputed":
            return _distributions(xp, check_affinity(X, square=False) @ distributions)
        count = min(self.n_neighbors, distributions.shape[0])
        nearest = self._neighbors.kneighbors(X, n_neighbors=count, return_distance=False)
        return xp.mean(distributions[nearest], axis=1)

    def _index(self, X: Any, n_neighbors: int) -> Any:
        """Return, and keep for predictions, the index of the nearest neighbours of the samples."""
        from sklearn.neighbors import NearestNeighbors

        if is_elsewhere(X):
            raise TypeError(
                "`affinity='knn'` needs host data; pass a symmetric matrix of weights with affinity='precomputed'."
            )
        self._neighbors = NearestNeighbors(n_neighbors=min(n_neighbors, X.shape[0] - 1)).fit(X)
        return self._neighbors

    def _spread(self, W: Any, known: Array, codes: Array, l2: float) -> Array:
        """Return the distributions of all samples, a solve for each class."""
        xp = namespace(W)
        n_classes = self.classes_.shape[0]
        members = codes[:, None] == xp.arange(n_classes, device=device_of(codes))
        columns = xp.astype(members & known[:, None], W.dtype)
        if not bool(xp.all(known)):
            for c in range(n_classes):
                problem = LabelPropagation(W, columns[:, c], known, l2=l2)
                result = self._solve(problem)
                columns[:, c] = problem.expand(result.x)
                self.n_iter_ = max(self.n_iter_, _passes(result))
        return _distributions(xp, columns)

    def _labels(self, distributions: Array) -> Array:
        xp = namespace(distributions)
        return xp.take(self.classes_, xp.argmax(distributions, axis=1))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = tags.input_tags.positive_only = self.affinity == "precomputed"
        return tags


def _passes(result: OptimizeResult) -> int:
    return max(1, math.ceil(float(result.npass)))


def _rows(problem: Problem, result: OptimizeResult) -> tuple[Array, Array]:
    """Return coefficients and intercepts with a row for each class, one alone for two classes."""
    xp = problem.xp
    coef = xp.reshape(result.x, (1, -1)) if result.x.ndim == 1 else xp.asarray(xp.matrix_transpose(result.x), copy=True)
    if not problem.intercept:
        return coef, xp.zeros(coef.shape[0], dtype=problem.dtype, device=problem.device)
    if is_array(result.intercept):
        return coef, result.intercept
    return coef, xp.full(1, result.intercept, dtype=problem.dtype, device=problem.device)


def _neighbour_graph(index: Any) -> Any:
    """Return the symmetric matrix with ones for pairs of which one is among the nearest of the other."""
    graph = index.kneighbors_graph(mode="connectivity")
    return graph.maximum(graph.T).tocsr()


def _distributions(xp: Any, columns: Array) -> Array:
    """Return rows that sum to one; equal probabilities where there is nothing."""
    columns = xp.maximum(columns, xp.zeros_like(columns))
    sums = xp.sum(columns, axis=1, keepdims=True)
    found = sums > 0
    return xp.where(
        found, columns / xp.where(found, sums, xp.ones_like(sums)), xp.full_like(columns, 1 / columns.shape[1])
    )
