"""Evidence hangs on a person's data key, so whoever is erased loses it too; that of people erased before goes now."""

import django.db.models.deletion
from django.db import migrations, models


def drop_orphans(apps, editor):
    """Those of people without a key: erased, since everything that evidence is made of is sealed."""
    units, keys = apps.get_model("deployments", "EvidenceUnit"), apps.get_model("privacy", "DataKey")
    units.objects.exclude(person_id__in=keys.objects.values("person_id")).delete()


class Migration(migrations.Migration):
    dependencies = [("deployments", "0004_permissions_an_action"), ("privacy", "0010_one_memory")]
    operations = [
        migrations.RunPython(drop_orphans, migrations.RunPython.noop),
        migrations.RemoveConstraint("evidenceunit", "evidence_unit_once"),
        migrations.RenameField("evidenceunit", "person", "data_key"),
        migrations.AlterField(
            "evidenceunit",
            "data_key",
            models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="evidence", to="privacy.datakey"
            ),
        ),
        migrations.AddConstraint(
            "evidenceunit",
            models.UniqueConstraint(fields=("slot", "version", "data_key", "epoch"), name="evidence_unit_once"),
        ),
    ]
