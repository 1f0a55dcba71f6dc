"""The project's commands: setup, demo, test, package, bench. Standard library only.

Everything is made inside the checkout: environments in .venv*, the extension in dist/,
private Blender folders and pip's cache in build/. Nothing is written anywhere else.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent
BUILD = ROOT / "build"
DIST = ROOT / "dist"
EXTENSION = "bl_ext.user_default.stylerig"
WINDOWS = os.name == "nt"
TORCH_INDEX = "https://download.pytorch.org/whl/"
OLDEST_BLENDER = (4, 5)
GIGABYTE = 1 << 30
CUDA_TORCH_GIGABYTES = 9  # 5 installed, 3 of downloads meanwhile


class BuildError(Exception):
    """Something the person at the keyboard can put right; the message says how."""


def say(text: str) -> None:
    print(text, flush=True)


# ---------------------------------------------------------------- environments


@dataclass(frozen=True)
class Environment:
    """A virtual environment of the checkout, made from pins in pyproject.toml."""

    folder: str
    python: str  # the version of the interpreter, as in "3.11"
    extras: tuple[str, ...]  # lists of [project.optional-dependencies] it holds
    base: bool  # whether it holds [project] dependencies too
    gigabytes: float  # free space that building it needs, pip's cache included
    optional: bool = False  # left out, with a word, where its Python is not installed

    @property
    def path(self) -> Path:
        return ROOT / self.folder

    @property
    def executable(self) -> Path:
        return self.path / ("Scripts/python.exe" if WINDOWS else "bin/python")

    @property
    def marker(self) -> Path:
        """Written last: an environment without it is unfinished and is built anew."""
        return self.path / "stylerig-setup.json"

    def pins(self) -> list[str]:
        project = read_toml(ROOT / "pyproject.toml")["project"]
        pins = list(project["dependencies"]) if self.base else []
        for extra in self.extras:
            pins += project["optional-dependencies"][extra]
        return pins

    def fingerprint(self, device: str) -> str:
        content = json.dumps([self.python, self.pins(), device if self.base else ""])
        return hashlib.sha256(content.encode()).hexdigest()

    def state(self) -> dict:
        """What the marker says, or {} for an environment that is absent or unfinished."""
        try:
            return json.loads(self.marker.read_text()) if self.executable.exists() else {}
        except (OSError, ValueError):
            return {}


MAIN = Environment(".venv", "3.11", ("test",), base=True, gigabytes=3)
BPY_4_5 = Environment(".venv-bpy-4.5", "3.11", ("blender-4-5",), base=False, gigabytes=2)
BPY_5_2 = Environment(
    ".venv-bpy-5.2", "3.13", ("blender-5-2",), base=False, gigabytes=2, optional=True
)
ENVIRONMENTS = (MAIN, BPY_4_5, BPY_5_2)


def read_toml(path: Path) -> dict:
    try:
        import tomllib
    except ImportError:
        raise BuildError(
            f"This is Python {sys.version.split()[0]}; build.py needs Python 3.11 or newer."
            " Install Python 3.11 and run: python3.11 build.py ..."
        ) from None
    return tomllib.loads(path.read_text(encoding="utf-8"))


def python_candidates(version: str) -> list[Path]:
    """Places where an interpreter of ``version`` may be, this one first."""
    name = f"python{version}"
    candidates = [Path(getattr(sys, "_base_executable", sys.executable))]
    roots = [Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")]
    for folder in map(Path, os.get_exec_path()):
        candidates += [folder / f"{name}.exe", folder / "python.exe"] if WINDOWS else [folder / name]
        if folder.name == "shims":
            roots.append(folder.parent)
    for root in roots:
        candidates += sorted(root.glob(f"versions/{version}*/bin/{name}"), reverse=True)
    return candidates


def find_python(version: str) -> Path | None:
    """The first candidate that runs, is of this version and can make environments."""
    check = "import sys, ensurepip, venv; print('%d.%d' % sys.version_info[:2])"
    for candidate in python_candidates(version):
        if not candidate.is_file():
            continue
        try:
            answer = subprocess.run(
                [candidate, "-I", "-c", check], capture_output=True, text=True, timeout=30
            )
        except (OSError, subprocess.TimeoutExpired):
            continue
        if answer.stdout.strip() == version:
            return candidate
    return None


def default_device() -> str:
    """What .venv was made for; else cuda where NVIDIA's driver is installed, else cpu."""
    return MAIN.state().get("device") or ("cuda" if shutil.which("nvidia-smi") else "cpu")


def setup(device: str | None = None) -> list[Environment]:
    """Make every environment that is not there as pinned. Returns those that are there."""
    device = device or default_device()
    ready, built = [], False
    for environment in ENVIRONMENTS:
        if environment.state().get("fingerprint") != environment.fingerprint(device):
            python = find_python(environment.python)
            if python is None and environment.optional:
                say(f"Skipping {environment.folder}: Python {environment.python} is not installed.")
                continue
            if python is None:
                raise BuildError(
                    f"Python {environment.python} with venv is not installed."
                    f" Install it so that python{environment.python} is on PATH, then run this again."
                )
            build_environment(environment, python, device)
            built = True
        ready.append(environment)
    if built:
        shutil.rmtree(BUILD / "pip-cache", ignore_errors=True)
    return ready


def build_environment(environment: Environment, python: Path, device: str) -> None:
    """Make or renew one environment; its marker goes first and comes back last."""
    started = time.monotonic()
    finished_before = bool(environment.state())
    require_space(environment, environment.gigabytes)
    say(f"Setting up {environment.folder} (Python {environment.python}, {python})")
    environment.marker.unlink(missing_ok=True)
    if not finished_before:
        shutil.rmtree(environment.path, ignore_errors=True)
        run_checked([python, "-m", "venv", environment.path], f"Cannot make {environment.folder}")
    if environment.base:
        install_torch(environment, device)
    pip_install(environment, [pin for pin in environment.pins() if not pin.startswith("torch==")])
    content = {"fingerprint": environment.fingerprint(device), "device": device}
    environment.marker.write_text(json.dumps(content))
    say(f"{environment.folder} is ready ({time.monotonic() - started:.0f} s)")


def require_space(environment: Environment, gigabytes: float) -> None:
    free = shutil.disk_usage(ROOT).free / GIGABYTE
    if free < gigabytes:
        raise BuildError(
            f"{environment.folder} needs about {gigabytes:g} GB; the disk of {ROOT} has {free:.1f} GB free."
            " Free some space and run this again."
        )


def install_torch(environment: Environment, device: str) -> None:
    """Install the build of torch for ``device``.

    On Linux the package index holds the CUDA build, and CPU builds (version +cpu) come from
    the person's own pip configuration or from PyTorch's index. Where neither has one, the CUDA
    build serves: it runs on the CPU too. Elsewhere the package index holds the CPU build.
    """
    pin = next(pin for pin in environment.pins() if pin.startswith("torch=="))
    linux = sys.platform.startswith("linux")
    wanted = [pin]
    if linux and device == "cpu":
        index = ["--retries", "0", "--timeout", "15", "--extra-index-url", TORCH_INDEX + "cpu"]
        if not try_pip(environment, [f"{pin}+cpu"], quiet=True):
            return
        if not try_pip(environment, [f"{pin}+cpu", *index], quiet=True):
            return
        say("No CPU build of torch can be reached: taking the CUDA build, about 5 GB installed.")
    elif linux:
        wanted = [pin.replace("==", "===")]  # exactly this version: not a +cpu build
    elif WINDOWS and device == "cuda":
        wanted = [f"{pin}+cu130", "--extra-index-url", TORCH_INDEX + "cu130"]
    if linux or device == "cuda":
        require_space(environment, CUDA_TORCH_GIGABYTES)
    pip_install(environment, wanted)


def try_pip(environment: Environment, arguments: list[str], quiet: bool = False) -> str:
    """Run pip install with its progress shown. Returns what it complained of, "" if it worked."""
    cache = os.environ.get("PIP_CACHE_DIR") or str(BUILD / "pip-cache")
    command = [environment.executable, "-m", "pip", "install", "--no-input", "--progress-bar", "on"]
    command += ["--disable-pip-version-check", "--cache-dir", cache, *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, errors="replace") as process:
        complaints = ""
        for line in process.stderr:
            complaints += line
            if not quiet:
                print(line, end="", file=sys.stderr, flush=True)
    return "" if process.returncode == 0 else complaints or "pip stopped without a word"


def pip_install(environment: Environment, arguments: list[str]) -> None:
    complaints = try_pip(environment, arguments)
    if not complaints:
        return
    reason = "pip could not install what pyproject.toml pins (its words are above)."
    if "No space left" in complaints or "Disk quota" in complaints:
        reason = "The disk is full. Free some space and run this again."
    elif re.search(r"connection broken|resolve|timed out|Max retries|ProxyError|SSLError", complaints):
        reason = "The package index cannot be reached. Check the network or pip's settings and run this again."
    raise BuildError(f"Setting up {environment.folder} failed. {reason}")


def run_checked(command: list, failure: str, **options) -> None:
    if subprocess.run(list(map(str, command)), **options).returncode:
        raise BuildError(f"{failure} (see above).")


# ---------------------------------------------------------------- the extension

PAYLOAD = ("backend", "models", "pyproject.toml")


def extension_files() -> list[tuple[Path, str]]:
    """Files of the extension and their names in the zip, sorted, caches left out."""
    trees = [(ROOT / "blender_addon", ""), *((ROOT / name, f"payload/{name}") for name in PAYLOAD)]
    files = [(ROOT / "LICENSE", "LICENSE"), (ROOT / "NOTICE", "NOTICE")]
    for tree, prefix in trees:
        for path in [tree] if tree.is_file() else tree.rglob("*"):
            parts = path.relative_to(tree).parts
            hidden = any(part.startswith(".") or part == "__pycache__" for part in parts)
            if path.is_file() and not hidden:
                files.append((path, "/".join([prefix, *parts] if prefix else parts)))
    return sorted(files, key=lambda entry: entry[1])


def package(folder: Path = DIST) -> Path:
    """Write the extension's zip (the same bytes for the same files) and return its path."""
    manifest = ROOT / "blender_addon" / "blender_manifest.toml"
    if not manifest.is_file():
        raise BuildError(f"{manifest} is missing: this checkout is not whole.")
    version = read_toml(manifest)["version"]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"stylerig-{version}.zip"
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=".stylerig-")
    try:
        with os.fdopen(handle, "wb") as stream, zipfile.ZipFile(stream, "w") as archive:
            for source, name in extension_files():
                entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, source.read_bytes())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)
    return path


# ---------------------------------------------------------------- Blender

INSTALL_IN_WHEEL = """
import os, shutil, sys
import bpy
bpy.ops.extensions.package_install_files(
    filepath=sys.argv[1], repo="user_default", enable_on_install=True)
bpy.ops.wm.save_userpref()
enabled = sys.argv[2] in bpy.context.preferences.addons
shutil.rmtree(bpy.app.tempdir, ignore_errors=True)
sys.stdout.flush()
os._exit(0 if enabled else 1)  # Blender 4.5 waits for ever at exit while an engine is registered
"""


@dataclass(frozen=True)
class Blender:
    """A Blender that runs scripts: the program, or the bpy wheel in its environment."""

    label: str
    executable: Path
    wheel: bool

    def command(self, script: Path, *arguments: str) -> list[str]:
        """The command that runs ``script`` with ``arguments`` after a ``--``."""
        if self.wheel:
            return [str(self.executable), str(script), "--", *arguments]
        head = [str(self.executable), "--background", "--python-exit-code", "1"]
        return [*head, "--python", str(script), "--", *arguments]

    def environment(self, user_folder: Path) -> dict[str, str]:
        """Environment variables for a process with a private user folder."""
        backend = {"STYLERIG_PYTHON": str(MAIN.executable)}
        return {**os.environ, "BLENDER_USER_RESOURCES": str(user_folder), **backend}

    def install(self, extension: Path, user_folder: Path) -> None:
        """Install and enable the zip as a person would, in an empty private user folder."""
        shutil.rmtree(user_folder, ignore_errors=True)
        user_folder.mkdir(parents=True)
        command = [self.executable, "--command", "extension", "install-file"]
        command += ["-r", "user_default", "--enable", extension]
        if self.wheel:
            command = [self.executable, "-c", INSTALL_IN_WHEEL, extension, EXTENSION]
        answer = subprocess.run(
            list(map(str, command)), env=self.environment(user_folder), timeout=300,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        there = any(user_folder.rglob("user_default/stylerig/blender_manifest.toml"))
        if answer.returncode or not there:  # Blender's own command may end with 0 without installing
            raise BuildError(f"{self.label} cannot install {extension}:\n{answer.stdout[-3000:]}")


def blender_program(path: str, must_work: bool) -> Blender | None:
    """The Blender program at ``path`` if it is new enough; None or an error otherwise."""
    try:
        answer = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=120)
    except (OSError, subprocess.TimeoutExpired) as error:
        if must_work:
            raise BuildError(f"{path} does not run as Blender: {error}") from error
        return None
    found = re.search(r"Blender (\d+)\.(\d+)\S*", answer.stdout)
    if found and (int(found[1]), int(found[2])) >= OLDEST_BLENDER:
        return Blender(found[0], Path(path), wheel=False)
    if must_work:
        raise BuildError(f"{path} is not Blender 4.5 or newer.")
    say(f"{path} is older than Blender 4.5 and is left alone.")
    return None


def wheels(environments: list[Environment]) -> list[Blender]:
    """The bpy wheels among these environments, newest first."""
    bpys = [environment for environment in environments if not environment.base]
    return [
        Blender(f"bpy {environment.folder.rpartition('-')[2]}", environment.executable, wheel=True)
        for environment in reversed(bpys)
    ]


def choose_blender(path: str | None, environments: list[Environment]) -> Blender:
    if path:
        return blender_program(path, must_work=True)
    on_path = shutil.which("blender")
    return (on_path and blender_program(on_path, must_work=False)) or wheels(environments)[0]


# ---------------------------------------------------------------- demo


class Progress:
    """Shows what a child process reports, and keeps the rest of its output in a log.

    Lines it understands: "@step TEXT", "@progress DONE TOTAL", "@result JSON", "@error TEXT".
    """

    def __init__(self, log: Path):
        self.log = log
        self.result: dict = {}
        self.error = ""
        self.started = time.monotonic()

    def run(self, command: list[str], environment: dict[str, str] | None = None) -> int:
        """Run the command to its end, also when interrupted, and return its exit status."""
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        with (
            open(self.log, "a", encoding="utf-8") as log,
            subprocess.Popen(command, env=environment, text=True, errors="replace", **options) as process,
        ):
            try:
                for line in process.stdout:
                    if not self.take(line.rstrip("\n")):
                        log.write(line)
            except BaseException:
                process.kill()
                raise
        return process.returncode

    def take(self, line: str) -> bool:
        kind, _, rest = line.partition(" ")
        if kind == "@step":
            self.started = time.monotonic()
            say(rest)
        elif kind == "@progress":
            self.bar(*map(int, rest.split()))
        elif kind == "@result":
            self.result.update(json.loads(rest))
        elif kind == "@error":
            self.error = rest
        return kind in ("@step", "@progress", "@result", "@error")

    def bar(self, done: int, total: int) -> None:
        seconds = time.monotonic() - self.started
        filled = 30 * done // total
        text = f"  [{'#' * filled}{'.' * (30 - filled)}] {done}/{total}  {seconds:.0f} s"
        if sys.stdout.isatty():
            print(f"\r{text}", end="\n" if done == total else "", flush=True)
        elif done == total or done * 4 // total > (done - 1) * 4 // total:
            say(text)


def demo(arguments: argparse.Namespace) -> int:
    """The whole chain once: see README.md."""
    if arguments.frames < 1:
        raise BuildError("--frames must be at least 1.")
    started = time.monotonic()
    environments = setup()
    blender = choose_blender(arguments.blender, environments)
    output = prepare_output(arguments.output)
    extension = package()
    say(f"Packaged the extension: {relative(extension)} ({extension.stat().st_size / 1e6:.1f} MB)")
    user_folder = BUILD / "demo-blender"
    blender.install(extension, user_folder)
    say(f"Installed it in {blender.label} with a user folder of its own: {relative(user_folder)}")

    progress = Progress(output / "demo.log")
    options = ["--output", str(output), "--frames", str(arguments.frames)]
    script = blender.command(ROOT / "blender_addon" / "demo.py", *options)
    status = progress.run(script, blender.environment(user_folder))
    if status or not progress.result:
        raise BuildError(progress.error or f"Blender stopped ({status}); its words are in {progress.log}.")
    film = [str(MAIN.executable), "-m", "backend.film", str(output / "frames"), str(output)]
    if progress.run(film, {**os.environ, "PYTHONPATH": str(ROOT)}):
        raise BuildError(progress.error or f"Making the film failed; see {progress.log}.")
    report(progress.result, output, blender, user_folder, time.monotonic() - started)
    return 0


def prepare_output(folder: str) -> Path:
    """Make the output folder and see that it can be written, before any work is done."""
    output = Path(folder).absolute()
    try:
        output.mkdir(parents=True, exist_ok=True)
        (output / "demo.log").write_text("")
        for old in [*output.glob("frames/frame_*.png"), *output.glob("passes/frame_*.exr")]:
            old.unlink()  # of an earlier demo, which may have had more frames
    except OSError as error:
        raise BuildError(
            f"Cannot write to {output}: {error.strerror}. Choose another folder with --output."
        ) from error
    return output


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def report(result: dict, output: Path, blender: Blender, user_folder: Path, seconds: float) -> None:
    say(f"Done in {seconds:.0f} s: {result['frames']} frames, {result['seconds_per_frame']:.2f} s per frame.")
    say(f"Files in {output}:")
    for name in sorted(path.name for path in output.iterdir() if not path.name.startswith(".")):
        say(f"  {name}")
    again = [str(blender.executable), "-b", str(output / "demo.blend"), "-a"]
    if blender.wheel:
        again = blender.command(ROOT / "blender_addon" / "demo.py", "--again", str(output / "demo.blend"))
    say("Render it again with:")
    say(f"  BLENDER_USER_RESOURCES={user_folder} STYLERIG_PYTHON={MAIN.executable} {' '.join(again)}")


# ---------------------------------------------------------------- test

RUN_LIMIT_SECONDS = 20 * 60
NO_TESTS = 5  # pytest's exit status when nothing was collected


def test(arguments: list[str]) -> int:
    """Run the tests of .venv, then those inside each Blender. 0 only if every run passed."""
    environments = setup()
    extension = package()
    runs = [("backend and models", MAIN, "tests")]
    runs += [(f"inside bpy {e.folder.rpartition('-')[2]}", e, "tests/blender") for e in environments[1:]]
    results = []
    for label, environment, folder in runs:
        chosen = arguments_for(folder, arguments)
        if chosen is None:
            continue
        say(f"\n=== {label} ({environment.folder})")
        started = time.monotonic()
        status, summary = run_pytest(environment, chosen, extension)
        passed = status == 0 or (status == NO_TESTS and bool(arguments))
        results.append((passed, label, summary, time.monotonic() - started))
    say("\n=== All runs")
    for passed, label, summary, seconds in results:
        say(f"{'passed' if passed else 'FAILED'}  {label}: {summary} [{seconds:.0f} s]")
    if BPY_5_2 not in environments:
        say("skipped inside bpy 5.2: Python 3.13 is not installed")
    return 0 if results and all(result[0] for result in results) else 1


def arguments_for(folder: str, arguments: list[str]) -> list[str] | None:
    """pytest's arguments for the run of ``folder``; None if the paths given are all elsewhere."""
    paths = [a for a in arguments if Path(a).parts[:1] == ("tests",)]
    inside = [p for p in paths if (Path(p).parts[:2] == ("tests", "blender")) == (folder != "tests")]
    others = [a for a in arguments if a not in paths]
    if paths and not inside:
        return None
    return others + (inside or [folder])


def run_pytest(environment: Environment, arguments: list[str], extension: Path) -> tuple[int, str]:
    """Run pytest in one environment. Returns its exit status and its summary line."""
    colour = ["--color=yes"] if sys.stdout.isatty() else []
    command = [str(environment.executable), "-u", "-m", "pytest", *colour, *arguments]
    variables = {**os.environ, "STYLERIG_ZIP": str(extension), "PYTHONUNBUFFERED": "1"}
    summary = "no summary: it stopped early"
    process = subprocess.Popen(
        command, cwd=ROOT, env=variables, text=True, errors="replace", start_new_session=not WINDOWS,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )
    watchdog = Watchdog(process, RUN_LIMIT_SECONDS)
    try:
        for line in process.stdout:
            print(line, end="", flush=True)
            plain = re.sub(r"\x1b\[[0-9;]*m", "", line).strip("= \n")
            if re.match(r"(\d+ \w+|no tests ran).* in [\d.]+s", plain):
                summary = plain
        return process.wait(), summary
    finally:
        watchdog.stop()


class Watchdog:
    """Ends a process and its children when it is over its time or when we are stopped."""

    def __init__(self, process: subprocess.Popen, seconds: float):
        import threading

        self.process = process
        self.timer = threading.Timer(seconds, self.end)
        self.timer.daemon = True
        self.timer.start()

    def end(self) -> None:
        if self.process.poll() is not None:
            return
        if WINDOWS:
            self.process.kill()
        else:
            os.killpg(self.process.pid, signal.SIGKILL)

    def stop(self) -> None:
        self.timer.cancel()
        self.end()


# ---------------------------------------------------------------- command line


def bench(arguments: argparse.Namespace) -> int:
    setup()
    command = [str(MAIN.executable), "-m", "tests.bench", *arguments.names]
    if arguments.json:
        command += ["--json", str(Path(arguments.json).absolute())]
    return subprocess.run(command, cwd=ROOT).returncode


def parse(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(prog="build.py", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("setup", help="make the environments, nothing else")
    command.add_argument("--device", choices=("cpu", "cuda"), help="which build of torch (default: what fits)")
    command = commands.add_parser("demo", help="render a keyframed portrait, from a seed to a film")
    command.add_argument("--frames", type=int, default=48, metavar="N")
    command.add_argument("--output", default=str(ROOT / "demo-output"), metavar="DIR")
    command.add_argument("--blender", metavar="PATH", help="a Blender program, 4.5 or newer")
    commands.add_parser("test", help="run all tests; arguments go to pytest", add_help=False)
    commands.add_parser("package", help="write the extension's zip into dist/")
    command = commands.add_parser("bench", help="measure speed")
    command.add_argument("names", nargs="*", metavar="NAME")
    command.add_argument("--json", metavar="FILE")
    known, rest = parser.parse_known_args(arguments)
    if rest and known.command != "test":
        parser.error(f"unknown arguments: {' '.join(rest)}")
    return known, rest


def main(arguments: list[str]) -> int:
    known, rest = parse(arguments)
    try:
        if known.command == "setup":
            ready = setup(known.device)
            say(f"Ready: {', '.join(environment.folder for environment in ready)}")
            return 0
        if known.command == "package":
            say(str(package()))
            return 0
        if known.command == "test":
            return test(rest)
        return demo(known) if known.command == "demo" else bench(known)
    except BuildError as error:
        print(f"error: {error}", file=sys.stderr)
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("\nStopped. Run the same command again to go on.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
