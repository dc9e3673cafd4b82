"""Work on a Ray cluster of two nodes on this machine; an actor and a node are killed in the middle."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bulk_fixtures import IMAGES, WORDS, Bulk, rows_of
from xdecoder.bulk import Destination, find_source
from xdecoder.bulk.cluster import label_on_cluster
from xdecoder.evaluation.benchmarks import find_benchmarks
from xdecoder.evaluation.plan import Overrides
from xdecoder.evaluation.run import EvaluatedModel, evaluate
from xdecoder.jobs.cluster import Actors, Row, map_on_cluster
from xdecoder.predictor.model_source import ModelSource
from xdecoder.search import Index
from xdecoder.search.cluster import index_on_cluster

pytestmark = pytest.mark.slow

TWO = Actors(least=2, most=2)


class Nodes:
    """Two nodes of one core each, the second of which can be killed."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        size = {"num_cpus": 1, "object_store_memory": 100_000_000}
        self._cluster = Cluster(initialize_head=True, head_node_args=size)
        self._size = size
        self._second = self._cluster.add_node(**size)
        self._cluster.connect()

    def kill_second(self) -> None:
        self._cluster.remove_node(self._second, allow_graceful=False)

    def add_second(self) -> None:
        self._second = self._cluster.add_node(**self._size)

    def shutdown(self) -> None:
        import ray

        ray.shutdown()
        self._cluster.shutdown()


@pytest.fixture(scope="module")
def nodes(bulk: Bulk) -> Iterator[Nodes]:
    """The cluster; it starts after the fixture whose cache of class names its workers are to share."""
    assert bulk.model.is_dir()
    here = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_raylet_start_wait_time_s", "600")  # a loaded machine starts slowly
        patch.setenv("RAY_worker_niceness", "0")  # else they starve beside other work
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_health_check_period_ms", "1000")
        patch.setenv("PYTHONPATH", here)  # workers find this file
        found = Nodes()
        yield found
        found.shutdown()


class Slowly:
    """Says what it was given, and which process it is."""

    def __call__(self, rows: list[Row]) -> Row:
        time.sleep(0.5)
        return {"numbers": [row["number"] for row in rows], "process": os.getpid()}


@pytest.mark.usefixtures("nodes")
def test_what_a_killed_actor_was_given_is_worked_on_again() -> None:
    found: list[int] = []
    processes: set[int] = set()
    for result in map_on_cluster([{"number": i} for i in range(16)], Slowly, batch_size=2, actors=TWO):
        found += result["numbers"]
        processes.add(result["process"])
        if len(found) == 4:
            os.kill(result["process"], signal.SIGKILL)
    assert sorted(found) == list(range(16))
    assert len(processes) >= 2


def once(number: int, action: Callable[[], None]) -> Callable[[int, int], None]:
    """A progress callback that does something when that many are done."""
    waiting = [action]

    def told(done: int, _: int) -> None:
        if done >= number and waiting:
            waiting.pop()()

    return told


def test_a_node_killed_in_the_middle_changes_no_row(
    bulk: Bulk, labeled: Destination, nodes: Nodes, tmp_path: Path
) -> None:
    killed: list[str] = []

    def kill() -> None:
        killed.append("the second node")
        nodes.kill_second()

    destination = Destination.create(str(tmp_path), bulk.config)
    report = label_on_cluster(
        find_source(str(bulk.pictures)),
        ModelSource.of(str(bulk.model), bulk.predictor),
        destination,
        actors=TWO,
        batch_size=1,
        progress=once(2, kill),
    )
    assert killed
    assert report.joined == IMAGES
    assert rows_of(destination) == rows_of(labeled)


@pytest.mark.usefixtures("nodes")
def test_a_folder_is_indexed_as_by_one_process(bulk: Bulk, tmp_path: Path) -> None:
    one, many = (Index.create(tmp_path / name, bulk.predictor, vocabulary=WORDS) for name in ("one", "many"))
    wanted = one.update(bulk.pictures)
    source = ModelSource.of(str(bulk.model), bulk.predictor)
    report = index_on_cluster(many.tables, source, bulk.pictures, actors=Actors(), batch_size=2)
    assert (report.indexed, report.unchanged) == (wanted.indexed, 0) == (IMAGES - 1, 0)
    assert [failure.path.name for failure in report.failures] == ["bad.png"]
    for table in ("images", "regions"):
        rows = [
            sorted(index.tables.raw(table).to_arrow().to_pylist(), key=lambda row: str(row["path"]))
            for index in (one, many)
        ]
        key = "path" if table == "images" else "id"
        assert {row[key]: row for row in rows[0]} == {row[key]: row for row in rows[1]}
        assert len(rows[0]) == len(rows[1])
    again = index_on_cluster(many.tables, source, bulk.pictures, actors=Actors(), batch_size=2)
    assert (again.indexed, again.unchanged) == (0, IMAGES - 1)


@pytest.mark.usefixtures("nodes")
def test_a_benchmark_has_the_figures_of_one_process(bulk: Bulk, tmp_path: Path) -> None:
    (benchmark,) = find_benchmarks(["picturebook-val"])
    model = EvaluatedModel.of(str(bulk.model), bulk.predictor)
    overrides = Overrides(limit=3)
    one = evaluate(benchmark, model, out=tmp_path / "one", overrides=overrides)
    many = evaluate(benchmark, model, out=tmp_path / "many", overrides=overrides, actors=Actors())
    assert one is not None
    assert many is not None
    assert many.scores.images == 3
    assert many.scores.figures == pytest.approx(one.scores.figures, nan_ok=True)


class Failing:
    """Cannot work."""

    def __call__(self, rows: list[Row]) -> Row:
        raise ValueError("the reason")


@pytest.mark.usefixtures("nodes")
def test_a_worker_s_error_is_told() -> None:
    with pytest.raises(
        OSError, match=r"the cluster could not finish: .*the reason; run the same command again"
    ):
        list(map_on_cluster([{"number": 0}], Failing, batch_size=1, actors=Actors()))
