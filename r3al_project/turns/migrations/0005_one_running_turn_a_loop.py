import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("turns", "0004_each_turn_gets_its_loop"),
    ]

    operations = [
        migrations.AlterField(
            model_name="turn",
            name="loop",
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="turns", to="loops.loop"),
        ),
        migrations.RemoveConstraint(model_name="turn", name="turn_one_running_a_loop"),
        migrations.AddConstraint(
            model_name="turn",
            constraint=models.UniqueConstraint(
                condition=models.Q(("outcome", "running")), fields=("loop",), name="turn_one_running_a_loop"
            ),
        ),
    ]
