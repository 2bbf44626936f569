import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("jobs", "0002_permissions_an_action"),
        ("loops", "0002_version_from_one"),
        ("turns", "0002_permissions_an_action"),
    ]

    operations = [
        migrations.AddField(
            model_name="turn",
            name="loop",
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name="turns", to="loops.loop"),
        ),
    ]
