"""What the README and the documentation tell a newcomer to type."""

import re
import textwrap
from pathlib import Path

import pytest

from tests.helpers.tree import ROOT

TEXTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.rst"), *(ROOT / "docs" / "guide").glob("*.rst")])


def test_python_examples_of_the_readme_run(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(
        r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
    assert "Converged" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["linear_systems", "sparse_models", "tuning"])
def test_python_examples_of_a_guide_run_one_after_the_other(name: str) -> None:
    text = (ROOT / "docs" / "guide" / f"{name}.rst").read_text(encoding="utf-8")
    blocks = re.findall(r"^\.\. code-block:: python\n\n((?:(?:   .*)?\n)+)", text, re.MULTILINE)
    assert blocks
    names: dict[str, object] = {}
    for block in blocks:
        if "import cupy" not in block:
            exec(compile(textwrap.dedent(block), f"{name}.rst", "exec"), names)


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_text_installs_the_other_project_of_this_name(path: Path) -> None:
    assert not re.search(r"pip install numopt\b(?!-)", path.read_text(encoding="utf-8"))


def test_commands_of_the_readme_are_targets_of_the_makefile() -> None:
    targets = set(
        re.findall(r"^([a-z-]+)(?: [a-z-]+)*:(?!=)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    )
    named = set(re.findall(r"\bmake ([a-z-]+)", (ROOT / "README.md").read_text(encoding="utf-8")))
    assert named <= targets
