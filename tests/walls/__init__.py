"""Walls of the house as functions of a tree, so that tests can ask them of the project and of a copy with planted faults."""
