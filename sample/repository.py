"""A project's files on disk, the pointers to its recordings, and a bare repository of both."""

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

AUTHOR_NAME = "Maria"
AUTHOR_EMAIL = "maria@example.org"
COMMIT_DATE = "2026-01-02T00:00:00Z"


def put(folder: Path, path: str, content: str | bytes) -> None:
    """Write one file, with the folders that it lies in; ``path`` is below ``folder``."""
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))


def put_pointer(folder: Path, path: str, content: bytes) -> dict[str, bytes]:
    """Write an LFS pointer to ``content``; the answer is the content by its SHA-256."""
    oid = hashlib.sha256(content).hexdigest()
    put(folder, path, f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(content)}\n")
    return {oid: content}


def commit_tree(bare: Path, tree: Path, large_files: Mapping[str, bytes], *, message: str) -> str:
    """Make a new bare repository with the files of ``tree`` in one commit, and answer the commit.

    ``large_files`` (contents by SHA-256) lie where git-lfs keeps those of a ``file://`` remote, in
    ``lfs/objects`` beside git's own. The same files give the same commit on every machine.
    Raises CalledProcessError where git fails.
    """
    bare.mkdir(parents=True)
    _create(bare)
    with tempfile.TemporaryDirectory() as temporary:
        where = {
            "GIT_DIR": str(bare),
            "GIT_WORK_TREE": str(tree),
            "GIT_INDEX_FILE": str(Path(temporary) / "index"),
        }
        _git("add", "--all", ".", folder=tree, variables=where)
        written = _git("write-tree", variables=where)
        commit = _git("commit-tree", "-m", message, written, variables=where)
        _git("update-ref", "refs/heads/main", commit, variables=where)
    for oid, content in large_files.items():
        put(bare, f"lfs/objects/{oid[:2]}/{oid[2:4]}/{oid}", content)
    return commit


def commit_file(bare: Path, path: str, content: str, *, message: str) -> str:
    """Add one file to the newest commit of a bare repository, or replace it; answer the new commit.

    Raises CalledProcessError where git fails.
    """
    with tempfile.TemporaryDirectory() as temporary:
        put(Path(temporary), "content", content)
        where = {"GIT_DIR": str(bare), "GIT_INDEX_FILE": str(Path(temporary) / "index")}
        _git("read-tree", "main", variables=where)
        blob = _git("hash-object", "-w", "--no-filters", f"{temporary}/content", variables=where)
        _git("update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", variables=where)
        written = _git("write-tree", variables=where)
        commit = _git("commit-tree", "-p", "main", "-m", message, written, variables=where)
    _git("update-ref", "refs/heads/main", commit, variables=where)
    return commit


def _create(bare: Path) -> None:
    # Without a template: no sample hooks, nothing of this machine's.
    _git("init", "--quiet", "--bare", "--template=", "--initial-branch=main", str(bare))
    for key in ("receive.advertisePushOptions", "uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"):
        _git("--git-dir", str(bare), "config", key, "true")


def _git(*arguments: str, folder: Path | None = None, variables: Mapping[str, str] | None = None) -> str:
    """Run git untouched by this machine's settings: a git-lfs filter would look into our pointers."""
    environment = os.environ | {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": AUTHOR_NAME,
        "GIT_AUTHOR_EMAIL": AUTHOR_EMAIL,
        "GIT_AUTHOR_DATE": COMMIT_DATE,
        "GIT_COMMITTER_NAME": AUTHOR_NAME,
        "GIT_COMMITTER_EMAIL": AUTHOR_EMAIL,
        "GIT_COMMITTER_DATE": COMMIT_DATE,
    }
    finished = subprocess.run(
        ["git", *arguments],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=environment | dict(variables or {}),
    )
    return finished.stdout.strip()
