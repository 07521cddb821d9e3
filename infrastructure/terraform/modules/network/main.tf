# 10.0.0.0/20 public, 10.0.16.0/20 data, 10.0.32.0/20 endpoint, 10.0.48.0/20 control plane: each a /22 a zone, and in
# each nothing but what it is named after, because NetworkPolicies tell them apart by address. 10.0.64.0/18 and the two
# after it: nodes and pods, one a zone.
data "aws_caller_identity" "current" {}

locals {
  zone     = { for index, az in var.azs : az => index }
  isolated = { for pair in setproduct(["data", "endpoint", "control-plane"], var.azs) : join("/", pair) => pair }
  block    = { public = 0, data = 1, endpoint = 2, control-plane = 3 }
}

resource "aws_vpc" "this" {
  cidr_block           = var.cidr
  enable_dns_support   = true
  enable_dns_hostnames = true
  tags                 = merge(var.tags, { Name = var.name })
}

# What names no security group gets one that allows nothing.
resource "aws_default_security_group" "closed" {
  vpc_id = aws_vpc.this.id
  tags   = merge(var.tags, { Name = "${var.name}-default-closed" })
}

resource "aws_subnet" "public" {
  for_each = local.zone

  vpc_id                  = aws_vpc.this.id
  availability_zone       = each.key
  cidr_block              = cidrsubnet(cidrsubnet(var.cidr, 4, local.block.public), 2, each.value)
  map_public_ip_on_launch = false
  tags                    = merge(var.tags, { Name = "${var.name}-public-${each.key}", "kubernetes.io/role/elb" = "1" })
}

resource "aws_subnet" "private" {
  for_each = local.zone

  vpc_id            = aws_vpc.this.id
  availability_zone = each.key
  cidr_block        = cidrsubnet(var.cidr, 2, each.value + 1)
  tags = merge(var.tags, {
    Name                              = "${var.name}-private-${each.key}"
    "kubernetes.io/role/internal-elb" = "1"
    "karpenter.sh/discovery"          = var.name
  })
}

# Stores, endpoints, the control plane's interfaces: no way out.
resource "aws_subnet" "isolated" {
  for_each = local.isolated

  vpc_id            = aws_vpc.this.id
  availability_zone = each.value[1]
  cidr_block        = cidrsubnet(cidrsubnet(var.cidr, 4, local.block[each.value[0]]), 2, local.zone[each.value[1]])
  tags              = merge(var.tags, { Name = "${var.name}-${replace(each.key, "/", "-")}" })
}
