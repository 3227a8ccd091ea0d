"""Data of the estimators: scikit-learn's validation on the host, ours for other libraries; labels and weights."""

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, validate_data

from numopt._array import device_of, is_array, is_numpy, is_sparse, namespace, scalars, to_host
from numopt._core.validation import check_choice, check_matrix, check_scalar, check_vector
from numopt._typing import Array

__all__ = [
    "check_affinity",
    "check_samples",
    "check_training_data",
    "check_weights",
    "class_weighted",
    "encode",
    "is_elsewhere",
]


def is_elsewhere(X: Any) -> bool:
    """Tell whether X is an array or a sparse matrix of another library than NumPy, which scikit-learn does not take."""
    return (is_array(X) or is_sparse(X)) and not is_numpy(namespace(X))


def check_training_data(
    estimator: BaseEstimator, X: Any, y: Any, *, y_numeric: bool = False, min_samples: int = 1
) -> tuple[Any, Array]:
    """Return the checked data of a fit; the number of features and their names are noted."""
    if not is_elsewhere(X):
        X, y = validate_data(
            estimator,
            X,
            y,
            accept_sparse=("csr", "csc"),
            dtype=[np.float64, np.float32],
            y_numeric=y_numeric,
            ensure_min_samples=min_samples,
        )
        return X, y.astype(X.dtype, copy=False) if y_numeric else y
    xp = namespace(X, y)
    X = check_matrix(X, "X", xp=xp, allow_sparse=True)
    validate_data(estimator, X, skip_check_array=True)
    if y_numeric:
        return X, check_vector(y, "y", xp=xp, dtype=X.dtype, size=X.shape[0])
    if not is_array(y) or y.shape != (X.shape[0],):
        raise ValueError(f"`y` must be an array of shape ({X.shape[0]},) of the library of `X`.")
    return X, y


def check_samples(estimator: BaseEstimator, X: Any) -> Any:
    """Return checked data for predictions."""
    if not is_elsewhere(X):
        return validate_data(estimator, X, accept_sparse=("csr", "csc"), dtype=[np.float64, np.float32], reset=False)
    X = check_matrix(X, "X", allow_sparse=True)
    validate_data(estimator, X, skip_check_array=True, reset=False)
    return X


def encode(y: Array) -> tuple[Array, Array]:
    """Return the classes, sorted, and the number of each label's class."""
    xp = namespace(y)
    if is_numpy(xp):
        check_classification_targets(y)
    classes, codes = xp.unique_inverse(y)
    return classes, codes


def check_affinity(X: Any, *, square: bool = True) -> Any:
    """Return a matrix of weights of edges, which must not be negative."""
    if square and X.shape[0] != X.shape[1]:
        raise ValueError(f"`X` must be a square matrix of weights, got shape {tuple(X.shape)}.")
    values = X.data if is_sparse(X) else X
    if bool(namespace(X).any(values < 0)):
        raise ValueError("Negative values in data: the weights `X` of the edges must be at least 0.")
    return X


def check_weights(sample_weight: Any, X: Any) -> tuple[Array | None, float]:
    """Return the checked weights, None for ones, and their sum."""
    if sample_weight is None:
        return None, float(X.shape[0])
    if is_elsewhere(X):
        xp = namespace(X, sample_weight)
        weights = check_vector(sample_weight, "sample_weight", xp=xp, dtype=X.dtype, size=X.shape[0])
    else:
        xp = namespace(X)
        weights = _check_sample_weight(sample_weight, X, dtype=X.dtype, ensure_non_negative=True)
    total = scalars(xp, xp.sum(weights))[0]
    if not total > 0:
        raise ValueError("`sample_weight` must hold at least one non-zero weight.")
    return weights, total


def class_weighted(class_weight: Any, classes: Array, codes: Array, weights: Array | None, X: Any) -> Array | None:
    """Return the weights of the samples times those of their classes; at least two classes must have some."""
    xp = namespace(codes)
    base = xp.ones(codes.shape[0], dtype=X.dtype, device=device_of(codes)) if weights is None else weights
    members = [xp.astype(codes == c, base.dtype) for c in range(classes.shape[0])]
    sums = scalars(xp, *[xp.sum(member * base) for member in members])
    if sum(total > 0 for total in sums) < 2:
        raise ValueError("The samples of positive weight must belong to at least 2 classes, got one class alone.")
    if class_weight is None:
        return weights
    factors = _class_factors(class_weight, to_host(classes).tolist(), sums)
    return base * sum(factor * member for factor, member in zip(factors, members, strict=True))


def _class_factors(class_weight: Any, labels: list[Any], sums: tuple[float, ...]) -> list[float]:
    """Return a weight for each class; `sums` are those of the weights of its samples."""
    if isinstance(class_weight, dict):
        # As in scikit-learn: a label that does not occur is a mistake only if another has been left out.
        missing = [label for label in labels if label not in class_weight]
        if missing and len(class_weight) > len(labels) - len(missing):
            raise ValueError(f"`class_weight` has labels that do not occur, and none for the classes {missing}.")
        return [check_scalar(class_weight.get(label, 1.0), "class_weight", low=0) for label in labels]
    check_choice(class_weight, "class_weight", ("balanced",))
    return [sum(sums) / (len(labels) * total) if total > 0 else 0.0 for total in sums]
