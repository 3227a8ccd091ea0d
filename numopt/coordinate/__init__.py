"""Block coordinate descent: sparse models, non-negative least squares, label propagation, quadratics."""

from numopt.coordinate._bcd import bcd
from numopt.coordinate._linear_models import LeastSquares, Logistic, Multinomial
from numopt.coordinate._quadratic import LabelPropagation, Quadratic
from numopt.coordinate._smooth import Smooth

__all__ = ["LabelPropagation", "LeastSquares", "Logistic", "Multinomial", "Quadratic", "Smooth", "bcd"]
