"""Patterns: permuted matrices, triangles, and what is remembered."""

import itertools
import threading

import numpy as np
import pytest
import scipy.sparse as sp

from numopt.linear import _pattern
from numopt.linear._pattern import Layout, pattern_of
from tests.linear.matrices import poisson, random_spd

LAYOUTS = [
    Layout(),
    Layout("red-black"),
    Layout("multicolor"),
    Layout("natural", reverse=True),
    Layout("multicolor", reverse=True),
    Layout("block", 5),
    Layout("multicolor", 4),
    Layout("zebra", 6),
]


@pytest.fixture(autouse=True)
def _forget():
    _pattern._patterns.clear()
    yield
    _pattern._patterns.clear()


def find(A):
    return pattern_of(A.indices, A.indptr)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_values_and_triangles_are_those_of_the_permuted_matrix(layout):
    A = poisson(6, 4)
    n = A.shape[0]
    A.data = np.random.default_rng(0).standard_normal(A.nnz)
    arrangement = find(A).arrange(layout)
    order = np.arange(n) if arrangement.permutation is None else arrangement.permutation
    expected = A.toarray()[np.ix_(order, order)]
    values = arrangement.values(A.data)
    found = sp.csr_array((values, arrangement.indices, arrangement.indptr), shape=A.shape)
    assert found.has_sorted_indices
    np.testing.assert_array_equal(found.toarray(), expected)
    if arrangement.blocks is None:
        np.testing.assert_array_equal(values[arrangement.split], np.diag(expected))
        t = arrangement.triangles
        row = np.repeat(np.arange(n), np.diff(t.lindptr))
        assert np.all(t.lindices < row)
        assert t.lindices.size + t.uindices.size + n == A.nnz
    v = np.arange(float(n))
    np.testing.assert_array_equal(arrangement.backward(arrangement.forward(v)), v)


@pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if layout.ordering not in ("natural", "block")])
def test_rows_of_a_class_do_not_touch(layout):
    A = poisson(6, 4)
    arrangement = find(A).arrange(layout)
    order = arrangement.permutation
    B = A.toarray()[np.ix_(order, order)] != 0
    blocks = np.arange(25) if arrangement.blocks is None else arrangement.blocks
    classes = arrangement.classes
    assert classes[0] == 0
    assert classes[-1] == blocks.size - 1
    for first, end in itertools.pairwise(classes):
        for k in range(first, end):
            mine = slice(blocks[k], blocks[k + 1])
            others = np.r_[blocks[first] : blocks[k], blocks[k + 1] : blocks[end]]
            assert not B[mine][:, others].any()


def test_a_pattern_is_found_again():
    A = poisson(5)
    first = find(A)
    assert find(A.copy()) is first
    assert first.arrange(Layout("red-black")) is first.arrange(Layout("red-black"))
    assert find(poisson(5, 6)) is not first
    B = sp.csr_array(A)
    B.indices, B.indptr = B.indices.astype(np.int64), B.indptr.astype(np.int64)
    assert find(B) is not first
    assert find(A) is first


def test_arrays_that_change_are_noticed():
    A = poisson(5)
    first = find(A)
    A.indices[A.indptr[3] : A.indptr[4]] = np.array([1, 2, 3, 8])[: A.indptr[4] - A.indptr[3]]
    assert find(A) is not first
    assert find(poisson(5)) is first


def test_the_oldest_are_forgotten(monkeypatch):
    first = find(poisson(3, 3))
    for n in range(4, 11):
        find(poisson(3, n))
    assert find(poisson(3, 3)) is first
    find(poisson(3, 20))
    assert len(_pattern._patterns) == _pattern._MAX_PATTERNS
    assert find(poisson(3, 3)) is first
    monkeypatch.setattr(_pattern, "_MAX_ENTRIES", 10)
    # The last one always stays, however large.
    large = find(poisson(20))
    assert _pattern._patterns == [large]


def test_threads_share_what_is_remembered():
    matrices = [random_spd(n, n) for n in range(5, 17)]
    expected = [find(A).arrange(Layout("multicolor")).permutation for A in matrices]
    failures = []

    def work(seed):
        try:
            for k in np.random.default_rng(seed).integers(0, len(matrices), 100):
                np.testing.assert_array_equal(find(matrices[k]).arrange(Layout("multicolor")).permutation, expected[k])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
