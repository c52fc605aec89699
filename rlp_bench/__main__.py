"""`python -m rlp_bench` is the command line."""

from rlp_bench.cli.main import main

if __name__ == "__main__":
    main()
