# Not an environment: what tests/infrastructure/test_delivery.py plans, to read the roles' policies in the plan. Nothing of
# it depends on what AWS would answer, so nobody is asked.
terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.90, < 6"
    }
  }
}

locals {
  account = "123456789012"
}

provider "aws" {
  region                      = "us-east-1"
  access_key                  = "test"
  secret_key                  = "test" # pragma: allowlist secret
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
}

module "delivery" {
  source = "../../modules/delivery"

  name                = "atrium-test"
  repository          = "example/atrium"
  oidc_provider_arn   = "arn:aws:iam::${local.account}:oidc-provider/token.actions.githubusercontent.com"
  account_id          = local.account
  region              = "us-east-1"
  cluster_name        = "atrium-test"
  domain              = "atrium.example.com"
  deploy_environments = ["staging", "canary", "production"]
  repository_urls = {
    for name in ["atrium-router", "atrium-orchestrator", "atrium-rag", "vllm-openai"] :
    name => "${local.account}.dkr.ecr.us-east-1.amazonaws.com/${name}"
  }
}

output "repository_variables" {
  description = "As of the module."
  value       = module.delivery.repository_variables
}

output "environment_variables" {
  description = "As of the module."
  value       = module.delivery.environment_variables
}
