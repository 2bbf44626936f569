"""The API of people, operators and services (decisions and what comes back from them are plain views of their floors)."""
