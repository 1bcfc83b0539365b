"""junit.xml: the checks as test cases, for the CI systems that list them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement, indent, tostring

if TYPE_CHECKING:
    from rondo.proof.report.runfile import CheckResult, Run

_OUTCOMES = {"FAIL": "failure", "INVALID": "error", "SKIPPED": "skipped"}
# What a server said is quoted in sentences; XML has no way to say these at all.
_UNSAYABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(run: Run) -> str:
    """Return a test suite with one case for each check."""
    counted = dict.fromkeys(_OUTCOMES.values(), 0)
    suite = Element("testsuite", name=f"rondo proof of {_said(run.load.host)}")
    for check in run.checks:
        case = SubElement(suite, "testcase", classname="rondo.proof", name=_said(check.key))
        if kind := _OUTCOMES.get(check.status):
            counted[kind] += 1
            _outcome(case, kind, check)
    suite.attrib.update(
        tests=str(len(run.checks)),
        failures=str(counted["failure"]),
        errors=str(counted["error"]),
        skipped=str(counted["skipped"]),
        time=f"{run.ended - run.began:.3f}",
        timestamp=datetime.fromtimestamp(run.began, UTC).strftime("%Y-%m-%dT%H:%M:%S"),
    )
    SubElement(suite, "system-out").text = _said(run.sentence)
    indent(suite)
    return f"<?xml version='1.0' encoding='UTF-8'?>\n{tostring(suite, encoding='unicode')}\n"


def _outcome(case: Element, kind: str, check: CheckResult) -> None:
    found = SubElement(case, kind, message=_said(check.sentence))
    told = (f"expected: {check.expected}", f"observed: {check.observed}", f"bound: {check.bound}")
    found.text = _said("\n".join((*told, *check.details)))


def _said(text: str) -> str:
    return _UNSAYABLE.sub("\ufffd", text)
