"""What the hub's cache holds, by the layout that huggingface_hub gives it."""

from pathlib import Path

from codex_worker.hub.known import WeightSet


def snapshot(cache_folder: Path, repository: str, commit: str) -> Path:
    """The folder of a repository's files at a commit."""
    return cache_folder / f"models--{repository.replace('/', '--')}" / "snapshots" / commit


def cached_revision(cache_folder: Path, wanted: WeightSet) -> str | None:
    """The pinned commit if it is there, else what `main` meant when the cache was last filled, or any."""
    if wanted.revision is None:
        return None
    if wanted.revision != "main":
        there = snapshot(cache_folder, wanted.repository, wanted.revision).is_dir()
        return wanted.revision if there else None
    folder = cache_folder / f"models--{wanted.repository.replace('/', '--')}"
    try:
        return (folder / "refs" / "main").read_text(encoding="utf-8").strip() or None
    except FileNotFoundError:
        snapshots = sorted((folder / "snapshots").glob("*"), key=lambda path: path.stat().st_mtime)
        return snapshots[-1].name if snapshots else None


def cached_etag(path: Path) -> str | None:
    """The sha256 that the hub gave when it was asked: the cache names large files by it."""
    name = path.resolve().name
    return name if len(name) == 64 and set(name) <= set("0123456789abcdef") else None
