from django.db import migrations


def forget(apps, schema_editor):
    """Answers that were kept for retries held device tokens, and digests of requests that anybody could compute."""
    apps.get_model("jobs", "IdempotentAnswer").objects.all().delete()


class Migration(migrations.Migration):

    dependencies = [
        ("jobs", "0002_permissions_an_action"),
    ]

    operations = [
        migrations.RunPython(forget, migrations.RunPython.noop),
    ]
