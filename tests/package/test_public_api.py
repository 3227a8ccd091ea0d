"""The public names, their docstrings and the examples in them."""

import doctest
import importlib
import inspect
from typing import Any

import pytest
from numpydoc.validate import validate

PUBLIC = {
    "numopt": {
        "Status",
        "__version__",
        "bench",
        "constrained",
        "kernels",
        "problems",
        "set_threads",
        "show_config",
        "sketched_newton",
        "sketching",
        "warmup",
    },
    "numopt.constrained": {"sketched_newton"},
    "numopt.sketching": {"kaczmarz", "sketch_and_project", "solve"},
    "numopt.kernels": {"bind"},
    "numopt.problems": {
        "ConstrainedLogisticRegression",
        "DerivativeWarning",
        "PoissonControl",
        "Problem",
        "cutest",
        "libsvm",
    },
    "numopt.problems.cutest": {"find", "load", "suite"},
    "numopt.problems.libsvm": {"find", "load"},
    "numopt.bench": {"data_profile", "performance_profile"},
}

# Checks of numpydoc that do not fit our form: the summary stands on the quotes' line (GL01, GL03), an extended
# summary and "See Also" are optional (ES01, SA01), as are descriptions of a single return value's name (RT03, YD01).
IGNORED = {"GL01", "GL02", "GL03", "ES01", "SA01", "RT03", "YD01"}
# The base class says what its methods mean together; an example belongs to functions and classes.
IGNORED_IN_METHODS = IGNORED | {"EX01"}
EVERY_NAME = [f"{module}.{name}" for module, names in sorted(PUBLIC.items()) for name in sorted(names)]
DOCTEST_OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def resolve(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


def incomplete(name: str, ignored: set[str]) -> list[str]:
    return [f"{name}: {code} {text}" for code, text in validate(name)["errors"] if code not in ignored]


@pytest.mark.parametrize("module", sorted(PUBLIC))
def test_public_names_are_exactly_those_listed(module):
    loaded = importlib.import_module(module)
    assert sorted(loaded.__all__) == sorted(PUBLIC[module])
    assert set(loaded.__all__) <= set(dir(loaded))


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_solver"):
        importlib.import_module("numopt").no_such_solver  # noqa: B018


@pytest.mark.parametrize("name", EVERY_NAME)
def test_docstring_is_complete(name):
    value = resolve(name)
    if not callable(value):
        assert isinstance(value, str) or value.__doc__, f"{name} has no docstring"
        return
    errors = incomplete(name, IGNORED)
    if inspect.isclass(value):
        for attribute, member in vars(value).items():
            if inspect.isfunction(member) and not attribute.startswith("_"):
                errors += incomplete(f"{name}.{attribute}", IGNORED_IN_METHODS)
    assert errors == []


@pytest.mark.parametrize("name", EVERY_NAME)
def test_examples_run(name):
    value = resolve(name)
    # A doctest run by file would import second copies of the mapped folders; objects are found by their import name.
    for example in doctest.DocTestFinder(recurse=inspect.isclass(value)).find(value, name, globs={}):
        result = doctest.DocTestRunner(optionflags=DOCTEST_OPTIONS).run(example)
        assert result.failed == 0, f"{example.name}: {result.failed} of {result.attempted} examples fail"
