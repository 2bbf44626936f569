from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from loops.models import LoopVersion
from tests.admin.house import furnish


@pytest.fixture
def house(db: None) -> LoopVersion:
    """A loop with rows in every table."""
    return furnish()


@pytest.fixture
def operator(db: None) -> Client:
    """Somebody who may do everything."""
    client = Client()
    client.force_login(User.objects.create_superuser("operator", password="a long password of tests"))
    return client
