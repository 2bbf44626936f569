"""Reword help texts. No table changes."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('privacy', '0013_decisions_dropped_out'),
    ]

    operations = [
        migrations.AlterField(
            model_name='choice',
            name='fallback',
            field=models.CharField(blank=True, db_default='', default='', help_text='Policy that answered in place of the deployed one: stable or reference.', max_length=10),
        ),
        migrations.AlterField(
            model_name='choice',
            name='generation',
            field=models.PositiveIntegerField(blank=True, help_text='Generation of the slot that served.', null=True),
        ),
        migrations.AlterField(
            model_name='choice',
            name='learnable',
            field=models.BooleanField(db_default=True, default=True, help_text='False for a fallback or a restricted choice: training uses its state but not its action.'),
        ),
        migrations.AlterField(
            model_name='consent',
            name='source',
            field=models.CharField(help_text='Origin of the act, such as the app or an import.', max_length=80),
        ),
        migrations.AlterField(
            model_name='rewardevent',
            name='content_key',
            field=models.BinaryField(help_text='Keyed digest of the body, by which a retry is recognised.', max_length=16),
        ),
        migrations.AlterField(
            model_name='rewardsignal',
            name='release',
            field=models.ForeignKey(blank=True, help_text='Training release that read the outcome. Each outcome is used in one release.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='outcomes', to='privacy.release'),
        ),
        migrations.AlterField(
            model_name='serveddecision',
            name='activated_at',
            field=models.DateTimeField(blank=True, help_text='When the device showed the decision.', null=True),
        ),
        migrations.AlterField(
            model_name='serveddecision',
            name='clamped',
            field=models.PositiveSmallIntegerField(default=0, help_text='Number of context values outside their bounds.'),
        ),
        migrations.AlterField(
            model_name='serveddecision',
            name='closes_at',
            field=models.DateTimeField(help_text='The reward deadline. Later rewards are stored but never used for training.'),
        ),
        migrations.AlterField(
            model_name='serveddecision',
            name='expires_at',
            field=models.DateTimeField(help_text='After this time the app must request a new decision.'),
        ),
        migrations.AlterField(
            model_name='serveddecision',
            name='exploration_bp',
            field=models.PositiveIntegerField(default=0, help_text='Share of decisions explored at that time, in basis points.'),
        ),
        migrations.AlterField(
            model_name='servingstate',
            name='observed_at',
            field=models.DateTimeField(blank=True, help_text='Time of the newest signal or context in ``memory``.', null=True),
        ),
        migrations.AlterField(
            model_name='signal',
            name='content_key',
            field=models.BinaryField(help_text='Keyed digest of the body, by which a retry is recognised.', max_length=16),
        ),
        migrations.AlterField(
            model_name='vaultcheck',
            name='decisions_count',
            field=models.PositiveBigIntegerField(help_text='Sealed decisions that match their leaf.'),
        ),
        migrations.AlterField(
            model_name='vaultcheck',
            name='erased_count',
            field=models.PositiveBigIntegerField(help_text='Sealed decisions that were deleted since.'),
        ),
        migrations.AlterField(
            model_name='vaultcheck',
            name='head',
            field=models.CharField(blank=True, help_text='Hash of the last valid event.', max_length=64),
        ),
        migrations.AlterField(
            model_name='vaultcheck',
            name='sequence',
            field=models.PositiveBigIntegerField(help_text='Number of valid events.'),
        ),
    ]
