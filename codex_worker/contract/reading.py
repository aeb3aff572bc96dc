"""A manifest's entry against the keys that are known: values, faults and notes. Pure."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from codex_worker.contract.keys import Key, Work, keys_of
from codex_worker.contract.placement import KnownKeys, find_values
from codex_worker.contract.values import shown
from codex_worker.errors import UserError

MOST_FAULTS, MOST_NOTES = 5, 10

Options = TypeVar("Options", bound=BaseModel)


class EntryReader:
    """Reads one entry for a job that does `work`; None is the work of a plug-in.

    `others` are the places of keys that are read elsewhere.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        keys: Sequence[Key],
        others: Collection[str],
        work: frozenset[Work] | None,
    ) -> None:
        self._keys = keys
        self._work = work
        self._found = find_values(config, KnownKeys.of(keys, others), is_plug_in=work is None)
        self._values: dict[str, Any] = {}
        self.faults = list(self._found.faults)
        for key in keys:
            for place in key.places:
                self._read(key, place)

    def values_of(self, model: type[Options]) -> Options:
        """The options that a model holds; its defaults where something is wrong, which is a fault then."""
        given = {
            name: self._values[place]
            for name, key in keys_of(model)
            for place in reversed(key.places)
            if self._values.get(place) is not None
        }
        try:
            return model(**given)
        except ValidationError as error:
            self.faults.append(str(error.errors()[0]["msg"]).removeprefix("Value error, "))
            return model()

    def refuse_faults(self) -> None:
        """Raises UserError where there are faults, with a handful of them."""
        if not self.faults:
            return
        rest = len(self.faults) - MOST_FAULTS
        told = self.faults[:MOST_FAULTS] + ([f"and {rest} more like these"] if rest > 0 else [])
        raise UserError(
            f"The job's entry in gpu_jobs/manifest.yaml cannot be used. {'; '.join(told)}. "
            "Correct it and ask for a new job; docs/manifest.md of the worker lists all keys."
        )

    def notes(self) -> tuple[str, ...]:
        """Sentences about keys that have no effect. None for a plug-in, which may read them itself."""
        if self._work is None:
            return ()
        notes = [note for key in self._keys if (note := self._note(key, self._work))]
        notes += [
            f"{place[:80]} is not a key that this worker knows; it has no effect."
            for place in self._found.unknown
        ]
        rest = len(notes) - MOST_NOTES
        return tuple(notes if rest <= 0 else [*notes[:MOST_NOTES], f"{rest} more keys have no effect."])

    def _read(self, key: Key, place: str) -> None:
        if place not in self._found.values:
            return
        value = self._found.values[place]
        try:
            self._values[place] = key.values.read(value)
        except ValueError as error:
            self.faults.append(f"{place}: {shown(value)} {error}")

    def _note(self, key: Key, work: frozenset[Work]) -> str | None:
        place = next((place for place in key.places if place in self._found.values), None)
        if place is None or (key.used_in & work) or self._values.get(place) in (None, ()):
            return None  # an empty list asks for nothing
        if key.no_effect:
            return f"{place} has no effect: {key.no_effect}."
        return f"{place} has no effect in this job: it is for {' and '.join(sorted(key.used_in))}."
