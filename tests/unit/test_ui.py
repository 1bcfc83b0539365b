"""The operator's terminal: whole lines, aligned, without secrets or tricks."""

from __future__ import annotations

import io
import re
import threading
from dataclasses import dataclass

import pytest

from rondo.ui import Ui


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@dataclass(frozen=True)
class Value:
    """A secret value."""

    text: str

    def reveal(self) -> bytes:
        return self.text.encode()


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def ui(stream: io.StringIO) -> Ui:
    return Ui(stream)


class TestLines:
    def test_servers_are_aligned(self, ui: Ui, stream: io.StringIO) -> None:
        ui.align(["web-1", "database"])
        ui.step("web-1", "build backend")
        ui.line("database", "ready")
        ui.done("web-1", "build backend", 1.25)
        assert stream.getvalue() == (
            "web-1    | > build backend\ndatabase |   ready\nweb-1    | ok build backend (1.2 s)\n"
        )

    def test_each_line_of_several_has_its_prefix(self, ui: Ui, stream: io.StringIO) -> None:
        ui.step("a", "one\ntwo")
        assert stream.getvalue() == "a | > one\na | > two\n"

    def test_minutes_are_told_as_such(self, ui: Ui, stream: io.StringIO) -> None:
        ui.done("a", "build", 125)
        assert stream.getvalue() == "a | ok build (2 min 5 s)\n"

    def test_a_progress_bar_is_its_last_state(self, ui: Ui, stream: io.StringIO) -> None:
        ui.line("a", "10 %\r50 %\r100 %\r")
        assert stream.getvalue() == "a |   100 %\n"

    def test_tables_are_aligned_without_trailing_space(self, ui: Ui, stream: io.StringIO) -> None:
        ui.table([("server", "slot", ""), ("web-1", "backend-1", ""), ("x", 2, "new")])
        assert stream.getvalue() == "server  slot\nweb-1   backend-1\nx       2          new\n"

    def test_an_empty_table_is_nothing(self, ui: Ui, stream: io.StringIO) -> None:
        ui.table([])
        assert stream.getvalue() == ""

    def test_warnings_and_errors_go_to_standard_error(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        ui = Ui()
        ui.note("a note")
        ui.warn("a warning")
        ui.error("an error")
        assert capsys.readouterr() == ("a note\n", "warning: a warning\nan error\n")

    def test_lines_of_many_threads_stay_whole(self, ui: Ui, stream: io.StringIO) -> None:
        def say(name: str) -> None:
            for number in range(200):
                ui.line(name, f"{name * 40} {number}")

        threads = [threading.Thread(target=say, args=(name,)) for name in "abcdef"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        lines = stream.getvalue().splitlines()
        assert len(lines) == 1200
        assert all(re.fullmatch(r"(\w) \|   \1{40} \d+", line) for line in lines)


class TestCleaning:
    def test_registered_values_are_never_printed(self, ui: Ui, stream: io.StringIO) -> None:
        ui.redact([Value("open-sesame")])
        ui.redact([Value("hunter-2-hunter")])
        ui.note("password open-sesame")
        ui.error("or hunter-2-hunter")
        ui.line("a", "b3Blbi1zZXNhbWU=")
        ui.table([("x",), ("open-sesame",)])
        assert "sesame" not in stream.getvalue()
        assert "hunter" not in stream.getvalue()
        assert "b3Blbi1zZXNhbWU" not in stream.getvalue()

    def test_a_value_cannot_hide_between_control_characters(
        self, ui: Ui, stream: io.StringIO
    ) -> None:
        ui.redact([Value("open-sesame")])
        ui.line("a", "open\x1b[1m-ses\x00ame")
        assert "sesame" not in stream.getvalue()

    @pytest.mark.parametrize(
        "trick",
        [
            "\x1b[2J",
            "\x1b]0;title\x07",
            "\x1b]8;;http://x\x1b\\",
            "\x1bc",
            "\x07",
            "\x9b2J",
            "\x7f",
        ],
        ids=["clear", "title", "link", "reset", "bell", "C1", "delete"],
    )
    def test_servers_cannot_play_with_the_terminal(
        self, ui: Ui, stream: io.StringIO, trick: str
    ) -> None:
        ui.line("a", f"one{trick}two")
        assert stream.getvalue() == "a |   onetwo\n"


class TestTerminal:
    @pytest.fixture(autouse=True)
    def _terminal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.delenv("NO_COLOR", raising=False)

    def test_colours_are_for_terminals(self) -> None:
        stream = Terminal()
        Ui(stream, live=False).error("it failed")
        assert stream.getvalue() == "\x1b[31mit failed\x1b[0m\n"

    def test_no_color_is_heeded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NO_COLOR", "1")
        stream = Terminal()
        Ui(stream, live=False).error("it failed")
        assert stream.getvalue() == "it failed\n"

    def test_what_goes_on_is_a_last_line_that_makes_room_for_others(self) -> None:
        stream = Terminal()
        ui = Ui(stream, colour=False)
        ui.step("a", "build")
        ui.line("a", "fetching")
        ui.done("a", "build", 1)
        ui.close()
        assert stream.getvalue() == (
            "a | > build\na: build 0.0 s"
            "\r\x1b[Ka |   fetching\na: build 0.0 s"
            "\r\x1b[Ka | ok build (1.0 s)\n"
        )

    def test_it_is_never_longer_than_the_terminal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COLUMNS", "40")
        stream = Terminal()
        ui = Ui(stream, colour=False)
        ui.step("a", "b" * 100)
        ui.close()
        assert re.search(r"\n(a: b+)\r\x1b\[K$", stream.getvalue())[1] == "a: " + "b" * 36

    def test_an_error_of_a_server_ends_what_went_on_there(self) -> None:
        stream = Terminal()
        ui = Ui(stream, colour=False)
        ui.step("a", "build")
        ui.error("a: build failed")
        assert stream.getvalue().endswith("\r\x1b[Ka: build failed\n")
