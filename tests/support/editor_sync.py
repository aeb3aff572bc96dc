"""One sync of the editor, step by step, so that others may push between any two of its steps.

Observed with the editor's own code on real repositories. U is the user's commit; H1, H2, H3 are the
remote's heads in the order in which they are fetched.

1. What the working tree differs from its commit in is committed first, always, as one ordinary commit.
2. It fetches. A user who has nothing of their own is fast-forwarded, one to whom nothing is new pushes.
   Where that push is refused it fetches and fast-forwards again, twice at most; then, and in any other
   case, follows 3.
3. It fetches H1, and resolves every path that differs between the merge base, U and H1 in the working tree.
4. It fetches H2 and makes a merge of the parents U and H2 *with the tree that was resolved against H1*.
   Nothing compares H1 with H2. So what was pushed between 3 and 4 is undone: new files are gone, removed
   ones are back, changed ones are as they were. What was pushed between 2 and 3 is merged like anything
   else.
5. It pushes. Where that is accepted, the merge is the head and the merge base of the next sync. What it
   dropped does not look deleted to anybody, it was never there; pushed anew it arrives as any new file
   does.
6. Where it is refused, the merge M stays in the clone, and all of it starts again from M: four attempts in
   all, then the sync fails and the next one starts from M. The first resolution is kept, every fetch
   happens again, and the next merge has the parents M and H4, resolved against H3 with the base H2. A path
   that H2 has and M dropped is in the base and not in the user's tree: it counts as deleted by the user,
   even where H3 changed it. Only notebooks come back, for they need a tombstone to be deleted, and what H2
   wrote into the cells of one that M has, for notebooks are united without looking at the base. The pointer
   of a recording that such a cell names stays away.

A merge may have a first parent that is an ancestor of the second: that of a user without changes whose push
of 2 was refused three times. Its paths are resolved all the same, so job files keep the user's older copy.

A merge may hold a person's change that no ordinary commit has: what is typed between 1 and the resolving of
3 goes into the merge directly. What somebody removes in that time waits for the next sync.

An ordinary commit may hold what nobody did: where 3 fails, or the fetch of 4, the working tree keeps what
was resolved by then, with the other side's additions and deletions, and the next attempt commits it as the
user's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from tests.support.editor_merge import SyncRefused, keep_notebooks, resolve_trees

Files = Mapping[str, bytes]

FAST_FORWARDS_AFTER_A_REFUSAL = 2
ATTEMPTS = 4


class Repository(Protocol):
    """The server's branch, and everybody's commits, those too that are not pushed yet."""

    def head(self) -> str:
        """The commit of the remote's branch."""

    def files(self, commit: str) -> Files:
        """A commit's files."""

    def parents(self, commit: str) -> tuple[str, ...]:
        """A commit's parents."""

    def commit(self, files: Files, parents: tuple[str, ...]) -> str:
        """Makes a commit, and moves nothing."""

    def push(self, expected: str, new: str) -> bool:
        """Moves the branch from `expected` to `new`; False where it is elsewhere by now."""


@dataclass
class Clone:
    """A person's clone: the commit that it stands on, and the working tree, which may differ from it."""

    head: str
    files: Files


class Phase(Enum):
    """What the next step of a sync does."""

    FETCH = "commit what is in the working tree, fetch, fast-forward"
    PUSH_OWN = "push what needs no merge"
    FETCH_TO_RESOLVE = "fetch what is merged with"
    RESOLVE = "merge in the working tree"
    FETCH_TO_COMPLETE = "fetch once more and make the merge commit"
    PUSH_MERGE = "push the merge"
    OVER = "nothing more"


class Sync:
    """One sync. `step` does one phase and answers the next; `finish` does all that are left.

    Between steps the caller may push to the repository, and may change `clone.files` as a typing person does.

    own: the ordinary commits that it made of the working tree.
    merges: the merge commits that it made, in order; each that was refused is an ancestor of the next.
    pushed: the commit that it moved the branch to, if it did.
    """

    def __init__(self, repository: Repository, clone: Clone) -> None:
        self.clone = clone
        self.phase = Phase.FETCH
        self.own: list[str] = []
        self.merges: list[str] = []
        self.pushed: str | None = None
        self._repository = repository
        self._remote = ""  # the last fetched head
        self._base: Files = {}
        self._theirs: Files = {}
        self._listed: set[str] = set()
        self._resolved: Files = {}
        self._refusals = 0

    def step(self) -> Phase:
        """Does one phase. Raises SyncRefused where the editor cannot go on; the sync is over then."""
        steps = {
            Phase.FETCH: self._fetch,
            Phase.PUSH_OWN: self._push_own,
            Phase.FETCH_TO_RESOLVE: self._fetch_to_resolve,
            Phase.RESOLVE: self._resolve,
            Phase.FETCH_TO_COMPLETE: self._fetch_to_complete,
            Phase.PUSH_MERGE: self._push_merge,
        }
        phase, self.phase = self.phase, Phase.OVER
        if phase in steps:
            self.phase = steps[phase]()
        return self.phase

    def finish(self) -> str | None:
        """Does what is left. Answers the pushed commit; None: nothing was to be pushed, or it gave up."""
        while self.phase is not Phase.OVER:
            self.step()
        return self.pushed

    def _fetch(self) -> Phase:
        committed = self._repository.files(self.clone.head)
        self.clone.files = keep_notebooks(committed, self.clone.files)
        if self.clone.files != committed:
            self.clone.head = self._repository.commit(self.clone.files, (self.clone.head,))
            self.own.append(self.clone.head)
        self._refusals = 0
        return self._fast_forward()

    def _fast_forward(self) -> Phase:
        self._remote = self._repository.head()
        if self._remote == self.clone.head:
            return Phase.OVER
        if self.clone.head in self._ancestors(self._remote):
            self._stand_on(self._remote)
            return Phase.PUSH_OWN
        if self._remote in self._ancestors(self.clone.head):
            return Phase.PUSH_OWN
        return Phase.FETCH_TO_RESOLVE

    def _push_own(self) -> Phase:
        if self._push():
            return Phase.OVER
        self._refusals += 1
        if self._refusals > FAST_FORWARDS_AFTER_A_REFUSAL:
            return Phase.FETCH_TO_RESOLVE
        return self._fast_forward()

    def _fetch_to_resolve(self) -> Phase:
        self._remote = self._repository.head()
        self._base = self._repository.files(self._merge_base())
        self._theirs = self._repository.files(self._remote)
        ours = self._repository.files(self.clone.head)
        self._listed = {
            path
            for path in self._base.keys() | ours.keys() | self._theirs.keys()
            if not self._base.get(path) == ours.get(path) == self._theirs.get(path)
            or self.clone.files.get(path, ours.get(path)) != ours.get(path)
        }
        return Phase.RESOLVE

    def _resolve(self) -> Phase:
        """What is typed by now into a file that is listed counts."""
        typed, ours = self.clone.files, self._repository.files(self.clone.head)
        ours = {
            path: typed.get(path, content) if path in self._listed else content
            for path, content in ours.items()
        }
        try:
            self._resolved = resolve_trees(self._base, ours, self._theirs)
        except SyncRefused as refused:
            self.clone.files = self._in_the_working_tree(refused.left_behind)
            raise
        self.clone.files = self._in_the_working_tree(self._resolved)
        return Phase.FETCH_TO_COMPLETE

    def _in_the_working_tree(self, resolved: Files) -> Files:
        kept = {path: content for path, content in self.clone.files.items() if path not in self._listed}
        return {**kept, **{path: content for path, content in resolved.items() if path in self._listed}}

    def _fetch_to_complete(self) -> Phase:
        self._remote = self._repository.head()
        self.clone.head = self._repository.commit(self._resolved, (self.clone.head, self._remote))
        self.merges.append(self.clone.head)
        return Phase.PUSH_MERGE

    def _push_merge(self) -> Phase:
        if self._push() or len(self.merges) == ATTEMPTS:
            return Phase.OVER
        return Phase.FETCH

    def _push(self) -> bool:
        if self._repository.head() == self.clone.head:
            return True  # all of it is there already
        if not self._repository.push(self._remote, self.clone.head):
            return False
        self.pushed = self.clone.head
        return True

    def _stand_on(self, commit: str) -> None:
        self.clone.head, self.clone.files = commit, self._repository.files(commit)

    def _merge_base(self) -> str:
        """The newest commit that both sides have: the clone holds a beginning of the remote's line."""
        theirs, common, waiting = self._ancestors(self._remote), set(), [self.clone.head]
        while waiting:
            commit = waiting.pop()
            if commit in theirs:
                common.add(commit)
            else:
                waiting += self._repository.parents(commit)
        return max(common, key=lambda commit: len(self._ancestors(commit)))

    def _ancestors(self, commit: str) -> set[str]:
        """The commit and all before it."""
        found, waiting = {commit}, [commit]
        while waiting:
            new = set(self._repository.parents(waiting.pop())) - found
            found |= new
            waiting += new
        return found
