# Nodes are made beside them, not after: coredns and the controllers wait for nodes, nodes for vpc-cni.
locals {
  addons = {
    vpc-cni = {
      role = module.cni_role.arn
      # Without the first, the NetworkPolicies of infrastructure/kubernetes are text.
      settings = {
        enableNetworkPolicy = "true"
        env                 = { ENABLE_PREFIX_DELEGATION = "true", WARM_PREFIX_TARGET = "1" }
      }
    }
    aws-ebs-csi-driver     = { role = module.ebs_role.arn, settings = null }
    coredns                = { role = null, settings = null }
    kube-proxy             = { role = null, settings = null }
    eks-pod-identity-agent = { role = null, settings = null }
    metrics-server         = { role = null, settings = null }
  }
}

resource "aws_eks_addon" "this" {
  for_each = local.addons

  cluster_name                = aws_eks_cluster.this.name
  addon_name                  = each.key
  addon_version               = lookup(var.addon_versions, each.key, null)
  service_account_role_arn    = each.value.role
  configuration_values        = each.value.settings == null ? null : jsonencode(each.value.settings)
  resolve_conflicts_on_create = "OVERWRITE"
  resolve_conflicts_on_update = "OVERWRITE"
  tags                        = var.tags
}

module "cni_role" {
  source = "../irsa-role"

  name                = "${var.name}-vpc-cni"
  oidc_provider_arn   = aws_iam_openid_connect_provider.this.arn
  oidc_issuer         = local.oidc_issuer
  namespace           = "kube-system"
  service_account     = "aws-node"
  managed_policy_arns = ["arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy"]
  tags                = var.tags
}

module "ebs_role" {
  source = "../irsa-role"

  name                = "${var.name}-ebs-csi"
  oidc_provider_arn   = aws_iam_openid_connect_provider.this.arn
  oidc_issuer         = local.oidc_issuer
  namespace           = "kube-system"
  service_account     = "ebs-csi-controller-sa"
  managed_policy_arns = ["arn:aws:iam::aws:policy/service-role/AmazonEBSCSIDriverPolicy"]
  tags                = var.tags
}
