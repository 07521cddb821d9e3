# Recovery points outside the reach of who may delete the database or a bucket. RDS also keeps its own continuous backup
# (module data, backup_retention_days): that one restores to a second. Which to take, and how: ../../backup.md.

data "aws_caller_identity" "this" {}
data "aws_partition" "this" {}

resource "aws_kms_key" "this" {
  description             = "${var.name}: recovery points"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  tags                    = var.tags

  # In a key's policy "*" as resource is the key itself.
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "RolesOfTheAccountDecide"
      Effect    = "Allow"
      Principal = { AWS = "arn:${data.aws_partition.this.partition}:iam::${data.aws_caller_identity.this.account_id}:root" }
      Action    = "kms:*"
      Resource  = "*"
    }]
  })
}

resource "aws_kms_alias" "this" {
  name          = "alias/${var.name}-backup"
  target_key_id = aws_kms_key.this.key_id
}

resource "aws_backup_vault" "this" {
  name          = var.name
  kms_key_arn   = aws_kms_key.this.arn
  force_destroy = var.force_destroy
  tags          = var.tags
}

resource "aws_backup_vault_lock_configuration" "this" {
  count = var.lock == "none" ? 0 : 1

  backup_vault_name   = aws_backup_vault.this.name
  changeable_for_days = var.lock == "compliance" ? 3 : null
  min_retention_days  = 1
  max_retention_days  = 35
}

resource "aws_backup_vault_notifications" "this" {
  count = var.notify ? 1 : 0 # not topic_arn == null: the topic may be made in the same plan

  backup_vault_name   = aws_backup_vault.this.name
  sns_topic_arn       = var.topic_arn
  backup_vault_events = ["BACKUP_JOB_FAILED", "BACKUP_JOB_EXPIRED", "COPY_JOB_FAILED", "RESTORE_JOB_COMPLETED", "S3_BACKUP_OBJECT_FAILED"]
}
