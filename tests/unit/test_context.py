"""A build context: what is in it, when its digest changes, and the stream that carries it."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import tarfile
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rondo import archive, context, entries
from rondo.context import ContextFile
from rondo.dockerignore import Rules
from rondo.errors import InputError, RemoteError
from rondo.walk import Unsteady, Walk, digest_of_file

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "app"
    (root / "src").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / "src" / "app.py").write_text("print()\n")
    (root / "run").write_text("#!/bin/sh\n")
    (root / "run").chmod(0o700)
    (root / "link").symlink_to("src//app.py")
    return root


@contextmanager
def ordinary_user() -> Iterator[None]:
    """Root may read everything: become somebody else for a moment."""
    user = os.geteuid()
    os.seteuid(user or 65534)
    try:
        yield
    finally:
        os.seteuid(user)


def members(stream: Iterator[bytes]) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as archive:
        return {member.name: member for member in archive}


def test_files_folders_and_links_are_read_sorted_with_plain_modes(tree: Path) -> None:
    read = context.read(tree, {})
    assert [(entry.path, entry.kind, entry.mode, entry.size) for entry in read.files] == [
        ("empty", "dir", 0o755, 0),
        ("link", "symlink", 0o777, 11),
        ("run", "file", 0o755, 10),
        ("src", "dir", 0o755, 0),
        ("src/app.py", "file", 0o644, 8),
    ]
    assert read.size == 29


def test_the_digest_says_nothing_about_time_owner_or_umask(tree: Path) -> None:
    before = context.read(tree, {}).digest
    os.utime(tree / "src" / "app.py", (1, 1))
    (tree / "src" / "app.py").chmod(0o600)
    (tree / "src").chmod(0o700)
    assert context.read(tree, {}).digest == before


@pytest.mark.parametrize(
    "change",
    [
        lambda tree: (tree / "src" / "app.py").write_text("print(1)\n"),
        lambda tree: (tree / "src" / "app.py").chmod(0o755),
        lambda tree: (tree / "src" / "app.py").rename(tree / "src" / "main.py"),
        lambda tree: (tree / "empty").rmdir(),
        lambda tree: (tree / "new").touch(),
        lambda tree: ((tree / "link").unlink(), (tree / "link").symlink_to("src/app.py")),
        lambda tree: ((tree / "link").unlink(), (tree / "link").write_text("src//app.py")),
    ],
    ids=["bytes", "executable", "name", "folder gone", "file more", "target", "link to file"],
)
def test_the_digest_changes_with_whatever_an_image_could_see(tree: Path, change: object) -> None:
    before = context.read(tree, {}).digest
    change(tree)  # type: ignore[operator]
    assert context.read(tree, {}).digest != before


def test_links_are_not_followed(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "password").write_text("x")
    (tree / "out").symlink_to(tmp_path / "outside")
    read = context.read(tree, {})
    assert [entry.kind for entry in read.files if entry.path.startswith("out")] == ["symlink"]


def test_special_and_unreadable_files_are_all_named() -> None:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as server:
        tree = Path(folder)
        tree.chmod(0o755)
        os.mkfifo(tree / "pipe")
        server.bind(str(tree / "sock"))
        (tree / "secret").touch(0)
        (tree / "locked").mkdir(0)
        with ordinary_user(), pytest.raises(InputError) as caught:
            context.read(tree, {})
    assert str(caught.value).splitlines() == [
        f"{tree}/locked cannot be read: Permission denied",
        f"{tree}/pipe is a named pipe, which no image can hold",
        f"{tree}/secret cannot be read: Permission denied",
        f"{tree}/sock is a socket, which no image can hold",
    ]


def test_a_special_file_that_is_left_out_is_nobodys_problem(tree: Path) -> None:
    os.mkfifo(tree / "pipe")
    (tree / ".dockerignore").write_text("pipe\n")
    assert "pipe" not in {entry.path for entry in context.read(tree, {}).files}


def test_a_context_that_is_no_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="backend is no folder"):
        context.read(tmp_path / "backend", {})


def test_a_file_that_changes_while_it_is_read_is_told() -> None:
    # Files of /proc have size 0 and content all the same, like a file that grows meanwhile.
    walk = Walk(Path("/proc/self"), Rules(), frozenset())
    assert list(walk.leaf("status", os.lstat("/proc/self/status"))) == []
    assert walk.problems == ["/proc/self/status changed while it was read; stop what writes to it"]


def test_a_file_that_shrinks_while_it_is_read_is_noticed(tree: Path) -> None:
    for size in (11, 20_000_000):
        with pytest.raises(Unsteady):
            digest_of_file(str(tree / "run"), size)


def test_the_dockerfile_is_sent_though_left_out_but_copy_does_not_see_it(tree: Path) -> None:
    (tree / "docker").mkdir()
    (tree / "docker" / "Dockerfile").write_text("FROM scratch\n")
    (tree / ".dockerignore").write_text("docker\nempty\n")
    read = context.read(tree, {}, dockerfile="docker/Dockerfile")
    paths = {entry.path for entry in read.files}
    assert {"docker", "docker/Dockerfile", ".dockerignore"} <= paths
    assert "empty" not in paths
    assert read.overlay[".dockerignore"].content.decode().splitlines()[1:] == [
        ".dockerignore",
        "docker/Dockerfile",
    ]


def test_the_rules_of_a_dockerfile_come_before_those_of_the_folder(tree: Path) -> None:
    (tree / "web.Dockerfile").touch()
    (tree / "web.Dockerfile.dockerignore").write_text("run\n")
    (tree / ".dockerignore").write_text("src\n")
    paths = {entry.path for entry in context.read(tree, {}, dockerfile="web.Dockerfile").files}
    assert paths == {"empty", "link", "src", "src/app.py", "web.Dockerfile"}


def test_the_overlay_is_never_left_out(tree: Path) -> None:
    (tree / ".dockerignore").write_text("**\n")
    overlay = {".rondo/start": ContextFile(b"#!/bin/sh\n", 0o755)}
    read = context.read(tree, overlay)
    assert [(entry.path, entry.mode) for entry in read.files] == [
        (".rondo", 0o755),
        (".rondo/start", 0o755),
    ]
    content = b"".join(context.tar(read))
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        file = archive.extractfile(".rondo/start")
        assert file is not None
        assert file.read() == b"#!/bin/sh\n"


def test_files_of_the_users_in_the_overlays_place_are_refused(tree: Path) -> None:
    (tree / ".rondo").touch()
    with pytest.raises(InputError, match=r"app/\.rondo is in the way.*rename it"):
        context.read(tree, {})
    (tree / ".rondo").unlink()
    (tree / ".rondo").mkdir()
    (tree / ".rondo" / "start").touch()
    with pytest.raises(InputError, match=r"app/\.rondo/start is in the way.*rename it"):
        context.read(tree, {})
    (tree / ".dockerignore").write_text(".rondo\n")
    context.read(tree, {})


def test_the_lab_beside_an_inventory_is_part_of_no_context(tree: Path) -> None:
    before = context.read(tree, {}).digest
    (tree / ".rondo" / "lab").mkdir(parents=True)
    (tree / ".rondo" / "lab" / "id_ed25519").touch()
    assert context.read(tree, {}).digest == before


def test_equal_contexts_give_equal_streams_of_bounded_pieces(tree: Path) -> None:
    (tree / "large").write_bytes(os.urandom(3 * archive.PIECE + 17))
    first = list(context.tar(context.read(tree, {})))
    os.utime(tree / "run", (1, 1))
    assert first == list(context.tar(context.read(tree, {})))
    assert {len(piece) for piece in first[:-1]} == {archive.PIECE}


def test_the_stream_tells_no_owner_and_a_time_that_follows_from_the_bytes(tree: Path) -> None:
    before = members(context.tar(context.read(tree, {})))
    assert {(member.uid, member.gid, member.uname) for member in before.values()} == {(0, 0, "")}
    (tree / "run").write_text("#!/bin/cp\n")
    after = members(context.tar(context.read(tree, {})))
    assert {path for path in before if before[path].mtime != after[path].mtime} == {"run"}


def test_only_some_paths_are_streamed_when_asked(tree: Path) -> None:
    assert set(members(context.tar(context.read(tree, {}), ["run", "src/app.py"]))) == {
        "run",
        "src/app.py",
    }


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_text("print(2)\n"),
        lambda path: path.write_text("Print()\n"),
        lambda path: path.write_text(""),
        lambda path: path.unlink(),
        lambda path: (path.unlink(), path.symlink_to("/etc/passwd")),
    ],
    ids=["longer", "same size", "shorter", "gone", "a link now"],
)
def test_a_file_that_changed_since_is_not_sent_as_the_old_one(tree: Path, change: object) -> None:
    read = context.read(tree, {})
    change(tree / "src" / "app.py")  # type: ignore[operator]
    with pytest.raises(InputError, match=r"src/app\.py changed while it was being sent"):
        list(context.tar(read))


def test_a_link_that_changed_since_is_not_sent_as_the_old_one(tree: Path) -> None:
    read = context.read(tree, {})
    (tree / "link").unlink()
    (tree / "link").symlink_to("run")
    with pytest.raises(InputError, match="link changed while it was being sent"):
        list(context.tar(read))


AWKWARD = [
    "a\nb",
    " lead",
    "-rf",
    "back\\x41",
    "tab\t",
    "ü" * 120,
    "x" * 200,
    "d" * 100 + "/" + "e" * 150,
]


def test_awkward_names_arrive_as_they_are(tmp_path: Path) -> None:
    root, copy = tmp_path / "from", tmp_path / "to"
    names = [os.fsencode(name) for name in AWKWARD] + [b"latin\xe9"]
    for name in names:
        path = Path(os.fsdecode(os.fsencode(root) + b"/" + name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name)
    copy.mkdir()
    read = context.read(root, {})
    stream = b"".join(context.tar(read))
    subprocess.run(("tar", "-x", "-f", "-", "-C", copy), input=stream, check=True)
    assert context.manifest(context.read(copy, {})) == context.manifest(read)
    assert all((Path(os.fsdecode(os.fsencode(copy) + b"/" + name))).is_file() for name in names)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1) | st.binary(min_size=1))
def test_any_name_stays_on_one_line_and_is_read_back(name: str | bytes) -> None:
    path = name if isinstance(name, str) else name.decode("utf-8", "surrogateescape")
    line = entries.escaped(path)
    assert entries.unescaped(line) == path
    assert not {"\n", "\r", "\0"} & set(line)
    line.encode()


def test_the_difference_is_what_changed_what_went_and_what_became_another_kind(tree: Path) -> None:
    manifest = context.manifest(context.read(tree, {}))
    (tree / "src" / "app.py").write_text("print(1)\n")
    (tree / "run").unlink()
    (tree / "run").mkdir()
    (tree / "link").unlink()
    (tree / "new").write_text("12345")
    found = context.difference(context.read(tree, {}), manifest)
    assert found.changed == ("new", "run", "src/app.py")
    assert found.removed == ("link",)
    assert found.replaced == ("run",)
    assert found.size == 14


def test_an_equal_context_is_no_difference(tree: Path) -> None:
    read = context.read(tree, {})
    found = context.difference(read, context.manifest(read))
    assert (found.changed, found.removed, found.replaced, found.size) == ((), (), (), 0)


def test_a_damaged_manifest_is_told(tree: Path) -> None:
    with pytest.raises(RemoteError, match="damaged"):
        context.difference(context.read(tree, {}), "nonsense\n")


NAMES = st.sampled_from(["a", "b", "c"])
TREES = st.recursive(
    st.binary(max_size=3) | st.none(),
    lambda inner: st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
).filter(lambda tree: isinstance(tree, dict))


def grow(folder: Path, tree: dict[str, object]) -> None:
    """Make a tree: bytes are a file, None is a link, a mapping a folder."""
    folder.mkdir()
    for name, what in tree.items():
        if isinstance(what, dict):
            grow(folder / name, what)
        elif what is None:
            (folder / name).symlink_to("elsewhere")
        else:
            (folder / name).write_bytes(what)  # type: ignore[arg-type]


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None
)
@given(before=TREES, after=TREES)
def test_a_difference_names_exactly_what_differs(
    tmp_path_factory: pytest.TempPathFactory, before: dict[str, object], after: dict[str, object]
) -> None:
    root = tmp_path_factory.mktemp("trees")
    grow(root / "before", before)
    grow(root / "after", after)
    old, new = context.read(root / "before", {}), context.read(root / "after", {})
    found = context.difference(new, context.manifest(old))
    known = {entry.path: entry for entry in old.files}
    wanted = {entry.path: entry for entry in new.files}
    assert set(found.changed) == {path for path in wanted if known.get(path) != wanted[path]}
    assert set(found.removed) == known.keys() - wanted.keys()
    assert (old.digest == new.digest) == (not found.changed and not found.removed)


def test_the_image_digest_changes_with_everything_that_decides_the_image(tree: Path) -> None:
    read = context.read(tree, {})
    other = context.read(tree, {".rondo/x": ContextFile(b"")})
    digests = {
        context.image_digest(read, "Dockerfile", {}, None),
        context.image_digest(other, "Dockerfile", {}, None),
        context.image_digest(read, "web/Dockerfile", {}, None),
        context.image_digest(read, "Dockerfile", {"A": "1"}, None),
        context.image_digest(read, "Dockerfile", {"A": "2"}, None),
        context.image_digest(read, "Dockerfile", {}, "build"),
    }
    assert len(digests) == 6
    one, two = {"A": "1", "B": "2"}, {"B": "2", "A": "1"}
    assert context.image_digest(read, "D", one, None) == context.image_digest(read, "D", two, None)
