import contextlib
import logging
import subprocess
import sys

from numopt._core.progress import Progress


@contextlib.contextmanager
def bare_logging(*root_handlers):
    """Logging as a fresh process has it; pytest's own handlers, put on the root logger for each test, are set aside."""
    root, log = logging.getLogger(), logging.getLogger("numopt")
    kept = root.handlers, log.handlers, log.level
    root.handlers, log.handlers = list(root_handlers), []
    log.setLevel(logging.NOTSET)
    try:
        yield log
    finally:
        root.handlers, log.handlers = kept[:2]
        log.setLevel(kept[2])


def show(verbose, lines=3):
    with Progress(verbose, "demo", 10) as progress:
        for nit in range(lines):
            progress.update(nit, {"kkt": 0.1**nit, "fun": 1.0})


def test_silent(capfd, caplog):
    show(0)
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []


def test_silent_run_imports_no_tqdm():
    code = "import sys; from numopt._core import loop, progress; assert 'tqdm' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_bar_goes_to_stderr_and_closes(capfd):
    show(1)
    out, err = capfd.readouterr()
    assert out == ""
    assert "demo" in err
    assert "kkt 1.00e-02" in err
    assert err.endswith("\n")


def test_bar_counts_iterations_after_a_resume(capfd):
    with Progress(1, "demo", 10) as progress:
        progress.update(7, {"kkt": 1.0})
    assert "7/10" in capfd.readouterr().err


def test_lines_go_through_the_logger(caplog):
    show(2)
    assert [record.name for record in caplog.records] == ["numopt"] * 4
    assert caplog.messages[0].split() == ["demo", "nit", "kkt", "fun"]
    assert caplog.messages[3].split() == ["demo", "2", "1.0000e-02", "1.0000e+00"]
    assert len(set(map(len, caplog.messages))) == 1


def test_titles_repeat(caplog):
    show(2, lines=41)
    assert sum("nit" in message for message in caplog.messages) == 3


def test_handler_is_attached_where_none_is_configured(capfd):
    with bare_logging() as log:
        show(2)
        show(2)
        assert len(log.handlers) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("demo") == 8


def test_no_handler_is_attached_where_one_is_configured(capfd):
    seen = []
    handler = logging.Handler()
    handler.emit = seen.append
    with bare_logging(handler) as log:
        show(2)
        assert log.handlers == []
    assert len(seen) == 4
    assert capfd.readouterr().err == ""


def test_a_later_configuration_takes_over(capfd):
    with bare_logging():
        show(2)
        assert capfd.readouterr().err.count("demo") == 4
        logging.getLogger().addHandler(logging.NullHandler())
        show(2)
        assert capfd.readouterr().err == ""


def test_level_set_by_the_user_is_kept(capfd):
    with bare_logging() as log:
        log.setLevel(logging.ERROR)
        show(2)
    assert capfd.readouterr().err == ""


def test_no_stderr_is_no_error(monkeypatch):
    with bare_logging():
        monkeypatch.setattr(sys, "stderr", None)
        show(2)
