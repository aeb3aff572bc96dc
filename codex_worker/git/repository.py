"""Transactions on a repository: look at the head, decide on what is there, build on it, push; or look again.

The order of questions after a push that was not accepted is what makes this safe: did one of our own
tries land after all? then it is done; did the branch or a lease move? then somebody was faster; only
else did the server say no.
"""

import logging
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Generic, Protocol, TypeVar

from codex_worker.clock import Clock
from codex_worker.errors import CacheBroken, PushRefused, WorkerError
from codex_worker.git.ports import GitPort, Heads, PathChange, PushAnswer, RefMove, Snapshot
from codex_worker.git.refusals import refusal_sentence
from codex_worker.git.seen import SeenHeads
from codex_worker.retry import TRANSACTION, BackOff
from codex_worker.tally import Tally

logger = logging.getLogger(__name__)

# A hook can fail for a passing reason, and its words can't be told from a final no.
REFUSALS_BEFORE_BELIEVING = 3


@dataclass(frozen=True)
class LeaseMove:
    """A lease's replacement, in the same push as the change it goes with."""

    ref: str
    expected: str | None
    content: bytes | None  # None: the lease is deleted


@dataclass(frozen=True)
class RecordMove:
    """A record's next commit, in the same push as the change it goes with; see GitPort.record_commit."""

    ref: str
    expected: str | None
    base: str  # the record before it, or for the first one the commit on which the job was claimed
    files: Mapping[str, bytes | None]
    is_first: bool


T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Change(Generic[T_co]):
    """What a transaction wants to do to the head it was shown; without files and moves, nothing.

    `value` is what the builder wants to know of this change, should it be the one that lands.
    """

    files: Mapping[str, bytes | None]  # None deletes
    message: str
    leases: Sequence[LeaseMove] = ()
    proofs: Sequence[str] = ()  # new paths that only this change can have brought
    value: T_co = None  # type: ignore[assignment]  # without one it is a Change[None]
    records: Sequence[RecordMove] = ()

    @property
    def is_empty(self) -> bool:
        """True where there is nothing to push."""
        return not (self.files or self.leases or self.records)


@dataclass(frozen=True)
class Landed(Generic[T_co]):
    """A transaction's end. `commit` is None where no file had to be changed."""

    commit: str | None
    refs: Mapping[str, str | None] = field(default_factory=dict)  # lease or record -> its new commit
    change: Change[T_co] | None = None  # the one that landed, or had nothing to change

    @property
    def value(self) -> T_co | None:
        """The value of the change that landed, whatever was built after it; None where there was none."""
        return None if self.change is None else self.change.value


Build = Callable[[Snapshot, Heads], Change[T] | None]


class LockedTransport(GitPort, Protocol):
    """A transport that keeps other processes off its cache."""

    def locked(self) -> AbstractContextManager[None]:
        """Held for a whole transaction."""

    def renew(self, commit: str | None = None) -> None:
        """Makes a damaged cache anew, with a commit of the server's in it; what was made there is gone."""


@dataclass
class _Try(Generic[T]):
    change: Change[T]
    commit: str | None
    refs: dict[str, str | None]  # leases and records


@dataclass
class _Transaction(Generic[T]):
    """What is known of a transaction between two looks at the head."""

    build: Build[T]
    tries: list[_Try[T]] = field(default_factory=list)
    refusals: int = 0
    seen_before: Heads | None = None
    answer: PushAnswer | None = None  # to the last try; None where none came
    guess: Heads | None = None  # refs as they were seen earlier, for the first try only
    is_guess_true: bool = False


class Repository:
    """One project's repository, for one worker."""

    def __init__(
        self,
        transport: LockedTransport,
        clock: Clock,
        *,
        chance: random.Random | None = None,
        give_up: threading.Event | None = None,
        tally: Tally | None = None,
    ) -> None:
        """Once `give_up` is set, a server that is away is not asked again within a transaction.

        `tally` counts what is tried again.
        """
        self._tally = tally or Tally()
        self._transport = transport
        self._give_up = give_up or threading.Event()
        self._clock = clock
        self._chance = chance or random.Random()
        self._lock = threading.RLock()
        self.seen = SeenHeads()
        self._may_guess = True

    def look(self) -> Heads:
        """The default branch and our refs, with one request."""
        number = self.seen.begin()
        heads = self._mended(self._transport.look)
        self.seen.saw(number, heads)
        return heads

    def snapshot(self, heads: Heads | None = None) -> Snapshot:
        """The files at the head."""
        return self._locked(lambda: self._transport.snapshot(heads or self.look()))

    def read_lease(self, commit: str) -> bytes:
        """A lease's content; b"" where the commit is no lease."""
        return self.read_leases([commit]).get(commit, b"")

    def read_leases(self, commits: Sequence[str]) -> dict[str, bytes]:
        """Several leases' contents, with one request; what is no lease is left out."""
        return self._locked(lambda: self._transport.read_leases(commits))

    def transact(
        self,
        build: Build[T],
        *,
        patience_s: float | None = TRANSACTION.timeout_s,
        standing: Heads | None = None,
        asks_first: bool = False,
    ) -> Landed[T]:
        """Builds a change on the head and pushes it, again and again until it lands.

        The first try is built on the refs as they were last seen, without asking: where one of them has
        moved since, the server refuses the push. `asks_first` is for what mostly finds nothing to do, which
        has to be asked for anyhow. `build` is shown each new head; what it raises ends the transaction, None
        means there is nothing to do. That counts on a head that the server has just told, or on `standing`:
        refs that are known to stand. The answer holds the value of the change that landed. Raises
        ServerUnreachable or AccessDenied when the server could not be used for `patience_s`, and PushRefused,
        with the server's words, when it said no.
        """
        guess = standing or (self.seen.heads if self._may_guess and not asks_first else None)
        transaction = _Transaction(build, guess=guess, is_guess_true=standing is not None)
        back_off = BackOff(
            replace(TRANSACTION, timeout_s=patience_s),
            self._clock.monotonic,
            self._clock.sleep,
            self._give_up,
            chance=self._chance,
            retried=self._tally.retried,
        )
        return back_off.insist(lambda: self._until_landed(transaction))

    def _until_landed(self, transaction: _Transaction[T]) -> Landed[T]:
        while (landed := self._mended(lambda: self._try(transaction))) is None:
            # Losers of a race wait a little at random, so that they do not meet again.
            longest_s = 0.05 * min(2 ** len(transaction.tries), 64)
            self._clock.sleep(self._chance.uniform(0, longest_s) + transaction.refusals)
        return landed

    def _try(self, transaction: _Transaction[T]) -> Landed[T] | None:
        """One look, one build and one push; None where the push was not accepted."""
        with self._lock, self._transport.locked():
            guess, transaction.guess = transaction.guess, None
            if guess is not None:
                landed = self._try_on(transaction, guess, is_guess=not transaction.is_guess_true)
                self._may_guess = landed is not None or transaction.answer is None
                if landed is not None or transaction.answer is not None:
                    return landed
            landed = self._try_on(transaction, self.look())
            # Where others push all the time a guess costs more than it saves.
            self._may_guess = self._may_guess or landed is not None
            return landed

    def _try_on(
        self, transaction: _Transaction[T], heads: Heads, *, is_guess: bool = False
    ) -> Landed[T] | None:
        """One build and one push on these heads; None where the push was not accepted.

        With a guess None as well, and nothing is pushed, where there is nothing to do: that may be old.
        """
        snapshot = self._transport.snapshot(heads)
        landed = self._landed(transaction.tries, heads, snapshot)
        if landed:
            return landed
        _believe_refusals(transaction, heads)
        try:
            change = transaction.build(snapshot, heads)
        except WorkerError:
            if is_guess:
                return None
            raise
        if change is None or change.is_empty:
            return None if is_guess else Landed(None, change=change)
        attempt = self._make(snapshot, change)
        transaction.tries.append(attempt)
        transaction.seen_before, transaction.answer = heads, None
        transaction.answer = self._push(attempt, snapshot, heads)
        return Landed(attempt.commit, attempt.refs, attempt.change) if transaction.answer.accepted else None

    def replace_lease(self, ref: str, expected: str | None, commit: str | None) -> PushAnswer:
        """Moves a lease ref alone; `commit` is one that `lease_commit` made, None deletes the ref.

        Raises CacheBroken where that commit was lost with the cache, which is whole again then.
        """
        moves = [RefMove(ref, expected, commit)]
        try:
            answer = self._transport.push(moves, atomic=False)
        except CacheBroken:
            self._transport.renew()
            raise
        if answer.accepted:
            self.seen.moved(moves)
        return answer

    def lease_commit(self, content: bytes) -> str:
        """Makes a lease's commit, here."""
        return self._mended(lambda: self._transport.lease_commit(content))

    def records(self, commits: Sequence[str]) -> dict[str, Snapshot]:
        """The files of records, by commit; one with too many of them is left out."""
        return self._locked(lambda: self._transport.records(commits))

    def ordinary_changes(
        self, heads: Heads, record_ref: str | None, since: str, paths: Sequence[str]
    ) -> list[PathChange] | None:
        """What people's own commits did to files since `since`; see GitPort."""
        return self._locked(lambda: self._transport.ordinary_changes(heads, record_ref, since, paths))

    def _locked(self, action: Callable[[], R]) -> R:
        def alone() -> R:
            with self._lock, self._transport.locked():
                return action()

        return self._mended(alone)

    def _mended(self, action: Callable[[], R]) -> R:
        """The action's answer; where the cache turns out to be damaged, it is made anew once.

        Raises CacheBroken where that does not help.
        """
        try:
            return action()
        except CacheBroken as broken:
            logger.warning("%s", broken)
            self._transport.renew()
            return action()

    def _make(self, snapshot: Snapshot, change: Change[T]) -> _Try[T]:
        commit = self._transport.commit(snapshot, change.files, change.message) if change.files else None
        refs = {
            move.ref: None if move.content is None else self._transport.lease_commit(move.content)
            for move in change.leases
        }
        for record in change.records:
            refs[record.ref] = self._transport.record_commit(
                record.base, record.files, is_first=record.is_first
            )
        return _Try(change, commit, refs)

    def _push(self, attempt: _Try[T], snapshot: Snapshot, heads: Heads) -> PushAnswer:
        change = attempt.change
        expected = {move.ref: move.expected for move in change.leases}
        expected |= {move.ref: move.expected for move in change.records}
        moves = [RefMove(ref, value, attempt.refs[ref]) for ref, value in expected.items()]
        if attempt.commit:
            moves.insert(0, RefMove(heads.branch, snapshot.commit, attempt.commit, fast_forward=True))
        self.seen.forget()  # until there is an answer
        answer = self._transport.push(moves, atomic=True)
        if answer.accepted:
            self.seen.pushed(heads, moves)
        return answer

    def _landed(self, tries: Sequence[_Try[T]], heads: Heads, snapshot: Snapshot) -> Landed[T] | None:
        for attempt in tries:
            records = [move.ref for move in attempt.change.records]
            by_commit = attempt.commit is not None and self._transport.contains(heads, attempt.commit)
            by_record = bool(records) and all(heads.at(ref) == attempt.refs[ref] for ref in records)
            by_lease = attempt.commit is None and all(
                heads.at(ref) == oid for ref, oid in attempt.refs.items()
            )
            proofs = attempt.change.proofs
            by_proof = bool(proofs) and len(snapshot.existing(proofs)) == len(proofs)
            if by_commit or by_record or by_lease or by_proof:
                return Landed(attempt.commit, attempt.refs, attempt.change)
        return None


def _believe_refusals(transaction: _Transaction[T], heads: Heads) -> None:
    """Raises PushRefused once the server has said no often enough while nobody else was in the way."""
    answer = transaction.answer
    refused = answer is not None and _same_refs(transaction.seen_before, heads, transaction.tries[-1])
    transaction.refusals = transaction.refusals + 1 if refused else 0
    if answer is not None and transaction.refusals >= REFUSALS_BEFORE_BELIEVING:
        raise PushRefused(refusal_sentence(answer.words))


def _same_refs(before: Heads | None, now: Heads, attempt: _Try[T]) -> bool:
    """True when nothing that our push depended on has moved: nobody was faster."""
    if before is None or before.commit != now.commit or before.branch != now.branch:
        return False
    return all(before.at(ref) == now.at(ref) for ref in attempt.refs)
