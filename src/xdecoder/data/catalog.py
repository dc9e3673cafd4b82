"""`DATASETS`: the one table of data sets. `opening.open_dataset` reads any of them."""

from __future__ import annotations

from xdecoder.data.ade20k import open_ade20k
from xdecoder.data.bdd100k import open_bdd100k_panoptic
from xdecoder.data.captions import open_coco_karpathy, open_flickr30k
from xdecoder.data.cityscapes import open_cityscapes
from xdecoder.data.coco_layouts import (
    open_coco,
    open_coco100,
    open_lvis,
    open_nocaps,
    open_seginw,
)
from xdecoder.data.custom import CUSTOM
from xdecoder.data.decoding import LabelCoding
from xdecoder.data.folders import COCO_STUFF_VALUES, Folders, coco_stuff_171, folders_info, named
from xdecoder.data.grefcoco import GREFCOCO
from xdecoder.data.info import DatasetInfo, DatasetSplit, Origin
from xdecoder.data.mapillary import MAPILLARY_VISTAS
from xdecoder.data.pascal import PASCAL
from xdecoder.data.phrasecut import PHRASECUT
from xdecoder.data.records import Task
from xdecoder.data.refer import ReferPartition, refer_files, refs_names
from xdecoder.data.scannet import ScanNet
from xdecoder.data.vqa import open_vqav2

_PANOPTIC_TASKS: tuple[Task, ...] = ("panoptic", "semantic", "instance")
"""What a panoptic annotation serves."""

_COCO = "https://cocodataset.org/#download"
_COCO_TERMS = "annotations CC BY 4.0; images: their Flickr licenses"
_COCO_PANOPTIC = (
    "coco/annotations/panoptic_{word}.json",
    "coco/panoptic_{word}|coco/annotations/panoptic_{word}",
    "coco/{word}",
)
_COCO_2014 = "coco/{word}|coco/train2017|coco/test2015"
_NOCAPS = "nocaps/nocaps_{word}_4500_captions.json"
_SCANNET = Origin(
    size="5 GB",
    source="http://www.scan-net.org (terms to sign)",
    license="non-commercial research, ScanNet's terms",
)
_SCANNET_SPLITS = {
    "val": DatasetSplit(word="val", images=5436),
    "train": DatasetSplit(word="train", images=19466),
}
_BDD_SPLITS = {"val": DatasetSplit(word="val", images=1000), "train": DatasetSplit(word="train", images=7000)}


def _refer(title: str, folder: str, partition: str, splits: dict[str, int]) -> DatasetInfo:
    coco_like = f"coco/annotations/{folder}_{partition}_{{word}}.json"
    return DatasetInfo(
        title=title,
        files={
            "referring": (
                f"{refer_files(folder, 'instances.json')}|{coco_like}",
                f"{refer_files(folder, *refs_names(partition))}|{coco_like}",
                "coco/train2014|coco/train2017",
            )
        },
        splits={name: DatasetSplit(word=name, images=images) for name, images in splits.items()},
        origin=Origin(
            size="0.2 GB and COCO's train images (13 GB)",
            source="https://github.com/lichengunc/refer",
            license="expressions: Apache 2.0; images: COCO's",
        ),
        vocabulary="none (phrases)",
        loader=ReferPartition(folder=folder, partition=partition),
    )


def _seginw(name: str) -> DatasetInfo:
    folder = f"seginw/{name}/{{word}}"
    return DatasetInfo(
        title=f"Segmentation in the Wild: {name}",
        files={"instance": (f"{folder}/_annotations_min1cat.coco.json", folder)},
        splits={"val": DatasetSplit(word="valid"), "train": DatasetSplit(word="train")},
        origin=Origin(
            size="1 GB all 25 together",
            source="https://github.com/microsoft/X-Decoder (SegInW)",
            license="each set's own, see roboflow.com",
        ),
        vocabulary="the annotation file",
        loader=open_seginw,
    )


_SEGINW = (
    "Elephants, Hand-Metal, Watermelon, House-Parts, HouseHold-Items, Strawberry, Fruits, "
    "Nutterfly-Squireel, Hand, Garbage, Chicken, Rail, Airplane-Parts, Brain-Tumor, Poles, "
    "Electric-Shaver, Bottles, Toolkits, Trash, Salmon-Fillet, Puppies, Tablets, Phones, Cows, "
    "Ginger-Garlic"
)

DATASETS: dict[str, DatasetInfo] = {
    "coco": DatasetInfo(
        title="COCO 2017: 133 classes, panoptic, 80 of them as instances, five captions an image",
        files={
            "panoptic": _COCO_PANOPTIC,
            "semantic": _COCO_PANOPTIC,
            "instance": ("coco/annotations/instances_{word}.json", "coco/{word}"),
            "caption": ("coco/annotations/captions_{word}.json", "coco/{word}"),
        },
        splits={
            "val": DatasetSplit(word="val2017", images=5000),
            "train": DatasetSplit(word="train2017", images=118287),
            "train-leakfree": DatasetSplit(word="train2017"),
        },
        origin=Origin(size="27 GB", source=_COCO, license=_COCO_TERMS),
        vocabulary="coco",
        loader=open_coco,
    ),
    "coco100": DatasetInfo(
        title="A hundred images of COCO train2017, panoptic",
        files=dict.fromkeys(
            _PANOPTIC_TASKS,
            (
                "coco100/annotations/panoptic_{word}.json",
                "coco100/panoptic_{word}",
                "coco100/{word}",
            ),
        ),
        splits={"train": DatasetSplit(word="train2017", images=100)},
        origin=Origin(
            size="20 MB",
            source="the first hundred of COCO train2017 by id, in COCO's layout",
            license=_COCO_TERMS,
        ),
        vocabulary="coco",
        loader=open_coco100,
    ),
    "lvis": DatasetInfo(
        title="LVIS v1: 1,203 classes as instances in COCO's images, not all annotated in each image",
        files={
            "instance": (
                "lvis/lvis_v1_{word}.json|coco/annotations/lvis_v1_{word}.json",
                "coco/train2017",
                "coco/val2017",
            )
        },
        splits={
            "val": DatasetSplit(word="val", images=19809),
            "train": DatasetSplit(word="train", images=100170),
        },
        origin=Origin(
            size="1.5 GB and COCO's images",
            source="https://www.lvisdataset.org/dataset",
            license="annotations CC BY 4.0; images: their Flickr licenses",
        ),
        vocabulary="the annotation file",
        loader=open_lvis,
    ),
    "coco-karpathy": DatasetInfo(
        title="COCO captions in Karpathy's split, for retrieval and captioning",
        files={
            "caption": (
                "coco/annotations/dataset_coco.json",
                "coco/val2014|coco/val2017",
                "coco/train2014|coco/train2017",
            )
        },
        splits={
            "test": DatasetSplit(word="test", images=5000),
            "val": DatasetSplit(word="val", images=5000),
            "train": DatasetSplit(word="train", images=82783),
            "restval": DatasetSplit(word="restval", images=30504),
            "train-leakfree": DatasetSplit(word="train"),
        },
        origin=Origin(
            size="19 GB", source="https://cs.stanford.edu/people/karpathy/deepimagesent/", license=_COCO_TERMS
        ),
        vocabulary="none (captions)",
        loader=open_coco_karpathy,
    ),
    "refcoco": _refer(
        "RefCOCO, UNC partition", "refcoco", "unc", {"val": 1500, "testA": 750, "testB": 750, "train": 16994}
    ),
    "refcoco+": _refer(
        "RefCOCO+, UNC partition",
        "refcoco+",
        "unc",
        {"val": 1500, "testA": 750, "testB": 750, "train": 16992},
    ),
    "refcocog-umd": _refer(
        "RefCOCOg, UMD partition", "refcocog", "umd", {"val": 1300, "test": 2600, "train": 21899}
    ),
    "refcocog-google": _refer(
        "RefCOCOg, Google partition (train and val share images)",
        "refcocog",
        "google",
        {"val": 4650, "train": 24698},
    ),
    "grefcoco": GREFCOCO,
    "phrasecut": PHRASECUT,
    "ade20k-150": DatasetInfo(
        title="ADE20K, the 150 classes of SceneParse150, 100 of them things",
        files={
            "panoptic": (
                "ADEChallengeData2016/images/{word}",
                "ADEChallengeData2016/ade20k_panoptic_{split}.json|ADEChallengeData2016/annotations_instance/{word}",
                "ADEChallengeData2016/ade20k_panoptic_{split}|ADEChallengeData2016/annotations/{word}",
            ),
            "semantic": (
                "ADEChallengeData2016/images/{word}",
                "ADEChallengeData2016/annotations/{word}|ADEChallengeData2016/annotations_detectron2/{word}",
            ),
            "instance": (
                "ADEChallengeData2016/images/{word}",
                "ADEChallengeData2016/ade20k_instance_{split}.json|ADEChallengeData2016/annotations_instance/{word}",
            ),
        },
        splits={
            "val": DatasetSplit(word="validation", images=2000),
            "train": DatasetSplit(word="training", images=20210),
        },
        origin=Origin(
            size="1.2 GB",
            source="http://sceneparsing.csail.mit.edu",
            license="BSD-3 annotations; images for research and education",
        ),
        vocabulary="ade20k",
        loader=open_ade20k,
    ),
    "ade20k-847": folders_info(
        Folders(
            images="ADE20K_2021_17_01/images_detectron2/{word}",
            labels="ADE20K_2021_17_01/annotations_detectron2/{word}",
            label_suffix=".tif",
            coding=LabelCoding(classes=847, void=(65535,)),
            vocabulary=named("ade20k-847"),
        ),
        title="ADE20K full, 847 classes, 16-bit label maps",
        splits={
            "val": DatasetSplit(word="validation", images=2000),
            "train": DatasetSplit(word="training", images=25574),
        },
        origin=Origin(
            size="5 GB",
            source="https://groups.csail.mit.edu/vision/datasets/ADE20K/, converted by Mask2Former's script",
            license="BSD-3 annotations; images for research and education",
        ),
        vocabulary="ade20k-847",
    ),
    "cityscapes": DatasetInfo(
        title="Cityscapes, 19 classes, 8 of them things",
        files={
            "panoptic": (
                "cityscapes/gtFine/cityscapes_panoptic_{word}.json",
                "cityscapes/gtFine/cityscapes_panoptic_{word}",
                "cityscapes/leftImg8bit/{word}",
            ),
            "semantic": ("cityscapes/gtFine/{word}", "cityscapes/leftImg8bit/{word}"),
            "instance": ("cityscapes/gtFine/{word}", "cityscapes/leftImg8bit/{word}"),
        },
        splits={
            "val": DatasetSplit(word="val", images=500),
            "train": DatasetSplit(word="train", images=2975),
        },
        origin=Origin(
            size="12 GB",
            source="https://www.cityscapes-dataset.com (registration)",
            license="non-commercial research, Cityscapes' own terms",
        ),
        vocabulary="cityscapes",
        loader=open_cityscapes,
    ),
    "mapillary-vistas": MAPILLARY_VISTAS,
    "bdd100k-semantic": folders_info(
        Folders(
            images="bdd100k/images/10k/{word}",
            labels="bdd100k/labels/sem_seg/masks/{word}",
            coding=LabelCoding(classes=19, void=(255,)),
            vocabulary=named("bdd"),
        ),
        title="BDD100K 10k, semantic, 19 classes",
        splits=_BDD_SPLITS,
        origin=Origin(
            size="1.6 GB",
            source="https://doc.bdd100k.com/download.html",
            license="BSD-3 labels; images for non-commercial use",
        ),
        vocabulary="bdd",
    ),
    "bdd100k-panoptic": DatasetInfo(
        title="BDD100K 10k, panoptic, 40 classes, 10 of them things",
        files=dict.fromkeys(
            _PANOPTIC_TASKS,
            (
                "bdd100k/images/10k/{word}",
                "bdd100k/labels/pan_seg/bitmasks/{word}|bdd100k/labels/pan_seg/coco_pano/{word}",
            ),
        ),
        splits=_BDD_SPLITS,
        origin=Origin(
            size="1.8 GB",
            source="https://doc.bdd100k.com/download.html",
            license="BSD-3 labels; images for non-commercial use",
        ),
        vocabulary="bdd-panoptic",
        loader=open_bdd100k_panoptic,
    ),
    "sun-rgbd-37": folders_info(
        Folders(
            images="sun_rgbd/image/{word}",
            labels="sun_rgbd/label37/{word}",
            coding=LabelCoding(classes=37, first=1, void=(0,)),
            vocabulary=named("sun"),
            by_number=True,
        ),
        title="SUN RGB-D, 37 classes, indoor",
        splits={
            "val": DatasetSplit(word="test", images=5050),
            "train": DatasetSplit(word="train", images=5285),
        },
        origin=Origin(
            size="6 GB",
            source="https://rgbd.cs.princeton.edu and https://github.com/ankurhanda/sunrgbd-meta-data",
            license="research, the authors' terms",
        ),
        vocabulary="sun",
    ),
    "scannet-20": DatasetInfo(
        title="ScanNet 25k frames, 20 classes, 18 of them things",
        files={
            "semantic": (
                "scannet_frames_25k/meta/{word}.txt",
                "scannet_frames_25k/images|scannet_frames_25k",
            ),
            "panoptic": (
                "scannet_frames_25k/scannet_panoptic.json",
                "scannet_frames_25k/scannet_panoptic",
                "scannet_frames_25k/images|scannet_frames_25k",
            ),
        },
        splits=_SCANNET_SPLITS,
        origin=_SCANNET,
        vocabulary="scannet",
        loader=ScanNet(classes=20),
    ),
    "scannet-40": DatasetInfo(
        title="ScanNet 25k frames, the 40 NYU classes",
        files={
            "semantic": ("scannet_frames_25k/meta/{word}.txt", "scannet_frames_25k/images|scannet_frames_25k")
        },
        splits=_SCANNET_SPLITS,
        origin=_SCANNET,
        vocabulary="scannet-40",
        loader=ScanNet(classes=40),
    ),
    **PASCAL,
    "coco-stuff-171": folders_info(
        Folders(
            images="coco/{word}",
            labels="coco/stuffthingmaps/{word}",
            coding=LabelCoding(classes=171, stored=COCO_STUFF_VALUES, void=(255,)),
            vocabulary=coco_stuff_171,
        ),
        title="COCO-Stuff 164k, 171 classes, 80 of them things",
        splits={
            "val": DatasetSplit(word="val2017", images=5000),
            "train": DatasetSplit(word="train2017", images=118287),
        },
        origin=Origin(
            size="0.7 GB and COCO's images",
            source="https://github.com/nightrome/cocostuff (stuffthingmaps_trainval2017, labels.txt)",
            license=_COCO_TERMS,
        ),
        vocabulary="the download's labels.txt",
        more=("coco/stuffthingmaps/labels.txt|coco/labels.txt",),
    ),
    "nocaps": DatasetInfo(
        title="NoCaps: ten captions each of images with objects that COCO's captions do not name",
        files={"caption": (_NOCAPS, "nocaps/{word}|nocaps/images")},
        splits={"val": DatasetSplit(word="val", images=4500)},
        origin=Origin(
            size="1.5 GB",
            source="https://nocaps.org/download",
            license="captions CC BY 2.0; images: Open Images, CC BY 2.0",
        ),
        vocabulary="none (captions)",
        loader=open_nocaps,
    ),
    "flickr30k": DatasetInfo(
        title="Flickr30k captions in Karpathy's split",
        files={
            "caption": (
                "flickr30k/dataset_flickr30k.json",
                "flickr30k/flickr30k-images|flickr30k/flickr30k_images",
            )
        },
        splits={
            "test": DatasetSplit(word="test", images=1000),
            "val": DatasetSplit(word="val", images=1014),
            "train": DatasetSplit(word="train", images=29000),
        },
        origin=Origin(
            size="4.4 GB",
            source="https://shannon.cs.illinois.edu/DenotationGraph/ and Karpathy's dataset_flickr30k.json",
            license="captions CC BY-SA 3.0; images: Flickr terms, non-commercial research",
        ),
        vocabulary="none (captions)",
        loader=open_flickr30k,
    ),
    "vqav2": DatasetInfo(
        title="VQA v2: questions about COCO's images, ten answers each",
        files={"question": ("vqa/v2_OpenEnded_mscoco_{word}_questions.json", _COCO_2014)},
        splits={
            "val": DatasetSplit(word="val2014", images=40504),
            "train": DatasetSplit(word="train2014", images=82783),
            "test-dev": DatasetSplit(word="test-dev2015"),
            "test": DatasetSplit(word="test2015", images=81434),
        },
        origin=Origin(
            size="0.3 GB and COCO's images",
            source="https://visualqa.org/download.html",
            license="CC BY 4.0 questions and answers; images: COCO's",
        ),
        vocabulary="none (answers)",
        loader=open_vqav2,
    ),
    **{f"seginw-{name}": _seginw(name) for name in _SEGINW.split(", ")},
    **CUSTOM,
}
