from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("deployments", "0007_plain_texts")]

    operations = [migrations.RemoveField(model_name="servingslot", name="mode")]
