"""What can go wrong while the backend's environment is made, in plain words with the next step."""

from __future__ import annotations

import json
import re
from pathlib import Path

from ..client.http_client import BackendError
from .python_discovery import VERSION, platform_name

NETWORK = (
    r"NewConnectionError|NameResolutionError|Temporary failure in name resolution|getaddrinfo failed|Max retries|"
    r"ConnectTimeoutError|ReadTimeoutError|Read timed out|Network is unreachable|Connection refused|connection broken|ProxyError"
)
# (sign in the output, code, message, next step); the first that fits is told.
FAILURES = (
    (
        r"No space left|[Dd]isk quota exceeded|not enough space|WinError 112|ENOSPC",
        "disk_full", "The disk is full.", "Free some space and try again; what was half made is removed.",
    ),
    (
        r"CERTIFICATE_VERIFY_FAILED|SSLError|SSLCertVerificationError",
        "certificate", "The package index's certificate is not trusted here.",
        "Behind a company's proxy, set PIP_CERT to its certificate; or use a folder of wheels.",
    ),
    (
        NETWORK,
        "no_network", "The package index cannot be reached.",
        "Check the network or proxy and try again: it goes on where it stopped. Or use a folder of wheels.",
    ),
    (
        r"not a supported wheel on this platform|(No matching distribution|satisfies the requirement).*torch",
        "wrong_platform", "There is no build of torch {version} for this computer ({platform}).",
        "{torch_step}",
    ),
    (
        r"No matching distribution found for (?P<package>[\w.=+-]+)",
        "no_package", "{package} is not {where}.", "{package_step}",
    ),
    (
        r"Permission denied|WinError 5\b|Read-only file system|Access is denied",
        "not_writable", "A file or folder may not be written.", "Stop the backend, check the folder's rights, and try again.",
    ),
    (
        r"Windows Long Path support|File name too long|WinError 206|ENAMETOOLONG",
        "path_too_long", "A path in the environment's folder is too long for this system.",
        "Switch on long paths in Windows, or choose as Other Python that of an environment in a folder with a short path.",
    ),
    (
        r"DO NOT MATCH THE HASHES|BadZipFile|is corrupted|invalid wheel|IncompleteRead",
        "damaged_download", "A package that was downloaded is damaged.", "Try again; it is downloaded anew.",
    ),
)  # fmt: skip
TORCH_BROKEN = (
    r"DLL load failed|WinError 126|undefined symbol|cannot open shared object|invalid ELF|GLIBC|mach-o|incompatible architecture|"
    r"Illegal instruction"
)
OF_THE_ENVIRONMENT = {"Python", "packages", "device"}  # doctor's checks that making it again can put right


def explain(kind: str, output: str, log: Path, offline: bool) -> BackendError:
    """The error for a step (venv, pip) that failed with this output; ``offline``: installing from wheels."""
    words = {
        "platform": f"{platform_name()}, Python {VERSION}",
        "version": next(iter(re.findall(r"torch=+([\w.]+)", output)), ""),
        "where": "in the folder of wheels" if offline else "in the package index",
        "torch_step": "Put the wheel of torch for this platform into the folder."
        if offline else "The backend needs 64-bit Linux, Windows or macOS on Apple silicon; a proxy may also hide the index.",
        "package_step": f"Add its wheel to the folder; the log names the version: {log}"
        if offline else "Check pip's index setting, or use a folder of wheels.",
    }  # fmt: skip
    for sign, code, message, step in FAILURES:
        found = re.search(sign, output)
        if found:
            words |= {name: value for name, value in found.groupdict().items() if value}
            return BackendError(code, message.format(**words), step.format(**words))
    last = last_error(output)
    return BackendError(f"{kind}_failed", f"{kind} stopped{': ' + last if last else ' without a word'}.", f"The log says more: {log}")


def file_failure(error: OSError) -> BackendError:
    """The error for a file that we could not write or a program that we could not start."""
    for sign, code, message, step in FAILURES:
        if code in {"disk_full", "not_writable", "path_too_long"} and re.search(sign, str(error)):
            name = f" ({error.filename})" if error.filename else ""
            return BackendError(code, f"{message.rstrip('.')}{name}.", step)
    return BackendError("not_writable", f"A file cannot be written: {error}.", "Check the folder's rights and free space.")


def last_error(output: str) -> str:
    """The last line that calls itself an error, else the last line."""
    lines = [line.strip().rstrip(".") for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")]
    return (errors or lines or [""])[-1]


def doctor_failure(output: str, status: int, log: Path) -> tuple[BackendError | None, str, dict]:
    """(error, warning, findings) from what doctor printed.

    The error is of the environment; a warning is of something else, as the weights: then the
    environment is finished, and the person is told.
    """
    found = findings(output)
    if found is None:
        ended = f"by signal {-status}" if status < 0 else f"with status {status}"
        if status < 0 or re.search(TORCH_BROKEN, output):
            return wrong_torch(f"it ended {ended}"), "", {}
        words = last_error(output)
        return (
            BackendError("doctor_failed", f"The backend cannot be checked, doctor ended {ended}: {words}.", f"The log says more: {log}"),
            "",
            {},
        )
    wrong = [check for check in found["checks"] if not check["ok"]]
    for check in wrong:
        if check["name"] in OF_THE_ENVIRONMENT:
            if check["name"] == "device" or re.search(TORCH_BROKEN, check["message"]):
                return wrong_torch(check["message"]), "", {}
            return (
                BackendError("doctor_failed", f"{check['name']}: {check['message']}", "Remove the environment and make it again."),
                "",
                {},
            )
    warning = f"{wrong[0]['name']}: {wrong[0]['message']}" if wrong else ""
    return None, warning, found


def wrong_torch(reason: str) -> BackendError:
    return BackendError(
        "wrong_torch",
        f"The torch that was installed does not run on this computer ({platform_name()}): {reason.rstrip('.')}.",
        "Remove the environment, choose the device CPU and make it again. On Windows, install Microsoft's Visual C++ Redistributable first.",
    )


def findings(output: str) -> dict | None:
    """doctor's JSON among whatever else was printed; None without it."""
    start = output.find("{\n")
    try:
        found = json.JSONDecoder().raw_decode(output[start:])[0] if start >= 0 else None
        return found if found and {"name", "ok", "message"} <= set(found["checks"][0]) else None
    except (ValueError, LookupError, TypeError):
        return None
