"""What projects' manifests ask for and whether any job was ever begun, many projects with one question.

So a job can be chosen before its project's repository is here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from codex_worker.gitlab.client import GitLabClient
from codex_worker.gitlab.sweep import JOBS_FOLDER

PROJECTS_AT_ONCE = 50
MANIFEST = f"{JOBS_FOLDER}/manifest.yaml"

QUERY = """\
query Glance($ids: [ID!], $first: Int!, $manifest: [String!]!, $folder: String!) {
  projects(ids: $ids, first: $first) {
    nodes {
      id
      repository {
        blobs(paths: $manifest, first: 1) { nodes { rawTextBlob } }
        tree(path: $folder) { trees(first: 1) { nodes { name } } }
      }
    }
  }
}
"""


@dataclass(frozen=True)
class Glance:
    """One project's manifest, and whether `gpu_jobs` holds any folder: each job that was begun has one."""

    manifest: str
    has_folders: bool


def glances(client: GitLabClient, project_ids: Sequence[int]) -> dict[int, Glance]:
    """What can be told of these projects; the others are left out. Raises what `client.graphql` raises."""
    found: dict[int, Glance] = {}
    for start in range(0, len(project_ids), PROJECTS_AT_ONCE):
        wanted = project_ids[start : start + PROJECTS_AT_ONCE]
        answer = client.graphql(
            QUERY,
            {
                "ids": [f"gid://gitlab/Project/{number}" for number in wanted],
                "first": len(wanted),
                "manifest": [MANIFEST],
                "folder": JOBS_FOLDER,
            },
        )
        found |= _read(answer)
    return found


def _read(answer: dict[str, Any]) -> Iterator[tuple[int, Glance]]:
    if answer.get("errors"):
        return  # whatever is left out of such an answer, may be there
    for node in ((answer.get("data") or {}).get("projects") or {}).get("nodes") or ():
        number = str((node or {}).get("id", "")).rpartition("/")[2]
        repository = (node or {}).get("repository") or {}
        blobs = (repository.get("blobs") or {}).get("nodes") or ()
        trees = ((repository.get("tree") or {}).get("trees") or {}).get("nodes")
        text = blobs[0].get("rawTextBlob") if blobs and blobs[0] else None
        if number.isdecimal() and isinstance(text, str) and trees is not None:
            yield int(number), Glance(text, bool(trees))
