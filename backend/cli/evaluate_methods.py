"""``evaluate methods``: all ways to steer a StyleGAN on the same requests, in one table and one sheet."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--rig", type=Path, help="folder of a rig whose w is edited (default: the one that ships)")
    parser.add_argument(
        "--guided", type=Path, help="folder with NAME-generator.safetensors of a guided generator (default: the one that ships)"
    )
    parser.add_argument("--disco", type=Path, help="disco-generator.safetensors of train disco")
    parser.add_argument(
        "--judge", help="file of a network that judges, or module:function (docs/methods.md); default: the one beside the rig"
    )
    parser.add_argument("--methods", help="names of some, with commas (default: all that there are weights of)")
    parser.add_argument("--portraits", type=int, default=8, help="how many people each method is asked for")
    parser.add_argument("--json", type=Path, required=True, help="where the figures go; those of methods that are not asked for stay")
    parser.add_argument("--plots", type=Path, help="folder for the sheet and the plots")
    parser.add_argument("--page", type=Path, help="Markdown page whose table is written anew between its marks")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--threads", type=int, help="processor threads")


def run(arguments: argparse.Namespace) -> int:
    """Measure, write JSON, plots and the page's table; print the table."""
    import torch

    from models.devices import choose_device
    from models.evaluation.methods import evaluate_methods, open_judge
    from models.evaluation.methods.run import fill_page, joined, table
    from models.io.atomic_write import write_atomic
    from models.rigging import Rig
    from models.rigging.folders import GUIDED, WEIGHTS, model_names
    from models.rigging.rig import JUDGED

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    check_sheet(arguments)
    device = choose_device(arguments.device)
    rig = Rig.load(arguments.rig, device, name=None if arguments.rig else JUDGED)
    judge = open_judge(arguments.judge, rig, arguments.rig)
    guided = arguments.guided or (WEIGHTS if GUIDED in model_names(WEIGHTS) else None)
    results = evaluate_methods(rig, judge, guided, arguments.disco, chosen(arguments.methods), max(arguments.portraits, 1),
                               arguments.plots, lambda words: print(words, flush=True), arguments.rig or WEIGHTS,
                               device=device)  # fmt: skip
    results = joined(results, earlier(arguments.json))
    write_atomic(arguments.json, (json.dumps(results, indent=1) + "\n").encode())
    if arguments.page:
        write_atomic(arguments.page, fill_page(arguments.page.read_text(encoding="utf-8"), results).encode())
    print("\n".join(table(results)))
    return 0


def check_sheet(arguments: argparse.Namespace) -> None:
    """Raise StyleRigError where the sheet would show fewer methods than the figures hold."""
    from models.errors import StyleRigError

    kept = set(earlier(arguments.json).get("methods", {})) - set(chosen(arguments.methods))
    if arguments.plots and kept:
        raise StyleRigError(
            f"{arguments.json} also holds {', '.join(sorted(kept))}, which the sheet would not show.",
            "Leave out --plots, or measure all.",
            code="bad_option",
        )


def earlier(path: Path) -> dict[str, Any]:
    """Figures that were written before; nothing where there are none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def chosen(names: str | None) -> list[str]:
    """The methods that are asked for; raises StyleRigError for one that there is not."""
    from models.errors import StyleRigError
    from models.evaluation.methods.run import NAMES

    found = [name.strip() for name in names.split(",")] if names else list(NAMES)
    if unknown := sorted(set(found) - set(NAMES)):
        raise StyleRigError(f"There is no method {', '.join(unknown)}.", f"Choose of {', '.join(NAMES)}.", code="no_method")
    return found
