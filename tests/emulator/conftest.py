"""The emulator, once for all tests of a worker.

With NUMOPT_SANITIZE set the kernels run on operating-system threads under the address and undefined-behaviour
sanitizers and under the thread sanitizer instead of on fibers.
"""

import os

import pytest

from tests.emulator.emulator import Emulator
from tests.emulator.instances import INSTANCES

MODES = ["address", "thread"] if os.environ.get("NUMOPT_SANITIZE") else ["fibers"]


@pytest.fixture(scope="session", params=MODES)
def emulator(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Emulator:
    return Emulator(INSTANCES, request.param, tmp_path_factory.mktemp("emulator"))
