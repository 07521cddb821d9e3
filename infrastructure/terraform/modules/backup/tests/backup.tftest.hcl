mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:us-east-1:123456789012:key/backup" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/backup" }
  }
  mock_resource "aws_backup_vault" {
    defaults = { arn = "arn:aws:backup:us-east-1:123456789012:backup-vault:atrium-test" }
  }
}

variables {
  name                  = "atrium-test"
  postgres_instance_arn = "arn:aws:rds:us-east-1:123456789012:db:atrium-test"
  bucket_arns           = ["arn:aws:s3:::atrium-test-123456789012"]
}

run "recovery_points_are_kept_locked_and_tried" {
  command = apply

  assert {
    condition     = one(aws_backup_plan.postgres.rule).lifecycle[0].delete_after == 35 && one(aws_backup_plan.objects.rule).lifecycle[0].delete_after == 35
    error_message = "kept for 35 days"
  }
  assert {
    condition     = one(aws_backup_plan.objects.rule).enable_continuous_backup && !coalesce(one(aws_backup_plan.postgres.rule).enable_continuous_backup, false)
    error_message = "buckets continuously; PostgreSQL's continuous backup is the instance's own"
  }
  assert {
    condition     = length(aws_backup_vault_lock_configuration.this) == 1 && aws_backup_vault_lock_configuration.this[0].changeable_for_days == null
    error_message = "a lock that who may change it can lift"
  }
  assert {
    condition     = length(aws_backup_restore_testing_plan.this) == 1 && aws_backup_restore_testing_plan.this[0].name == "atrium_test_weekly"
    error_message = "restored every week"
  }
}

run "copies_go_where_they_are_sent" {
  command = apply

  variables {
    copy_vault_arn        = "arn:aws:backup:eu-central-1:210987654321:backup-vault:away"
    lock                  = "compliance"
    restore_test_schedule = null
  }

  assert {
    condition     = one(one(aws_backup_plan.postgres.rule).copy_action).destination_vault_arn == var.copy_vault_arn && one(one(aws_backup_plan.objects.rule).copy_action).destination_vault_arn == var.copy_vault_arn
    error_message = "both plans copy"
  }
  assert {
    condition     = aws_backup_vault_lock_configuration.this[0].changeable_for_days == 3 && length(aws_backup_restore_testing_plan.this) == 0
    error_message = "locked for good after three days, and not tried"
  }
}

run "values_that_cannot_be_are_refused" {
  command = plan

  variables {
    retention_days        = 36
    lock                  = "maybe"
    schedule              = "daily"
    bucket_arns           = ["atrium"]
    postgres_instance_arn = "atrium"
  }

  expect_failures = [var.retention_days, var.lock, var.schedule, var.bucket_arns, var.postgres_instance_arn]
}
