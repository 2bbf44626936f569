from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("deployments", "0006_overriding_a_comparison")]

    operations = [migrations.RemoveField(model_name="servingslot", name="mode")]
