"""A real PostgreSQL and a real Redis for tests: found or taken from wheels, in a temporary folder, gone at the end."""

from tests.services_under_test.postgresql import PostgreSQL
from tests.services_under_test.redis import Redis
from tests.services_under_test.server import NotAvailable, Server

__all__ = ["NotAvailable", "PostgreSQL", "Redis", "Server"]
