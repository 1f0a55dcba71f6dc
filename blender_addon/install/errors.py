"""What can go wrong while an environment is made, in plain words with the next step. Standard library only."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import Text, UserError
from .python_discovery import platform_name

NETWORK = (
    r"NewConnectionError|NameResolutionError|Temporary failure in name resolution|getaddrinfo failed|Max retries|"
    r"ConnectTimeoutError|ReadTimeoutError|Read timed out|Network is unreachable|Connection refused|connection broken|ProxyError"
)
# (sign in the output, code, message, next step, next step when installing from a folder of wheels); the first that fits is told.
FAILURES = (
    (
        r"No space left|[Dd]isk quota exceeded|not enough space|WinError 112|ENOSPC",
        "disk_full", "The disk is full.", "Free some space and try again; what was half made is removed.", "",
    ),
    (
        r"CERTIFICATE_VERIFY_FAILED|SSLError|SSLCertVerificationError",
        "certificate", "The package index's certificate is not trusted here.",
        "Behind a company's proxy, set PIP_CERT to its certificate; or use a folder of wheels.", "",
    ),
    (
        NETWORK,
        "no_network", "The package index cannot be reached.",
        "Check the network or proxy and try again: it goes on where it stopped. Or use a folder of wheels.", "",
    ),
    (
        r"not a supported wheel on this platform|(No matching distribution|satisfies the requirement).*torch",
        "wrong_platform", "There is no build of torch {version} for this computer ({platform}).",
        "The backend needs 64-bit Linux, Windows or macOS on Apple silicon; a proxy may also hide the index.",
        "Put the wheel of torch for this platform into the folder.",
    ),
    (
        r"No matching distribution found for (?P<package>[\w.=+-]+)",
        "no_package", "{package} is not in {source}.",
        "Check pip's index setting, or use a folder of wheels.",
        "Add its wheel to the folder; the log names the version: {log}",
    ),
    (
        r"Permission denied|WinError 5\b|Read-only file system|Access is denied",
        "not_writable", "A file or folder may not be written.", "Stop the backend, check the folder's rights, and try again.", "",
    ),
    (
        r"Windows Long Path support|File name too long|WinError 206|ENAMETOOLONG",
        "path_too_long", "A path in the environment's folder is too long for this system.",
        "Switch on long paths in Windows, or choose as Other Python that of an environment in a folder with a short path.", "",
    ),
    (
        r"DO NOT MATCH THE HASHES|BadZipFile|is corrupted|invalid wheel|IncompleteRead",
        "damaged_download", "A package that was downloaded is damaged.", "Try again; it is downloaded anew.", "",
    ),
)  # fmt: skip
OF_FILES = {"disk_full", "not_writable", "path_too_long"}  # codes that a file of ours may have too
TORCH_BROKEN = (
    r"DLL load failed|WinError 126|undefined symbol|cannot open shared object|invalid ELF|GLIBC|mach-o|incompatible architecture|"
    r"Illegal instruction"
)
OF_THE_ENVIRONMENT = {"Python", "packages", "device"}  # doctor's checks that making it again can put right


def explain(kind: str, output: str, log: Path, offline: bool) -> UserError:
    """The error for a step (venv, pip) that failed with this output; ``offline``: installing from wheels."""
    values: dict[str, Any] = {
        "platform": platform_name(),
        "version": next(iter(re.findall(r"torch=+([\w.]+)", output)), ""),
        "source": Text("the folder of wheels") if offline else Text("the package index"),
        "log": log,
    }
    for sign, code, message, step, offline_step in FAILURES:
        found = re.search(sign, output)
        if found:
            values |= {name: value for name, value in found.groupdict().items() if value}
            return UserError(code, message, (offline and offline_step) or step, **values)
    last = last_error(output)
    stopped = (
        Text("{program} stopped: {output}.", program=kind, output=last) if last else Text("{program} stopped without a word.", program=kind)
    )
    return UserError(f"{kind}_failed", stopped, Text("The log says more: {log}", log=log))


def file_failure(error: OSError) -> UserError:
    """The error for a file that we could not write or a program that we could not start."""
    for sign, code, message, step, _offline_step in FAILURES:
        if code in OF_FILES and re.search(sign, str(error)):
            named = Text("{problem} ({file})", problem=Text(message), file=error.filename)
            return UserError(code, named if error.filename else message, step)
    return UserError("not_writable", "A file cannot be written: {error}.", "Check the folder's rights and free space.", error=error)


def last_error(output: str) -> str:
    """The last line that calls itself an error, else the last line."""
    lines = [line.strip().rstrip(".") for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")]
    return (errors or lines or [""])[-1]


@dataclass(frozen=True)
class DoctorReport:
    """What the backend's doctor found in a new environment."""

    error: UserError | None = None  # of the environment
    warning: str = ""  # of something else, as the weights: the environment is finished all the same
    checks: list[dict[str, Any]] = field(default_factory=list)

    @property
    def torch(self) -> str:
        """doctor's words for torch and its device."""
        return next((check["message"] for check in self.checks if check["name"] == "device"), "")


def read_doctor(output: str, status: int, log: Path) -> DoctorReport:
    """What doctor's output and exit status say."""
    checks = findings(output)
    if checks is None:
        return DoctorReport(error=doctor_stopped(output, status, log))
    wrong = [check for check in checks if not check["ok"]]
    ours = next((check for check in wrong if check["name"] in OF_THE_ENVIRONMENT), None)
    if ours is not None:
        return DoctorReport(error=environment_failure(ours["name"], ours["message"]))
    return DoctorReport(warning=f"{wrong[0]['name']}: {wrong[0]['message']}" if wrong else "", checks=checks)


def doctor_stopped(output: str, status: int, log: Path) -> UserError:
    """The error for a doctor that ended without its findings."""
    ended = Text("by signal {number}", number=-status) if status < 0 else Text("with status {number}", number=status)
    if status < 0 or re.search(TORCH_BROKEN, output):
        return wrong_torch(Text("it ended {how}", how=ended))
    return UserError(
        "doctor_failed",
        "The backend cannot be checked, doctor ended {how}: {output}.",
        "The log says more: {log}",
        how=ended,
        output=last_error(output),
        log=log,
    )


def environment_failure(check: str, message: str) -> UserError:
    """The error for a check that found the environment itself wrong."""
    if check == "device" or re.search(TORCH_BROKEN, message):
        return wrong_torch(message.rstrip("."))
    return UserError("doctor_failed", "{check}: {message}", "Remove the environment and make it again.", check=check, message=message)


def wrong_torch(reason: str | Text) -> UserError:
    return UserError(
        "wrong_torch",
        "The torch that was installed does not run on this computer ({platform}): {reason}.",
        "Remove the environment, choose the device CPU and make it again. "
        "On Windows, install Microsoft's Visual C++ Redistributable first.",
        platform=platform_name(),
        reason=reason,
    )


def findings(output: str) -> list[dict[str, Any]] | None:
    """The checks in doctor's JSON among whatever else was printed; None without it."""
    start = output.find("{\n")
    try:
        checks = json.JSONDecoder().raw_decode(output[start:])[0]["checks"] if start >= 0 else None
        return checks if checks and {"name", "ok", "message"} <= set(checks[0]) else None
    except (ValueError, LookupError, TypeError):
        return None
