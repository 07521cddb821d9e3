terraform {
  required_version = ">= 1.11"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.90, < 6"
    }
  }

  # Where the state lies says backend.hcl, which ../../bootstrap prints: terraform init -backend-config=backend.hcl
  backend "s3" {
    key          = "atrium/production.tfstate"
    encrypt      = true
    use_lockfile = true
  }
}
