"""Training lists without the test images of COCO's offspring, and training shards.

RefCOCO's and Karpathy's test images are COCO images, many of them of train2017. The published models were
trained without RefCOCOg's UMD validation images and Karpathy's test images; these are the same lists.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, final

from xdecoder.data.captions import TRAINING_SPLITS, karpathy_rows
from xdecoder.data.coco_file import read_coco_file
from xdecoder.data.dataset import Skip
from xdecoder.data.opening import select
from xdecoder.data.records import CaptionSample, ImageId
from xdecoder.data.refer import ReferPartition
from xdecoder.images import read_header
from xdecoder.jobs.files import read_file, read_text, remove_drafts, whole_file, write_whole
from xdecoder.jobs.progress import ProgressCallback


@final
@dataclass(frozen=True, kw_only=True)
class LeakFree:
    """A list that was written: the file, what it keeps and what it took out, by reason."""

    path: Path
    kept: int
    taken_out: dict[str, int]


def write_leakfree(root: Path) -> tuple[LeakFree, ...]:
    """Write `train2017_leakfree.txt` and `karpathy_leakfree.txt` into `coco/annotations/`.

    The first is COCO train2017 (the panoptic file's images) without the images of RefCOCOg UMD val and of
    Karpathy's test split. The second is Karpathy's train, restval and val without COCO val2017 and RefCOCOg
    UMD val. `open_dataset("coco", split="train-leakfree")` and the same of "coco-karpathy" read them; other
    data on COCO's images takes `only=read_image_list(...)`.

    Raises:
        FileNotFoundError: a file that names the images is missing.
    """
    annotations = root / "coco" / "annotations"
    refcocog = ReferPartition(folder="refcocog", partition="umd").image_ids(
        select("refcocog-umd", root, split="val")
    )
    karpathy = annotations / "dataset_coco.json"
    test = frozenset(row["cocoid"] for row in karpathy_rows(karpathy, "test"))
    if not refcocog or not test:
        raise ValueError(f"{root}: no RefCOCOg val images or no Karpathy test images to take out")
    val2017 = _coco_images(annotations, "val2017")
    training = frozenset(row["cocoid"] for split in TRAINING_SPLITS for row in karpathy_rows(karpathy, split))
    return (
        _write_list(
            annotations / "train2017_leakfree.txt",
            _coco_images(annotations, "train2017"),
            {"RefCOCOg UMD val": refcocog, "Karpathy test": test},
        ),
        _write_list(
            annotations / "karpathy_leakfree.txt",
            training,
            {"COCO val2017": val2017, "RefCOCOg UMD val": refcocog},
        ),
    )


def _coco_images(annotations: Path, word: str) -> frozenset[ImageId]:
    options = [annotations / f"{kind}_{word}.json" for kind in ("panoptic", "instances", "captions")]
    path = next((p for p in options if p.is_file()), None)
    if path is None:
        raise FileNotFoundError(f"{annotations}: none of {', '.join(p.name for p in options)} is there")
    return frozenset(read_coco_file(path).images)


def _write_list(path: Path, images: frozenset[Any], without: dict[str, frozenset[Any]]) -> LeakFree:
    kept = sorted(images.difference(*without.values()))
    taken_out = {reason: len(images & ids) for reason, ids in without.items()}
    header = [f"# {len(kept)} of {len(images)} images"]
    header += [f"# without {reason}: {count}" for reason, count in taken_out.items()]
    write_whole(path, "\n".join([*header, *map(str, kept)]).encode() + b"\n")
    return LeakFree(path=path, kept=len(kept), taken_out=taken_out)


@final
@dataclass(frozen=True, kw_only=True)
class ShardSet:
    """Shards that were written: how many in all, how many by this call, and what was left out."""

    shards: int
    written: int
    samples: int
    skipped: tuple[Skip, ...]


def write_shards(
    samples: Sequence[CaptionSample],
    out: Path,
    *,
    per_shard: int = 1000,
    progress: ProgressCallback | None = None,
) -> ShardSet:
    """Write image-text pairs as WebDataset tar shards `000000.tar`, ...; `PairShards` reads them.

    Image files are copied as they are, after decoding them once; an unreadable one is left out and listed in
    the shard's `.skipped.jsonl`. A shard appears whole or not at all; a second call writes the absent ones.

    Args:
        samples: what to write.
        out: the folder, made if need be.
        per_shard: pairs in a shard at the most.
        progress: called after each sample with how many are done, and of how many.

    Raises:
        ValueError: `per_shard` is not positive, or the folder holds shards of other samples.
    """
    if per_shard < 1:
        raise ValueError(f"per_shard must be at least 1, got {per_shard}")
    out.mkdir(parents=True, exist_ok=True)
    remove_drafts(out)
    plan = {"samples": len(samples), "per_shard": per_shard, "digest": _digest(samples)}
    plan_path = out / "plan.json"
    if plan_path.is_file() and json.loads(read_file(plan_path)) != plan:
        raise ValueError(f"{out} holds shards of other samples or of another size; write to an empty folder")
    write_whole(plan_path, json.dumps(plan).encode())
    shards = -(-len(samples) // per_shard)
    written = 0
    skipped: list[Skip] = []
    for number in range(shards):
        start, end = number * per_shard, min((number + 1) * per_shard, len(samples))
        path, list_path = out / f"{number:06d}.tar", out / f"{number:06d}.skipped.jsonl"
        if not path.is_file():
            with whole_file(path) as shard:
                left_out = _write_shard(shard, samples, start, end, progress)
                # before its shard is there, so that none is lost
                write_whole(list_path, b"".join(json.dumps(asdict(s)).encode() + b"\n" for s in left_out))
            written += 1
        skipped.extend(Skip(**json.loads(line)) for line in read_text(list_path).splitlines())
        if progress:
            progress(end, len(samples))
    return ShardSet(
        shards=shards, written=written, samples=len(samples) - len(skipped), skipped=tuple(skipped)
    )


def _write_shard(
    shard: IO[bytes],
    samples: Sequence[CaptionSample],
    start: int,
    end: int,
    progress: ProgressCallback | None,
) -> list[Skip]:
    left_out: list[Skip] = []
    with tarfile.open(fileobj=shard, mode="w") as tar:
        for i in range(start, end):
            sample = samples[i]
            try:
                sample.image()
                data = sample.source.encoded()
            except (ValueError, FileNotFoundError) as error:
                left_out.append(Skip(item=str(sample.image_id), reason=str(error)))
                continue
            suffix = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}.get(read_header(data).format)
            if suffix is None:
                left_out.append(Skip(item=str(sample.image_id), reason="neither JPEG, PNG nor WebP"))
                continue
            text = json.dumps({"image_id": sample.image_id, "captions": sample.captions}).encode()
            for member, content in ((f"{i:09d}.{suffix}", data), (f"{i:09d}.json", text)):
                entry = tarfile.TarInfo(member)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
            if progress:
                progress(i + 1, len(samples))
    return left_out


def _digest(samples: Sequence[CaptionSample]) -> str:
    digest = hashlib.sha256()
    for sample in samples:
        digest.update(repr((sample.image_id, sample.source.name, sample.captions)).encode())
    return digest.hexdigest()
