"""Settings from the command line: what they may be, and what is said of those that may not."""

import pytest

from tiny_training import Tiny
from xdecoder.training.loop import RunConfig
from xdecoder.training.recipes import RECIPES
from xdecoder.training.settings import override


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("images=0", "PictureBookRecipe.images must be at least 1, got 0"),
        ("steps=-5", "PictureBookRecipe.steps must be at least 1, got -5"),
        ("judged_from=1.5", "PictureBookRecipe.judged_from must be between 0 and 1, got 1.5"),
        ("large_from=0.9", "enlarged_from must be at least large_from, got 0.7 and 0.9"),
        ("mixture.questions=0", "Mixture.questions must be at least 1, got 0"),
        ("mixture.judged_captions=1", "Mixture.judged_captions must be at least 2, got 1"),
        ("mixture.box_share=-0.1", "Mixture.box_share must be between 0 and 1, got -0.1"),
        ("weights.answers=-1", "Weights.answers must be at least 0, got -1.0"),
        ("rate=fast", "'rate=fast': expected float, got 'fast'"),
        ("rates=1", "'rates=1': PictureBookRecipe has no setting 'rates'; it has"),
        ("mixture", "expected name=value, got 'mixture'"),
        ("rate.peak=1", "'rate.peak=1': 'rate' has no settings of its own"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_with_what_may(setting: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        override(RECIPES["picturebook"](), [setting])


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("steps=0", "steps must be at least 1, got 0"),
        ("validation=-1", "validation must be at least 0, got -1"),
        ("segments.flip=2", "Part.flip must be between 0 and 1, got 2"),
        ("segments.size=100", "a size that is a multiple of 32"),
        ("losses.names=-1", "PhotographLosses.names must be at least 0, got -1"),
    ],
)
def test_so_is_one_of_photographs(setting: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        override(RECIPES["pretrain_focal_t"](), [setting])


@pytest.mark.parametrize("setting", ["save_every=0", "log_every=0", "accumulate=0", "keep=0", "workers=-1"])
def test_so_is_one_of_how_a_run_goes(setting: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    name = setting.partition("=")[0]
    with pytest.raises(ValueError, match=rf"RunConfig\.{name} must be at least [01], got"):
        override(RunConfig(folder=tmp_path_factory.getbasetemp()), [setting])


def test_what_may_be_is_set() -> None:
    recipe = override(RECIPES["picturebook"](), ["steps=1", "enlarged_from=1", "mixture.region_captions=0"])
    assert recipe.phases[-1].steps == 1
    assert override(Tiny(), ["steps=7"]).steps == 7
