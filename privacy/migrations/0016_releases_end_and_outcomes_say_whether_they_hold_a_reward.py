"""A release that drew noise and was never finished is abandoned. Outcomes say in clear whether they hold a reward."""

from typing import Any

from django.db import migrations, models

CHUNK = 1_000


def record_rewards(apps: Any, editor: Any) -> None:
    """Open each stored outcome once. One that cannot be opened stays unrecorded."""
    outcomes, keys = apps.get_model("privacy", "RewardSignal"), apps.get_model("privacy", "DataKey")
    last = 0
    while rows := list(outcomes.objects.filter(pk__gt=last).select_related("decision").order_by("pk")[:CHUNK]):
        ciphers = _ciphers(keys, {row.decision.person_id for row in rows})
        for row in rows:
            row.has_reward = _has_reward(ciphers.get(row.decision.person_id), row)
        outcomes.objects.bulk_update(rows, ["has_reward"])
        last = rows[-1].pk


def _ciphers(keys: Any, people: set[int]) -> dict[int, Any]:
    from django.conf import settings

    from privacy.engine.sealing import Cipher, CannotUnwrap, master_cipher, unwrap

    masters = {version: master_cipher(secret) for version, secret in settings.DATA_MASTER_KEYS.items()}
    found = dict[int, Any]()
    for row in keys.objects.filter(person_id__in=people, master_version__in=masters):
        try:
            master = masters[row.master_version]
            key = unwrap(master, bytes(row.wrapped), version=row.master_version, person_id=row.person_id)
        except CannotUnwrap:
            continue
        found[row.person_id] = Cipher(key)
    return found


def _has_reward(cipher: Any, row: Any) -> bool | None:
    import numpy as np

    from privacy.engine.sealing import CannotOpen, about_outcome

    if cipher is None:
        return None
    try:
        plain = cipher.open(bytes(row.payload), about_outcome(row.decision.person_id, bytes(row.decision.row_key)))
    except CannotOpen:
        return None
    return bool(np.isfinite(np.frombuffer(plain, dtype="<f8")[0]))


class Migration(migrations.Migration):
    dependencies = [("privacy", "0015_imports_check_propensities")]
    operations = [
        migrations.RemoveConstraint(model_name="release", name="release_state_known"),
        migrations.AlterField(
            model_name="release",
            name="state",
            field=models.CharField(
                choices=[
                    ("reserved", "reserved"),
                    ("committed", "committed"),
                    ("refunded", "refunded"),
                    ("abandoned", "abandoned: noise was drawn, so its charge stays"),
                ],
                default="reserved",
                max_length=10,
            ),
        ),
        migrations.AddConstraint(
            model_name="release",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["reserved", "committed", "refunded", "abandoned"])),
                name="release_state_known",
            ),
        ),
        migrations.AddField(
            model_name="rewardsignal",
            name="has_reward",
            field=models.BooleanField(help_text="Whether the total is a number; null: not recorded.", null=True),
        ),
        migrations.RunPython(record_rewards, migrations.RunPython.noop, elidable=True),
    ]
