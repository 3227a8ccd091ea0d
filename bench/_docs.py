"""Tables of the documentation, written from recorded runs and compared with them in CI."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from numopt.bench import _tables, families
from numopt.bench._records import Record, read
from numopt.bench._report import group

FOLDER = "_tables"
INDEX = "index.rst"
STATIC = "_static"


def write_docs_tables(
    results_dir: str | os.PathLike[str], docs_dir: str | os.PathLike[str], *, check: bool = False
) -> list[str]:
    """Write ``docs/_tables/<machine>-<file>.rst`` for every results file, an index that includes them all, and figures.

    Parameters
    ----------
    results_dir : path
        Folder of ``<machine>/<case>.jsonl`` (or ``.jsonl.gz``).
    docs_dir : path
        Folder of the documentation; the figures of its pages go to ``_static``.
    check : bool, default False
        Compare only, write nothing.

    Returns
    -------
    list of str
        Names of the files that were written, or with `check` of those that differ (stale ones included).

    Notes
    -----
    The text depends on the records alone, not on the time or place of writing. A figure is drawn anew when its page
    changes, and only missed, not compared, otherwise: its bytes depend on the drawing library.
    """
    target, static = Path(docs_dir) / FOLDER, Path(docs_dir) / STATIC
    pages = _pages(Path(results_dir))
    wanted = {name: page.text for name, page in pages.items()}
    present = {path.name: path.read_text(encoding="utf-8") for path in target.glob("*.rst")}
    changed = {name for name in wanted.keys() | present.keys() if wanted.get(name) != present.get(name)}
    drawn = {
        file: png
        for name, page in pages.items()
        for file, png in page.figures.items()
        if name in changed or not (static / file).is_file()
    }
    if not check:
        target.mkdir(parents=True, exist_ok=True)
        for name in changed:
            if name in wanted:
                (target / name).write_text(wanted[name], encoding="utf-8")
            else:
                (target / name).unlink()
        for file, png in drawn.items():
            static.mkdir(parents=True, exist_ok=True)
            (static / file).write_bytes(png)
    return sorted(changed | drawn.keys())


@dataclass(frozen=True)
class _Page:
    """Text of a page and its figures by file name."""

    text: str
    figures: dict[str, bytes] = field(default_factory=dict)


def _pages(results: Path) -> dict[str, _Page]:
    pages = {}
    for path in sorted([*results.glob("*/*.jsonl"), *results.glob("*/*.jsonl.gz")]):
        if path.parent.name != "local":  # runs of a working copy are nobody's reference
            stem = f"{path.parent.name}-{path.name.split('.')[0]}"
            pages[f"{stem}.rst"] = _page(path, stem)
    pages[INDEX] = _Page("".join(f".. include:: /{FOLDER}/{name}\n\n" for name in sorted(pages)))
    return pages


def _devices(records: Sequence[Record]) -> str:
    names = dict.fromkeys(record["gpu"] for record in records if record.get("gpu"))
    return "".join(f"{name}, host " for name in names)


def _page(path: Path, stem: str) -> _Page:
    parts = []
    figures = {}
    for title, records in group(read(path)).items():
        there = _tables.counted(records)
        summed = families.of(there[0]).headline(there) if there else "Nothing here could be run."
        hardware = records[0]["hardware"]
        threads = sorted({record["threads"] for record in records})
        dates = sorted(record["date"][:10] for record in records)
        commits = dict.fromkeys(record["commit"] for record in records if record.get("commit"))
        place = (
            f"{_devices(records)}{hardware['cpu']}, {hardware['cores']} cores, threads {', '.join(map(str, threads))}; "
            f"recorded {dates[-1]}" + (f" at {', '.join(commits)}" if commits else "") + "."
        )
        parts.append(f"{title}\n{'^' * len(title)}\n\n{summed} {place}\n")
        for figure in families.of(there[0]).documented(there) if there else []:
            file = f"{stem}-{figure.name}.png"
            figures[file] = figure.png
            caption = _tables.escape(f"{figure.title}. {figure.hint}")
            parts.append(f".. figure:: /{STATIC}/{file}\n   :alt: {figure.alt}\n\n   {caption}\n")
        parts += [_tables.as_rst(table) for table in families.tables(records)]
    return _Page("\n".join(parts), figures)
