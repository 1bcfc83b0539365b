"""What -H means in an inventory."""

from __future__ import annotations

import pytest

from rondo.errors import InputError
from rondo.inventory import Inventory
from rondo.session import Selection, choose
from rondo.target import parse

INVENTORY = Inventory.model_validate(
    {
        "project": "shop",
        "servers": {
            "web-1": {"address": "10.0.0.1", "groups": ["web"]},
            "web-2": {"address": "web-2.example.com", "port": 2222, "groups": ["web"]},
            "db": {"address": "fd00::5", "groups": ["data"]},
            "twin": {"address": "10.0.0.1", "port": 23},
        },
    }
)


@pytest.mark.parametrize(
    ("hosts", "selection"),
    [
        (None, Selection(("web-1", "web-2", "db", "twin"), {})),
        ("web,db", Selection(("web-1", "web-2", "db"), {})),
        ("db, web-1 , db", Selection(("db", "web-1"), {})),
        ("10.0.0.1:22", Selection(("web-1",), {})),
        ("root@10.0.0.1:23", Selection(("twin",), {"twin": "root"})),
        ("root@web-2", Selection(("web-2",), {"web-2": "root"})),
        ("web-2.example.com", Selection(("web-2",), {})),
        ("root@[fd00::5]:22", Selection(("db",), {"db": "root"})),
        ("web-2.example.com:99", Selection((), {}, ("web-2.example.com:99",))),
        ("root@10.9.9.9,web-1", Selection(("web-1",), {}, ("root@10.9.9.9",))),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_names_groups_and_targets_are_resolved(hosts: str | None, selection: Selection) -> None:
    assert choose(INVENTORY, hosts) == selection


@pytest.mark.parametrize(
    ("hosts", "message"),
    [
        ("", "names no server"),
        (" ,", "names no server"),
        ("web1", "did you mean web-1?"),
        ("wep", "did you mean web?"),
        ("zzz", "there are: web-1, web-2, db, twin, data, web"),
        ("10.0.0.1", "means web-1 and twin; name one, or give the port"),
        ("user@host:port", "is not a target"),
        ("a@b@c.d", "is not a target"),
        ("host.example.com:70000", "is not a target"),
        ("-oProxyCommand=x.y", "is not a target"),
    ],
)
def test_what_means_nothing_is_told(hosts: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        choose(INVENTORY, hosts)
    assert message in str(caught.value)


def test_a_target_may_have_an_address_of_either_kind() -> None:
    four, six = parse("deploy@10.0.0.1:23"), parse("[fd00::1]")
    assert (four.user, four.host, four.port) == ("deploy", "10.0.0.1", 23)
    assert (six.user, six.host, six.port) == (None, "fd00::1", None)
