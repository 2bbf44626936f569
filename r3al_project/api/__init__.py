"""The HTTP API for people, operators and services. Decisions, signals, activations and rewards are plain Django views."""
