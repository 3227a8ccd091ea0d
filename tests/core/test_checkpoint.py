import os
import signal
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest

from numopt import Status
from numopt._core.checkpoint import Checkpoint, load, save
from numopt._core.loop import Measure, run
from tests.helpers.xp import make

KEY = {"solver": "walk", "n": 3}


def test_round_trip_is_exact(xp, tmp_path):
    path = tmp_path / "run.npz"
    rng = np.random.default_rng(5)
    x = rng.standard_normal(7)
    meta = {"nit": np.int64(3), "eta": np.float64(0.1), "nested": {"names": ["a", "b"], "none": None, "inf": np.inf}}
    save(path, {"x": make(xp, x), "empty": make(xp, np.zeros((0, 2), "float32"))}, meta)
    arrays, loaded = load(path)
    assert loaded == meta
    np.testing.assert_array_equal(arrays["x"], x)
    assert arrays["empty"].shape == (0, 2)
    assert arrays["empty"].dtype == np.float32
    assert os.listdir(tmp_path) == ["run.npz"]
    with np.load(path, allow_pickle=False) as plain:
        np.testing.assert_array_equal(plain["x"], x)


@pytest.mark.parametrize("bits", [np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64])
def test_generator_state_round_trips(bits, tmp_path):
    rng = np.random.Generator(bits(3))
    rng.random(5)
    save(tmp_path / "c", {}, {"rng": rng.bit_generator.state})
    other = np.random.Generator(bits(0))
    other.bit_generator.state = load(tmp_path / "c")[1]["rng"]
    np.testing.assert_array_equal(other.random(5), rng.random(5))


def test_nothing_is_pickled(tmp_path):
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        save(tmp_path / "c", {"x": np.array([object()])}, {})
    with pytest.raises(TypeError, match=r"A checkpoint cannot hold .* of type set"):
        save(tmp_path / "c", {}, {"x": {1}})
    assert os.listdir(tmp_path) == []


def test_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "c"
    save(path, {"x": np.ones(2)}, {"k": 1})
    with pytest.raises(ValueError, match="Object arrays"):
        save(path, {"x": np.ones(2), "y": np.array([object()])}, {})
    assert load(path)[1] == {"k": 1}
    assert os.listdir(tmp_path) == ["c"]


def test_what_cannot_be_read_is_named(tmp_path):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "missing")
    text = tmp_path / "text"
    text.write_text("hello")
    with pytest.raises(ValueError, match="text' is not a readable numopt checkpoint"):
        load(text)
    np.savez(tmp_path / "other.npz", x=1)
    with pytest.raises(ValueError, match=r"other.npz' is not a numopt checkpoint: it has no member meta.json"):
        load(tmp_path / "other.npz")
    with zipfile.ZipFile(tmp_path / "later", "w") as archive:
        archive.writestr("meta.json", '{"numopt_checkpoint": 2}')
    with pytest.raises(ValueError, match="has checkpoint format 2, expected 1"):
        load(tmp_path / "later")
    save(tmp_path / "cut", {"x": np.ones(1000)}, {})
    whole = (tmp_path / "cut").read_bytes()
    for length in (10, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut").write_bytes(whole[:length])
        with pytest.raises(ValueError, match="is not a readable numopt checkpoint"):
            load(tmp_path / "cut")
    (tmp_path / "cut").write_bytes(whole.replace(np.ones(2).tobytes(), np.zeros(2).tobytes()))
    with pytest.raises(ValueError, match="is not a readable numopt checkpoint"):
        load(tmp_path / "cut")


def test_checkpoint_of_another_solve_is_refused(tmp_path):
    path = tmp_path / "c"
    Checkpoint(path, KEY, lambda: ({}, {})).save(1, force=True)
    assert Checkpoint(path, dict(KEY), lambda: ({}, {})).resumed
    with pytest.raises(ValueError, match=r"`checkpoint` .* its n is 3, here it is 4; give another path"):
        Checkpoint(path, {**KEY, "n": 4}, lambda: ({}, {}))
    with pytest.raises(ValueError, match="its dtype is None, here it is 'f8'"):
        Checkpoint(path, {**KEY, "dtype": "f8"}, lambda: ({}, {}))


def test_a_plain_checkpoint_file_is_refused_by_a_solve(tmp_path):
    save(tmp_path / "c", {}, {})
    with pytest.raises(ValueError, match="belongs to another solve: its n is None"):
        Checkpoint(tmp_path / "c", KEY, lambda: ({}, {}))


def test_saves_only_when_due(tmp_path):
    calls = []

    def snapshot():
        calls.append(None)
        return {}, {}

    checkpoint = Checkpoint(tmp_path / "c", KEY, snapshot, interval=1e9)
    for nit in range(5):
        checkpoint.save(nit)
    assert calls == []
    checkpoint.save(5, force=True)
    checkpoint.save(5, force=True)
    assert len(calls) == 1


class Walk:
    """A random iteration: its end depends on every draw, so a resumed run shows any state that was lost."""

    def __init__(self, path, key=KEY, pause=0.0, interval=0.0):
        self.rng = np.random.default_rng(11)
        self.x = np.ones(3)
        self.pause = pause
        self.checkpoint = Checkpoint(path, key, self.snapshot, interval=interval)
        if self.checkpoint.resumed:
            self.x = self.checkpoint.arrays["x"]
            self.rng.bit_generator.state = self.checkpoint.meta["rng"]

    def snapshot(self):
        return {"x": self.x}, {"rng": self.rng.bit_generator.state}

    def step(self):
        self.x *= self.rng.uniform(0.5, 1.0, 3)
        time.sleep(self.pause)

    def solve(self, maxiter=1000):
        return run(
            self.step,
            lambda: Measure(float(np.linalg.norm(self.x))),
            tol=1e-12,
            maxiter=maxiter,
            checkpoint=self.checkpoint,
        )


def test_resumes_after_a_limit(tmp_path):
    whole = Walk(tmp_path / "whole")
    expected = whole.solve()
    # A long interval: the state at the limit is written all the same.
    assert Walk(tmp_path / "c", interval=1e9).solve(maxiter=20).status is Status.MAXITER
    second = Walk(tmp_path / "c")
    assert second.checkpoint.nit == 20
    outcome = second.solve()
    assert (outcome.status, outcome.nit) == (expected.status, expected.nit)
    np.testing.assert_array_equal(second.x, whole.x)
    finished = Walk(tmp_path / "c").solve()
    assert (finished.status, finished.nit) == (Status.CONVERGED, expected.nit)


def test_killed_process_resumes_to_the_same_result(tmp_path):
    path = tmp_path / "c"
    code = (
        "import sys; from tests.core.test_checkpoint import Walk\n"
        "print('started', flush=True); Walk(sys.argv[1], pause=0.02).solve()"
    )
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    process = subprocess.Popen([sys.executable, "-c", code, str(path)], cwd=root, stdout=subprocess.PIPE)
    try:
        # The solve takes about 90 steps of 20 ms; kill it as soon as it has written step 5 or later.
        give_up = time.monotonic() + 60
        while not (path.exists() and load(path)[1]["nit"] >= 5):
            assert process.poll() is None, "the solve ended before it could be killed"
            assert time.monotonic() < give_up
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    resumed = Walk(path)
    assert 5 <= resumed.checkpoint.nit < 80
    whole = Walk(tmp_path / "whole")
    expected, outcome = whole.solve(), resumed.solve()
    assert (outcome.status, outcome.nit) == (expected.status, expected.nit)
    np.testing.assert_array_equal(resumed.x, whole.x)


def test_interrupt_leaves_the_last_saved_state(tmp_path):
    walk = Walk(tmp_path / "c")
    original = walk.step
    steps = iter(range(7))

    def step():
        original()
        if next(steps, None) is None:
            raise KeyboardInterrupt

    walk.step = step
    with pytest.raises(KeyboardInterrupt):
        walk.solve()
    resumed, whole = Walk(tmp_path / "c"), Walk(tmp_path / "whole")
    assert resumed.checkpoint.nit == 7
    resumed.solve()
    whole.solve()
    np.testing.assert_array_equal(resumed.x, whole.x)
