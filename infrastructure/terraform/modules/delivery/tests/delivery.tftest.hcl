# What the roles may do is asked of their policies by tests/infrastructure/test_iam_policies.py. Here: how they are made.
mock_provider "aws" {
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::111122223333:role/a-role" }
  }
  mock_resource "aws_iam_openid_connect_provider" {
    defaults = { arn = "arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com" }
  }
}

variables {
  name                = "atrium-test"
  repository          = "example/atrium"
  account_id          = "111122223333"
  region              = "us-east-1"
  cluster_name        = "atrium-test"
  domain              = "atrium.example.com"
  deploy_environments = ["canary", "production"]
  repository_urls     = { for name in ["atrium-router", "atrium-rag"] : name => "111122223333.dkr.ecr.us-east-1.amazonaws.com/${name}" }
}

run "a_role_for_each_environment_of_github" {
  command = apply

  assert {
    condition     = toset(keys(output.role_arns)) == toset(["push", "pull", "deploy-canary", "deploy-production"])
    error_message = "one each"
  }
  assert {
    condition     = [for name in ["push", "pull", "deploy-canary", "deploy-production"] : jsondecode(aws_iam_role.this[name].assume_role_policy).Statement[0].Condition.StringEquals["token.actions.githubusercontent.com:sub"]] == [for one in ["registry", "registry-read", "canary", "production"] : "repo:example/atrium:environment:${one}"]
    error_message = "each trusts its own environment"
  }
  assert {
    condition     = length(aws_iam_openid_connect_provider.github) == 1 && aws_iam_openid_connect_provider.github[0].client_id_list == toset(["sts.amazonaws.com"])
    error_message = "the provider is made"
  }
  assert {
    condition     = toset(keys(aws_eks_access_entry.deploy)) == toset(["canary", "production"]) && alltrue([for one in aws_eks_access_entry.deploy : one.kubernetes_groups == toset(["atrium-deployer"])])
    error_message = "only who deploys gets into the cluster, as a member of the group"
  }
  assert {
    condition     = output.repository_variables == tomap({ AWS_REGION = "us-east-1", ECR_REGISTRY = "111122223333.dkr.ecr.us-east-1.amazonaws.com" })
    error_message = "the repository's variables"
  }
  assert {
    condition     = output.environment_variables.canary.ALARM_PREFIX == "atrium-test-" && output.environment_variables.canary.ATRIUM_URL == "https://atrium.example.com"
    error_message = "the environments' variables"
  }
}

run "where_another_account_has_the_images_nobody_pushes_or_reads_here" {
  command = apply

  variables {
    repository_urls = {}
  }

  assert {
    condition     = toset(keys(output.role_arns)) == toset(["deploy-canary", "deploy-production"])
    error_message = "who deploys alone"
  }
  assert {
    condition     = length(output.repository_variables) == 0 && toset(keys(output.environment_variables)) == toset(["canary", "production"])
    error_message = "the registry's variables come from the other account"
  }
}

run "an_account_has_one_provider_and_it_may_be_there" {
  command = apply

  variables {
    oidc_provider_arn = "arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com"
  }

  assert {
    condition     = length(aws_iam_openid_connect_provider.github) == 0 && output.oidc_provider_arn == var.oidc_provider_arn
    error_message = "and is taken"
  }
}

run "wildcards_and_kubernetes_own_groups_are_refused" {
  command = plan

  variables {
    repository          = "example/*"
    push_environment    = "*"
    pull_environment    = "registry*"
    deploy_environments = ["prod*"]
    kubernetes_group    = "system:masters"
    oidc_provider_arn   = "arn:aws:iam::111122223333:oidc-provider/other.example.com"
  }

  expect_failures = [
    var.repository, var.push_environment, var.pull_environment, var.deploy_environments, var.kubernetes_group,
    var.oidc_provider_arn,
  ]
}
