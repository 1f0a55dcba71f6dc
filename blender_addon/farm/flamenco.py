"""Flamenco's manager over its HTTP API, version 3. Standard library only; safe in any thread."""

from __future__ import annotations

import http.client
import json
import platform
import urllib.error
import urllib.request
from collections import Counter
from typing import Any

from ..errors import Text, UserError
from .job import State

JOB_TYPE = "stylerig-render"
SECONDS = 10.0  # that an answer may take
MOST_BYTES = 64 << 20  # of an answer; a job of 100,000 tasks has some 20 MB
PRIORITY = 50  # Flamenco's own default
ENDED, FAILED = {"completed", "canceled", "failed", "construction-failed"}, {"failed", "construction-failed"}
STATUSES = {
    "under-construction": "being prepared", "queued": "waiting", "active": "rendering", "paused": "paused",
    "completed": "done", "canceled": "canceled", "failed": "failed", "construction-failed": "failed",
}  # fmt: skip
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a manager is in one's own network


class Manager:
    """A running manager. Raises UserError for all that can go wrong outside."""

    def __init__(self, url: str):
        self.url = url.strip().rstrip("/")
        if not self.url.startswith(("http://", "https://")):
            raise UserError(
                "bad_manager", "“{url}” is no address of a Flamenco manager.", "Give one as http://HOST:8080 in the preferences.", url=url
            )

    def submit(self, name: str, settings: dict) -> FlamencoJob:
        """Have a job of StyleRig's type made and begun."""
        self.check_job_type(settings)
        order = {"name": name, "type": JOB_TYPE, "priority": PRIORITY, "settings": settings}
        made = self.call("POST", "/api/v3/jobs", order | {"submitter_platform": platform.system().lower()})
        return FlamencoJob(self, name, self.read(made, "id"))

    def check_job_type(self, settings: dict) -> None:
        """Raise UserError unless the manager knows StyleRig's job type, with all of ``settings``."""
        found = self.call("GET", f"/api/v3/jobs/type/{JOB_TYPE}")
        known = {entry.get("key") for entry in self.read(found, "settings")}
        if not settings.keys() <= known:
            raise UserError(
                "old_job_type",
                "The Flamenco manager at {url} has StyleRig's job type of another version.",
                "Install it again: python -m backend job-type flamenco FOLDER",
                url=self.url,
            )

    def call(self, method: str, path: str, body: dict | None = None) -> Any:
        """What the manager answers, as JSON; None for no content."""
        content = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        request = urllib.request.Request(self.url + path, content, headers, method=method)
        try:
            with DIRECT.open(request, timeout=SECONDS) as answer:
                text = answer.read(MOST_BYTES)
            return json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            raise self.refusal(path, error) from error
        except (OSError, http.client.HTTPException) as error:
            raise UserError(
                "no_manager",
                "No Flamenco manager answers at {url}: {reason}.", "Start it, or correct its address in the preferences.",
                url=self.url, reason=getattr(error, "reason", error),
            ) from error  # fmt: skip
        except ValueError as error:
            raise self.stranger() from error

    def refusal(self, path: str, error: urllib.error.HTTPError) -> UserError:
        """What an HTTP status of 400 or above means."""
        if error.code == http.HTTPStatus.NOT_FOUND and path.endswith(JOB_TYPE):
            return UserError(
                "no_job_type",
                "The Flamenco manager at {url} does not know StyleRig's job type.",
                "Install it, and start the manager again: python -m backend job-type flamenco FOLDER",
                url=self.url,
            )
        try:
            reason = str(json.loads(error.read(MOST_BYTES))["message"])
        except (ValueError, LookupError, TypeError, OSError):
            reason = f"HTTP {error.code}"
        return UserError(
            "refused", "The Flamenco manager at {url} refuses: {reason}.", "Its log may say more.", url=self.url, reason=reason.rstrip(".")
        )

    def stranger(self) -> UserError:
        return UserError(
            "no_manager_there", "What answers at {url} is no Flamenco manager.", "Correct its address in the preferences.", url=self.url
        )

    def read(self, answer: Any, name: str) -> Any:
        """An entry that the manager's answers have."""
        try:
            return answer[name]
        except (LookupError, TypeError) as error:
            raise self.stranger() from error


class FlamencoJob:
    """See ``job.Job``."""

    def __init__(self, manager: Manager, name: str, ident: str):
        self.manager, self.name, self.ident = manager, name, ident
        self.path = f"/api/v3/jobs/{ident}"
        self.link = f"{manager.url}/app/jobs/{ident}"

    def look(self) -> State:
        status = str(self.manager.read(self.manager.call("GET", self.path), "status"))
        tasks = self.manager.read(self.manager.call("GET", f"{self.path}/tasks"), "tasks") or []
        counts = Counter(str(task.get("status")) for task in tasks)
        words = Text(STATUSES[status]) if status in STATUSES else status
        text = Text(
            "{name}: {status}, {done} of {total} tasks done", name=self.name, status=words, done=counts["completed"], total=len(tasks)
        )
        if counts["failed"]:
            text = Text("{state}, {count} failed: Flamenco's page of the job has their logs", state=text, count=counts["failed"])
        return State(text, status in ENDED, status in FAILED or counts["failed"] > 0)

    def cancel(self) -> None:
        self.manager.call("POST", f"{self.path}/setstatus", {"status": "cancel-requested", "reason": "Stopped in Blender"})
