"""The command line, `xdecoder`. Nothing heavy is imported until a command runs."""


def main() -> None:
    """Run the command line: what the console script and `python -m xdecoder` call."""
    from xdecoder.cli.app import app

    app(prog_name="xdecoder")
