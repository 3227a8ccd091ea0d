"""Block coordinate descent: sparse models, non-negative least squares, label propagation, quadratics."""

from numopt.coordinate._bcd import bcd
from numopt.coordinate._estimators import BCDNNLS, BCDElasticNet, BCDLabelPropagation, BCDLasso, BCDLogisticRegression
from numopt.coordinate._least_squares import LeastSquares
from numopt.coordinate._logistic import Logistic
from numopt.coordinate._nnls import nnls
from numopt.coordinate._path import lasso_path
from numopt.coordinate._quadratic import LabelPropagation, Quadratic
from numopt.coordinate._smooth import Smooth
from numopt.coordinate._softmax import Multinomial
from numopt.coordinate._sweeps import sweep_preconditioner
from numopt.coordinate._wrappers import bvls, elastic_net, label_propagation, lasso, logistic, multinomial

__all__ = [
    "BCDNNLS",
    "BCDElasticNet",
    "BCDLabelPropagation",
    "BCDLasso",
    "BCDLogisticRegression",
    "LabelPropagation",
    "LeastSquares",
    "Logistic",
    "Multinomial",
    "Quadratic",
    "Smooth",
    "bcd",
    "bvls",
    "elastic_net",
    "label_propagation",
    "lasso",
    "lasso_path",
    "logistic",
    "multinomial",
    "nnls",
    "sweep_preconditioner",
]
