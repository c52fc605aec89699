"""Kinds of suite, one file each: how a policy is asked, what is scored, what the report says. `table.KINDS` lists them.

A new kind is a file here that ends in its `Kind`, and a line in table.py.
"""
