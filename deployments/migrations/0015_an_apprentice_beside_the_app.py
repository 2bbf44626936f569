"""An app's own choices are served while an apprentice decides beside them."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('deployments', '0014_rollout_acts'),
        ('loops', '0003_a_loop_keeps_its_population'),
        ('training', '0002_samples_are_states'),
    ]

    operations = [
        migrations.AddField(
            model_name='servingslot',
            name='app_chooses',
            field=models.BooleanField(db_default=False, default=False, help_text="Whether the app's own choices are served, and the shadow is compared with them."),
        ),
        migrations.AddConstraint(
            model_name='servingslot',
            constraint=models.CheckConstraint(condition=models.Q(('app_chooses', False), ('shadow__isnull', False), _connector='OR'), name='slot_app_chooses_beside_a_shadow'),
        ),
    ]
