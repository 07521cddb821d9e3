mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_region" {
    defaults = { name = "us-east-1" }
  }
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:us-east-1:123456789012:key/secrets" }
  }
  mock_resource "aws_secretsmanager_secret" {
    defaults = { arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:x-AbCdEf" }
  }
}

variables {
  name = "atrium-test"
}

run "the_entries_are_those_of_the_manifests" {
  command = apply

  assert {
    condition     = output.secret_names == { router = "atrium/router", orchestrator = "atrium/orchestrator", rag = "atrium/rag", migrations = "atrium/migrations" }
    error_message = "components/external-secrets asks for these"
  }
  assert {
    condition     = alltrue([for secret in aws_secretsmanager_secret.this : secret.kms_key_id == aws_kms_key.secrets.arn && secret.recovery_window_in_days == 30])
    error_message = "encrypted by a key of their own, and not gone at once"
  }
  assert {
    condition     = aws_kms_key.secrets.enable_key_rotation && aws_kms_key.sealing.enable_key_rotation
    error_message = "keys are rotated"
  }
}

run "the_sealing_key_wants_a_tenant" {
  command = apply

  assert {
    condition     = one([for statement in jsondecode(aws_kms_key.sealing.policy).Statement : statement.Condition.Null if statement.Sid == "NothingWithoutATenant"]) == { "kms:EncryptionContext:atrium-tenant" = "true" }
    error_message = "whatever a role says"
  }
}

run "windows_are_what_aws_takes" {
  command = plan

  variables {
    recovery_window_days = 3
    key_deletion_days    = 1
    entries              = ["Router"]
  }

  expect_failures = [var.recovery_window_days, var.key_deletion_days, var.entries]
}
