"""A device's token names the account that it was issued to, and an act of consent the device and that account."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('knox', '0009_extend_authtoken_field'),
        ('privacy', '0024_the_vault_records_loops_and_accounts'),
    ]

    operations = [
        migrations.CreateModel(
            name='DeviceToken',
            fields=[
                ('token', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='device', serialize=False, to='knox.authtoken')),
                ('issuer_id', models.PositiveBigIntegerField()),
            ],
            options={
                'db_table': 'device_tokens',
            },
        ),
        migrations.AddField(
            model_name='consent',
            name='account_id',
            field=models.PositiveBigIntegerField(blank=True, help_text='Account that issued the device, or that reported the act.', null=True),
        ),
        migrations.AddField(
            model_name='consent',
            name='device',
            field=models.CharField(blank=True, db_default='', default='', help_text="Keyed digest of the device's token, if a device sent it.", max_length=32),
        ),
    ]
