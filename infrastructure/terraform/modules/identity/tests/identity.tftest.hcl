# What the roles may do is asked of their policies by tests/infrastructure/test_iam_policies.py. Here: how they are made.
mock_provider "aws" {
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/a-role" }
  }
}

variables {
  name                = "atrium-test"
  oidc_provider_arn   = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.us-east-1.amazonaws.com/id/X"
  oidc_issuer         = "oidc.eks.us-east-1.amazonaws.com/id/X"
  region              = "us-east-1"
  account_id          = "123456789012"
  objects_bucket_arn  = "arn:aws:s3:::objects"
  models_bucket_arn   = "arn:aws:s3:::models"
  data_kms_key_arn    = "arn:aws:kms:us-east-1:123456789012:key/data"
  sealing_kms_key_arn = "arn:aws:kms:us-east-1:123456789012:key/sealing"
  secrets_kms_key_arn = "arn:aws:kms:us-east-1:123456789012:key/secrets" # pragma: allowlist secret
  secret_arns         = { router = "arn:aws:secretsmanager:us-east-1:123456789012:secret:atrium/router-AbCdEf" }
  log_group_arns      = ["arn:aws:logs:us-east-1:123456789012:log-group:/atrium/containers"]
}

run "a_role_for_each_service_account" {
  command = apply

  assert {
    condition     = output.role_names == { for service in ["router", "orchestrator", "rag", "vllm", "secrets-reader", "fluent-bit", "adot"] : service => "atrium-${service}" }
    error_message = "the manifests name these"
  }
  assert {
    condition     = jsondecode(aws_iam_role_policy.this["adot"].policy).Statement[0].Effect == "Deny" && length(aws_eks_pod_identity_association.this) == 0
    error_message = "without a workspace the collector may nothing; without a cluster's name there is IRSA"
  }
}

run "pod_identity_takes_irsas_place" {
  command = apply

  variables {
    pod_identity_cluster = "atrium-test"
  }

  assert {
    condition     = length(aws_eks_pod_identity_association.this) == 7 && aws_eks_pod_identity_association.this["fluent-bit"].service_account == "atrium-fluent-bit"
    error_message = "one association a service account"
  }
  assert {
    condition     = jsondecode(aws_iam_role.this["rag"].assume_role_policy).Statement[0].Principal == { Service = "pods.eks.amazonaws.com" }
    error_message = "and no token of the cluster's is taken any more"
  }
}

run "a_workspace_may_be_made_at_the_same_time" {
  command = plan

  module {
    source = "./tests/workspace"
  }
}

run "a_bucket_without_a_path" {
  command = apply

  variables {
    objects_prefix = ""
  }

  assert {
    condition     = jsondecode(aws_iam_role_policy.tenant["rag"].policy).Statement[1].Resource == ["arn:aws:s3:::objects/tenants/$${aws:PrincipalTag/tenant}/*"]
    error_message = "tenants/ lies at the bucket's root"
  }
}

run "values_that_cannot_be_are_refused" {
  command = plan

  variables {
    oidc_issuer        = "https://oidc.eks.us-east-1.amazonaws.com/id/X"
    objects_bucket_arn = "arn:aws:s3:::objects/*"
    secret_arns        = { all = "arn:aws:secretsmanager:us-east-1:123456789012:secret:*" }
    log_group_arns     = ["arn:aws:logs:us-east-1:123456789012:log-group:*"]
    namespace          = "*"
  }

  expect_failures = [var.oidc_issuer, var.objects_bucket_arn, var.secret_arns, var.log_group_arns, var.namespace]
}
