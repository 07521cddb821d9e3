# Not an environment: what tests/infrastructure/test_terraform_stores.py applies to moto, an imitation of AWS's API, and
# destroys again.
terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.90, < 6"
    }
  }
}

variable "endpoint" {
  description = "moto's URL."
  type        = string
}

provider "aws" {
  region                      = "us-east-1"
  access_key                  = "test"
  secret_key                  = "test" # pragma: allowlist secret
  max_retries                 = 5
  s3_use_path_style           = true
  skip_credentials_validation = true
  skip_metadata_api_check     = true

  endpoints {
    backup         = var.endpoint
    ec2            = var.endpoint
    elasticache    = var.endpoint
    iam            = var.endpoint
    kms            = var.endpoint
    logs           = var.endpoint
    rds            = var.endpoint
    s3             = var.endpoint
    secretsmanager = var.endpoint
    sts            = var.endpoint
  }
}

resource "aws_vpc" "this" {
  #checkov:skip=CKV2_AWS_11: a test's network, in an imitation
  #checkov:skip=CKV2_AWS_12: a test's network, in an imitation
  cidr_block = "10.0.0.0/16"
}

resource "aws_subnet" "data" {
  count = 2

  vpc_id            = aws_vpc.this.id
  cidr_block        = cidrsubnet("10.0.16.0/20", 2, count.index)
  availability_zone = ["us-east-1a", "us-east-1b"][count.index]
}

resource "aws_security_group" "nodes" {
  #checkov:skip=CKV2_AWS_5: a test's group of nodes that are not there
  name        = "nodes"
  description = "Nodes"
  vpc_id      = aws_vpc.this.id
}

module "data" {
  source = "../../modules/data"

  name                      = "atrium-moto"
  vpc_id                    = aws_vpc.this.id
  data_subnet_ids           = aws_subnet.data[*].id
  client_security_group_ids = [aws_security_group.nodes.id]
  deletion_protection       = false
  force_destroy             = true
}

module "backup" {
  source = "../../modules/backup"

  name                  = "atrium-moto"
  postgres_instance_arn = module.data.postgres_instance_arn
  bucket_arns           = [module.data.objects_bucket_arn]
  restore_subnet_group  = module.data.postgres_subnet_group
}
