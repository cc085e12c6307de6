from django.db import migrations, models
from django.utils import timezone

from tenants import partitions


def partition(apps, editor):
    if editor.connection.vendor == "postgresql":
        partitions.partition(editor, timezone.now())


def unpartition(apps, editor):
    if editor.connection.vendor == "postgresql":
        partitions.unpartition(editor)


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0005_money"),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name="usage",
            name="usage_user",
        ),
        migrations.RunPython(partition, unpartition),
        migrations.AddField(
            model_name="usage",
            name="declared",
            field=models.JSONField(
                default=list, help_text="The tags that reports count it by: those that the tenant declares, or other."
            ),
        ),
        migrations.AddIndex(
            model_name="usage",
            index=models.Index(
                condition=models.Q(("project_id", 0), _negated=True), fields=["project_id", "-id"], name="usage_project"
            ),
        ),
        migrations.AddIndex(
            model_name="usage",
            index=models.Index(
                condition=models.Q(("end_user", ""), _negated=True), fields=["end_user", "-id"], name="usage_end_user"
            ),
        ),
        migrations.AddIndex(
            model_name="usage",
            index=models.Index(condition=models.Q(("interrupted", True)), fields=["-id"], name="usage_interrupted"),
        ),
        migrations.AddIndex(
            model_name="usage",
            index=models.Index(condition=models.Q(("bound_exceeded", True)), fields=["-id"], name="usage_exceeded"),
        ),
        migrations.AddIndex(
            model_name="usage",
            index=models.Index(
                condition=models.Q(
                    ("cost__isnull", True),
                    ("kind", "charge"),
                    models.Q(("status__lt", 400), ("input_tokens__gt", 0), ("output_tokens__gt", 0), _connector="OR"),
                ),
                fields=["-id"],
                name="usage_no_price",
            ),
        ),
    ]
