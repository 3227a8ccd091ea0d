"""The page: one self-contained HTML file with figures, tables and the circumstances of the runs."""

import base64
import datetime
import html
import os
from collections.abc import Sequence
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from numopt import __version__
from numopt.bench import _plots, _tables, families
from numopt.bench._records import Record

LONG_TABLE = 40
"""Tables with more rows start folded."""

PROSE = 40
"""Cells with more characters are text that may wrap."""

Place = tuple[str, str | None, str, str]
Part = tuple[Place, str, str]


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
    sections = [_section(index, title, members) for index, (title, members) in enumerate(groups.items())]
    css = resources.files("numopt.bench").joinpath("report.css").read_text(encoding="utf-8")
    links = "".join(f'<a href="#s{i}">{_text(title)}</a>' for i, title in enumerate(groups))
    page = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>numopt benchmark report</title>\n<style>\n{css}</style>\n</head>\n<body>\n"
        f"<header><h1>numopt benchmark report</h1>"
        f"<p>numopt {_text(__version__)}, written {datetime.datetime.now(datetime.UTC):%d %B %Y, %H:%M} UTC. "
        "Every solver ran in a process of its own; every answer was judged anew in double precision, outside the "
        "solver, in the same way for all.</p>"
        + (f'<nav aria-label="Sections">{links}</nav>' if len(groups) > 1 else "")
        + "</header>\n<main>\n"
        + "\n".join(sections)
        + "\n</main>\n</body>\n</html>\n"
    )
    Path(path).write_text(page, encoding="utf-8")


def group(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Split records into what belongs into one table, by title.

    Case, suite, mode and machine make a title; family and device only where they tell two parts apart.
    """
    parts: dict[Part, list[Record]] = {}
    for record in records:
        place = (record["case"], record["suite"], record["mode"], record["machine"])
        parts.setdefault((place, record.get("family") or families.DEFAULT, record["device"]), []).append(record)
    groups: dict[str, list[Record]] = {}
    for (place, family, device), members in parts.items():
        beside = [(f, d) for other, f, d in parts if other == place]
        words = [family] if len({f for f, _ in beside}) > 1 else []
        words += [f"on {device}"] if len({d for _, d in beside}) > 1 else []
        groups[_title(*place, *words)] = members
    return groups


def _title(case: str, suite: str | None, mode: str, machine: str, *more: str) -> str:
    words = [case, *([suite] if suite else []), *([f"{mode} mode"] if mode != "practical" else []), *more]
    return ", ".join([" ".join(words), *([machine] if machine != "local" else [])])


def _section(index: int, title: str, records: Sequence[Record]) -> str:
    there = _tables.counted(records)
    parts = [f'<section id="s{index}">', f"<h2>{_text(title)}</h2>"]
    if there:
        family = families.of(there[0])
        overview, *tables = family.page_tables(there)
        drawn = family.figures(there) if find_spec("matplotlib") else []
        parts += [f'<p class="headline">{_text(family.headline(there))}</p>', _cards(family.cards(there))]
        parts += [_circumstances(there), _table(overview)]
        parts.append(f'<div class="figures">{"".join(map(_figure, drawn)) or "Figures need matplotlib."}</div>')
        parts += map(_table, tables)
    failed = _tables.otherwise(records)
    parts += [_table(failed)] if failed.rows else []
    return "\n".join([*parts, "</section>"])


def _cards(cards: Sequence[families.Card]) -> str:
    """A card for each solver: problems solved as a bar, and a remark."""
    shown = []
    for card in cards:
        share = card.solved / card.total
        color = _plots.style_of(card.solver)["color"]
        shown.append(
            f'<li class="card" style="--solver:{color}"><h3>{_text(card.solver)}</h3>'
            f'<p class="big">{card.solved}<small> of {card.total} solved</small></p>'
            f'<div class="bar" role="img" aria-label="{share:.0%} solved">'
            f'<i style="width:{100 * share:.1f}%"></i></div>'
            f"<p>{_text(card.note)}</p></li>"
        )
    return f'<ul class="cards" aria-label="Solvers">{"".join(shown)}</ul>'


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


def _table(table: _tables.Table) -> str:
    """Cells carry the table's marks, or are known as prose by their length."""
    marks = table.marks or [["prose" if len(text) > PROSE else "" for text in row] for row in table.rows]
    hint = f"<span>{_text(table.note)}</span>" if table.note else ""
    top = "".join(f'<th scope="col">{_text(name)}</th>' for name in table.head)
    lines = []
    for row, words in zip(table.rows, marks, strict=True):
        cells = [
            f'<td class="{word}">{_text(text)}</td>' if word else f"<td>{_text(text)}</td>"
            for text, word in zip(row[1:], words[1:], strict=True)
        ]
        lines.append(f'<tr><th scope="row">{_text(row[0])}</th>{"".join(cells)}</tr>')
    shown = (
        f'<div class="scroll" tabindex="0"><table><caption>{_text(table.caption)}{hint}</caption>'
        f"<thead><tr>{top}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )
    if len(table.rows) > LONG_TABLE:
        return f"<details><summary>{_text(table.caption)} ({len(table.rows)} rows)</summary>{shown}</details>"
    return shown


def _text(value: object) -> str:
    return html.escape(str(value), quote=False)
