mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "111122223333" }
  }
  mock_data "aws_region" {
    defaults = { name = "eu-central-1" }
  }
}

variables {
  name            = "atrium-test"
  purpose         = "logs"
  log_group_names = ["/atrium/one"]
}

run "rotates_and_serves_the_named_log_groups_alone" {
  command = plan

  assert {
    condition     = aws_kms_key.this.enable_key_rotation
    error_message = "rotated each year"
  }
  assert {
    condition = jsondecode(aws_kms_key.this.policy).Statement[1].Condition.ArnEquals["kms:EncryptionContext:aws:logs:arn"] == [
      "arn:aws:logs:eu-central-1:111122223333:log-group:/atrium/one"
    ]
    error_message = "no other log group"
  }
}

run "serves_no_log_group_where_none_is_named" {
  command = plan

  variables {
    log_group_names = []
  }

  assert {
    condition     = [for statement in jsondecode(aws_kms_key.this.policy).Statement : statement.Sid] == ["AccountDecidesByIam"]
    error_message = "the account, and nobody else"
  }
}
