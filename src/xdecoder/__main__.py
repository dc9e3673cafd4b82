"""`python -m xdecoder`: the command line."""

from xdecoder.cli import main

if __name__ == "__main__":
    main()
