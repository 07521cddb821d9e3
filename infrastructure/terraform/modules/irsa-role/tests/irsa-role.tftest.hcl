mock_provider "aws" {}

variables {
  name              = "atrium-test-role"
  oidc_provider_arn = "arn:aws:iam::111122223333:oidc-provider/oidc.example/id/X"
  oidc_issuer       = "oidc.example/id/X"
  namespace         = "kube-system"
  service_account   = "controller"
}

run "one_service_account_takes_it_and_no_other" {
  command = plan

  assert {
    condition = jsondecode(aws_iam_role.this.assume_role_policy).Statement[0].Condition.StringEquals == {
      "oidc.example/id/X:aud" = "sts.amazonaws.com"
      "oidc.example/id/X:sub" = "system:serviceaccount:kube-system:controller"
    }
    error_message = "audience and subject, both exact"
  }
}

run "a_wildcard_is_no_service_account" {
  command = plan

  variables {
    service_account = "*"
  }

  expect_failures = [var.service_account]
}
