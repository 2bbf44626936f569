from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('deployments', '0005_evidence_dies_with_the_key'),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='servingslot',
            options={'permissions': [('deploy_version', 'Can put a version that passed its evaluation in front of people'), ('override_comparison', 'Can deploy, with a reason, what was judged against something else than what serves'), ('rollback_version', 'Can take a serving version back')]},
        ),
    ]
