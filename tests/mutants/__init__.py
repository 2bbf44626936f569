"""Mutation tests of the engines: single changes to what charges, releases, judges and arbitrates must fail a test."""
