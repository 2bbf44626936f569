"""The last erasure of a person stays known after they register again, and so does the key they were first known by.

For people who registered again before this migration, the Trust Vault knows when they were erased.
"""

from typing import Any

from django.db import migrations, models


def remember(apps: Any, editor: Any) -> None:
    from core.digests import VAULT_PERSON, keyed

    person = apps.get_model("privacy", "Person")
    person.objects.filter(erased_at__isnull=False).update(last_erased_at=models.F("erased_at"))
    erasures = apps.get_model("privacy", "VaultEvent").objects.filter(kind="erasure").order_by("sequence")
    at = dict(erasures.values_list("subject", "at"))
    if not at:
        return
    for pk, population, key in person.objects.filter(erased_at=None).values_list("pk", "population", "key").iterator():
        subject = keyed(VAULT_PERSON, population, key).hex()
        if subject in at:
            person.objects.filter(pk=pk).update(last_erased_at=at[subject])


class Migration(migrations.Migration):

    dependencies = [
        ('loops', '0003_a_loop_keeps_its_population'),
        ('privacy', '0017_turns_in_the_vault'),
    ]

    operations = [
        migrations.AddField(
            model_name='person',
            name='first_key',
            field=models.CharField(blank=True, db_default='', default='', max_length=64),
        ),
        migrations.AddField(
            model_name='person',
            name='last_erased_at',
            field=models.DateTimeField(blank=True, help_text='Last erasure, also of a person who registered again since.', null=True),
        ),
        migrations.AlterModelOptions(
            name='personaccount',
            options={'permissions': [('revoke_tokens', 'Can revoke the tokens of people and of services')]},
        ),
        migrations.RunPython(remember, migrations.RunPython.noop),
    ]
