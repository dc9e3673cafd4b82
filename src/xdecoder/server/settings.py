"""How the server is set up, checked before a model is loaded. Nothing heavy is imported here."""

from __future__ import annotations

import ipaddress
import math
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from xdecoder.bounds import check_whole_number, require
from xdecoder.jobs.files import read_file

_LEAST_TOKEN = 16


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """Where the server listens, and how much it takes on.

    Attributes:
        host: address that it binds to.
        port: port that it binds to; 0 for any free one.
        token: what clients must show; None lets everybody in.
        open_to_all: bind beyond this machine without a token.
        batch: requests answered together at the most.
        wait_ms: milliseconds that a request waits for others like it, at the most.
        queue: requests admitted at once at the most; those over it are told to come back later.
        max_slowdown: times its time alone that a request may be expected to take, so that it is admitted;
            infinity for no such bound.
        max_megapixels: the most pixels of an image, in millions.
        max_megabytes: the most bytes of a request, in millions.
        cache_images: encoded images kept at the most.
        cache_megabytes: the most bytes of encoded images kept, in millions.
        body_seconds: within which a request's body must have arrived.
        label_studio: address of the Label Studio whose images are fetched; None fetches none.
        label_studio_token: shown to it; None for none.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None
    open_to_all: bool = False
    batch: int = 8
    wait_ms: float = 5.0
    queue: int = 64
    max_slowdown: float = 3.0
    max_megapixels: float = 16.0
    max_megabytes: float = 32.0
    cache_images: int = 64
    cache_megabytes: float = 1024.0
    body_seconds: float = 30.0
    label_studio: str | None = None
    label_studio_token: str | None = None

    def __post_init__(self) -> None:
        check_whole_number("port", self.port, least=0, most=65535)
        for name in ("batch", "queue", "cache_images"):
            check_whole_number(name, getattr(self, name))
        for name in ("max_megapixels", "max_megabytes", "cache_megabytes", "body_seconds"):
            value = getattr(self, name)
            require(0 < value < math.inf, f"{name} must be over 0, got {value}")
        require(self.max_slowdown >= 1, f"max_slowdown must be at least 1, got {self.max_slowdown}")
        require(0 <= self.wait_ms <= 1000, f"wait_ms must be from 0 to 1000, got {self.wait_ms}")
        require(
            self.token is not None or self.open_to_all or self.is_local,
            f"{self.host} is reached from other machines: protect it with --token-file FILE, or say "
            "--open-to-all if everybody who reaches it may use it",
        )
        if self.label_studio is not None:
            parts = urlsplit(self.label_studio)
            require(
                parts.scheme in ("http", "https") and bool(parts.netloc) and not parts.username,
                f"label_studio must be an address such as http://localhost:8080, got {self.label_studio!r}",
            )

    @property
    def is_local(self) -> bool:
        """Whether it is reached from this machine alone."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def max_pixels(self) -> int:
        """The most pixels of an image."""
        return int(self.max_megapixels * 1e6)

    @property
    def max_bytes(self) -> int:
        """The most bytes of a request's body."""
        return int(self.max_megabytes * 1e6)


def read_token(path: Path) -> str:
    """The token in a file, without the white space around it.

    Args:
        path: a file that holds the token alone.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds no token, one that is easily guessed, or one that no header can hold.
        OSError: it cannot be read.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no token file {path}; make one: openssl rand -hex 32 > {path}")
    token = read_file(path).decode("ascii", "replace").strip()
    require(
        len(token) >= _LEAST_TOKEN and token.isprintable() and token.isascii() and " " not in token,
        f"{path} must hold one token of {_LEAST_TOKEN} ASCII characters or more without spaces; make one: "
        f"openssl rand -hex 32 > {path}",
    )
    return token
