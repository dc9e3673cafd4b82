"""Puts this folder's page, an exported model and onnxruntime-web together in one folder, ready to be served.

    python docs/browser/assemble.py MODEL OUT

MODEL is what `xdecoder export` wrote. onnxruntime-web comes from the npm registry, by `npm pack`.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

PAGE = Path(__file__).parent
FILES = ("index.html", "page.css", "page.js", "worker.js", "model.js", "tokenizer.js", "arrays.js")
PACKAGE = "onnxruntime-web@1.30.0"
RUNTIME = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")


def assemble(model: Path, out: Path) -> None:
    """Make the folder.

    Args:
        model: an exported model.
        out: the folder; files of the page that it holds are replaced.
    """
    (out / "ort").mkdir(parents=True, exist_ok=True)
    for name in FILES:
        shutil.copy(PAGE / name, out / name)
    shutil.copytree(PAGE / "scenes", out / "scenes", dirs_exist_ok=True)
    shutil.copytree(model, out / "model", dirs_exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=folder, check=True, capture_output=True)
        [archive] = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as packed:
            for name in RUNTIME:
                member = packed.extractfile(f"package/dist/{name}")
                assert member is not None
                (out / "ort" / name).write_bytes(member.read())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    assemble(arguments.model, arguments.out)
    print(f"{arguments.out}: python -m http.server --directory {arguments.out}")
