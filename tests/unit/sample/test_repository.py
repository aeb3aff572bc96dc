"""A file can be put into a bare repository as somebody would who commits and pushes it."""

import subprocess

import pytest

from sample.repository import commit_file, commit_tree, put

POINTER = "version https://git-lfs.github.com/spec/v1\n"


def git(bare, *arguments):
    return subprocess.run(
        ["git", "--git-dir", bare, *arguments], check=True, stdout=subprocess.PIPE, text=True
    ).stdout


@pytest.mark.parametrize("path", ["gpu_jobs/manifest.yaml", "new folder/Größe.txt", "take.webm"])
def test_a_file_is_added_or_replaced_and_all_others_stay(tmp_path, path):
    tree, bare = tmp_path / "tree", tmp_path / "project.git"
    put(tree, "gpu_jobs/manifest.yaml", "jobs: []\n")
    put(tree, ".gitattributes", "*.webm filter=lfs diff=lfs merge=lfs -text\n")
    first = commit_tree(bare, tree, {}, message="First")
    second = commit_file(bare, path, POINTER, message="Second")
    assert git(bare, "log", "--format=%H %s", "main").splitlines() == [f"{second} Second", f"{first} First"]
    assert git(bare, "show", f"main:{path}") == POINTER
    changed = git(bare, "diff", "--name-only", "-z", first, second).split("\0")[:-1]
    assert changed == [path]
