"""The seam between a solver and several workers: reductions that are no-ops on one.

Solvers call these and nothing else of a transport. All ranks must make the same calls in the same order, and decide on
reduced values only, so that all take the same branch.
"""

import threading
from collections.abc import Callable, Hashable
from typing import Any, Literal, Protocol, TypeVar

from numopt._array import namespace
from numopt._typing import Array

ReduceOp = Literal["sum", "max", "min"]
ResultT = TypeVar("ResultT")


class Comm(Protocol):
    """Collective operations over `size` ranks, of which the caller is `rank`."""

    @property
    def rank(self) -> int:
        """Number of this worker, from 0."""

    @property
    def size(self) -> int:
        """Number of workers."""

    def allreduce(self, x: Array, op: ReduceOp = "sum") -> None:
        """Replace `x` on every rank by the elementwise sum, max or min over all ranks; the same bits everywhere."""

    def bcast(self, x: Array, root: int = 0) -> None:
        """Replace `x` on every rank by that of `root`."""

    def allgather(self, x: Array) -> Array:
        """Return the blocks `x` of all ranks in rank order, joined along the first axis, where lengths may differ."""

    def barrier(self) -> None:
        """Wait until every rank is here."""

    def split(self, color: Hashable) -> "Comm":
        """Return the communicator of the ranks that gave the same `color`, in the old order."""


class SerialComm:
    """One worker: nothing to exchange. The default that `comm=None` stands for."""

    rank = 0
    size = 1

    def allreduce(self, x: Array, op: ReduceOp = "sum") -> None:
        """Leave `x` as it is."""
        _check_op(op)

    def bcast(self, x: Array, root: int = 0) -> None:
        """Leave `x` as it is."""
        _check_root(root, 1)

    def allgather(self, x: Array) -> Array:
        """Return a copy of `x`, as several ranks would."""
        return namespace(x).asarray(x, copy=True)

    def barrier(self) -> None:
        """Return at once."""

    def split(self, color: Hashable) -> "SerialComm":
        """Return this communicator."""
        return self


def as_comm(comm: Comm | None) -> Comm:
    """Return `comm`, or the serial one that None stands for."""
    return SerialComm() if comm is None else comm


class CommError(RuntimeError):
    """A collective cannot complete: another rank failed, has returned, or called something else."""


class ThreadComm:
    """Ranks that are threads of this process; for tests of sharded solvers. Made by `ThreadComm.run`.

    Reductions add in rank order on every rank: results are the same bits on all ranks and from run to run.
    """

    def __init__(self, group: "_Group", rank: int) -> None:
        self._group = group
        self.rank = rank
        self.size = group.size

    @classmethod
    def run(cls, size: int, target: Callable[["ThreadComm"], ResultT]) -> list[ResultT]:
        """Run `target(comm)` on `size` threads and return the results in rank order.

        When a rank raises, the ranks that wait for it get a CommError, and the first rank's own error is raised here.
        """
        if size < 1:
            raise ValueError(f"`size` must be a positive int, got {size}.")
        world = _World()
        group = _Group(world, tuple(range(size)))
        results: dict[int, ResultT] = {}
        errors: dict[int, BaseException] = {}

        def work(rank: int) -> None:
            try:
                results[rank] = target(cls(group, rank))
            except BaseException as error:  # re-raised in the calling thread
                errors[rank] = error
            finally:
                world.leave(rank)

        threads = [
            threading.Thread(target=work, args=(rank,), name=f"rank {rank}", daemon=True) for rank in range(size)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            # A CommError is the echo of another rank's failure wherever there is a failure of another kind.
            raise min(errors.items(), key=lambda item: (isinstance(item[1], CommError), item[0]))[1]
        return [results[rank] for rank in range(size)]

    def allreduce(self, x: Array, op: ReduceOp = "sum") -> None:
        """Reduce `x` in place; see `Comm`."""
        _check_op(op)
        xp = namespace(x)
        combine = {"sum": xp.add, "max": xp.maximum, "min": xp.minimum}[op]
        blocks = self._group.exchange(
            self.rank, ("allreduce", op, tuple(x.shape), str(x.dtype)), xp.asarray(x, copy=True)
        )
        total = blocks[0]
        for block in blocks[1:]:
            total = combine(total, block)
        x[...] = total

    def bcast(self, x: Array, root: int = 0) -> None:
        """Copy `x` of `root` into `x` in place; see `Comm`."""
        _check_root(root, self.size)
        payload = namespace(x).asarray(x, copy=True) if self.rank == root else None
        blocks = self._group.exchange(self.rank, ("bcast", root, tuple(x.shape), str(x.dtype)), payload)
        if self.rank != root:
            x[...] = blocks[root]

    def allgather(self, x: Array) -> Array:
        """Return the blocks of all ranks joined along the first axis; see `Comm`."""
        xp = namespace(x)
        call = ("allgather", tuple(x.shape[1:]), str(x.dtype))
        return xp.concat(self._group.exchange(self.rank, call, xp.asarray(x, copy=True)), axis=0)

    def barrier(self) -> None:
        """Wait for all ranks; see `Comm`."""
        self._group.exchange(self.rank, ("barrier",), None)

    def split(self, color: Hashable) -> "ThreadComm":
        """Return the communicator of the ranks with the same `color`; see `Comm`."""
        colors = self._group.exchange(self.rank, ("split",), color)
        members = [rank for rank in range(self.size) if colors[rank] == color]
        group = self._group.child(tuple(members), color)
        return ThreadComm(group, members.index(self.rank))


class _World:
    """What all groups of one run share: one lock, and who has left."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.left: list[int] = []

    def leave(self, rank: int) -> None:
        with self.changed:
            self.left.append(rank)
            self.changed.notify_all()


class _Group:
    """Meeting point of some ranks of the world: everyone brings a value, everyone gets all of them."""

    def __init__(self, world: _World, members: tuple[int, ...]) -> None:
        self.size = len(members)
        self._world = world
        self._members = members
        self._generation = 0
        self._arrived: dict[int, tuple[Any, Any]] = {}
        self._gathered: list[tuple[Any, Any]] = []
        self._children: dict[tuple[int, Hashable], _Group] = {}

    def exchange(self, rank: int, call: tuple[Any, ...], payload: Any) -> list[Any]:
        """Wait for all members and return their payloads in rank order."""
        with self._world.changed:
            generation = self._generation
            self._arrived[rank] = (call, payload)
            if len(self._arrived) == self.size:
                # Nobody can complete the next meeting before everyone has read this one, so one slot is enough.
                self._gathered = [self._arrived[member] for member in range(self.size)]
                self._arrived = {}
                self._generation += 1
                self._world.changed.notify_all()
            while self._generation == generation:
                gone = [other for other in self._world.left if other in self._members]
                if gone:
                    raise CommError(f"rank {gone[0]} has left while others wait for it in {call[0]}.")
                self._world.changed.wait()
            gathered = self._gathered
        for other, (theirs, _) in enumerate(gathered):
            if theirs != call:
                raise CommError(f"rank {rank} called {call} while rank {other} called {theirs}.")
        return [value for _, value in gathered]

    def child(self, members: tuple[int, ...], color: Hashable) -> "_Group":
        """Return the one group that all `members` of the latest split share."""
        with self._world.changed:
            key = (self._generation, color)
            if key not in self._children:
                self._children[key] = _Group(self._world, tuple(self._members[member] for member in members))
            return self._children[key]


def _check_op(op: str) -> None:
    if op not in ("sum", "max", "min"):
        raise ValueError(f"`op` must be one of 'sum', 'max', 'min', got {op!r}.")


def _check_root(root: int, size: int) -> None:
    if not 0 <= root < size:
        raise ValueError(f"`root` must be an int in [0, {size}), got {root}.")
