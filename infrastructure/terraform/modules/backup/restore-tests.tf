# A backup that was never restored is a hope. AWS Backup restores the newest recovery points by itself, tells how long it
# took, and removes what it made. That the content is right it does not know: backup.md, "Comparing".

locals {
  tested = var.restore_test_schedule == null ? 0 : 1
}

resource "aws_backup_restore_testing_plan" "this" {
  count = local.tested

  name                = "${replace(var.name, "-", "_")}_weekly" # letters, digits and underscores are all it may have
  schedule_expression = var.restore_test_schedule
  start_window_hours  = 4
  tags                = var.tags

  recovery_point_selection {
    algorithm             = "LATEST_WITHIN_WINDOW"
    include_vaults        = [aws_backup_vault.this.arn]
    recovery_point_types  = ["SNAPSHOT", "CONTINUOUS"]
    selection_window_days = min(7, var.retention_days)
  }
}

resource "aws_backup_restore_testing_selection" "postgres" {
  count = local.tested

  name                      = "postgres"
  restore_testing_plan_name = aws_backup_restore_testing_plan.this[0].name
  iam_role_arn              = aws_iam_role.this.arn
  protected_resource_type   = "RDS"
  protected_resource_arns   = [var.postgres_instance_arn]
  validation_window_hours   = 4 # for who compares the copy before it goes
  restore_metadata_overrides = merge(
    { publiclyAccessible = "false" },
    var.restore_subnet_group == null ? {} : { dbSubnetGroupName = var.restore_subnet_group },
  )
}

resource "aws_backup_restore_testing_selection" "objects" {
  count = local.tested

  name                      = "objects"
  restore_testing_plan_name = aws_backup_restore_testing_plan.this[0].name
  iam_role_arn              = aws_iam_role.this.arn
  protected_resource_type   = "S3"
  protected_resource_arns   = var.bucket_arns
  validation_window_hours   = 4
}
