"""Settings from the command line: what they may be, and what is said of those that may not."""

from pathlib import Path
from typing import Any

import pytest

from xdecoder.training.config import Cosine, OptimizerConfig, RunConfig
from xdecoder.training.datasets.parts import TaskConfig
from xdecoder.training.recipes import find_recipe
from xdecoder.training.settings import override

RUN = RunConfig(folder=Path("a"))
PICTUREBOOK, PHOTOGRAPHS = find_recipe("picturebook")(), find_recipe("pretrain_focal_t")()


def test_settings_change_a_copy_of_a_record() -> None:
    changed = override(RUN, ["seed=3", "bfloat16=true", "folder=b/c"])
    assert (changed.seed, changed.bfloat16, changed.folder) == (3, True, Path("b/c"))
    assert RUN.seed == 0
    settings = override(OptimizerConfig(), ["lr=1e-3", "betas=[0.5, 0.9]"])
    assert settings.lr == 1e-3
    assert settings.betas == (0.5, 0.9)
    recipe = override(
        PICTUREBOOK, ["start=some/run", "steps=1", "enlarged_from=1", "mixture.region_captions=0"]
    )
    assert recipe.start == Path("some/run")
    assert recipe.open().phases[-1].steps == 1


@pytest.mark.parametrize(
    ("record", "setting", "message"),
    [
        (RUN, "seed", "expected name=value, got 'seed'"),
        (RUN, "speed=3", "RunConfig has no setting 'speed'; it has accumulate, activation_checkpointing"),
        (RUN, "seed=many", "seed: expected int, got 'many'"),
        (RUN, "seed.x=1", "seed has no settings of its own"),
        (RUN, "save_every=0", "RunConfig.save_every must be at least 1, got 0"),
        (RUN, "log_every=0", "RunConfig.log_every must be at least 1, got 0"),
        (RUN, "accumulate=0", "RunConfig.accumulate must be at least 1, got 0"),
        (RUN, "keep=0", "RunConfig.keep must be at least 1, got 0"),
        (RUN, "seed=-1", "RunConfig.seed must be at least 0, got -1"),
        (RUN, "workers=1000000", "RunConfig.workers must be at most 1024, got 1000000"),
        (RUN, "workers=-1", "RunConfig.workers must be at least 0, got -1"),
        (PICTUREBOOK, "optimizer.lr=fast", "optimizer.lr: expected float, got 'fast'"),
        (PICTUREBOOK, "images=0", "PictureBookRecipe.images must be at least 1, got 0"),
        (PICTUREBOOK, "steps=-5", "PictureBookRecipe.steps must be at least 0, got -5"),
        (
            PICTUREBOOK,
            "caption_reward_from=1.5",
            r"PictureBookRecipe.caption_reward_from must lie in \[0, 1\], got 1.5",
        ),
        (PICTUREBOOK, "large_from=0.9", "enlarged_from must be at least large_from, got 0.7 and 0.9"),
        (PICTUREBOOK, "mixture.questions=0", "SceneMixture.questions must be at least 1, got 0"),
        (
            PICTUREBOOK,
            "mixture.rewarded_captions=1",
            "SceneMixture.rewarded_captions must be at least 2, got 1",
        ),
        (PICTUREBOOK, "mixture.box_share=-0.1", r"SceneMixture.box_share must lie in \[0, 1\], got -0.1"),
        (PICTUREBOOK, "losses.config.answers=-1", "LossConfig.answers must be at least 0, got -1.0"),
        (PHOTOGRAPHS, "steps=0", "PretrainFocalT.steps must be at least 1, got 0"),
        (PHOTOGRAPHS, "validation=-1", "PretrainFocalT.validation must be at least 0, got -1"),
        (PHOTOGRAPHS, "segments.flip=2", r"TaskConfig.flip must lie in \[0, 1\], got 2"),
        (PHOTOGRAPHS, "segments.names=-1", "TaskConfig.names must be at least 0, got -1"),
        (PHOTOGRAPHS, "segments.size=100", "TaskConfig.size must be a multiple of 32, got 100"),
        (PHOTOGRAPHS, "segments.scale=[2, 1]", "TaskConfig.scale must rise"),
        (PHOTOGRAPHS, "optimizer.lr=0", "OptimizerConfig.lr must be positive, got 0.0"),
        (PHOTOGRAPHS, "optimizer.ema_decay=1", r"OptimizerConfig.ema_decay must lie in \[0, 1\), got 1.0"),
    ],
)
def test_wrong_settings_are_refused(record: Any, setting: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        override(record, [setting])


def test_every_kind_of_field_can_be_set() -> None:
    recipe = override(
        PHOTOGRAPHS,
        [
            "segments.task=instance",
            "segments.scale=[1, 1]",
            "phrases.dataset=refcoco",
            "phrases.task=referring",
            "phrases.size=64",
            "schedule=Cosine",
            "schedule.warmup=5",
            "interactions=null",
            "answers=a/list.json",
            "optimizer.lr_factors=[[backbone., 0.5]]",
        ],
    )
    assert (recipe.segments.task, recipe.segments.scale) == ("instance", (1.0, 1.0))
    assert recipe.phrases == TaskConfig(dataset="refcoco", task="referring", size=64)
    assert recipe.schedule == Cosine(warmup=5)
    assert recipe.interactions is None
    assert recipe.answers == Path("a/list.json")
    assert recipe.optimizer.lr_factors == (("backbone.", 0.5),)
    assert override(PHOTOGRAPHS, ["pairs=null"]).pairs is None


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("segments.task=panopticc", "segments.task: expected panoptic, instance, semantic"),
        ("phrases.size=64", "phrases is not set yet: set phrases.dataset, phrases.task too"),
        ("segments.scale=[1]", r"segments.scale: expected a list \[float, float\], got \[1\]"),
        (
            "optimizer.lr_factors=[[1, backbone.]]",
            r"optimizer.lr_factors: expected a list \[any of a list \[str, float\]\], got",
        ),
        (
            "freeze=[backbon]",
            r"expected a list \[any of backbone, pixel_decoder, text_encoder, decoder\], got \['backbon'\]",
        ),
        ("schedule=Linear", "schedule: expected Cosine or MultiStep, got 'Linear'"),
        ("steps=[1", "'steps=\\[1': the value cannot be read"),
        ("pairs.dataset=null", "pairs.dataset: expected str, got None"),
    ],
)
def test_values_of_another_type_are_told_by_the_fields_name(setting: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        override(PHOTOGRAPHS, [setting])


def test_only_what_a_run_takes_is_shared_out() -> None:
    assert PICTUREBOOK.open().build_source().images_a_step == (64, 16)
    assert override(PICTUREBOOK, ["start=some/run"]).open().build_source().images_a_step == (16,)
