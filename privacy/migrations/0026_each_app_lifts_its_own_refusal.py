"""An act of consent may lift what devices of one account refused, while another account's refusal stands."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('privacy', '0025_devices_name_their_issuer'),
    ]

    operations = [
        migrations.AddField(
            model_name='consent',
            name='lifts',
            field=models.BooleanField(db_default=False, default=False, help_text="The person no longer refuses on this account's devices. Another account's refusal stands."),
        ),
        migrations.AddConstraint(
            model_name='consent',
            constraint=models.CheckConstraint(condition=models.Q(('lifts', False), models.Q(('account_id__isnull', False), ('granted', False), ('source', 'app')), _connector='OR'), name='consent_lift_is_an_accounts_own'),
        ),
    ]
