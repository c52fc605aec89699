"""`claims` and the commands of `rlp-bench report`: what many runs say together."""
