"""The regression gate: compares a candidate with an accepted baseline, item by item. The rule is in `rule`."""
