"""Many images labeled into tables, by one process or many, on one machine or a cluster.

>>> from xdecoder.bulk import Destination, LabelingConfig, find_source, label
"""

try:
    import pyarrow as _  # noqa: F401
except ImportError as error:
    raise ImportError("labels are tables of pyarrow: pip install 'xdecoder[data]'") from error

from xdecoder.bulk.config import LabelingConfig
from xdecoder.bulk.destination import Destination
from xdecoder.bulk.run import CostEstimate, LabelingReport, estimate, finish, label
from xdecoder.bulk.shards import Shard
from xdecoder.bulk.sources import SourceImage, find_source
from xdecoder.bulk.status import Failure, Status, read_status

__all__ = [
    "CostEstimate",
    "Destination",
    "Failure",
    "LabelingConfig",
    "LabelingReport",
    "Shard",
    "SourceImage",
    "Status",
    "estimate",
    "find_source",
    "finish",
    "label",
    "read_status",
]
