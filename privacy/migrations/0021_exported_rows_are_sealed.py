"""Rows of people that an export stores are sealed under a key of their own. Those that are stored in clear are sealed now.

Their SHA-256 stays that of the plain rows, so what the Trust Vault recorded of them still holds.
"""

from typing import Any

from django.db import migrations


def seal(apps: Any, editor: Any) -> None:
    from django.conf import settings

    from privacy.engine.sealing import Cipher, about_export, master_cipher, new_key, wrap_export

    rounds, keys = apps.get_model("privacy", "ReleaseRound"), apps.get_model("privacy", "ExportKey")
    clear = rounds.objects.filter(expires_at__isnull=False, export_key__isnull=True).exclude(output=b"").order_by("pk")
    for pk in list(clear.values_list("pk", flat=True)):
        stored, key, version = rounds.objects.get(pk=pk), new_key(), max(settings.DATA_MASTER_KEYS)
        place = {"release_id": stored.release_id, "index": stored.index}
        wrapped = wrap_export(master_cipher(settings.DATA_MASTER_KEYS[version]), key, version=version, **place)
        keys.objects.create(round=stored, wrapped=wrapped, master_version=version)
        stored.output = Cipher(key).seal(bytes(stored.output), about_export(**place))
        stored.save(update_fields=["output"])


class Migration(migrations.Migration):

    dependencies = [
        ('privacy', '0020_keys_of_exports'),
    ]

    operations = [
        migrations.RunPython(seal, migrations.RunPython.noop),
    ]
