"""``left`` becomes ``dropped_out``: the word says what happened, and is no reserved word of SQL."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("privacy", "0012_technique_choices_come_from_the_registry")]

    operations = [migrations.RenameField(model_name="decision", old_name="left", new_name="dropped_out")]
