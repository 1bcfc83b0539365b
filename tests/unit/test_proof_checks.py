"""What does not fit together in an inventory's proof section."""

from __future__ import annotations

import pytest
import yaml
from inventories import ONE_NAME

from rondo.checks import check
from rondo.inventory import Inventory
from rondo.problems import dotted

STEP = "proof.scenario.a.steps[{}]"
ONE_OF = "a step has one of get, post, put, patch, delete, with its path"
CASES = {
    "nothing": ("{}", []),
    "all that may be": (
        """{site: shop, scenario: {a: {steps: [
          {get: /list, assets: true, save: {item: "list.*.id"}},
          {post: "/{item}/{user}", headers: {X-Key: "{uuid}"}, body: {n: "{number:1:20}"}},
          {delete: "/{item}", body: "{run}"}]}}}""",
        [],
    ),
    "unknown site": ("{site: shp}", ["proof.site: shp is no site; did you mean shop?"]),
    "no method": (
        "{scenario: {a: {steps: [{status: 200}]}}}",
        [f"{STEP.format(0)}: asks for nothing; {ONE_OF}"],
    ),
    "two methods": (
        "{scenario: {a: {steps: [{get: /, post: /}]}}}",
        [f"{STEP.format(0)}: has get and post; {ONE_OF}"],
    ),
    "body of a get": (
        "{scenario: {a: {steps: [{get: /, body: x}]}}}",
        [f"{STEP.format(0)}.body: is sent by no GET; remove it, or give post instead"],
    ),
    "assets of a post": (
        "{scenario: {a: {steps: [{post: /, assets: true}]}}}",
        [f"{STEP.format(0)}.assets: are named by pages, which come with get"],
    ),
    "own headers": (
        "{scenario: {a: {steps: [{get: /, headers: {Host: x, X-Rondo-Run: y, X-Mine: z}}]}}}",
        [
            f"{STEP.format(0)}.headers.{name}: is a header that the load generator sets itself;"
            " remove it"
            for name in ("Host", "X-Rondo-Run")
        ],
    ),
    "used before it is saved": (
        """{scenario: {a: {steps: [
          {get: "/{item}", save: {item: id}}, {get: "/{item}"}]}}}""",
        [
            (
                f"{STEP.format(0)}.get: no step before this one saves {{item}};"
                " there are run, user, uuid, number:1:20"
            )
        ],
    ),
    "saved by other users": (
        """{scenario: {b: {steps: [{get: /, save: {item: id}}]},
          a: {steps: [{post: /, body: [{x: "a {items}"}]}]}}}""",
        [
            (
                f"{STEP.format(0)}.body: no step before this one saves {{items}};"
                " there are run, user, uuid, number:1:20"
            )
        ],
    ),
    "nearly what is saved": (
        """{scenario: {a: {steps: [{get: /, save: {item: id}},
          {get: /, headers: {X-A: "{itm}"}}]}}}""",
        [
            (
                f"{STEP.format(1)}.headers.X-A: no step before this one saves {{itm}};"
                " did you mean item?"
            )
        ],
    ),
    "numbers the wrong way round": (
        '{scenario: {a: {steps: [{get: "/{number:9:1}"}]}}}',
        [
            (
                f"{STEP.format(0)}.get: {{number:9:1}} has its larger number first;"
                " give the smaller first"
            )
        ],
    ),
    "no range": (
        '{scenario: {a: {steps: [{get: "/{number:9}"}]}}}',
        [
            (
                f"{STEP.format(0)}.get: {{number:9}} is no range of numbers;"
                " write it like {number:1:20}"
            )
        ],
    ),
    "saved badly": (
        '{scenario: {a: {steps: [{get: /, save: {uuid: id, b: "a..c"}}]}}}',
        [
            (
                f"{STEP.format(0)}.save.uuid: {{uuid}} has a value of its own already;"
                " save under another name"
            ),
            (
                f"{STEP.format(0)}.save.b: is no path into a JSON answer;"
                " write it like products.*.slug"
            ),
        ],
    ),
}


@pytest.mark.parametrize(("proof", "expected"), CASES.values(), ids=CASES.keys())
def test_what_does_not_go_together_in_a_proof_is_told(proof: str, expected: list[str]) -> None:
    inventory = Inventory.model_validate({**ONE_NAME, "proof": yaml.safe_load(proof)})
    found = [f"{dotted(problem.path)}: {problem.message}" for problem in check(inventory)]
    assert found == expected
