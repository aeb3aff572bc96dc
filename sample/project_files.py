"""The files of the sample project that belong to no document."""

import json
from dataclasses import dataclass

from sample.notebooks import Json

LFS = "filter=lfs diff=lfs merge=lfs -text"
NOT_FOR_GIT = (
    *("zip", "rar", "7z", "tar", "tar.gz", "tar.bz2", "tar.xz", "gz", "bz2", "xz"),
    *("exe", "msi", "bat", "cmd", "com", "scr", "dll", "dmg", "pkg", "iso", "img", "vhd", "vmdk"),
)
# The entries of the editor's file that a worker can trip over.
GIT_IGNORED = (
    ".project/*.sqlite",
    ".project/*.sqlite-wal",
    ".project/*.sqlite-shm",
    ".project/.temp/**",
    ".project/complete_drafts.txt",
    ".project/localProjectSettings.json",
    ".project/localProjectSwap.json",
    "copilot-messages.log",
    *(f"*.{kind}" for kind in NOT_FOR_GIT),
    ".DS_Store",
    ".project/attachments/files/**",
)


@dataclass(frozen=True)
class Tongue:
    """A language as a project lists it: its code of three letters (ISO 639-3), and its name."""

    tag: str
    name: str


@dataclass(frozen=True)
class Identity:
    """What a project says of itself."""

    name: str
    project_id: str
    source: Tongue
    target: Tongue
    copyright: str = ""
    """Whose texts and recordings it holds, and under which licence."""


SAMPLE = Identity(
    "Sample Project", "sampleprojectid0000000", Tongue("ind", "Indonesian"), Tongue("eng", "English")
)


def project_files(identity: Identity = SAMPLE) -> dict[str, str]:
    """Their texts, by path."""
    return {
        # Four spaces and no last newline: the editor writes these two so.
        "metadata.json": json.dumps(_project_metadata(identity), ensure_ascii=False, indent=4),
        ".vscode/settings.json": json.dumps({"git.enabled": False}, indent=4),
        ".project/comments.json": "[]\n",
        ".gitattributes": "\n".join(_git_attributes()),
        ".gitignore": "\n".join(GIT_IGNORED),
    }


def _project_metadata(identity: Identity) -> Json:
    return {
        "format": "scripture burrito",
        "projectName": identity.name,
        "projectId": identity.project_id,
        "meta": {
            "version": "0.0.0",
            "category": "Scripture",
            "generator": {
                "softwareName": "Codex Editor",
                "softwareVersion": "0.32.0",
                "userName": "maria",
                "userEmail": "",
            },
            "defaultLocale": "en",
            "dateCreated": "Thu Jan 01 2026",
            "normalization": "NFC",
            "comments": [],
            "validationCount": 1,
            "validationCountAudio": 1,
            "requiredExtensions": {"codexEditor": "0.32.0", "frontierAuthentication": "0.4.0"},
        },
        "idAuthorities": {},
        "identification": {},
        "languages": [
            {"tag": language.tag, "refName": language.name, "projectStatus": status}
            for status, language in (("source", identity.source), ("target", identity.target))
        ],
        "type": {
            "flavorType": {
                "name": "default",
                "flavor": {
                    "name": "default",
                    "usfmVersion": "3.0",
                    "translationType": "unknown",
                    "audience": "general",
                    "projectType": "unknown",
                },
                "currentScope": {},
            }
        },
        "confidential": False,
        "agencies": [],
        "targetAreas": [],
        "localizedNames": {},
        "ingredients": {},
        "copyright": {"shortStatements": _statements(identity.copyright)},
        "edits": [],
    }


def _statements(copyright_said: str) -> list[Json]:
    if not copyright_said:
        return []
    return [{"statement": copyright_said, "mimetype": "text/plain", "lang": "en"}]


def _git_attributes() -> list[str]:
    kinds = {
        "# Audio files": ("wav", "mp3", "m4a", "ogg", "webm"),
        "# Video files": ("mp4", "avi", "mov", "mkv"),
        "# Image files over 1MB should use LFS": ("jpg", "jpeg", "png"),
    }
    lines: list[str] = []
    for title, extensions in kinds.items():
        lines += [title, *(f"*.{extension} {LFS}" for extension in extensions), ""]
    return lines[:-1]
