"""A choice that the app made itself has neither a version nor a propensity."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('privacy', '0027_webhooks_and_the_age_of_master_keys'),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='choice',
            name='choice_fallback_known',
        ),
        migrations.AlterField(
            model_name='choice',
            name='fallback',
            field=models.CharField(blank=True, db_default='', default='', help_text="What answered in place of the deployed policy: stable, reference, or app for the app's own choice.", max_length=10),
        ),
        migrations.AlterField(
            model_name='choice',
            name='learnable',
            field=models.BooleanField(db_default=True, default=True, help_text="False for a fallback, a restricted choice or the app's own: training uses its state but not its action."),
        ),
        migrations.AlterField(
            model_name='choice',
            name='marginal_propensity',
            field=models.FloatField(help_text='Null: the app made the choice itself.', null=True),
        ),
        migrations.AlterField(
            model_name='choice',
            name='propensity',
            field=models.FloatField(help_text='Null: the app made the choice itself.', null=True),
        ),
        migrations.AddConstraint(
            model_name='choice',
            constraint=models.CheckConstraint(condition=models.Q(('fallback__in', ['', 'stable', 'reference', 'app'])), name='choice_fallback_known'),
        ),
        migrations.AddConstraint(
            model_name='choice',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('explored', False), ('fallback', 'app'), ('marginal_propensity__isnull', True), ('propensity__isnull', True), ('version__isnull', True)), models.Q(models.Q(('fallback', 'app'), _negated=True), ('marginal_propensity__isnull', False), ('propensity__isnull', False)), _connector='OR'), name='choice_of_the_app_has_no_propensity'),
        ),
    ]
