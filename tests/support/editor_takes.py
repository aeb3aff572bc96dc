"""What the editor's merge makes of recordings and of approvals."""

import unicodedata
from typing import Any

SELECTION = ("selectedAudioId", "selectionTimestamp")
NOW = 0  # stands for the time of the merge, which the editor gives to an approval that is a mere name


def merge_takes(ours: dict[str, dict], theirs: dict[str, dict]) -> dict[str, dict]:
    """All takes; one that both have is, as a whole, the newer by updatedAt, with the approvals of both."""
    return {
        identity: _with_normal_url(
            _merge_take(ours[identity], theirs[identity])
            if identity in ours and identity in theirs
            else {**ours, **theirs}[identity]
        )
        for identity in ours | theirs
    }


def selection(ours: dict, theirs: dict) -> dict[str, Any]:
    """The keys of the selection in two cells' metadata: the newer one's, where both have one."""
    if theirs.get("selectedAudioId") is None:
        chosen = ours
    elif ours.get("selectedAudioId") is None:
        chosen = theirs
    else:
        times = [side.get("selectionTimestamp") or 0 for side in (ours, theirs)]
        chosen = theirs if times[1] > times[0] else ours
    return {key: chosen[key] for key in SELECTION if key in chosen and chosen.get(SELECTION[0]) is not None}


def merge_edit_validations(ours: list, theirs: list) -> list:
    """The approvals of two copies of one edit: the newest of each person, with the time of the first.

    A mere name on our side goes, unless the other side has that person's approval, which takes its place.
    A mere name on theirs becomes an approval of now, unless we have that person's, which is older then.
    """
    merged = list(ours)
    for entry in theirs:
        approval = _approval_of_now(entry) if isinstance(entry, str) else entry
        if not _is_valid(approval):
            continue
        places = [place for place, known in enumerate(merged) if _person(known) == approval["username"]]
        if not places:
            merged.append(approval)
        elif isinstance(known := merged[places[0]], str):
            merged[places[0]] = approval
        elif approval["updatedTimestamp"] > known["updatedTimestamp"]:
            merged[places[0]] = {**approval, "creationTimestamp": known["creationTimestamp"]}
    return [entry for entry in merged if not isinstance(entry, str)]


def are_valid(entries: list) -> list:
    """The approvals among what stands in a list of them."""
    return [entry for entry in entries if _is_valid(entry)]


def _merge_take(ours: dict, theirs: dict) -> dict:
    newer = theirs if _updated(theirs) > _updated(ours) else ours
    people = _merge_approvals([*_listed(ours), *_listed(theirs)])
    if people:
        return {**newer, "validatedBy": people}
    return {key: value for key, value in newer.items() if key != "validatedBy"}


def _merge_approvals(entries: list) -> list[dict]:
    """Of each person the newest approval, with the time of the first; in the order of names."""
    merged: dict[str, dict] = {}
    for entry in (_approval_of_now(entry) if isinstance(entry, str) else entry for entry in entries):
        if not _is_valid(entry):
            continue
        known = merged.setdefault(entry["username"], entry)
        if entry["updatedTimestamp"] > known["updatedTimestamp"]:
            merged[entry["username"]] = {**entry, "creationTimestamp": known["creationTimestamp"]}
    return sorted(merged.values(), key=lambda entry: _in_a_dictionary(entry["username"]))


def _in_a_dictionary(name: str) -> tuple[str, str]:
    """Where a name stands among others: accents and capitals count after all letters."""
    letters = [letter for letter in unicodedata.normalize("NFKD", name) if not unicodedata.combining(letter)]
    return "".join(letters).casefold(), name.swapcase()


def _listed(take: dict) -> list:
    return take["validatedBy"] if isinstance(take.get("validatedBy"), list) else []


def _updated(take: dict) -> float:
    time = take.get("updatedAt")
    return time if isinstance(time, int | float) else 0


def _approval_of_now(username: str) -> dict:
    return {"username": username, "creationTimestamp": NOW, "updatedTimestamp": NOW, "isDeleted": False}


def _is_valid(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("username"), str)
        and all(isinstance(entry.get(key), int | float) for key in ("creationTimestamp", "updatedTimestamp"))
        and isinstance(entry.get("isDeleted"), bool)
    )


def _person(entry: Any) -> str | None:
    if isinstance(entry, str):
        return entry
    return entry["username"] if _is_valid(entry) else None


def _with_normal_url(take: dict) -> dict:
    return {**take, "url": _normal(take["url"])} if isinstance(take.get("url"), str) else dict(take)


def _normal(url: str) -> str:
    """The address of the local bytes, which is what an entry has to hold."""
    url = url.replace("\\", "/").replace("/attachments/pointers/", "/attachments/files/", 1)
    folder = ".project/attachments/"
    if folder in url and not url.split(folder, 1)[1].startswith("files/"):
        url = url.replace(folder, f"{folder}files/", 1)
    return url
