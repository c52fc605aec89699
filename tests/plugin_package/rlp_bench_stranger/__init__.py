"""A small plug-in package for rlp-bench, as a stranger would write it."""
