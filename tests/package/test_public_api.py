"""The public names, their docstrings and the examples in them."""

import dataclasses
import doctest
import importlib
import inspect
from typing import Any, Protocol

import pytest

PUBLIC = {
    "numopt": {
        "BanditTuner",
        "Status",
        "__version__",
        "bcd",
        "bench",
        "constrained",
        "coordinate",
        "kernels",
        "linear",
        "ot",
        "problems",
        "set_threads",
        "show_config",
        "sketched_newton",
        "sketching",
        "sor",
        "tuning",
        "warmup",
    },
    "numopt.constrained": {"sketched_newton"},
    "numopt.coordinate": {
        "BCDElasticNet",
        "BCDLabelPropagation",
        "BCDLasso",
        "BCDLogisticRegression",
        "BCDNNLS",
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
    },
    "numopt.ot": {
        "LazyPlan",
        "OTResult",
        "barycenter",
        "sinkhorn",
        "sinkhorn2",
        "sinkhorn_unbalanced",
        "solve",
        "solve_batch",
        "solve_points",
    },
    "numopt.linear": {
        "SSORPreconditioner",
        "Stencil",
        "axelsson_bound",
        "cg",
        "near_asymptotic_bound",
        "optimal_omega",
        "sor",
        "ssor",
        "young_rate",
    },
    "numopt.tuning": {"BanditTuner", "solve_sequence", "tuned"},
    "numopt.sketching": {"kaczmarz", "sketch_and_project"},
    "numopt.kernels": {"KERNELS", "Kernel", "KernelSet", "bind"},
    "numopt.problems": {
        "ConstrainedLogisticRegression",
        "Counters",
        "DerivativeCheck",
        "DerivativeWarning",
        "GraphLabels",
        "LinearModelData",
        "LinearSystem",
        "PoissonControl",
        "Problem",
        "SystemSequence",
        "TransportProblem",
        "cutest",
        "lattice_labels_data",
        "libsvm",
        "matrices",
        "sparse_least_squares_data",
        "sparse_logistic_data",
        "sparse_multinomial_data",
        "synthetic_text",
        "two_moons_data",
    },
    "numopt.problems.cutest": {"ProblemInfo", "find", "load", "missing", "start_kkt", "suite"},
    "numopt.problems.libsvm": {"find", "load"},
    "numopt.problems.matrices": {"find", "load"},
    "numopt.bench": {"DataProfile", "PerformanceProfile", "data_profile", "performance_profile"},
}

# Checks of numpydoc that do not fit our form: the summary stands on the line of the quotes (GL01, GL03) and may begin
# with a noun in the plural (SS05), descriptions may begin in lower case (PR08), a single return value may have a name
# (RT02), an extended summary and "See Also" are optional (ES01, SA01).
IGNORED = {"GL01", "GL02", "GL03", "SS05", "ES01", "SA01", "PR08", "RT02", "RT03", "YD01"}
# Examples are owed by functions. Records, warnings and enumerations are met as results: their fields are attributes.
# Methods belong to the description of their class, which may say once what `x` is in all of them.
IGNORED_IN_CLASSES = IGNORED | {"EX01"}
IGNORED_IN_RECORDS = IGNORED_IN_CLASSES | {"PR01"}
IGNORED_IN_METHODS = IGNORED | {"EX01", "PR01", "RT01"}
EVERY_NAME = [f"{module}.{name}" for module, names in sorted(PUBLIC.items()) for name in sorted(names)]
DOCTEST_OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def resolve(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


def incomplete(name: str, ignored: set[str]) -> list[str]:
    # A machine that runs the GPU tests alone need not have the documentation tools.
    from numpydoc.validate import validate

    return [f"{name}: {code} {text}" for code, text in validate(name)["errors"] if code not in ignored]


@pytest.mark.parametrize("module", sorted(PUBLIC))
def test_public_names_are_exactly_those_listed(module: str) -> None:
    loaded = importlib.import_module(module)
    assert sorted(loaded.__all__) == sorted(PUBLIC[module])
    assert set(loaded.__all__) <= set(dir(loaded))


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_solver"):
        importlib.import_module("numopt").no_such_solver  # noqa: B018


def incomplete_class(name: str, value: type) -> list[str]:
    is_protocol = Protocol in value.__bases__
    is_record = dataclasses.is_dataclass(value) or is_protocol or "__init__" not in vars(value)
    errors = incomplete(name, IGNORED_IN_RECORDS if is_record else IGNORED_IN_CLASSES)
    # The methods of a protocol are described where it is implemented.
    if not is_protocol:
        for attribute, member in vars(value).items():
            if inspect.isfunction(member) and not attribute.startswith("_"):
                errors += incomplete(f"{name}.{attribute}", IGNORED_IN_METHODS)
    return errors


@pytest.mark.parametrize("name", EVERY_NAME)
def test_docstring_is_complete(name: str) -> None:
    value = resolve(name)
    if inspect.isclass(value):
        assert incomplete_class(name, value) == []
    elif inspect.isroutine(value):
        assert incomplete(name, IGNORED) == []
    elif inspect.ismodule(value):
        assert value.__doc__


@pytest.mark.parametrize("name", EVERY_NAME)
def test_examples_run(name: str) -> None:
    value = resolve(name)
    # A doctest run by file would import second copies of the mapped folders; objects are found by their import name.
    for example in doctest.DocTestFinder(recurse=inspect.isclass(value)).find(value, name, globs={}):
        result = doctest.DocTestRunner(optionflags=DOCTEST_OPTIONS).run(example)
        assert result.failed == 0, f"{example.name}: {result.failed} of {result.attempted} examples fail"
