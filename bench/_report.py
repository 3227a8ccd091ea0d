"""The page: one self-contained HTML file with figures, tables and the circumstances of the runs."""

import base64
import datetime
import html
import os
import statistics
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from numopt import __version__
from numopt.bench import _plots, _tables
from numopt.bench._profiles import TIMER_RESOLUTION
from numopt.bench._records import Record

LONG_TABLE = 40
"""Tables with more rows start folded."""

PROSE = 40
"""Cells with more characters are text that may wrap."""

Group = tuple[str, str | None, str, str]


def write_report(records: Sequence[Record], path: str | os.PathLike[str]) -> None:
    """Write the page of these records, one section for each case, suite, mode and machine.

    Raises
    ------
    ValueError
        If there is no record.
    """
    if not records:
        raise ValueError("no records to report.")
    groups = group(records)
    sections = [_section(index, key, members) for index, (key, members) in enumerate(groups.items())]
    css = resources.files("numopt.bench").joinpath("report.css").read_text(encoding="utf-8")
    links = "".join(f'<a href="#s{i}">{_text(title_of(key))}</a>' for i, key in enumerate(groups))
    page = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>numopt benchmark report</title>\n<style>\n{css}</style>\n</head>\n<body>\n"
        f"<header><h1>numopt benchmark report</h1>"
        f"<p>numopt {_text(__version__)}, written {datetime.datetime.now(datetime.UTC):%d %B %Y, %H:%M} UTC. "
        "Every solver ran in a process of its own; the KKT norm of every answer was recomputed in double precision, "
        "outside the solver, in the same way for all.</p>"
        + (f'<nav aria-label="Sections">{links}</nav>' if len(groups) > 1 else "")
        + "</header>\n<main>\n"
        + "\n".join(sections)
        + "\n</main>\n</body>\n</html>\n"
    )
    Path(path).write_text(page, encoding="utf-8")


def group(records: Sequence[Record]) -> dict[Group, list[Record]]:
    """Split records into what belongs into one table."""
    groups: dict[Group, list[Record]] = {}
    for record in records:
        key = (record["case"], record["suite"], record["mode"], record["machine"])
        groups.setdefault(key, []).append(record)
    return groups


def title_of(key: Group) -> str:
    """Heading of a section."""
    case, suite, mode, machine = key
    words = [case, *([suite] if suite else []), *([f"{mode} mode"] if mode != "practical" else [])]
    return ", ".join([" ".join(words), *([machine] if machine != "local" else [])])


def headline(records: Sequence[Record]) -> str:
    """One sentence with the outcome."""
    tol = _tables.default_tol(records)
    grid = _tables.cells(records, tol)
    counts = {
        solver: sum(row[solver].solved() == row[solver].runs for row in grid.values() if solver in row)
        for solver in _tables.solvers_of(records)
    }
    best = max(counts.values())
    said = ", ".join(f"{solver} {count}" for solver, count in counts.items())
    leaders = [solver for solver, count in counts.items() if count == best]
    return (
        f"Of {len(grid)} problems, solved to a KKT norm of {tol}: {said}. "
        f"Most: {' and '.join(leaders) if len(leaders) < 3 else f'{len(leaders)} solvers alike'}."
    )


def _section(index: int, key: Group, records: Sequence[Record]) -> str:
    there = _tables.counted(records)
    parts = [f'<section id="s{index}">', f"<h2>{_text(title_of(key))}</h2>"]
    if there:
        parts += [f'<p class="headline">{_text(headline(there))}</p>', _cards(there), _circumstances(there)]
        parts.append(_plain_table(_tables.summary(there)))
        figures = "".join(_figure(figure) for figure in _plots.figures(there))
        parts.append(f'<div class="figures">{figures or "Figures need matplotlib."}</div>')
        parts += [_plain_table(table) for table in _tables.against_published(there)]
        parts.append(_problem_table(there))
        parts += [_plain_table(_tables.accuracy(there))] if _tables.is_race(there) else []
    failed = _tables.otherwise(records)
    parts += [_plain_table(failed)] if failed.rows else []
    return "\n".join([*parts, "</section>"])


def _cards(records: Sequence[Record]) -> str:
    """A card for each solver: problems solved as a bar, and its median time."""
    tol = _tables.default_tol(records)
    grid = _tables.cells(records, tol)
    cards = []
    for solver in _tables.solvers_of(records):
        column = [row[solver] for row in grid.values() if solver in row]
        done = [cell for cell in column if cell.solved() == cell.runs]
        times = [t for cell in done if (t := cell.median("seconds")) is not None]
        share = len(done) / len(column)
        median = _tables.duration(statistics.median(times) if times else None)
        color = _plots.style_of(solver)["color"]
        cards.append(
            f'<li class="card" style="--solver:{color}"><h3>{_text(solver)}</h3>'
            f'<p class="big">{len(done)}<small> of {len(column)} solved</small></p>'
            f'<div class="bar" role="img" aria-label="{share:.0%} solved">'
            f'<i style="width:{100 * share:.1f}%"></i></div>'
            f"<p>median time {_text(median)}</p></li>"
        )
    return f'<ul class="cards" aria-label="Solvers">{"".join(cards)}</ul>'


def _circumstances(records: Sequence[Record]) -> str:
    """Machine, versions, threads and limits, each value once."""
    facts: list[tuple[str, str]] = []

    def distinct(values: Sequence[Any]) -> str:
        return ", ".join(dict.fromkeys(str(value) for value in values if value not in (None, "")))

    hardware = [record["hardware"] for record in records]
    facts.append(("Processor", distinct([f"{h['cpu']}, {h['cores']} cores, {h['memory_gib']} GiB" for h in hardware])))
    facts.append(("Device", distinct([record.get("gpu") or record["device"] for record in records])))
    facts.append(("Threads", distinct([record["threads"] for record in records])))
    facts.append(("Time limit", distinct([f"{record['time_limit']:g} s" for record in records])))
    facts.append(("Timed solves a run", distinct([record["repeats"] for record in records])))
    versions: dict[str, str] = {}
    for record in records:
        versions.update(record["versions"])
    facts.append(("Versions", ", ".join(f"{name} {number}" for name, number in versions.items())))
    facts.append(("Commit", distinct([record.get("commit") for record in records]) or "installed copy"))
    dates = sorted(record["date"] for record in records)
    first, last = dates[0][:10], dates[-1][:10]
    facts.append(("Recorded", first if first == last else f"{first} to {last}"))
    for field, label in (("forced", "Forced settings"), ("unset", "Forced settings taken out")):
        found = {name: value for record in records for name, value in (record.get(field) or {}).items()}
        facts.append((label, ", ".join(f"{name}={value}" for name, value in found.items())))
    items = "".join(f"<div><dt>{_text(name)}</dt><dd>{_text(value)}</dd></div>" for name, value in facts if value)
    return f"<details><summary>Machine, versions and settings</summary><dl>{items}</dl></details>"


def _figure(figure: _plots.Figure) -> str:
    data = base64.b64encode(figure.png).decode("ascii")
    opening = '<figure class="wide">' if figure.wide else "<figure>"
    return (
        f"{opening}<figcaption>{_text(figure.title)}<span>{_text(figure.hint)}</span></figcaption>"
        f'<img src="data:image/png;base64,{data}" alt="{html.escape(figure.alt)}"></figure>'
    )


def _plain_table(table: _tables.Table) -> str:
    rows = [[(text, "prose" if len(text) > PROSE else "") for text in row] for row in table.rows]
    return _table(table.caption, table.head, rows, table.note)


def _problem_table(records: Sequence[Record]) -> str:
    """The table of problems, the fastest solves in bold, misses marked, other local minima starred."""
    table = _tables.problems(records)
    names = _tables.solvers_of(records)
    grid = _tables.cells(records)
    rows = []
    for line, row in zip(table.rows, grid.values(), strict=True):
        best = _fastest(row)
        lowest = _lowest(row)
        marked = [(text, "") for text in line[: -len(names)]]
        for text, name in zip(line[-len(names) :], names, strict=True):
            cell = row.get(name)
            if cell is None:
                marked.append(("", ""))
                continue
            solved, seconds = cell.solved() == cell.runs, cell.median("seconds")
            star = " *" if solved and _is_other_minimum(cell, lowest) else ""
            fast = solved and seconds is not None and best is not None and seconds - best <= TIMER_RESOLUTION
            marked.append((text + star, "best" if fast else "" if solved else "miss"))
        rows.append(marked)
    starred = any(text.endswith(" *") for row in rows for text, _ in row)
    note = "Bold: fastest, ties within 1 ms included."
    note += " *: another local minimum than the lowest one found." if starred else ""
    return _table(table.caption, table.head, rows, note)


def _fastest(row: Mapping[str, _tables.Cell]) -> float | None:
    times = [t for c in row.values() if c.solved() == c.runs and (t := c.median("seconds")) is not None]
    return min(times, default=None)


def _lowest(row: Mapping[str, _tables.Cell]) -> float | None:
    values = [f for c in row.values() if c.solved() == c.runs and (f := c.median("fun")) is not None]
    return min(values, default=None)


def _is_other_minimum(cell: _tables.Cell, lowest: float | None) -> bool:
    fun = cell.median("fun")
    return fun is not None and lowest is not None and fun - lowest > 1e-6 * max(1.0, abs(lowest))


def _table(caption: str, head: Sequence[str], rows: Sequence[Sequence[tuple[str, str]]], note: str = "") -> str:
    hint = f"<span>{_text(note)}</span>" if note else ""
    top = "".join(f'<th scope="col">{_text(name)}</th>' for name in head)
    lines = []
    for row in rows:
        (first, _), *rest = row
        body = "".join(
            f'<td class="{mark}">{_text(text)}</td>' if mark else f"<td>{_text(text)}</td>" for text, mark in rest
        )
        lines.append(f'<tr><th scope="row">{_text(first)}</th>{body}</tr>')
    table = (
        f'<div class="scroll" tabindex="0"><table><caption>{_text(caption)}{hint}</caption>'
        f"<thead><tr>{top}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )
    if len(rows) > LONG_TABLE:
        return f"<details><summary>{_text(caption)} ({len(rows)} rows)</summary>{table}</details>"
    return table


def _text(value: object) -> str:
    return html.escape(str(value), quote=False)
