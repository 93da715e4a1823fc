"""Runs over several hosts: the supervisor's side, the agents', and what passes between them."""
