output "role_arns" {
  description = "push, pull and deploy-ENVIRONMENT to the role's ARN."
  value       = { for what, role in aws_iam_role.this : what => role.arn }
}

output "oidc_provider_arn" {
  description = "GitHub's OIDC provider."
  value       = local.provider_arn
}

output "repository_variables" {
  description = "Variables of the repository on GitHub, by their names."
  value = length(var.repository_urls) == 0 ? {} : {
    AWS_REGION   = var.region
    ECR_REGISTRY = split("/", values(var.repository_urls)[0])[0]
  }
}

output "environment_variables" {
  description = "Environment of GitHub to its variables, by their names."
  value = merge(
    length(var.repository_urls) == 0 ? {} : {
      (var.push_environment) = { AWS_PUSH_ROLE_ARN = aws_iam_role.this["push"].arn }
      (var.pull_environment) = { AWS_PULL_ROLE_ARN = aws_iam_role.this["pull"].arn }
    },
    {
      for one in var.deploy_environments : one => {
        AWS_DEPLOY_ROLE_ARN = aws_iam_role.this["deploy-${one}"].arn
        EKS_CLUSTER         = var.cluster_name
        ALARM_PREFIX        = coalesce(var.alarm_prefix, "${var.name}-")
        ATRIUM_URL          = "https://${var.domain}"
      }
    },
  )
}
