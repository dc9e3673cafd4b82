"""How fast the bundled model learns, in float32 and in bfloat16: `python benchmarks/training.py`."""

from __future__ import annotations

import argparse
import time

import torch

from xdecoder.training.optimizer import build_optimizer
from xdecoder.training.picturebook.recipe import PictureBookRecipe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=8, help="scenes a step")
    parser.add_argument("--steps", type=int, default=6, help="steps of each kind, of which the least counts")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    recipe = PictureBookRecipe(images=arguments.images, text_steps=0, patch_steps=0, caption_reward_from=1.0)
    curriculum = recipe.open()
    batches = [curriculum.build_source().batch(recipe.steps - 1 - k, 0, 1) for k in range(arguments.steps)]
    objective = curriculum.build().train()
    optimizer = build_optimizer(objective, recipe.optimizer)
    seconds: dict[torch.dtype, list[float]] = {torch.float32: [], torch.bfloat16: []}
    for batch in batches:  # in turn, so that both have the same noise of the machine
        for dtype, times in seconds.items():
            start = time.perf_counter()
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
                loss = torch.stack([t for t in objective(batch).values() if t.requires_grad]).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            times.append(time.perf_counter() - start)
    for dtype, times in seconds.items():
        print(f"{str(dtype).removeprefix('torch.'):<10}{arguments.images / min(times):>6.1f} scenes/s")


if __name__ == "__main__":
    main()
