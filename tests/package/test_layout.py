"""The hand-kept lists of the project file agree with the tree."""

from tests.helpers.tree import ROOT, SETUPTOOLS, mapped_folders, packages


def test_project_file_lists_every_package() -> None:
    # A package missing here works in an editable installation and is absent from the wheel.
    assert sorted(SETUPTOOLS["packages"]) == sorted(packages())


def test_every_folder_with_modules_is_a_package() -> None:
    for folder in mapped_folders().values():
        holders = {path.parent for path in folder.rglob("*.py")}
        assert [str(f.relative_to(ROOT)) for f in holders if not (f / "__init__.py").exists()] == []


def test_package_data_patterns_all_match_a_file() -> None:
    # A pattern that matches nothing is a file that moved, and so a wheel without it.
    for package, patterns in SETUPTOOLS["package-data"].items():
        for pattern in patterns:
            assert list(packages()[package].glob(pattern)), f"{package}: {pattern}"


def test_every_data_file_is_packaged() -> None:
    # A file that no pattern names works in an editable installation and is absent from the wheel.
    packaged = {
        path
        for package, patterns in SETUPTOOLS["package-data"].items()
        for pattern in patterns
        for path in packages()[package].glob(pattern)
    }
    present = {path for folder in mapped_folders().values() for path in folder.rglob("*.*") if path.is_file()}
    leftovers = {
        path
        for path in present - packaged
        if path.suffix not in {".py", ".pyc", ".nbi", ".nbc"} and not path.is_relative_to(ROOT / "bench" / "results")
    }
    assert leftovers == set()
