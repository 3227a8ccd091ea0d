import warnings

import pytest
from scipy.optimize import minimize

from numopt._core.warnings import ConvergenceWarning, DerivativeWarning, NumericalWarning, NumoptWarning, warn


@pytest.mark.parametrize("category", [ConvergenceWarning, DerivativeWarning, NumericalWarning])
def test_categories(category):
    assert issubclass(category, NumoptWarning)
    assert issubclass(category, UserWarning)


def fake_solver(source):
    """Compile `source` as a module of the package."""
    module = {"__name__": "numopt.fake", "warn": warn}
    exec(compile(source, "<numopt.fake>", "exec"), module)
    return module


def test_warning_shows_the_users_line_through_our_own_frames():
    module = fake_solver("def solver():\n    helper()\n\ndef helper():\n    warn('text')")
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        module["solver"]()
        warn("direct")
    assert [w.filename for w in record] == [__file__, __file__]
    assert all(w.category is NumoptWarning for w in record)


def test_warning_from_a_scipy_method_shows_the_users_line():
    module = fake_solver("def solver(fun, x0, **options):\n    warn('text')")
    with pytest.warns(NumoptWarning) as record:
        minimize(lambda x: 0.0, [1.0], method=module["solver"])
    assert record[0].filename == __file__
