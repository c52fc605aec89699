"""The regression gate: a candidate against an accepted baseline, item by item. The rule is in `verdict`."""
