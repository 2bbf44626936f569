"""What was kept before payloads were sealed is sealed now."""

from typing import Any

from django.db import migrations

CHUNK = 1_000


def seal_all(apps: Any, editor: Any) -> None:
    _seal(apps, apps.get_model("privacy", "Signal"), lambda row: (row.person_id, f"signal {row.person_id} {bytes(row.signal_key).hex()}"))
    _seal(apps, apps.get_model("privacy", "RewardEvent"), lambda row: (row.served.person_id, f"reward {row.served_id} {bytes(row.reward_key).hex()}"))


def _seal(apps: Any, model: Any, of: Any) -> None:
    from privacy.engine.sealing import Cipher, master_cipher, new_key, unwrap, wrap

    from django.conf import settings

    keys, version = apps.get_model("privacy", "DataKey"), max(settings.DATA_MASTER_KEYS)
    master, last = master_cipher(settings.DATA_MASTER_KEYS[version]), 0
    while rows := list(model.objects.filter(pk__gt=last).order_by("pk")[:CHUNK]):
        for row in rows:
            person, about = of(row)
            kept = keys.objects.filter(person_id=person).first()
            if kept is None:
                made = wrap(master, new_key(), version=version, person_id=person)
                kept = keys.objects.create(person_id=person, wrapped=made, master_version=version)
            key = unwrap(master, bytes(kept.wrapped), version=version, person_id=person)
            row.payload = Cipher(key).seal(bytes(row.payload), about.encode())
        model.objects.bulk_update(rows, ["payload"])
        last = rows[-1].pk


class Migration(migrations.Migration):
    dependencies = [("privacy", "0006_the_vault_keeps")]
    operations = [migrations.RunPython(seal_all, migrations.RunPython.noop)]
