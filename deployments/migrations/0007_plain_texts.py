from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('deployments', '0006_overriding_a_comparison'),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='servingslot',
            options={'permissions': [('deploy_version', 'Can deploy a version that passed its evaluation'), ('override_comparison', 'Can deploy, with a reason, a version that was judged against another policy than the deployed one'), ('rollback_version', 'Can roll back a deployed version')]},
        ),
        migrations.AlterField(
            model_name='deployment',
            name='frozen_policy',
            field=models.JSONField(default=dict, help_text='Thresholds when the deployment started.'),
        ),
        migrations.AlterField(
            model_name='deployment',
            name='harmful',
            field=models.BooleanField(default=False, help_text='Rolled back for harm. No rollback returns to this version.'),
        ),
        migrations.AlterField(
            model_name='evidenceunit',
            name='epoch',
            field=models.PositiveIntegerField(help_text="Number of the deployment's window. A person counts once in a window."),
        ),
        migrations.AlterField(
            model_name='healthcheck',
            name='acted',
            field=models.BooleanField(default=False, help_text='Whether this check rolled the version back.'),
        ),
        migrations.AlterField(
            model_name='healthcheck',
            name='metrics',
            field=models.JSONField(help_text='For each metric: name, value, low, high, threshold, n, minimum n, verdict.'),
        ),
    ]
