"""`claims` and the commands of `rlp-bench report`: reports over many runs."""
