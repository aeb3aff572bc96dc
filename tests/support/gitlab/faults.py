"""Faults on demand: which requests go wrong, how, and how often."""

import re
import threading
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tests.support.gitlab.messages import Request, Response, answer

Moment = Literal["before", "after", "midway"]


@dataclass
class Rule:
    """Applies to the matching requests number `nth` to `nth + times - 1`; for ever where times is None."""

    name: str
    method: str | None
    path: re.Pattern[str]
    nth: int
    times: int | None
    response: Response | None = None
    drop: Moment | None = None
    delay_s: float = 0.0
    seen: int = 0

    def matches(self, request: Request) -> bool:
        """Counts the request where it is one of this rule's."""
        if self.method not in {None, request.method} or not self.path.search(request.target):
            return False
        self.seen += 1
        return self.nth <= self.seen and (self.times is None or self.seen < self.nth + self.times)


@dataclass
class Faults:
    """The rules in force; the first one that matches a request applies. `injected` counts them by kind."""

    rules: list[Rule] = field(default_factory=list)
    injected: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(
        self,
        status: int,
        path: str = "",
        *,
        method: str | None = None,
        nth: int = 1,
        times: int | None = 1,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Answer with this status instead; the request has no effect."""
        response = answer({"message": f"{status} fault on demand"}, status, headers)
        self._add(Rule(f"answer {status}", method, re.compile(path), nth, times, response=response))

    def drop(
        self,
        moment: Moment,
        path: str = "",
        *,
        method: str | None = None,
        nth: int = 1,
        times: int | None = 1,
    ) -> None:
        """Close the connection: before the request has an effect, after it, or midway through the answer."""
        self._add(Rule(f"drop {moment}", method, re.compile(path), nth, times, drop=moment))

    def slow(
        self,
        delay_s: float,
        path: str = "",
        *,
        method: str | None = None,
        nth: int = 1,
        times: int | None = 1,
    ) -> None:
        """Wait before answering, with the server's `sleep`."""
        self._add(Rule("slow", method, re.compile(path), nth, times, delay_s=delay_s))

    def clear(self) -> None:
        with self._lock:
            self.rules.clear()

    def rule_for(self, request: Request) -> Rule | None:
        with self._lock:
            found = None
            for rule in self.rules:
                if rule.matches(request) and found is None:
                    found = rule
            if found is not None:
                self.injected[found.name] += 1
            return found

    def _add(self, rule: Rule) -> None:
        with self._lock:
            self.rules.append(rule)


@dataclass
class RateLimit:
    """At most so many requests to matching paths in any window; more are answered with 429."""

    requests: int
    window_s: float
    path: re.Pattern[str]
    says_when: (
        bool  # with Retry-After and RateLimit headers, as GitLab's front door sends; its inner limits don't
    )
    _times: deque[float] = field(default_factory=deque)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def check(self, request: Request, now_s: float) -> Response | None:
        """The refusal, or None where the request may pass."""
        if not self.path.search(request.target):
            return None
        with self._lock:
            while self._times and self._times[0] <= now_s - self.window_s:
                self._times.popleft()
            if len(self._times) < self.requests:
                self._times.append(now_s)
                return None
            wait_s = self._times[0] + self.window_s - now_s
        headers = {}
        if self.says_when:
            headers = {
                "Retry-After": str(max(1, round(wait_s))),
                "RateLimit-Limit": str(self.requests),
                "RateLimit-Remaining": "0",
                "RateLimit-Reset": str(round(now_s + wait_s)),
            }
        return answer(
            {"message": {"error": "This endpoint has been requested too many times. Try again later."}},
            429,
            headers,
        )
