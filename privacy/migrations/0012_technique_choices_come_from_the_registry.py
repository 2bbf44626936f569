"""The names of techniques come from their registry, so that a new technique needs no migration. The table stays as it is."""

from django.db import migrations, models

from privacy.models.release import technique_choices


class Migration(migrations.Migration):
    dependencies = [("privacy", "0011_room_beside_hot_rows")]
    operations = [
        migrations.AlterField("release", "technique", models.CharField(choices=technique_choices, max_length=30)),
    ]
