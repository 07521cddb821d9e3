data "aws_caller_identity" "current" {}
data "aws_region" "current" {}

locals {
  account = data.aws_caller_identity.current.account_id
  region  = data.aws_region.current.name
}

resource "aws_acm_certificate" "this" {
  domain_name       = var.domain
  validation_method = "DNS"
  tags              = var.tags

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_route53_record" "validation" {
  for_each = toset([var.domain])

  zone_id         = var.zone_id
  name            = one([for option in aws_acm_certificate.this.domain_validation_options : option.resource_record_name if option.domain_name == each.key])
  type            = one([for option in aws_acm_certificate.this.domain_validation_options : option.resource_record_type if option.domain_name == each.key])
  records         = [one([for option in aws_acm_certificate.this.domain_validation_options : option.resource_record_value if option.domain_name == each.key])]
  ttl             = 300
  allow_overwrite = true # the same record serves every certificate of the domain
}

resource "aws_acm_certificate_validation" "this" {
  certificate_arn         = aws_acm_certificate.this.arn
  validation_record_fqdns = [for record in aws_route53_record.validation : record.fqdn]
}

# The load balancer is made by its controller, so that its name is known in the cluster only: external-dns writes it,
# and may write nothing else.
module "external_dns_role" {
  source = "../irsa-role"
  count  = var.external_dns ? 1 : 0

  name              = "${var.name}-external-dns"
  oidc_provider_arn = var.oidc_provider_arn
  oidc_issuer       = var.oidc_issuer
  namespace         = "kube-system"
  service_account   = "external-dns"
  tags              = var.tags
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "WriteThisHost"
        Effect   = "Allow"
        Action   = ["route53:ChangeResourceRecordSets"]
        Resource = ["arn:aws:route53:::hostedzone/${var.zone_id}"]
        Condition = {
          "ForAllValues:StringLike" = {
            # Its own notes lie beside the record: cname-HOST, aaaa-HOST, HOST itself.
            "route53:ChangeResourceRecordSetsNormalizedRecordNames" = [var.domain, "*-${var.domain}"]
          }
        }
      },
      {
        Sid      = "ReadThisZone"
        Effect   = "Allow"
        Action   = ["route53:ListResourceRecordSets", "route53:ListTagsForResource", "route53:ListTagsForResources"]
        Resource = ["arn:aws:route53:::hostedzone/${var.zone_id}"]
      },
      {
        Sid      = "FindZones" # knows no resources
        Effect   = "Allow"
        Action   = ["route53:ListHostedZones"]
        Resource = ["*"]
      },
    ]
  })
}
