"""The log's lines and files."""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
from pathlib import Path
from unittest import TestCase, mock

from django.core.exceptions import ImproperlyConfigured

from shop import environment
from shop.logs import JSONFormatter, SharedRotatingHandler


def record(message: str, **extra: object) -> logging.LogRecord:
    made = logging.makeLogRecord({"msg": message, "levelname": "INFO", "name": "test"})
    vars(made).update(extra)
    return made


class FormatterTest(TestCase):
    def test_a_line_holds_the_message_and_the_extras(self):
        line = json.loads(JSONFormatter().format(record("order placed", order="FW-1")))
        self.assertEqual((line["message"], line["order"]), ("order placed", "FW-1"))

    def test_an_exception_stays_on_one_line(self):
        try:
            raise ValueError("no")
        except ValueError:
            text = JSONFormatter().format(record("failed", exc_info=sys.exc_info()))
        self.assertNotIn("\n", text)
        self.assertIn("ValueError: no", json.loads(text)["exception"])


class RotationTest(TestCase):
    def test_four_processes_share_a_file_that_rotates_and_no_line_is_lost(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "shop.log"
            children = [self._write(str(path), writer) for writer in range(4)]
            for child in children:
                self.assertEqual(os.waitpid(child, 0)[1], 0)
            files = [file for file in Path(folder).iterdir() if file.suffix != ".lock"]
            lines = [line for file in files for line in file.read_text().splitlines()]
            self.assertGreater(len(files), 3)
            self.assertEqual(
                sorted(lines), sorted(f"{w} {n}" for w in range(4) for n in range(500))
            )

    def _write(self, path: str, writer: int) -> int:
        child = os.fork()
        if child:
            return child
        try:
            handler = SharedRotatingHandler(path, max_bytes=1000, keep=100)
            for number in range(500):
                handler.emit(record(f"{writer} {number}"))
        except BaseException:
            os._exit(1)
        os._exit(0)


class EnvironmentTest(TestCase):
    def test_a_secret_comes_from_the_file_before_the_variable(self):
        with tempfile.NamedTemporaryFile("w") as file:
            file.write("from-file\n")
            file.flush()
            variables = {"PASSWORD": "from-variable", "PASSWORD_FILE": file.name}
            with mock.patch.dict(os.environ, variables):
                self.assertEqual(environment.secret("PASSWORD"), "from-file")

    def test_a_named_file_that_is_missing_is_an_error_that_names_it(self):
        with mock.patch.dict(os.environ, {"PASSWORD_FILE": "/nowhere/password"}):
            with self.assertRaisesRegex(ImproperlyConfigured, "/nowhere/password"):
                environment.secret("PASSWORD")

    def test_a_flag_that_is_neither_yes_nor_no_is_an_error(self):
        with mock.patch.dict(os.environ, {"SHOP_DRILLS": "maybe"}):
            with self.assertRaisesRegex(ImproperlyConfigured, "SHOP_DRILLS"):
                environment.flag("SHOP_DRILLS")
