"""The GraphQL API: the parts of GitLab's schema that a sweep over projects asks for, and its limit."""

import base64
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    build_schema,
    execute_sync,
    parse,
    validate,
    value_from_ast_untyped,
)

from tests.support.gitlab import projects_api
from tests.support.gitlab.auth import Identity
from tests.support.gitlab.messages import Refused, Request, Response, answer
from tests.support.gitlab.repositories import Entry, Repositories
from tests.support.gitlab.state import Project
from tests.support.gitlab.wiring import Services

MAX_PAGE = 100
MAX_QUERY_CHARACTERS = 10_000

SCHEMA = build_schema(
    """
    type Query {
      currentUser: User
      metadata: Metadata
      project(fullPath: ID!): Project
      projects(membership: Boolean, ids: [ID!], first: Int, after: String): ProjectConnection
      queryComplexity: QueryComplexity
    }
    type Metadata { version: String! revision: String! }
    type QueryComplexity { score: Int limit: Int }
    type User { id: ID! username: String! }
    type PageInfo { endCursor: String hasNextPage: Boolean! }
    type ProjectConnection { nodes: [Project] pageInfo: PageInfo! }
    type AccessLevel { integerValue: Int }
    type ProjectPermissions { pushCode: Boolean! readProject: Boolean! }
    type Project {
      id: ID! fullPath: ID! name: String! path: String! archived: Boolean httpUrlToRepo: String
      createdAt: String lastActivityAt: String updatedAt: String lfsEnabled: Boolean
      maxAccessLevel: AccessLevel! userPermissions: ProjectPermissions! repository: Repository
    }
    type Repository {
      exists: Boolean! empty: Boolean! rootRef: String
      tree(path: String = "", ref: String = null, recursive: Boolean = false): Tree
      blobs(paths: [String!]!, ref: String = null, first: Int, after: String): RepositoryBlobConnection
    }
    type Tree {
      lastCommit: Commit
      trees(first: Int): TreeEntryConnection
      blobs(first: Int): TreeEntryConnection
    }
    type Commit { sha: String! id: ID! }
    type TreeEntryConnection { nodes: [TreeEntry] }
    type TreeEntry { id: ID! name: String! path: String! sha: String! type: String! }
    type RepositoryBlobConnection { nodes: [RepositoryBlob] pageInfo: PageInfo! }
    type RepositoryBlob {
      oid: String! path: String! name: String rawTextBlob: String rawBlob: String
      size: Int rawSize: Int lfsOid: String
    }
    """
)

_POINTER = re.compile(
    r"version https://git-lfs\.github\.com/spec/v1\noid sha256:([0-9a-f]{64})\nsize (\d+)\n"
)
# What reads from the git servers, and what gives a page of something, in GitLab's schema.
_READS_GIT = {"tree", "lastCommit", "rootRef", "exists", "empty"}
_CONNECTIONS = {"projects", "trees", "blobs"}


def graphql(services: Services, request: Request, match: re.Match[str]) -> Response:
    identity = services.auth.for_api(request, projects_api.READ)
    asked = request.json()
    if not isinstance(asked, dict) or not isinstance(asked.get("query"), str):
        raise Refused(400, {"errors": [{"message": "No query"}]})
    if len(asked["query"]) > MAX_QUERY_CHARACTERS:
        return _errors("Query too large")
    try:
        document, problems = _parsed(asked["query"])
    except GraphQLError as error:
        return _errors(error.message)
    if problems:
        return _errors(*[problem.message for problem in problems])
    score = complexity(document, asked.get("variables") or {})
    if score > services.complexity_limit:
        return _errors(
            f"Query has complexity of {score}, which exceeds max complexity of {services.complexity_limit}"
        )
    result = execute_sync(
        SCHEMA,
        document,
        root_value=_Query(services, identity, score),
        variable_values=asked.get("variables"),
        operation_name=asked.get("operationName"),
    )
    return answer(result.formatted)


def complexity(document: DocumentNode, variables: dict[str, Any]) -> int:
    """The score by GitLab's formula (its BaseField).

    A field costs 1, and 1 more where it reads from a repository; a connection costs one hundredth more for
    each object of its page, `blobs` 1 more for each path.
    """
    fragments = {
        node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)
    }
    operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    return sum(_cost_of_selections(node.selection_set, fragments, variables) for node in operations)


def _cost_of_selections(
    selections: SelectionSetNode | None, fragments: dict, variables: dict[str, Any]
) -> int:
    return sum(_cost(field, fragments, variables) for field in _fields(selections, fragments))


def _fields(selections: SelectionSetNode | None, fragments: dict) -> Iterator[FieldNode]:
    for node in selections.selections if selections else ():
        if isinstance(node, FieldNode):
            yield node
        elif isinstance(node, InlineFragmentNode):
            yield from _fields(node.selection_set, fragments)
        elif isinstance(node, FragmentSpreadNode):
            yield from _fields(fragments[node.name.value].selection_set, fragments)


def _cost(field: FieldNode, fragments: dict, variables: dict[str, Any]) -> int:
    name = field.name.value
    arguments = {
        argument.name.value: value_from_ast_untyped(argument.value, variables)
        for argument in field.arguments or ()
    }
    cost = 1 + _cost_of_selections(field.selection_set, fragments, variables)
    if name in _READS_GIT:
        cost += 1
    if "paths" in arguments:
        cost += 1 + len(arguments["paths"] or ())
    if name in _CONNECTIONS:
        page = min(arguments.get("first") or MAX_PAGE, MAX_PAGE)
        cost += int(cost * page * 0.01)
    return cost


@functools.lru_cache(maxsize=256)
def _parsed(query: str) -> tuple[DocumentNode, list[GraphQLError]]:
    document = parse(query)
    return document, validate(SCHEMA, document)


def _errors(*messages: str) -> Response:
    return answer({"errors": [{"message": message} for message in messages]})


class _Query:
    """The root: graphql-core finds fields as attributes and calls those that are methods."""

    def __init__(self, services: Services, identity: Identity, score: int) -> None:
        self._services = services
        self._identity = identity
        self.queryComplexity = {"score": score, "limit": services.complexity_limit}
        self.metadata = projects_api.VERSION
        self.currentUser = {"id": f"gid://gitlab/User/{identity.user.id}", "username": identity.user.username}

    def project(self, info: Any, fullPath: str) -> "_Project | None":
        project = self._services.state.by_path.get(fullPath)
        if project is None or not self._identity.level(project):
            return None
        return _Project(self._services, self._identity, project)

    def projects(
        self,
        info: Any,
        membership: bool = False,
        ids: list[str] | None = None,
        first: int | None = None,
        after: str | None = None,
    ) -> dict[str, Any]:
        found = [
            project for project in self._services.state.projects.values() if self._identity.level(project)
        ]
        if ids is not None:
            found = [project for project in found if f"gid://gitlab/Project/{project.id}" in ids]
        page, info_of_page = _page([(project.id, project) for project in reversed(found)], first, after)
        return {
            "nodes": [_Project(self._services, self._identity, project) for project in page],
            "pageInfo": info_of_page,
        }


class _Project:
    """Each field is found when it is asked for: a sweep asks for few of them, ten thousand times."""

    def __init__(self, services: Services, identity: Identity, project: Project) -> None:
        self._services = services
        self._identity = identity
        self._project = project
        self.id = f"gid://gitlab/Project/{project.id}"
        self.fullPath = project.path
        self.name = self.path = project.path.rpartition("/")[2]
        self.archived = project.archived
        self.lfsEnabled = project.lfs_enabled
        self.httpUrlToRepo = f"{services.url}/{project.path}.git"
        self.maxAccessLevel = {"integerValue": identity.level(project)}

    def createdAt(self, info: Any) -> str:
        return projects_api.shown_time(self._project.created_at)

    def lastActivityAt(self, info: Any) -> str:
        return projects_api.shown_time(self._project.last_activity_at)

    def updatedAt(self, info: Any) -> str:
        return projects_api.shown_time(self._project.updated_at)

    def userPermissions(self, info: Any) -> dict[str, bool]:
        branch = self._services.repositories.head_name(self._project.repository)
        may_push = self._project.may_push_to(branch, self._identity.level(self._project))
        return {"pushCode": may_push and not self._project.archived, "readProject": True}

    def repository(self, info: Any) -> "_Repository":
        return _Repository(self._services.repositories, self._project.repository)


class _Repository:
    def __init__(self, reader: Repositories, path: Path) -> None:
        self._reader = reader
        self._path = path
        self._branch = reader.head_name(path)
        self._head = reader.commit(path, self._branch)
        self.exists = True
        self.empty = self._head is None
        self.rootRef = self._branch if self._head else None

    def tree(self, info: Any, path: str = "", ref: str | None = None, recursive: bool = False) -> Any:
        commit = self._commit(ref)
        found = self._reader.entry(self._path, commit, path) if commit else None
        if commit is None or found is None or not found.is_tree:
            # GitLab answers an empty tree where there is none.
            return {"lastCommit": None, "trees": {"nodes": []}, "blobs": {"nodes": []}}
        return _Tree(self._reader, self._path, commit, path, found)

    def blobs(
        self,
        info: Any,
        paths: list[str],
        ref: str | None = None,
        first: int | None = None,
        after: str | None = None,
    ) -> dict[str, Any]:
        commit = self._commit(ref)
        found = []
        if commit is not None:
            for path in paths:
                entry = self._reader.entry(self._path, commit, path)
                if entry is not None and not entry.is_tree:
                    found.append(_blob(self._reader.read(self._path, entry.oid), path, entry))
        page, info_of_page = _page(list(enumerate(found)), first, after, rising=True)
        return {"nodes": page, "pageInfo": info_of_page}

    def _commit(self, ref: str | None) -> str | None:
        return self._head if ref in {None, "HEAD", self._branch} else self._reader.commit(self._path, ref)


class _Tree:
    def __init__(self, reader: Repositories, repository: Path, commit: str, path: str, found: Entry) -> None:
        self._reader = reader
        self._repository = repository
        self._commit = commit
        self._path = path
        self._entries = reader.tree(repository, found.oid)

    def lastCommit(self, info: Any) -> dict[str, str]:
        commit = self._reader.last_commit(self._repository, self._commit, self._path)
        return {"sha": commit, "id": f"gid://gitlab/Commit/{commit}"}

    def trees(self, info: Any, first: int | None = None) -> dict[str, Any]:
        return self._nodes("tree", [entry for entry in self._entries if entry.is_tree], first)

    def blobs(self, info: Any, first: int | None = None) -> dict[str, Any]:
        return self._nodes("blob", [entry for entry in self._entries if not entry.is_tree], first)

    def _nodes(self, kind: str, entries: list[Entry], first: int | None) -> dict[str, Any]:
        nodes = [
            {
                "id": f"gid://gitlab/{kind.title()}/{entry.oid}",
                "name": entry.name,
                "path": f"{self._path}/{entry.name}".lstrip("/"),
                "sha": entry.oid,
                "type": kind,
            }
            for entry in entries
        ]
        return {"nodes": nodes[: min(first or MAX_PAGE, MAX_PAGE)]}


def _blob(content: bytes, path: str, entry: Entry) -> dict[str, Any]:
    text = content.decode("utf-8", errors="replace")
    pointer = _POINTER.fullmatch(text)
    return {
        "oid": entry.oid,
        "path": path,
        "name": entry.name,
        "rawBlob": text,
        "rawTextBlob": None if b"\0" in content else text,
        "size": len(content),
        "rawSize": int(pointer[2]) if pointer else len(content),
        "lfsOid": pointer[1] if pointer else None,
    }


def _page(
    items: list[tuple[int, Any]], first: int | None, after: str | None, *, rising: bool = False
) -> tuple[list[Any], dict[str, Any]]:
    """One page of (key, item), newest keys first unless rising, and its pageInfo."""
    if after:
        key = int(base64.b64decode(after))
        items = [item for item in items if (item[0] > key if rising else item[0] < key)]
    size = min(first if first is not None else MAX_PAGE, MAX_PAGE)
    page = items[:size]
    cursor = base64.b64encode(str(page[-1][0]).encode()).decode() if page else None
    return [item for _, item in page], {"endCursor": cursor, "hasNextPage": len(items) > size}


ROUTES = [("POST", re.compile("/api/graphql"), graphql)]
