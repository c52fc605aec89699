"""A method's graph of stages, checked as a whole before anything runs, and what it will cost."""
