# Who may be a role: one service account of one cluster, by a token that the cluster made for STS.

locals {
  irsa = { for role, of in local.accounts : role => jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Federated = var.oidc_provider_arn }
      Action    = "sts:AssumeRoleWithWebIdentity"
      Condition = { StringEquals = {
        "${var.oidc_issuer}:aud" = "sts.amazonaws.com"
        "${var.oidc_issuer}:sub" = "system:serviceaccount:${of.namespace}:${of.account}"
      } }
    }]
  }) }

  pod_identity = { for role, of in local.accounts : role => jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "pods.eks.amazonaws.com" }
      Action    = ["sts:AssumeRole", "sts:TagSession"]
      Condition = { StringEquals = {
        "aws:SourceAccount"                         = var.account_id
        "aws:RequestTag/eks-cluster-name"           = coalesce(var.pod_identity_cluster, "none")
        "aws:RequestTag/kubernetes-namespace"       = of.namespace
        "aws:RequestTag/kubernetes-service-account" = of.account
      } }
    }]
  }) }
}

resource "aws_eks_pod_identity_association" "this" {
  for_each = var.pod_identity_cluster == null ? {} : local.accounts

  cluster_name    = var.pod_identity_cluster
  namespace       = each.value.namespace
  service_account = each.value.account
  role_arn        = aws_iam_role.this[each.key].arn
  tags            = var.tags
}
