"""`python -m luthier`, for launchers that start a module: `torchrun -m luthier train sft …`."""

from luthier.cli import main

if __name__ == "__main__":
    main()
