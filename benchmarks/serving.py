"""The server under load: clients on loopback ask as fast as they are answered.

    python benchmarks/serving.py                       # 1, 16 and 160 clients, batched and one at a time
    python benchmarks/serving.py --seconds 5 --clients 1 16
    python benchmarks/serving.py --slowdown inf        # everything admitted that the queue holds

Each run starts `xdecoder serve` with the bundled model in a process of its own, and ends after so many
seconds or requests. Beside the load, once: clients that send their bodies slowly, and a kill and restart.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from xdecoder.picturebook import draw_scene
from xdecoder.structures.png import png_bytes

SCENES = 16
SIDE = 160


@dataclass(kw_only=True)
class Load:
    """What clients saw.

    Attributes:
        seconds: of each request that was answered.
        refused: requests told to come back.
        failed: requests with any other answer.
        wall: seconds until the last was answered.
    """

    seconds: list[float] = field(default_factory=list)
    refused: int = 0
    failed: int = 0
    wall: float = 0.0

    def percentile(self, share: int) -> float:
        """Milliseconds that this share of the answered requests took at the most, in percent."""
        if len(self.seconds) < 2:
            return 1000 * sum(self.seconds)
        return 1000 * statistics.quantiles(self.seconds, n=100, method="inclusive")[share - 1]


@contextmanager
def serving(*options: str) -> Generator[tuple[str, subprocess.Popen[str]]]:
    """A server, and its address."""
    command = [sys.executable, "-m", "xdecoder", "serve", "--weights", "picturebook", "--port", "0", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                if match := re.search(r"running on (http://\S+)", line):
                    wait_until_ready(match[1])
                    yield match[1], process
                    return
            raise RuntimeError("the server did not start")
        finally:
            process.kill()


def wait_until_ready(address: str) -> None:
    """Until the server has read its vocabulary."""
    until = time.monotonic() + 120
    while httpx.get(f"{address}/readyz").status_code != 200:
        if time.monotonic() > until:
            raise RuntimeError("the server is not ready after two minutes")
        time.sleep(0.1)


def peak_megabytes(process: subprocess.Popen[str]) -> float:
    """The most memory that a process held."""
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024  # pyright: ignore[reportOptionalSubscript]


def bodies() -> list[dict[str, Any]]:
    """Drawn scenes to be segmented."""
    pictures = (png_bytes(draw_scene(seed, split="val", size=SIDE).image) for seed in range(SCENES))
    return [{"image": base64.b64encode(picture).decode("ascii")} for picture in pictures]


async def ask(address: str, *, clients: int, seconds: float, most: int) -> Load:
    """Clients that each ask again as soon as they are answered, or after the time they are told to wait.

    They begin one after the other, over a second.
    """
    load, sent, told = Load(), 0, bodies()
    start = time.perf_counter()
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
    async with httpx.AsyncClient(limits=limits, timeout=120) as client:

        async def one(number: int) -> None:
            nonlocal sent
            await asyncio.sleep(number / clients)
            while time.perf_counter() - start < seconds and sent < most:
                sent += 1
                begun = time.perf_counter()
                answer = await client.post(f"{address}/v1/segment", json=told[number % SCENES])
                if answer.status_code == 200:
                    load.seconds.append(time.perf_counter() - begun)
                    load.wall = time.perf_counter() - start
                elif answer.status_code == 429:
                    load.refused += 1
                    left = start + seconds - time.perf_counter()
                    await asyncio.sleep(min(float(answer.headers["retry-after"]), max(left, 0)))
                else:
                    load.failed += 1

        await asyncio.gather(*map(one, range(clients)))
    return load


async def trickle(address: str, *, clients: int, seconds: float) -> float:
    """Milliseconds of a request beside clients that send their bodies byte by byte."""
    host, port = re.fullmatch(r"http://(.+):(\d+)", address).groups()  # pyright: ignore[reportOptionalMemberAccess]

    async def slow() -> None:
        _, writer = await asyncio.open_connection(host, int(port))
        lines = (
            "POST /v1/segment HTTP/1.1",
            f"Host: {host}",
            "Content-Type: image/png",
            "Content-Length: 9999",
        )
        writer.write("\r\n".join([*lines, "", ""]).encode())
        for _ in range(int(seconds / 0.1)):
            writer.write(b"x")
            await asyncio.sleep(0.1)
        writer.close()

    tasks = [asyncio.ensure_future(slow()) for _ in range(clients)]
    await asyncio.sleep(0.5)
    load = await ask(address, clients=1, seconds=seconds - 1, most=10_000)
    await asyncio.gather(*tasks)
    return load.percentile(50)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 16, 160])
    parser.add_argument("--seconds", type=float, default=15.0, help="of each run")
    parser.add_argument("--requests", type=int, default=5000, help="of each run, at the most")
    parser.add_argument("--queue", type=int, default=64)
    parser.add_argument("--slowdown", default="3", help="of admitted requests at the most; inf for no bound")
    chosen = parser.parse_args()
    table = Table(
        "clients", "batch", "requests/s", "p50 ms", "p99 ms", "p99 / alone", "429", "failed", "peak MB"
    )
    for batch in (8, 1):
        alone = 0.0
        for clients in chosen.clients:
            options = ("--batch", str(batch), "--queue", str(chosen.queue), "--max-slowdown", chosen.slowdown)
            with serving(*options) as (address, process):
                load = asyncio.run(
                    ask(address, clients=clients, seconds=chosen.seconds, most=chosen.requests)
                )
                alone = load.percentile(99) if clients == 1 else alone
                table.add_row(
                    str(clients),
                    str(batch),
                    f"{len(load.seconds) / load.wall:.1f}",
                    f"{load.percentile(50):.0f}",
                    f"{load.percentile(99):.0f}",
                    f"{load.percentile(99) / alone:.1f}" if alone else "",
                    str(load.refused),
                    str(load.failed),
                    f"{peak_megabytes(process):.0f}",
                )
    Console(width=110).print(table)
    with serving() as (address, process):
        slow = asyncio.run(trickle(address, clients=16, seconds=min(chosen.seconds, 5)))
        print(f"beside 16 slow clients a request takes {slow:.0f} ms at the median")
        begun = time.perf_counter()
        os.kill(process.pid, signal.SIGKILL)
    with serving() as (address, _):
        print(f"killed, the server answers again after {time.perf_counter() - begun:.1f} s")


if __name__ == "__main__":
    main()
