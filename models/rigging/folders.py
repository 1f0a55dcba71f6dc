"""Where rigs lie: those that ship, and a person's own, each in a folder of a finished training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from models.errors import StyleRigError
from models.io.user_folder import NAME, user_folder

WEIGHTS = Path(__file__).resolve().parent.parent / "weights"
FOLDER_VARIABLE = "STYLERIG_RIGS"  # the person's folder, in place of the system's usual one
GUIDED = "studio"  # of the models that ship, the one that maps of the rig steer: it is meant where none is named
GENERATOR = "-generator.safetensors"


@dataclass(frozen=True)
class RigPlace:
    """A rig's ``folder``, and the ``name`` that its files there begin with."""

    folder: Path
    name: str


def model_names(folder: Path) -> list[str]:
    """The names of the models in a folder, the one that is meant where none is named first."""
    names = [path.name.removesuffix(GENERATOR) for path in folder.glob(f"*{GENERATOR}")]
    if not names:
        raise StyleRigError(
            f"There are no weights in {folder}.",
            "Reinstall StyleRig, or choose the folder of a finished rig training.",
            code="missing_weights",
        )
    return sorted(names, key=lambda name: (name != GUIDED, name))


def own_rigs() -> dict[str, RigPlace]:
    """A person's rigs: each folder in the own one that holds a generator is a rig of that name."""
    own = user_folder("rigs", FOLDER_VARIABLE)
    try:
        folders = sorted(folder for folder in own.iterdir() if NAME.fullmatch(folder.name)) if own.is_dir() else []
        return {folder.name: RigPlace(folder, model_names(folder)[0]) for folder in folders if any(folder.glob(f"*{GENERATOR}"))}
    except OSError as error:
        raise StyleRigError(f"{own} cannot be read: {error.strerror}.", f"Put it right, or name another by {FOLDER_VARIABLE}.") from error


def all_rigs() -> dict[str, RigPlace]:
    """What ships, then a person's own by other names. Raises StyleRigError where nothing ships."""
    shipped = {name: RigPlace(WEIGHTS, name) for name in model_names(WEIGHTS)}
    return shipped | {name: place for name, place in own_rigs().items() if name not in shipped}
