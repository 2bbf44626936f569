"""Answers of the API, by subject. The function that builds an answer follows the shape that the OpenAPI document shows."""
