"""Tables from recorded runs."""

import pytest

from numopt.bench import _tables, families
from numopt.bench.families.equality import _tables as equality
from tests.bench.made_records import failed, made, table


def test_problem_table_shows_iterations_and_time_or_what_was_reached():
    shown = equality.problems(table())
    assert shown.head == ["problem", "n", "m", "numopt", "slsqp"]
    assert shown.rows[0] == ["p", "3", "1", "7 / 10 ms", "7 / 20 ms"]
    assert shown.rows[1][3:] == ["7 / 500 ms", "(3.0e-06)"]
    assert shown.rows[2][3:] == ["7 / 1.5 s", "time limit"]


def test_summary_counts_at_each_level_and_takes_medians_over_the_solved():
    rows = {row[0]: row for row in equality.summary(table()).rows}
    assert rows["numopt"][1:6] == ["3/3", "3/3", "3/3", "500 ms", "2.01 s"]
    assert rows["slsqp"][1:6] == ["2/3", "1/3", "1/3", "20 ms", "20 ms"]


def test_seeds_enter_by_their_median():
    runs = [made("p", "numopt-rk", mode="paper", seed=s, nit=s, kkt=1e-5) for s in (1, 5, 6)]
    (row,) = equality.problems(runs).rows
    assert row[3] == "5 / 10 ms"
    runs[0]["solved"] = {"1e-4": False, "1e-6": False, "1e-8": False}
    (row,) = equality.problems(runs).rows
    assert row[3] == "2 of 3: 5 / 10 ms"


def test_absent_problems_and_peers_are_listed_but_not_counted():
    absent = [failed("gone", s, "not available", "KeyError: gone") for s in ("numopt", "slsqp")]
    summary, *_, otherwise = families.tables([*table(), *absent])
    assert summary.rows[0][1] == "3/3"
    assert ["gone", "numopt", "1", "not available", "KeyError: gone"] in otherwise.rows
    assert ["r", "slsqp", "1", "time limit", "Killed after 10 s."] in otherwise.rows


def test_paper_runs_are_compared_with_the_published_counts():
    expected = equality.published()["cutest"]["problems"]["BT9"]
    assert (expected["gv"], expected["rk"]) == (12, 11)
    runs = [
        made("BT9", "numopt-rk", case="cutest", suite="paper47", mode="paper", seed=s, nit=nit, kkt=1e-5)
        for s, nit in enumerate((13, 13, 14))
    ]
    runs.append(made("HS6", "numopt-rk", case="cutest", suite="paper47", mode="paper", seed=0, nit=12, kkt=1e-5))
    (shown,) = equality.against_published(runs)
    assert shown.rows == [["BT9", "11", "13", "3/3", "yes"], ["HS6", "9", "12", "1/1", "no"]]
    assert shown.caption.startswith("numopt-rk: 1 of 2 medians within 2")


def test_published_sets_are_complete_and_name_their_source():
    sets = equality.published()
    assert {name: len(part["problems"]) for name, part in sets.items()} == {
        "cutest": 47, "libsvm-constrained": 7, "pde": 1, "ot-paper": 3, "linear-paper": 4, "coordinate-paper": 37,
    }  # fmt: skip
    sources = {"ot-paper": "ICLR 2024", "linear-paper": "ICLR 2024", "coordinate-paper": "JMLR 2022"}
    assert all(sources.get(name, "AdaSketch-Newton") in part["source"] for name, part in sets.items())


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "-"), (2e-5, "20 us"), (0.0123, "12.3 ms"), (1.0, "1 s"), (123.4, "123 s")]
)
def test_durations_keep_three_digits(seconds: float | None, text: str):
    assert _tables.duration(seconds) == text


def test_text_table_is_aligned():
    lines = _tables.as_text(equality.summary(table())).splitlines()
    assert len({len(line) for line in lines[1:]}) == 1


def test_rst_table_escapes_markup():
    text = _tables.as_rst(_tables.Table("a_b", ["h*"], [["x|y"]]))
    assert text == ".. list-table:: a\\_b\n   :header-rows: 1\n\n   * - h\\*\n   * - x\\|y\n"


def test_messages_with_line_breaks_stay_in_their_cell():
    broken = failed("p", "slsqp", status="error", message="first line\n  second line")
    assert _tables.otherwise([broken]).rows[0][-1] == "first line second line"
