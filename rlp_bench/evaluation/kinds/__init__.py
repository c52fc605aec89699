"""Kinds of suite, one file each: how the policy is queried, scored and reported. `table.KINDS` lists them.

To add a kind, add a file that defines its `Kind`, and a line in table.py.
"""
