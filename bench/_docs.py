"""Tables of the documentation, written from recorded runs and compared with them in CI."""

import os
from collections.abc import Sequence
from pathlib import Path

from numopt.bench import _tables, families
from numopt.bench._records import Record, read
from numopt.bench._report import group

FOLDER = "_tables"
INDEX = "index.rst"


def write_docs_tables(
    results_dir: str | os.PathLike[str], docs_dir: str | os.PathLike[str], *, check: bool = False
) -> list[str]:
    """Write ``docs/_tables/<machine>-<file>.rst`` for every results file, and an index that includes them all.

    Parameters
    ----------
    results_dir : path
        Folder of ``<machine>/<case>.jsonl`` (or ``.jsonl.gz``).
    docs_dir : path
        Folder of the documentation.
    check : bool, default False
        Compare only, write nothing.

    Returns
    -------
    list of str
        Names of the files that were written, or with `check` of those that differ (stale ones included).

    Notes
    -----
    The text depends on the records alone, not on the time or place of writing.
    """
    target = Path(docs_dir) / FOLDER
    wanted = _pages(Path(results_dir))
    present = {path.name: path.read_text(encoding="utf-8") for path in target.glob("*.rst")}
    changed = sorted(name for name in wanted.keys() | present.keys() if wanted.get(name) != present.get(name))
    if not check:
        target.mkdir(parents=True, exist_ok=True)
        for name in changed:
            if name in wanted:
                (target / name).write_text(wanted[name], encoding="utf-8")
            else:
                (target / name).unlink()
    return changed


def _pages(results: Path) -> dict[str, str]:
    pages = {}
    for path in sorted([*results.glob("*/*.jsonl"), *results.glob("*/*.jsonl.gz")]):
        name = f"{path.parent.name}-{path.name.split('.')[0]}.rst"
        if path.parent.name != "local":  # runs of a working copy are nobody's reference
            pages[name] = _page(path)
    pages[INDEX] = "".join(f".. include:: /{FOLDER}/{name}\n\n" for name in sorted(pages))
    return pages


def _devices(records: Sequence[Record]) -> str:
    names = dict.fromkeys(record["gpu"] for record in records if record.get("gpu"))
    return "".join(f"{name}, host " for name in names)


def _page(path: Path) -> str:
    parts = []
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
        parts += [_tables.as_rst(table) for table in families.tables(records)]
    return "\n".join(parts)
