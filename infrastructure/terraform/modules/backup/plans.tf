# Two plans: a rule that keeps a bucket's every change would also take over the retention of RDS's own continuous backup,
# which belongs to the instance.

resource "aws_backup_plan" "postgres" {
  name = "${var.name}-postgres"
  tags = var.tags

  rule {
    rule_name         = "daily"
    target_vault_name = aws_backup_vault.this.name
    schedule          = var.schedule
    start_window      = 60
    completion_window = 360

    lifecycle {
      delete_after = var.retention_days
    }

    dynamic "copy_action" {
      for_each = var.copy_vault_arn[*]

      content {
        destination_vault_arn = copy_action.value

        lifecycle {
          delete_after = var.retention_days
        }
      }
    }
  }
}

resource "aws_backup_plan" "objects" {
  name = "${var.name}-objects"
  tags = var.tags

  rule {
    rule_name                = "continuous"
    target_vault_name        = aws_backup_vault.this.name
    schedule                 = var.schedule
    start_window             = 60
    completion_window        = 720
    enable_continuous_backup = true

    lifecycle {
      delete_after = var.retention_days
    }

    # A copy of a continuous backup is a recovery point of that moment.
    dynamic "copy_action" {
      for_each = var.copy_vault_arn[*]

      content {
        destination_vault_arn = copy_action.value

        lifecycle {
          delete_after = var.retention_days
        }
      }
    }
  }
}

resource "aws_backup_selection" "postgres" {
  name         = "postgres"
  plan_id      = aws_backup_plan.postgres.id
  iam_role_arn = aws_iam_role.this.arn
  resources    = [var.postgres_instance_arn]
}

resource "aws_backup_selection" "objects" {
  name         = "objects"
  plan_id      = aws_backup_plan.objects.id
  iam_role_arn = aws_iam_role.this.arn
  resources    = var.bucket_arns
}
