import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("jobs", "0003_kept_answers_are_forgotten"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RenameField(model_name="idempotentanswer", old_name="body_sha256", new_name="request_digest"),
        migrations.AlterField(
            model_name="idempotentanswer",
            name="request_digest",
            field=models.CharField(help_text="Keyed.", max_length=64),
        ),
        migrations.AddField(
            model_name="idempotentanswer",
            name="about",
            field=models.ForeignKey(
                blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="idempotentanswer",
            name="token_digest",
            field=models.CharField(blank=True, help_text="Of the token that the answer showed.", max_length=128),
        ),
    ]
