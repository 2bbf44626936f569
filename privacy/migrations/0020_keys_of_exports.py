"""The rows of an export get a key of their own, which is destroyed with them."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('privacy', '0019_the_vault_covers_every_table'),
    ]

    operations = [
        migrations.CreateModel(
            name='ExportKey',
            fields=[
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('round', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='export_key', serialize=False, to='privacy.releaseround')),
                ('wrapped', models.BinaryField(max_length=60)),
                ('master_version', models.PositiveSmallIntegerField()),
            ],
            options={
                'db_table': 'export_keys',
                'indexes': [models.Index(fields=['master_version'], name='export_keys_master__70233d_idx')],
                'constraints': [models.CheckConstraint(condition=models.Q(('master_version__gte', 1)), name='export_key_master_from_one')],
            },
        ),
    ]
