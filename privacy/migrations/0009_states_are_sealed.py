"""States at decisions, outcomes, and what serving remembers: what was kept before is sealed now."""

from collections.abc import Callable
from typing import Any

from django.db import migrations

CHUNK = 1_000


def seal_all(apps: Any, editor: Any) -> None:
    from privacy.engine.sealing import about_serving_state, about_outcome, about_state

    keys = _Keys(apps.get_model("privacy", "DataKey"))
    decisions, outcomes = apps.get_model("privacy", "Decision"), apps.get_model("privacy", "RewardSignal")
    _seal(keys, decisions.objects, "state", lambda row: (row.person_id, about_state(row.person_id, row.row_key)))
    _seal(
        keys, outcomes.objects.select_related("decision"), "payload",
        lambda row: (row.decision.person_id, about_outcome(row.decision.person_id, row.decision.row_key)),
    )  # fmt: skip
    states, specs = apps.get_model("privacy", "ServingState"), _specs(apps)
    for row in states.objects.all().iterator():
        row.memory = _remembered(specs.get(row.loop_id), bytes(row.memory), bytes(row.known))
        row.save(update_fields=["memory"])
    remembering = states.objects.exclude(memory=b"")
    _seal(keys, remembering, "memory", lambda row: (row.person_id, about_serving_state(row.person_id, row.loop_id)))


def _specs(apps: Any) -> dict[int, Any]:
    """What each loop is now, by its id."""
    from loops.engine.parse.loop import parse_loop

    versions = apps.get_model("loops", "LoopVersion").objects.order_by("version")
    return {v.loop_id: parse_loop(v.source, source="a stored loop") for v in versions}


def _remembered(spec: Any, memory: bytes, known: bytes) -> bytes:
    """In the form of privacy.engine.serving_state; nothing where it was of other features."""
    import numpy as np

    from privacy.engine.serving_state import pack_serving_state

    width = 0 if spec is None else 8 * len(spec.features)
    if spec is None or len(memory) != width:
        return b""
    before = np.frombuffer(known, dtype="<f8").tolist() if len(known) == width else None
    return pack_serving_state(spec, np.frombuffer(memory, dtype="<f8").tolist(), before)


class _Keys:
    """People's ciphers, made where there are none; as many in memory as were met."""

    def __init__(self, model: Any) -> None:
        from django.conf import settings

        from privacy.engine.sealing import master_cipher

        self._model, self._known = model, dict[int, Any]()
        self._version = max(settings.DATA_MASTER_KEYS)
        self._masters = {v: master_cipher(secret) for v, secret in settings.DATA_MASTER_KEYS.items()}

    def of(self, people: set[int]) -> dict[int, Any]:
        from privacy.engine.sealing import Cipher, new_key, unwrap, wrap

        missing = people - set(self._known)
        for row in self._model.objects.filter(person_id__in=missing):
            master = self._masters[row.master_version]
            key = unwrap(master, bytes(row.wrapped), version=row.master_version, person_id=row.person_id)
            self._known[row.person_id] = Cipher(key)
        fresh = {pk: new_key() for pk in missing - set(self._known)}
        self._known |= {pk: Cipher(key) for pk, key in fresh.items()}
        master, version = self._masters[self._version], self._version
        self._model.objects.bulk_create(
            self._model(
                person_id=pk, wrapped=wrap(master, key, version=version, person_id=pk), master_version=version
            )
            for pk, key in fresh.items()
        )
        return self._known


def _seal(keys: _Keys, found: Any, field: str, place: Callable[[Any], tuple[int, bytes]]) -> None:
    last = 0
    while rows := list(found.filter(pk__gt=last).order_by("pk")[:CHUNK]):
        places = [place(row) for row in rows]
        ciphers = keys.of({person for person, _ in places})
        for row, (person, about) in zip(rows, places, strict=True):
            setattr(row, field, ciphers[person].seal(bytes(getattr(row, field)), about))
        type(rows[0]).objects.bulk_update(rows, [field])
        last = rows[-1].pk


class Migration(migrations.Migration):
    dependencies = [("privacy", "0008_a_charge_in_one_statement"), ("loops", "0002_version_from_one")]
    operations = [migrations.RunPython(seal_all, migrations.RunPython.noop)]
