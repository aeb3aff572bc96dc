"""What people's own commits did, told apart from what merges left out: real git says what the twin says."""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from codex_worker.git.git_transport import GitTransport
from codex_worker.git.memory import MemoryCommit, MemoryServer, MemoryTransport
from codex_worker.git.repository import LockedTransport

BRANCH = "refs/heads/main"
RECORD = "refs/gpu-records/one"
CLAIM = "gpu_jobs/job_one/workers/w/attempt-1-00000000.yaml"
MANIFEST = "gpu_jobs/manifest.yaml"
POINTER = ".project/attachments/pointers/MRK/a.webm"
WANTED = [MANIFEST, "gpu_jobs/job_one", POINTER]
OLD = {MANIFEST: "with the entry", "a.txt": "1"}
CLAIMED = {**OLD, CLAIM: "a claim"}
PUBLISHED = {**CLAIMED, POINTER: "a pointer"}
TYPED = {"a.txt": "typed"}

Files = Mapping[str, str]
Step = tuple[str, Sequence[str], Files]  # name, parents, all files
START: list[Step] = [
    ("root", [], {"a.txt": "0"}),
    ("old", ["root"], OLD),
    ("since", ["old"], {**OLD, "b.txt": "1"}),
    ("claim", ["since"], {**CLAIMED, "b.txt": "1"}),
    ("published", ["claim"], {**PUBLISHED, "b.txt": "1"}),
]
ADDED = {("claim", CLAIM, "added"), ("published", POINTER, "added")}


@dataclass(frozen=True)
class History:
    """Commits after the publication, of which the last is the head, and what people did in them."""

    steps: Sequence[Step]
    expected: set[tuple[str, str, str]]
    head: str = ""


def without(files: Files, *paths: str) -> Files:
    return {path: data for path, data in files.items() if path not in paths}


HISTORIES = {
    "nothing happened": History([], ADDED, "published"),
    "a person deleted the pointer": History(
        [("delete", ["published"], CLAIMED)], {*ADDED, ("delete", POINTER, "removed")}
    ),
    "a person deleted the entry and the folder": History(
        [("delete", ["published"], {"a.txt": "1", POINTER: "a pointer"})],
        {*ADDED, ("delete", CLAIM, "removed"), ("delete", MANIFEST, "removed")},
    ),
    "a person deleted and wrote it again": History(
        [("delete", ["published"], CLAIMED), ("again", ["delete"], {**CLAIMED, POINTER: "another"})],
        {*ADDED, ("delete", POINTER, "removed"), ("again", POINTER, "added")},
    ),
    "a merge of a fork before the claim drops both": History(
        [("typed", ["old"], {**OLD, **TYPED}), ("merge", ["typed", "published"], {**OLD, **TYPED})], ADDED
    ),
    "a merge of a fork at the claim drops both": History(
        [("typed", ["since"], {**OLD, **TYPED}), ("merge", ["typed", "published"], {**OLD, **TYPED})], ADDED
    ),
    "a merge of a fork after the claim drops the pointer": History(
        [("typed", ["claim"], {**CLAIMED, **TYPED}), ("merge", ["typed", "published"], {**CLAIMED, **TYPED})],
        ADDED,
    ),
    "a person on a fork before the claim deleted the entry": History(
        [("delete", ["old"], TYPED), ("merge", ["delete", "published"], without(PUBLISHED, MANIFEST))],
        {*ADDED, ("delete", MANIFEST, "removed")},
    ),
    "a person on a fork after the claim deleted the claim": History(
        [("delete", ["claim"], OLD), ("merge", ["delete", "published"], without(PUBLISHED, CLAIM))],
        {*ADDED, ("delete", CLAIM, "removed")},
    ),
    "a merge drops it, and a person deletes what was put back": History(
        [
            ("typed", ["old"], {**OLD, **TYPED}),
            ("merge", ["typed", "published"], {**OLD, **TYPED}),
            ("back", ["merge"], {**PUBLISHED, **TYPED}),
            ("delete", ["back"], {**CLAIMED, **TYPED}),
        ],
        {
            *ADDED,
            ("back", CLAIM, "added"),
            ("back", POINTER, "added"),
            ("delete", POINTER, "removed"),
        },
    ),
    "the branch was set back to before the claim": History([], set(), "old"),
    "the branch was set back to the commit of the claim's base": History([], set(), "since"),
    "the branch was rewritten from nothing": History([("new", [], OLD)], set()),
    "the branch was rewritten from before the claim": History(
        [("new", ["root"], OLD), ("newer", ["new"], {**OLD, POINTER: "x"})],
        {("new", MANIFEST, "added"), ("newer", POINTER, "added")},
    ),
}
THREE_PARENTS = History(
    [
        ("typed", ["old"], {**OLD, **TYPED}),
        ("delete", ["claim"], OLD),
        ("merge", ["typed", "published", "delete"], {**OLD, **TYPED}),
    ],
    {*ADDED, ("delete", CLAIM, "removed")},
)
YEAR_S = 365 * 24 * 3600
NOW_S = 1_767_225_600
CLOCKS = {
    "right clocks": [0, 60],
    "people's clocks in 2025": [0, -YEAR_S],
    "people's clocks in 2028": [0, 2 * YEAR_S],
    "clocks that jump": [-YEAR_S, 2 * YEAR_S],
}


def all_steps(history: History) -> list[Step]:
    return [*START, *history.steps]


def in_memory(history: History) -> tuple[LockedTransport, dict[str, str]]:
    server = MemoryServer({})
    names: dict[str, str] = {}
    for name, parents, files in all_steps(history):
        first, second = ([names[parent] for parent in parents] + [None, None])[:2]
        contents = {path: data.encode() for path, data in files.items()}
        names[name] = server.add(MemoryCommit(first, contents, second_parent=second))
    server.refs[BRANCH] = names[history.head or history.steps[-1][0]]
    server.refs[RECORD] = server.add(MemoryCommit(names["since"], {"about.yaml": b"x"}))
    return MemoryTransport(server), names


def in_git(
    history: History, folder: Path, offsets_s: Sequence[int]
) -> tuple[LockedTransport, dict[str, str]]:
    """The same in a bare repository; commits have the offsets in turn, beside the right times."""
    bare = folder / "project.git"
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(bare)], check=True)
    for key in ("uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"):
        subprocess.run(["git", "-C", str(bare), "config", key, "true"], check=True)
    steps = all_steps(history)
    marks = {name: mark for mark, (name, _, _) in enumerate(steps, 1)}
    stream = []
    for name, parents, files in [*steps, ("record", ["since"], {"about.yaml": "x"})]:
        mark = marks.setdefault(name, len(marks) + 1)
        moment = NOW_S + 60 * mark + offsets_s[mark % len(offsets_s)]
        stream.append(f"commit refs/made/{name}\nmark :{mark}\ncommitter m <m@x> {moment} +0000\ndata 0\n")
        words = ["from", *["merge"] * len(parents)]
        stream += [f"{word} :{marks[parent]}\n" for word, parent in zip(words, parents, strict=False)]
        stream.append("deleteall\n")
        stream += [f"M 100644 inline {path}\ndata {len(text)}\n{text}\n" for path, text in files.items()]
    subprocess.run(
        ["git", "-C", str(bare), "fast-import", "--quiet"], input="".join(stream), text=True, check=True
    )
    listing = subprocess.run(
        ["git", "-C", str(bare), "for-each-ref", "--format=%(refname:lstrip=2) %(objectname)", "refs/made"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    names = dict(line.split() for line in listing.splitlines())
    for ref, name in ((BRANCH, history.head or history.steps[-1][0]), (RECORD, "record")):
        subprocess.run(["git", "-C", str(bare), "update-ref", ref, names[name]], check=True)
    for name in names:  # so that only what a server would have is asked for
        subprocess.run(["git", "-C", str(bare), "update-ref", "-d", f"refs/made/{name}"], check=True)
    return GitTransport(str(bare), folder / "cache", author="w", email="w@example.org"), names


def told(transport: LockedTransport, names: Mapping[str, str]) -> set[tuple[str, str, str]]:
    heads = transport.look()
    with transport.locked():
        transport.snapshot(heads)
        changes = transport.ordinary_changes(heads, RECORD, names["since"], WANTED)
    assert changes is not None
    by_id = {oid: name for name, oid in names.items()}
    kinds = {(False, True): "added", (True, False): "removed", (True, True): "changed"}
    return {
        (by_id[change.commit], change.path, kinds[change.before is not None, change.after is not None])
        for change in changes
    }


@pytest.mark.parametrize("history", HISTORIES.values(), ids=HISTORIES.keys())
def test_the_twin_tells_peoples_changes_from_a_merges(history):
    assert told(*in_memory(history)) == history.expected


@pytest.mark.slow
@pytest.mark.parametrize("offsets_s", CLOCKS.values(), ids=CLOCKS.keys())
@pytest.mark.parametrize("history", HISTORIES.values(), ids=HISTORIES.keys())
def test_git_tells_peoples_changes_from_a_merges_whatever_their_clocks_say(history, offsets_s, tmp_path):
    assert told(*in_git(history, tmp_path, offsets_s)) == history.expected


@pytest.mark.parametrize("offsets_s", CLOCKS.values(), ids=CLOCKS.keys())
def test_a_merge_with_three_parents_is_no_persons_commit(offsets_s, tmp_path):
    assert told(*in_git(THREE_PARENTS, tmp_path, offsets_s)) == THREE_PARENTS.expected


@pytest.mark.parametrize("kind", ["memory", "git"])
def test_a_record_is_read_with_its_files_and_without_the_branchs(kind, tmp_path):
    history = HISTORIES["nothing happened"]
    transport, _ = in_memory(history) if kind == "memory" else in_git(history, tmp_path, [0])
    commit = transport.look().records[RECORD]
    with transport.locked():
        (snapshot,) = transport.records([commit]).values()
    assert [entry.path for entry in snapshot.files()] == ["about.yaml"]
    assert snapshot.read_many(["about.yaml", MANIFEST]) == {"about.yaml": b"x"}
