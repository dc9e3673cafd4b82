"""Which part of the work is this process's, and which GPU: told, or found in what torchrun and SLURM say."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One of several equal parts.

    An image belongs to the part that its path says, not its place in a list, so that parts stay the same when
    images come or go.

    Attributes:
        index: which part, counted from 0.
        count: how many there are.
    """

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ValueError(
                f"there is no shard {self.index} of {self.count}: count them from 0, so that the last of "
                f"{self.count} is {max(self.count - 1, 0)}/{self.count}"
            )

    @classmethod
    def parse(cls, text: str) -> Shard:
        """A shard as the command line names it, such as "0/4".

        Raises:
            ValueError: it is no such part.
        """
        found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
        if not found:
            raise ValueError(f"--shard takes its number from 0 and their count, such as 0/4; got {text!r}")
        return cls(index=int(found[1]), count=int(found[2]))

    @classmethod
    def find(cls, environment: Mapping[str, str]) -> Shard:
        """The part of a process that torchrun, srun or an array of SLURM's jobs started; else the whole.

        Where each job of an array runs several tasks, every task of every job is a part.

        Raises:
            ValueError: an array leaves numbers out, so that parts would be missing.
        """
        if "WORLD_SIZE" in environment:
            return cls(index=int(environment["RANK"]), count=int(environment["WORLD_SIZE"]))
        task, tasks = 0, 1
        if "SLURM_STEP_NUM_TASKS" in environment:  # srun alone sets it, not the script of a batch job
            task, tasks = int(environment["SLURM_PROCID"]), int(environment["SLURM_STEP_NUM_TASKS"])
        job, jobs = _place_in_array(environment)
        return cls(index=job * tasks + task, count=jobs * tasks)

    def owns(self, path: str) -> bool:
        """Whether an image, or a file that holds several, is of this part."""
        digest = hashlib.blake2b(path.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return int.from_bytes(digest) % self.count == self.index

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


def _place_in_array(environment: Mapping[str, str]) -> tuple[int, int]:
    """A job's place in its array of SLURM jobs, and how many there are."""
    if "SLURM_ARRAY_TASK_ID" not in environment:
        return 0, 1
    number, count, first, last = (
        int(environment[f"SLURM_ARRAY_TASK_{name}"]) for name in ("ID", "COUNT", "MIN", "MAX")
    )
    if last - first + 1 != count:
        raise ValueError(
            f"the array of jobs from {first} to {last} has {count} jobs and leaves numbers out, so that "
            "parts would be missing: say each job's part with --shard"
        )
    return number - first, count


def local_rank(environment: Mapping[str, str]) -> int:
    """The number of a process on its machine, as torchrun and srun tell it; 0 without them."""
    return int(environment.get("LOCAL_RANK", environment.get("SLURM_LOCALID", "0")))
