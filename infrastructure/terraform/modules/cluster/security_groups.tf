# Nodes have this group and not the cluster's own, which is the control plane's alone. The load balancer's controller
# adds what the router's pods need from the load balancer: it knows the group by its tag.
resource "aws_security_group" "nodes" {
  #checkov:skip=CKV2_AWS_5: attached by the launch template of node-groups and by Karpenter
  name        = "${var.name}-nodes"
  description = "Nodes and pods"
  vpc_id      = var.vpc_id
  tags = merge(var.tags, {
    Name                                = "${var.name}-nodes"
    "karpenter.sh/discovery"            = var.name
    "kubernetes.io/cluster/${var.name}" = "owned"
  })
}

locals {
  control_plane_group = aws_eks_cluster.this.vpc_config[0].cluster_security_group_id
}

resource "aws_vpc_security_group_ingress_rule" "api_from_nodes" {
  security_group_id            = local.control_plane_group
  description                  = "API server from nodes and pods"
  referenced_security_group_id = aws_security_group.nodes.id
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
  tags                         = var.tags
}

resource "aws_vpc_security_group_ingress_rule" "api_from_networks" {
  for_each = toset(var.private_access_cidrs)

  security_group_id = local.control_plane_group
  description       = "API server from an operators' network"
  cidr_ipv4         = each.key
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  tags              = var.tags
}

resource "aws_vpc_security_group_ingress_rule" "nodes_from_api" {
  #checkov:skip=CKV_AWS_25: from the control plane's group alone, no network
  security_group_id            = aws_security_group.nodes.id
  description                  = "Kubelets, webhooks and API services, which listen where they like above 1024"
  referenced_security_group_id = local.control_plane_group
  ip_protocol                  = "tcp"
  from_port                    = 1025
  to_port                      = 65535
  tags                         = var.tags
}

resource "aws_vpc_security_group_ingress_rule" "nodes_from_nodes" {
  security_group_id            = aws_security_group.nodes.id
  description                  = "Pods among themselves: NetworkPolicies decide"
  referenced_security_group_id = aws_security_group.nodes.id
  ip_protocol                  = "-1"
  tags                         = var.tags
}

resource "aws_vpc_security_group_egress_rule" "nodes_to_nodes" {
  security_group_id            = aws_security_group.nodes.id
  description                  = "Pods among themselves: NetworkPolicies decide"
  referenced_security_group_id = aws_security_group.nodes.id
  ip_protocol                  = "-1"
  tags                         = var.tags
}

resource "aws_vpc_security_group_egress_rule" "https" {
  security_group_id = aws_security_group.nodes.id
  description       = "API server, AWS, registries, issuers' keys, tenants' own engines"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  tags              = var.tags
}

resource "aws_vpc_security_group_egress_rule" "stores" {
  for_each = { postgresql = 5432, valkey = 6379 }

  security_group_id = aws_security_group.nodes.id
  description       = each.key
  cidr_ipv4         = var.vpc_cidr
  ip_protocol       = "tcp"
  from_port         = each.value
  to_port           = each.value
  tags              = var.tags
}
