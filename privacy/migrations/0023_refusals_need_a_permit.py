"""Anonymisations that people's records may refuse take one of a few permits a day."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('loops', '0003_a_loop_keeps_its_population'),
        ('privacy', '0022_names_stay_out_of_permanent_rows'),
    ]

    operations = [
        migrations.CreateModel(
            name='RefusalPermit',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('release_key', models.CharField(blank=True, db_index=True, max_length=120)),
                ('at', models.DateTimeField()),
                ('loop', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='loops.loop')),
            ],
            options={
                'db_table': 'refusal_permits',
            },
        ),
    ]
