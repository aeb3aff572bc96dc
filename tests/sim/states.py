"""Where trainings stand: what attempts have saved, and whether others go on from the right state."""

from collections.abc import Callable
from dataclasses import dataclass

from codex_worker.contract.records import Attempt, ResumePointer
from codex_worker.queue.owned import OwnedJob

GOES_ON = 10  # the invariant


@dataclass
class _State:
    attempt: Attempt
    pointer: ResumePointer
    pieces: int
    is_named: bool = False  # the lease names it: the save has returned


class SavedStates:
    """All states that were uploaded, in their order; an upload that was lost is none."""

    def __init__(self, complain: Callable[[int, str], None]) -> None:
        self._complain = complain
        self._states: list[_State] = []

    def save(self, owned: OwnedJob, pieces: int) -> None:
        """Saves through the product. Raises what that raises: then nobody knows what the lease names."""
        oid = f"{len(self._states) + 1:064x}"
        pointer = ResumePointer(oid=oid, size=10, attempt=owned.attempt.number, epochs=float(pieces))
        state = _State(owned.attempt, pointer, pieces)
        self._states.append(state)
        owned.save_resume(pointer)
        state.is_named = True

    @property
    def newest(self) -> ResumePointer:
        """What was saved last, by whomever."""
        return self._states[-1].pointer

    def begun(self, owned: OwnedJob) -> int:
        """How far the state is that an attempt goes on from.

        It has to be of an earlier attempt at the same submission of the same job, and none may be older than
        the last one that the lease was known to name.
        """
        attempt = owned.attempt
        own = [
            state
            for state in self._states
            if state.attempt.job_id == attempt.job_id and state.attempt.name in owned.earlier
        ]
        named = [place for place, state in enumerate(own) if state.is_named]
        newest = max(named, default=-1)
        pointer = owned.resume
        place = next((n for n, state in enumerate(own) if state.pointer == pointer), None)
        if pointer is not None and place is None:
            self._complain(GOES_ON, f"{attempt.name} of {attempt.job_id} goes on from somebody else's state")
        elif (-1 if place is None else place) < newest and attempt.lease_ref is not None:
            self._complain(GOES_ON, f"{attempt.name} of {attempt.job_id} does again what {own[newest]} holds")
        return 0 if place is None else own[place].pieces
