mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "111122223333" }
  }
}

variables {
  name = "atrium-test"
}

run "tags_are_immutable_images_scanned_and_encrypted" {
  command = plan

  assert {
    condition     = toset(keys(aws_ecr_repository.this)) == toset(["atrium-router", "atrium-orchestrator", "atrium-rag", "vllm-openai"])
    error_message = "one for each image of the manifests"
  }
  assert {
    condition     = alltrue([for one in aws_ecr_repository.this : one.image_tag_mutability == "IMMUTABLE"])
    error_message = "a tag means one image"
  }
  assert {
    condition     = alltrue([for one in aws_ecr_repository.this : one.image_scanning_configuration[0].scan_on_push])
    error_message = "scanned on push"
  }
  assert {
    condition     = alltrue([for one in aws_ecr_repository.this : one.encryption_configuration[0].encryption_type == "KMS"])
    error_message = "under a key of our own"
  }
}

run "no_repository_no_key" {
  command = plan

  variables {
    repositories = []
  }

  assert {
    condition     = length(module.key) == 0
    error_message = "nothing is paid for nothing"
  }
}

run "nobody_else_reads" {
  command = plan

  assert {
    condition     = length(aws_ecr_repository_policy.readers) == 0
    error_message = "no policy, no other account"
  }
}

run "another_accounts_nodes_pull_and_do_nothing_else" {
  command = plan

  variables {
    reader_account_ids = ["210987654321", "123456789012"]
  }

  assert {
    condition     = toset(keys(aws_ecr_repository_policy.readers)) == var.repositories
    error_message = "from every repository"
  }
  assert {
    condition     = alltrue([for one in aws_ecr_repository_policy.readers : jsondecode(one.policy).Statement[0].Principal.AWS == ["arn:aws:iam::123456789012:root", "arn:aws:iam::210987654321:root"]])
    error_message = "those accounts"
  }
  assert {
    condition     = alltrue([for one in aws_ecr_repository_policy.readers : length(jsondecode(one.policy).Statement) == 1 && jsondecode(one.policy).Statement[0].Action == ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]])
    error_message = "pulling alone"
  }
}

run "an_account_is_twelve_digits" {
  command = plan

  variables {
    reader_account_ids = ["*"]
  }

  expect_failures = [var.reader_account_ids]
}
