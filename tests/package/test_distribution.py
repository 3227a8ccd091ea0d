"""What a wheel, an sdist and an editable installation contain, built from a clean copy of the tree."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path, PurePosixPath

import pytest

from tests.helpers.tree import ROOT, SETUPTOOLS, mapped_folders, packages

pytestmark = pytest.mark.skipif(
    not (ROOT / ".git").exists(), reason="needs a git checkout to tell sources from leftovers"
)


def source_files() -> list[str]:
    """Tracked and new files, ignored ones left out: what a commit of this tree would hold."""
    # A CI clone may belong to another user; git then wants to be told that this is fine.
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return sorted(name for name in listed if name and (ROOT / name).is_file())


def run(*command: str, cwd: Path, **environ: str) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, env={**os.environ, **environ}, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def print_files(names: Iterable[str]) -> str:
    """Code that prints where each module comes from."""
    return f"import importlib\nfor name in {sorted(names)!r}:\n    print(importlib.import_module(name).__file__)\n"


def build(kind: str, source: Path, target: Path) -> Path:
    run(sys.executable, "-m", "build", "--no-isolation", f"--{kind}", "--outdir", str(target), str(source), cwd=source)
    (built,) = target.iterdir()
    return built


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Never from the checkout itself: a stale build/lib would leak into the wheel.
    tree = tmp_path_factory.mktemp("tree")
    for name in source_files():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, tree / name)
    return build("sdist", tree, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def unpacked_sdist(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(target, filter="data")
    (folder,) = target.iterdir()
    return folder


@pytest.fixture(scope="module")
def wheel(unpacked_sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    # From the sdist, as an installer without a wheel would do it: both are checked in one build.
    return build("wheel", unpacked_sdist, tmp_path_factory.mktemp("wheel"))


def expected_in_wheel() -> set[str]:
    """Every Python module and data file of the tree under its installed name."""
    expected = set()
    tracked = set(source_files())
    for package, folder in packages().items():
        patterns = ["*.py", *SETUPTOOLS["package-data"].get(package, [])]
        for path in {path for pattern in patterns for path in folder.glob(pattern)}:
            if str(path.relative_to(ROOT)) in tracked:
                expected.add(str(PurePosixPath(*package.split("."), *path.relative_to(folder).parts)))
    return expected


def test_wheel_holds_the_tree_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == expected_in_wheel()


def test_wheel_occupies_one_importable_name(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.partition("/")[0] for name in archive.namelist() if ".dist-info/" not in name}
    assert tops == {"numopt"}


def test_wheel_works_where_the_checkout_is_not(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel), cwd=tmp_path)
    files = run(sys.executable, "-c", print_files(packages()), cwd=tmp_path, PYTHONPATH=str(site)).split()
    assert all(Path(file).is_relative_to(site) for file in files), files


def test_sdist_holds_sources_tests_and_documentation(unpacked_sdist: Path) -> None:
    wanted = [
        name
        for name in source_files()
        if name.startswith(("numopt/", "kernels/", "problems/", "bench/", "tests/", "docs/"))
        and not name.startswith("bench/results/")
    ]
    assert [name for name in wanted if not (unpacked_sdist / name).is_file()] == []
    for name in (
        "LICENSE",
        "README.md",
        "CHANGELOG.md",
        "CITATION.cff",
        "CONTRIBUTING.md",
        "Makefile",
        "pyproject.toml",
    ):
        assert (unpacked_sdist / name).is_file(), name


def test_editable_installation_reads_the_checkout() -> None:
    origin = metadata.distribution("numopt-solvers").read_text("direct_url.json")
    if not json.loads(origin or "{}").get("dir_info", {}).get("editable"):
        pytest.skip("numopt is not installed editable here")
    folders = mapped_folders()
    # Outside the checkout, so that only the import hook can find it.
    files = run(sys.executable, "-c", print_files(folders), cwd=Path(sys.prefix)).split()
    assert [Path(file).parent for file in files] == [folders[name] for name in sorted(folders)]
