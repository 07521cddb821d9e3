mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "111122223333" }
  }
  mock_data "aws_region" {
    defaults = { name = "us-east-1" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws", dns_suffix = "amazonaws.com" }
  }
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
}

variables {
  account_id           = "111122223333"
  domain               = "atrium.example.com"
  zone_id              = "Z0123456789ABCDEFGHIJ"
  admin_principal_arns = ["arn:aws:iam::111122223333:role/platform-admin"]
  api_access_cidrs     = ["10.100.0.0/16"]
  alarm_emails         = ["oncall@example.com"]
  github_repository    = "example/atrium"
}

run "it_plans_as_a_whole" {
  command = plan

  assert {
    condition     = length(output.kubeconfig) > 0 && output.registry != null
    error_message = "planned as a whole"
  }

  assert {
    condition     = toset(keys(output.github.environments)) == toset(concat(["registry", "registry-read"], ["staging"]))
    error_message = "the environments of GitHub that this account has a part in"
  }
}

run "images_may_be_in_another_account" {
  command = plan

  variables {
    registry_account_id = "210987654321"
  }

  assert {
    condition     = output.registry.atrium-router == "210987654321.dkr.ecr.us-east-1.amazonaws.com/atrium-router"
    error_message = "they are read there"
  }

  assert {
    condition     = toset(keys(output.github.environments)) == toset(["staging"])
    error_message = "and pushed by nobody of this account"
  }
}
