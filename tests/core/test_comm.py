import threading
import time

import numpy as np
import pytest

from numopt._core.comm import CommError, SerialComm, ThreadComm, as_comm
from tests.helpers.xp import make, to_numpy


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize(("op", "reduce"), [("sum", np.sum), ("max", np.max), ("min", np.min)])
def test_allreduce_in_place(xp, size, op, reduce):
    blocks = np.random.default_rng(0).standard_normal((size, 4))

    def target(comm):
        x = make(xp, blocks[comm.rank])
        comm.allreduce(x, op)
        return to_numpy(x)

    for result in ThreadComm.run(size, target):
        np.testing.assert_allclose(result, reduce(blocks, axis=0), rtol=1e-15, atol=1e-15)


def test_sum_has_the_same_bits_on_all_ranks_and_in_every_run():
    # Of mixed magnitude, so that any other order of summation shows.
    blocks = np.random.default_rng(1).standard_normal((6, 500)) * 10.0 ** np.arange(0, 12, 2)[:, None]
    expected = blocks[0].copy()
    for block in blocks[1:]:
        expected += block

    def target(comm):
        x = blocks[comm.rank].copy()
        time.sleep(0.001 * ((comm.rank * 7) % 5))
        comm.allreduce(x)
        return x

    for _ in range(3):
        for result in ThreadComm.run(6, target):
            np.testing.assert_array_equal(result, expected)


def test_allgather_joins_blocks_of_different_length(xp):
    def target(comm):
        return to_numpy(comm.allgather(make(xp, np.full((comm.rank, 2), float(comm.rank)))))

    for result in ThreadComm.run(4, target):
        np.testing.assert_array_equal(result[:, 0], [1, 2, 2, 3, 3, 3])


def test_bcast(xp):
    def target(comm):
        x = make(xp, np.full(3, float(comm.rank)))
        comm.bcast(x, root=2)
        return to_numpy(x)

    for result in ThreadComm.run(3, target):
        np.testing.assert_array_equal(result, [2, 2, 2])


def test_barrier_waits_for_all():
    arrived = []

    def target(comm):
        time.sleep(0.01 * comm.rank)
        arrived.append(comm.rank)
        comm.barrier()
        return len(arrived)

    assert ThreadComm.run(4, target) == [4, 4, 4, 4]


def test_split_groups_by_color_and_nests():
    def target(comm):
        half = comm.split("even" if comm.rank % 2 == 0 else "odd")
        x = np.array([float(comm.rank)])
        half.allreduce(x)
        single = half.split(half.rank)
        single.barrier()
        comm.barrier()
        again = comm.split(0)
        return float(x[0]), half.rank, half.size, single.size, again.rank

    results = ThreadComm.run(5, target)
    assert [r[0] for r in results] == [6, 4, 6, 4, 6]
    assert [r[1] for r in results] == [0, 0, 1, 1, 2]
    assert [r[2] for r in results] == [3, 2, 3, 2, 3]
    assert {r[3] for r in results} == {1}
    assert [r[4] for r in results] == list(range(5))


def test_many_collectives_in_a_row():
    def target(comm):
        x = np.zeros(1)
        for k in range(200):
            x[0] = comm.rank + k
            comm.allreduce(x, "max")
            assert x[0] == comm.size - 1 + k
        return True

    assert all(ThreadComm.run(4, target))


@pytest.mark.parametrize("in_subgroup", [False, True])
def test_an_error_in_one_rank_reaches_the_caller_and_frees_the_others(in_subgroup):
    freed = []

    def target(comm):
        group = comm.split(0) if in_subgroup else comm
        if comm.rank == 1:
            raise ZeroDivisionError("rank 1 failed")
        with pytest.raises(CommError, match="rank 1 has left while others wait for it in allreduce"):
            group.allreduce(np.ones(2))
        freed.append(comm.rank)

    before = threading.active_count()
    with pytest.raises(ZeroDivisionError, match="rank 1 failed"):
        ThreadComm.run(3, target)
    assert sorted(freed) == [0, 2]
    assert threading.active_count() == before


def test_a_rank_that_returns_early_frees_the_others():
    def target(comm):
        if comm.rank != 0:
            comm.barrier()

    with pytest.raises(CommError, match="rank 0 has left while others wait for it in barrier"):
        ThreadComm.run(3, target)


def test_ranks_that_leave_after_the_last_collective_disturb_nobody():
    def target(comm):
        comm.barrier()
        return comm.rank

    for _ in range(50):
        assert ThreadComm.run(3, target) == [0, 1, 2]


@pytest.mark.parametrize(
    "calls",
    [
        (lambda comm: comm.barrier(), lambda comm: comm.allreduce(np.ones(2))),
        (lambda comm: comm.allreduce(np.ones(2), "max"), lambda comm: comm.allreduce(np.ones(2))),
        (lambda comm: comm.allreduce(np.ones(3)), lambda comm: comm.allreduce(np.ones(2))),
        (lambda comm: comm.allreduce(np.ones(2, "f4")), lambda comm: comm.allreduce(np.ones(2))),
        (lambda comm: comm.bcast(np.ones(2), 1), lambda comm: comm.bcast(np.ones(2), 0)),
    ],
)
def test_mismatched_collectives_are_named(calls):
    with pytest.raises(CommError, match=r"rank 0 called .* while rank 1 called"):
        ThreadComm.run(2, lambda comm: calls[comm.rank](comm))


def test_sharded_iteration_equals_the_serial_one():
    # Jacobi's method with the rows of A over the ranks: written once, run on one and on three.
    rng = np.random.default_rng(3)
    A = rng.standard_normal((12, 12)) + 20 * np.eye(12)
    b = rng.standard_normal(12)

    def jacobi(comm):
        rows = np.array_split(np.arange(12), comm.size)[comm.rank]
        x = np.zeros(12)
        worst = np.array([np.inf])
        steps = 0
        while worst[0] > 1e-12:
            residual = b[rows] - A[rows] @ x
            worst[0] = np.abs(residual).max()
            comm.allreduce(worst, "max")
            x = comm.allgather(x[rows] + residual / A[rows, rows])
            steps += 1
        return x, steps

    expected, steps = jacobi(SerialComm())
    for x, count in ThreadComm.run(3, jacobi):
        assert count == steps
        np.testing.assert_allclose(x, expected, rtol=1e-13)


def test_serial(xp):
    comm = SerialComm()
    x = make(xp, [1.0, 2.0])
    comm.allreduce(x)
    comm.bcast(x)
    comm.barrier()
    np.testing.assert_array_equal(to_numpy(x), [1, 2])
    gathered = comm.allgather(x)
    x[0] = 5.0
    np.testing.assert_array_equal(to_numpy(gathered), [1, 2])
    assert comm.split("a") is comm
    assert (comm.rank, comm.size) == (0, 1)


def test_none_stands_for_the_serial_communicator():
    assert isinstance(as_comm(None), SerialComm)
    assert ThreadComm.run(2, lambda comm: as_comm(comm) is comm) == [True, True]


def test_bad_arguments():
    with pytest.raises(ValueError, match="`size` must be a positive int, got 0"):
        ThreadComm.run(0, lambda comm: None)
    with pytest.raises(ValueError, match="`op` must be one of 'sum', 'max', 'min', got 'mean'"):
        SerialComm().allreduce(np.ones(1), "mean")
    with pytest.raises(ValueError, match=r"`root` must be an int in \[0, 1\), got 1"):
        SerialComm().bcast(np.ones(1), 1)
    with pytest.raises(ValueError, match="`op`"):
        ThreadComm.run(2, lambda comm: comm.allreduce(np.ones(1), "mean"))
