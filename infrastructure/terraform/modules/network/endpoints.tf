# An endpoint's policy grants nothing: it bounds what callers inside the VPC may reach, whatever credentials they hold.
locals {
  account = data.aws_caller_identity.current.account_id

  # Pods may reach port 443 of any public address, because S3 has nothing else: so S3 is bound here. Data goes to the
  # account's own buckets and to no other; image layers (ECR's, registry.k8s.io's, in us-east-1 quay.io's) and the nodes'
  # packages are read.
  s3_policy = {
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "OwnBuckets"
        Effect    = "Allow"
        Principal = "*"
        Action    = ["s3:Get*", "s3:List*", "s3:Put*", "s3:Delete*", "s3:AbortMultipartUpload"]
        Resource  = "*"
        Condition = { StringEquals = { "aws:ResourceAccount" = local.account } }
      },
      {
        Sid       = "ImageLayersAndPackages"
        Effect    = "Allow"
        Principal = "*"
        Action    = "s3:GetObject"
        Resource = [
          "arn:aws:s3:::prod-${var.region}-starport-layer-bucket/*",
          "arn:aws:s3:::prod-registry-k8s-io-${var.region}/*",
          "arn:aws:s3:::quayio-production-s3/*",
          "arn:aws:s3:::al2023-repos-${var.region}-*/*",
        ]
      },
    ]
  }

  own_principals = {
    Version = "2012-10-17"
    Statement = [{
      Sid       = "OwnPrincipals"
      Effect    = "Allow"
      Principal = "*"
      Action    = "*"
      Resource  = "*"
      Condition = { StringEquals = { "aws:PrincipalAccount" = local.account } }
    }]
  }

  # A pod asks for its role with a token of the cluster's: it is no principal of an account yet.
  sts_policy = {
    Version = "2012-10-17"
    Statement = concat(local.own_principals.Statement, [{
      Sid       = "RolesOfThisAccountByWebIdentity"
      Effect    = "Allow"
      Principal = "*"
      Action    = ["sts:AssumeRoleWithWebIdentity", "sts:TagSession"]
      Resource  = "arn:aws:iam::${local.account}:role/*"
    }])
  }
}

resource "aws_vpc_endpoint" "s3" {
  vpc_id            = aws_vpc.this.id
  service_name      = "com.amazonaws.${var.region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = [for az in var.azs : aws_route_table.private[az].id]
  policy            = jsonencode(local.s3_policy)
  tags              = merge(var.tags, { Name = "${var.name}-s3" })
}

resource "aws_security_group" "endpoints" {
  name        = "${var.name}-endpoints"
  description = "Interface endpoints: HTTPS from the VPC, nothing out"
  vpc_id      = aws_vpc.this.id
  tags        = merge(var.tags, { Name = "${var.name}-endpoints" })
}

resource "aws_vpc_security_group_ingress_rule" "endpoints" {
  security_group_id = aws_security_group.endpoints.id
  description       = "HTTPS from nodes and pods"
  cidr_ipv4         = aws_vpc.this.cidr_block
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  tags              = var.tags
}

resource "aws_vpc_endpoint" "interface" {
  for_each = var.interface_endpoints

  vpc_id              = aws_vpc.this.id
  service_name        = "com.amazonaws.${var.region}.${each.key}"
  vpc_endpoint_type   = "Interface"
  private_dns_enabled = true
  subnet_ids          = [for az in var.azs : aws_subnet.isolated["endpoint/${az}"].id]
  security_group_ids  = [aws_security_group.endpoints.id]
  policy              = each.key == "sts" ? jsonencode(local.sts_policy) : jsonencode(local.own_principals)
  tags                = merge(var.tags, { Name = "${var.name}-${replace(each.key, ".", "-")}" })
}
