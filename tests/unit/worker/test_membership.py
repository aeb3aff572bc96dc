"""Which projects stay ours after a poll, and that the last look before leaving counts."""

from dataclasses import dataclass, field

from codex_worker.gitlab.projects import FoundProject
from codex_worker.worker.projects import ServerProjects, Standing

MARK = FoundProject(1, "team/mark", "https://host/team/mark.git")
LUKE = FoundProject(2, "team/luke", "https://host/team/luke.git")
IDLE, BUSY, UNREAD = Standing(), Standing(has_work=True), Standing(was_read=False)


class Finder:
    members = (MARK, LUKE)

    def changed(self):
        return [MARK]

    def glances(self, urls):
        return {}


@dataclass
class EagerLeaver:
    """Leaves whatever was last seen idle."""

    seen: dict[str, Standing] = field(default_factory=dict)
    left: list[int] = field(default_factory=list)
    kept: set[str] = field(default_factory=set)

    def saw(self, url, *, has_work, was_read):
        self.seen[url] = Standing(has_work, was_read)

    def is_due(self, url):
        return self.seen[url] == IDLE

    def leave(self, url, project_id, name):
        self.left.append(project_id)
        return True

    def keep(self, urls):
        self.kept = set(urls)


def test_an_idle_project_is_left_and_is_ours_no_more():
    leaver = EagerLeaver()
    standings = {MARK.url: IDLE, LUKE.url: BUSY}
    ours = ServerProjects(Finder(), leaver).settle(standings.__getitem__, standings.__getitem__)
    assert leaver.left == [1] and ours == leaver.kept == {LUKE.url}


def test_a_job_that_came_since_the_poll_keeps_the_worker_there():
    leaver = EagerLeaver()
    again = {MARK.url: BUSY, LUKE.url: UNREAD}
    ours = ServerProjects(Finder(), leaver).settle(lambda url: IDLE, again.__getitem__)
    assert leaver.left == [] and ours == {MARK.url, LUKE.url}
