# The AWS Load Balancer Controller's role. Upstream's policy asks whether a resource carries some cluster's tag; here it
# must be this cluster's, and what it makes is named k8s-… in this account and region. Left out: Cognito, server
# certificates of IAM, Shield and WAF classic, which the ingress does not use (Helm: enableShield=false, enableWaf=false).
locals {
  elb = "arn:aws:elasticloadbalancing:${local.region}:${local.account}"
  ec2 = "arn:aws:ec2:${local.region}:${local.account}"
  tag = "elbv2.k8s.aws/cluster"

  load_balancers  = ["${local.elb}:loadbalancer/app/k8s-*"]
  target_groups   = ["${local.elb}:targetgroup/k8s-*"]
  listeners       = ["${local.elb}:listener/app/k8s-*", "${local.elb}:listener-rule/app/k8s-*"]
  ours            = { StringEquals = { "aws:ResourceTag/${local.tag}" = var.cluster_name } }
  requested_ours  = { StringEquals = { "aws:RequestTag/${local.tag}" = var.cluster_name } }
  keep_our_tag    = { "ForAllValues:StringNotEquals" = { "aws:TagKeys" = [local.tag] } }
  security_groups = ["${local.ec2}:security-group/*"]

  alb_statements = [
    {
      Sid      = "ServiceRoleOfLoadBalancers"
      Action   = ["iam:CreateServiceLinkedRole"]
      Resource = ["arn:aws:iam::${local.account}:role/aws-service-role/elasticloadbalancing.amazonaws.com/*"]
      Condition = {
        StringEquals = { "iam:AWSServiceName" = "elasticloadbalancing.amazonaws.com" }
      }
    },
    {
      Sid = "ReadWhatThereIs" # describing knows no resources
      Action = [
        "ec2:DescribeAccountAttributes", "ec2:DescribeAddresses", "ec2:DescribeAvailabilityZones",
        "ec2:DescribeInstances", "ec2:DescribeInternetGateways", "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeRouteTables", "ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeTags",
        "ec2:DescribeVpcPeeringConnections", "ec2:DescribeVpcs", "ec2:GetSecurityGroupsForVpc",
        "elasticloadbalancing:DescribeCapacityReservation", "elasticloadbalancing:DescribeListenerAttributes",
        "elasticloadbalancing:DescribeListenerCertificates", "elasticloadbalancing:DescribeListeners",
        "elasticloadbalancing:DescribeLoadBalancerAttributes", "elasticloadbalancing:DescribeLoadBalancers",
        "elasticloadbalancing:DescribeRules", "elasticloadbalancing:DescribeSSLPolicies",
        "elasticloadbalancing:DescribeTags", "elasticloadbalancing:DescribeTargetGroupAttributes",
        "elasticloadbalancing:DescribeTargetGroups", "elasticloadbalancing:DescribeTargetHealth",
        "elasticloadbalancing:DescribeTrustStores",
      ]
      Resource  = ["*"]
      Condition = { StringEquals = { "aws:RequestedRegion" = local.region } }
    },
    {
      Sid      = "ReadTheCertificate"
      Action   = ["acm:DescribeCertificate"]
      Resource = [aws_acm_certificate.this.arn]
    },
    {
      Sid      = "PutThisWebAclBeforeThem"
      Action   = ["wafv2:GetWebACL", "wafv2:GetWebACLForResource", "wafv2:AssociateWebACL", "wafv2:DisassociateWebACL"]
      Resource = concat([aws_wafv2_web_acl.this.arn], local.load_balancers)
    },
    {
      Sid      = "MakeSecurityGroupsInThisVpc"
      Action   = ["ec2:CreateSecurityGroup"]
      Resource = ["${local.ec2}:vpc/${var.vpc_id}"]
    },
    {
      Sid       = "MakeSecurityGroupsTaggedOurs"
      Action    = ["ec2:CreateSecurityGroup"]
      Resource  = local.security_groups
      Condition = local.requested_ours
    },
    {
      Sid      = "TagSecurityGroupsAsTheyAreMade"
      Action   = ["ec2:CreateTags"]
      Resource = local.security_groups
      Condition = {
        StringEquals = merge(local.requested_ours.StringEquals, { "ec2:CreateAction" = "CreateSecurityGroup" })
      }
    },
    {
      Sid       = "TagOwnSecurityGroups"
      Action    = ["ec2:CreateTags", "ec2:DeleteTags"]
      Resource  = local.security_groups
      Condition = merge(local.ours, local.keep_our_tag)
    },
    {
      Sid       = "ChangeOwnSecurityGroups"
      Action    = ["ec2:AuthorizeSecurityGroupIngress", "ec2:RevokeSecurityGroupIngress", "ec2:DeleteSecurityGroup"]
      Resource  = local.security_groups
      Condition = local.ours
    },
    {
      Sid      = "LetLoadBalancersReachNodes"
      Action   = ["ec2:AuthorizeSecurityGroupIngress", "ec2:RevokeSecurityGroupIngress"]
      Resource = local.security_groups
      Condition = {
        StringEquals = { "aws:ResourceTag/kubernetes.io/cluster/${var.cluster_name}" = "owned" }
      }
    },
    {
      Sid       = "MakeTaggedOurs"
      Action    = ["elasticloadbalancing:CreateLoadBalancer", "elasticloadbalancing:CreateTargetGroup"]
      Resource  = concat(local.load_balancers, local.target_groups)
      Condition = local.requested_ours
    },
    {
      Sid      = "TagAsTheyAreMade"
      Action   = ["elasticloadbalancing:AddTags"]
      Resource = concat(local.load_balancers, local.target_groups)
      Condition = {
        StringEquals = merge(local.requested_ours.StringEquals, {
          "elasticloadbalancing:CreateAction" = ["CreateLoadBalancer", "CreateTargetGroup"]
        })
      }
    },
    {
      Sid       = "TagOwn"
      Action    = ["elasticloadbalancing:AddTags", "elasticloadbalancing:RemoveTags"]
      Resource  = concat(local.load_balancers, local.target_groups)
      Condition = merge(local.ours, local.keep_our_tag)
    },
    {
      Sid = "ChangeOwn"
      Action = [
        "elasticloadbalancing:DeleteLoadBalancer", "elasticloadbalancing:DeleteTargetGroup",
        "elasticloadbalancing:DeregisterTargets", "elasticloadbalancing:ModifyCapacityReservation",
        "elasticloadbalancing:ModifyIpPools", "elasticloadbalancing:ModifyLoadBalancerAttributes",
        "elasticloadbalancing:ModifyTargetGroup", "elasticloadbalancing:ModifyTargetGroupAttributes",
        "elasticloadbalancing:RegisterTargets", "elasticloadbalancing:SetIpAddressType",
        "elasticloadbalancing:SetSecurityGroups", "elasticloadbalancing:SetSubnets", "elasticloadbalancing:SetWebAcl",
      ]
      Resource  = concat(local.load_balancers, local.target_groups)
      Condition = local.ours
    },
    {
      Sid = "ListenersAndRules" # by name: not every call about them carries the tag
      Action = [
        "elasticloadbalancing:AddListenerCertificates", "elasticloadbalancing:AddTags",
        "elasticloadbalancing:CreateListener", "elasticloadbalancing:CreateRule",
        "elasticloadbalancing:DeleteListener", "elasticloadbalancing:DeleteRule",
        "elasticloadbalancing:ModifyListener", "elasticloadbalancing:ModifyListenerAttributes",
        "elasticloadbalancing:ModifyRule", "elasticloadbalancing:RemoveListenerCertificates",
        "elasticloadbalancing:RemoveTags", "elasticloadbalancing:SetRulePriorities",
      ]
      Resource = local.listeners
    },
    {
      Sid       = "ListenersOfOwn"
      Action    = ["elasticloadbalancing:CreateListener"]
      Resource  = local.load_balancers
      Condition = local.ours
    },
  ]
}

module "alb_controller_role" {
  source = "../irsa-role"

  name              = "${var.name}-alb-controller"
  oidc_provider_arn = var.oidc_provider_arn
  oidc_issuer       = var.oidc_issuer
  namespace         = "kube-system"
  service_account   = "aws-load-balancer-controller"
  tags              = var.tags
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [for statement in local.alb_statements : merge(statement, { Effect = "Allow" })]
  })
}
