"""Answers of the API, by subject: each shape, for the API's document, is followed by the function that builds it."""
