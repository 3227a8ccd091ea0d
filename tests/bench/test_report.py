"""The page and the tables of the documentation."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from numopt.bench import _docs, _records, _report
from tests.bench.made_records import failed, made, table


class Page(HTMLParser):
    """Collects what the tests look at, and checks that tags nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.images: list[dict[str, str | None]] = []
        self.links: list[str] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.images.append(dict(attrs))
        if tag not in ("meta", "img", "br", "link"):
            self.open.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def page(tmp_path: Path, records: list[_records.Record]) -> Page:
    _report.write_report(records, tmp_path / "r.html")
    parsed = Page((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert parsed.open == []
    return parsed


def test_page_needs_no_other_file_and_every_image_has_a_text(tmp_path: Path):
    pytest.importorskip("matplotlib")
    shown = page(tmp_path, table())
    assert len(shown.images) == 5
    for image in shown.images:
        assert (image["src"] or "").startswith("data:image/png;base64,")
        assert len(image["alt"] or "") > 40
    assert all(link.startswith(("data:", "#")) for link in shown.links)
    assert not re.search(r"@import|url\(|<script|<link", (tmp_path / "r.html").read_text(encoding="utf-8"))


def test_page_says_how_many_were_solved_and_what_failed(tmp_path: Path):
    text = " ".join(page(tmp_path, table()).text)
    assert "Of 3 problems, solved to a KKT norm of 1e-8: numopt 3, slsqp 1. Most: numopt." in text
    assert "Killed after 10 s." in text
    assert "Test CPU, 2 cores" in text


def test_text_from_solvers_cannot_become_markup(tmp_path: Path):
    records = [*table(), failed("<b>p</b>", "numopt", "error", "<script>alert(1)</script>")]
    raw = page(tmp_path, records)
    assert "<script>alert(1)</script>" in "".join(raw.text)


def test_each_case_suite_and_mode_has_a_section(tmp_path: Path):
    records = [
        *table(),
        made("HS6", "numopt", case="cutest", suite="paper47"),
        made("HS6", "numopt-rk", case="cutest", suite="paper47", mode="paper", seed=0),
        failed("HS6", "numopt", "not available", "no data") | {"case": "pde"},
    ]
    page(tmp_path, records)
    raw = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert re.findall(r"<h2>(.*?)</h2>", raw) == ["quick", "cutest paper47", "cutest paper47 paper mode", "pde"]


def test_other_local_minima_are_starred_and_the_fastest_is_bold(tmp_path: Path):
    records = [made("p", "numopt", seconds=0.1, fun=1.0), made("p", "slsqp", seconds=0.2, fun=1.5)]
    page(tmp_path, records)
    raw = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert '<td class="best">7 / 100 ms</td><td>7 / 200 ms *</td>' in raw


def test_nothing_to_report_is_an_error(tmp_path: Path):
    with pytest.raises(ValueError, match="no records"):
        _report.write_report([], tmp_path / "r.html")


def recorded(folder: Path) -> Path:
    results = folder / "results"
    for machine in ("box", "local"):
        with _records.Log(results / machine / "quick.jsonl") as log:
            for record in table():
                log.append({**record, "machine": machine})
    return results


def test_docs_tables_follow_the_recorded_runs(tmp_path: Path):
    results, docs = recorded(tmp_path), tmp_path / "docs"
    assert _docs.write_docs_tables(results, docs) == ["box-quick.rst", "index.rst"]
    assert _docs.write_docs_tables(results, docs, check=True) == []
    page = (docs / "_tables" / "box-quick.rst").read_text(encoding="utf-8")
    assert "numopt 3, slsqp 1" in page
    assert ".. list-table:: Problems" in page
    index = (docs / "_tables" / "index.rst").read_text(encoding="utf-8")
    assert index == ".. include:: /_tables/box-quick.rst\n\n"


def test_docs_check_names_what_differs_and_writes_nothing(tmp_path: Path):
    results, docs = recorded(tmp_path), tmp_path / "docs"
    _docs.write_docs_tables(results, docs)
    edited = docs / "_tables" / "box-quick.rst"
    edited.write_text("by hand", encoding="utf-8")
    (docs / "_tables" / "old.rst").write_text("stale", encoding="utf-8")
    assert _docs.write_docs_tables(results, docs, check=True) == ["box-quick.rst", "old.rst"]
    assert edited.read_text(encoding="utf-8") == "by hand"
    _docs.write_docs_tables(results, docs)
    assert not (docs / "_tables" / "old.rst").exists()
