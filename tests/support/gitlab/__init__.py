"""A GitLab stand-in for tests: a real HTTP server on loopback over real bare repositories.

    with GitLabServer(tmp_path) as server:
        project = server.create_project("team/mark", members={"worker": 30})
        token = server.create_token("worker", scopes=["read_api", "read_repository", "write_repository"])
        client = gitlab.Gitlab(server.url, private_token=token)

python-gitlab (REST and GraphQL), git (smart HTTP, push options, atomic pushes, partial clones) and git-lfs
speak to `server.url`; a project's repository is at `server.git_url(project)` and, on disk, at
`project.repository`.

Many projects:  `server.create_project(path, members, repository=one.repository)` puts another project over a
                repository that is there: quick enough for 10,000. A push through one touches only that one.
Roles:          levels as in GitLab (10 guest, 20 reporter, 30 developer, 40 maintainer, 50 owner). The
                creator is an owner. `project.members`, `.archived`, `.owner_id`, `.lfs_enabled` may change.
Branches:       `project.protect("main", push_level=40)`; `project.branches_and_tags_only = True` refuses
                other refs; `git config receive.advertiseAtomic false` (or advertisePushOptions) in
                `project.repository` takes that from what the server offers.
Tokens:         `create_token(user, scopes, expires_at)`; `server.state.tokens[token].revoked = True`.
Time:           `server.state.clock` is a function giving the present as a datetime with a zone; replace it.
                `last_activity_at` moves only when it is an hour old, as in GitLab.
Counting:       `server.requests` (method, target, status, bytes_in, bytes_out, headers), `.clear()` it to
                count anew; `server.requests_to(r"/api/graphql")`.
Faults:         `server.faults.answer(503, r"/objects/batch", nth=2, times=3, headers={"Retry-After": "5"})`,
                `.drop("before" | "after" | "midway", path, method="PUT")`, `.slow(seconds, path)`. A path is
                a regular expression searched in the target; `times=None` is for ever; `.injected` counts.
Rates:          `server.limit_rate(100, window_s=60, path="/api/", says_when=False)`: 429 without Retry-After.
Latency:        `GitLabServer(tmp_path, latency_s=0.05)`, waited with the `sleep` that is given.
GraphQL:        `server.set_complexity_limit(100)`; the score follows GitLab's formula.
LFS:            `server.auth.lfs_token_lifetime_s`, `server.auth.expire_lfs_headers()`;
                `with server.object_storage() as storage: server.redirect_objects_to(storage)` sends downloads
                to another host, and the block ends in an AssertionError if any secret arrived there.
"""

from tests.support.gitlab.connections import Exchange
from tests.support.gitlab.faults import Faults
from tests.support.gitlab.object_storage import ObjectStorage
from tests.support.gitlab.server import GitLabServer
from tests.support.gitlab.state import DEVELOPER, GUEST, MAINTAINER, NO_ONE, OWNER, REPORTER, Project

__all__ = [
    "DEVELOPER",
    "GUEST",
    "MAINTAINER",
    "NO_ONE",
    "OWNER",
    "REPORTER",
    "Exchange",
    "Faults",
    "GitLabServer",
    "ObjectStorage",
    "Project",
]
