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

run "a_zone_may_fail_and_nothing_is_deleted_by_mistake" {
  command = plan

  assert {
    condition     = length(output.kubeconfig) > 0 && local.name == "atrium-production"
    error_message = "planned as a whole"
  }

  assert {
    condition     = toset(keys(output.github.environments)) == toset(concat(["registry", "registry-read"], ["canary", "production"]))
    error_message = "the environments of GitHub that this account has a part in"
  }

  assert {
    condition     = length(yamldecode(aws_prometheus_rule_group_namespace.atrium.data).groups) > 0
    error_message = "the workspace has the rules of infrastructure/monitoring"
  }
}
