"""Simulated worlds with a known truth: families where a better policy exists, and planted ones where the reference is right."""
