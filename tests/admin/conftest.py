from __future__ import annotations

import pytest
from django.test import Client

from loops.models import LoopVersion
from tests.factories.every_table import furnish
from tests.factories.users import superuser


@pytest.fixture
def house(db: None) -> LoopVersion:
    """A loop with rows in every table."""
    return furnish()


@pytest.fixture
def operator(db: None) -> Client:
    """Somebody who may do everything."""
    return superuser()
