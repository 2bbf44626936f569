"""An import is known by the SHA-256 of its file. A name may name people, and the row stays."""

from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('privacy', '0021_exported_rows_are_sealed'),
    ]

    operations = [
        migrations.RemoveField(
            model_name='signalimport',
            name='file_name',
        ),
    ]
