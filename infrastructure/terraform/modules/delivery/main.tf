# Who may be which role: the environment of GitHub, whose rules say who approves and from which refs, and nobody else. A
# workflow of a pull request, or of another environment, has another subject.
locals {
  issuer       = "token.actions.githubusercontent.com"
  provider_arn = var.oidc_provider_arn == null ? one(aws_iam_openid_connect_provider.github[*].arn) : var.oidc_provider_arn

  roles = merge(
    length(var.repository_urls) == 0 ? {} : {
      push = { environment = var.push_environment, may = local.push, for = "images.yml: pushes images" }
      pull = { environment = var.pull_environment, may = local.pull, for = "deploy.yml: looks for images and signatures" }
    },
    { for one in var.deploy_environments : "deploy-${one}" => { environment = one, may = local.deploy, for = "deploy.yml: deploys" } },
  )
}

resource "aws_iam_openid_connect_provider" "github" {
  count = var.oidc_provider_arn == null ? 1 : 0

  url            = "https://${local.issuer}"
  client_id_list = ["sts.amazonaws.com"]
  tags           = var.tags
}

resource "aws_iam_role" "this" {
  for_each = local.roles

  name                 = "${var.name}-github-${each.key}"
  description          = each.value.for
  max_session_duration = startswith(each.key, "deploy-") ? 5400 : 3600 # a rollout that is watched takes more than an hour
  tags                 = var.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Federated = local.provider_arn }
      Action    = "sts:AssumeRoleWithWebIdentity"
      Condition = { StringEquals = {
        "${local.issuer}:aud" = "sts.amazonaws.com"
        "${local.issuer}:sub" = "repo:${var.repository}:environment:${each.value.environment}"
      } }
    }]
  })
}

resource "aws_iam_role_policy" "this" {
  for_each = local.roles

  name   = "own"
  role   = aws_iam_role.this[each.key].name
  policy = jsonencode({ Version = "2012-10-17", Statement = each.value.may })
}

# In the cluster a deploying role is a member of a group, and RBAC says what that may: AWS's access policies know neither
# the resources of operators (ExternalSecret, ScaledObject) nor a part of a namespace.
resource "aws_eks_access_entry" "deploy" {
  for_each = var.deploy_environments

  cluster_name      = var.cluster_name
  principal_arn     = aws_iam_role.this["deploy-${each.key}"].arn
  kubernetes_groups = [var.kubernetes_group]
  tags              = var.tags
}
