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
  github_environments  = ["canary", "production"]
  environment          = "test"
  overlay              = "production"
  region               = "us-east-1"
  azs                  = ["us-east-1a", "us-east-1b", "us-east-1c"]
  model                = "some-model"
  nat_per_az           = true
  api_private          = true
  kubernetes_version   = "1.35"
  nodes                = { instance_types = ["m7i.xlarge"], min_size = 3, desired_size = 3, max_size = 9 }
  postgres             = { version = "17", instance_class = "db.m7g.large", storage_gb = 100, multi_az = true, backup_retention_days = 14 }
  valkey               = { node_type = "cache.m7g.large", replicas = 1 }
  log_retention_days   = 365
  backups              = { retention_days = 35 }
}

run "everything_is_wired" {
  command = plan

  assert {
    condition     = local.name == "atrium-test" && length(output.kubeconfig) > 0
    error_message = "planned as a whole"
  }
  assert {
    condition     = length(yamldecode(aws_prometheus_rule_group_namespace.atrium.data).groups) > 0
    error_message = "the workspace has the rules of infrastructure/monitoring"
  }
  assert {
    condition     = toset(keys(output.registry)) == toset(local.image_names)
    error_message = "the account has the images"
  }
}

run "images_are_in_one_account_and_read_by_another" {
  command = plan

  variables {
    registry_account_id = "210987654321"
  }

  assert {
    condition     = length(module.registry.repository_arns) == 0 && output.registry["vllm-openai"] == "210987654321.dkr.ecr.us-east-1.amazonaws.com/vllm-openai"
    error_message = "no second copy of a registry"
  }
  assert {
    condition     = toset(keys(output.github.environments)) == toset(["canary", "production"])
    error_message = "nobody pushes here"
  }
}

run "what_makes_no_sense_is_refused" {
  command = plan

  variables {
    environment         = "Production"
    overlay             = "dev"
    registry_account_id = "111122223333"
    nodes               = { instance_types = ["m7i.xlarge"], min_size = 3, desired_size = 1, max_size = 9 }
  }

  expect_failures = [var.environment, var.overlay, var.registry_account_id, var.nodes]
}
