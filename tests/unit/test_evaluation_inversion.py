"""Who may judge portraits of photographs, and how alike two pictures of people are."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from models.editing.inversion.finding import REGRESSOR
from models.errors import StyleRigError
from models.evaluation.inversion import GOALS, Figures, Measured, embedding, likeness, summary, took_part
from models.evaluation.methods.judge import Judge, Seen
from models.rigging.rig import hash_files

LANDMARKS = np.random.default_rng(1).uniform(-0.5, 0.5, (68, 2)).astype(np.float32)


def by_colour(pictures: torch.Tensor) -> Seen:
    """People are told apart by the colour of the picture."""
    return Seen({"embedding": pictures.mean(dim=(2, 3)).numpy()})


class Pictures(SimpleNamespace):
    def __len__(self) -> int:
        return len(self.pictures)


def people(colours: list[tuple[int, int, int]], owners: list[int]) -> Pictures:
    """A set of pictures of one colour each, and whose each is."""
    pictures = np.stack([np.full((64, 64, 4), (*colour, 255), np.uint8) for colour in colours])
    truth = {"landmarks": np.stack([LANDMARKS] * len(colours))}
    source = SimpleNamespace(people=lambda numbers: np.array(owners)[numbers], folder="people")
    return Pictures(pictures=pictures, numbers=np.arange(len(colours)), truth=truth, size=64, source=source)


def test_the_network_that_read_the_landmarks_is_told_as_a_judge_that_took_part():
    own = Judge("own", hash_files([REGRESSOR]), by_colour)
    assert took_part(own) and not took_part(Judge("mymodule:read", "", by_colour)) and not took_part(Judge("other", "0" * 64, by_colour))
    found = [Figures("a", 0.01, 0.8, 0.6), Figures("b", 0.03, 1.0, 0.8)]
    told = summary(Measured(found, {"c": "There is no face."}, np.zeros((1, 1, 3), np.uint8)), own)
    assert len(told["photos"]) == 2 and told["refused"] == {"c": "There is no face."}
    assert told["judge"] == "own" and told["judge_took_part"] is True and told["goals"] == GOALS
    assert told["mean"] == {"colour_error": 0.02, "identity": 0.9, "identity_turned": 0.7}


def test_a_judge_of_a_persons_own_tells_people_apart():
    judge = Judge("mymodule:read", "", by_colour)
    data = people([(200, 40, 40), (190, 50, 40), (40, 200, 40), (50, 190, 50), (40, 40, 200)], [0, 0, 1, 1, 2])
    known = likeness(judge, data)
    one, again, other = (by_colour(torch.from_numpy(data.pictures[[row], ..., :3]).movedim(-1, 1) / 255)["embedding"] for row in (0, 1, 2))
    assert known.of(one, again) == pytest.approx(1, abs=0.1) and known.of(one, other) < 0.3
    with pytest.raises(StyleRigError, match="too few people"):
        likeness(judge, people([(200, 40, 40), (40, 40, 200)], [0, 0]))


def test_a_judge_that_tells_nobody_apart_is_refused():
    judge = Judge("mymodule:read", "", lambda pictures: Seen({"yaw": np.zeros(len(pictures))}))
    with pytest.raises(StyleRigError, match="no embedding") as caught:
        embedding(judge, torch.zeros(3, 64, 64), torch.from_numpy(LANDMARKS) * 32 + 32)
    assert caught.value.code == "bad_judge"
