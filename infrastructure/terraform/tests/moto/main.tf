# Not an environment: what tests/infrastructure/test_terraform_moto.py applies and destroys against moto, an imitation of
# AWS's API. Its server is a variable.
variable "endpoint" {
  description = "moto's URL."
  type        = string
}

locals {
  name  = "atrium-moto"
  zones = ["us-east-1a", "us-east-1b", "us-east-1c"]
}

provider "aws" {
  region                      = "us-east-1"
  access_key                  = "test"
  secret_key                  = "test" # pragma: allowlist secret
  max_retries                 = 5
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_region_validation      = true
  s3_use_path_style           = true

  default_tags {
    tags = { app = "atrium" }
  }

  endpoints {
    acm     = var.endpoint
    ec2     = var.endpoint
    ecr     = var.endpoint
    eks     = var.endpoint
    events  = var.endpoint
    iam     = var.endpoint
    kms     = var.endpoint
    logs    = var.endpoint
    route53 = var.endpoint
    sqs     = var.endpoint
    sts     = var.endpoint
    wafv2   = var.endpoint
  }
}

resource "aws_route53_zone" "this" {
  #checkov:skip=CKV2_AWS_38: a test's zone, in an imitation
  #checkov:skip=CKV2_AWS_39: a test's zone, in an imitation
  name = "example.com"
}

module "network" {
  source = "../../modules/network"

  name                    = local.name
  region                  = "us-east-1"
  azs                     = local.zones
  nat_per_az              = true
  flow_log_retention_days = 30
}

module "cluster" {
  source = "../../modules/cluster"

  name                     = local.name
  kubernetes_version       = "1.35"
  vpc_id                   = module.network.vpc_id
  vpc_cidr                 = module.network.vpc_cidr
  control_plane_subnet_ids = module.network.control_plane_subnet_ids
  private_access_only      = true
  admin_principal_arns     = ["arn:aws:iam::123456789012:role/operators"]
}

module "node_groups" {
  source = "../../modules/node-groups"

  name                   = local.name
  cluster_name           = module.cluster.cluster_name
  private_subnet_ids     = module.network.private_subnet_ids
  node_security_group_id = module.cluster.node_security_group_id
  oidc_provider_arn      = module.cluster.oidc_provider_arn
  oidc_issuer            = module.cluster.oidc_issuer
  min_size               = 3
  desired_size           = 3
  max_size               = 6
}

module "registry" {
  source = "../../modules/registry"

  name               = local.name
  reader_account_ids = ["210987654321"]
}

module "edge" {
  source = "../../modules/edge"

  name              = local.name
  vpc_id            = module.network.vpc_id
  cluster_name      = module.cluster.cluster_name
  oidc_provider_arn = module.cluster.oidc_provider_arn
  oidc_issuer       = module.cluster.oidc_issuer
  domain            = "atrium.example.com"
  zone_id           = aws_route53_zone.this.zone_id
}

# What the assertions look at, read back.
data "aws_route_table" "private" {
  for_each   = { for index, zone in local.zones : zone => index }
  subnet_id  = module.network.private_subnet_ids[each.value]
  depends_on = [module.network]
}

data "aws_route_table" "data" {
  subnet_id  = module.network.data_subnet_ids[0]
  depends_on = [module.network]
}

data "aws_nat_gateway" "of" {
  for_each   = { for index, zone in local.zones : zone => index }
  subnet_id  = module.network.public_subnet_ids[each.value]
  depends_on = [module.network]
}

data "aws_eks_node_group" "cpu" {
  cluster_name    = local.name
  node_group_name = module.node_groups.cpu_node_group_name
  depends_on      = [module.node_groups]
}

data "aws_wafv2_web_acl" "this" {
  name       = local.name
  scope      = "REGIONAL"
  depends_on = [module.edge]
}

data "aws_iam_role" "karpenter" {
  name       = "${local.name}-karpenter"
  depends_on = [module.node_groups]
}
