# What the workflows ask of AWS. Signing asks nothing: the signature is an image beside the image, under GitHub's identity.
locals {
  images = [for name in sort(keys(var.repository_urls)) : "arn:aws:ecr:${var.region}:${var.account_id}:repository/${name}"]

  # The token knows no resource: what it opens, the other rights say.
  log_in = {
    Sid      = "LogIn"
    Effect   = "Allow"
    Action   = ["ecr:GetAuthorizationToken"]
    Resource = ["*"]
  }

  read = {
    Sid      = "Read"
    Effect   = "Allow"
    Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:DescribeImages", "ecr:GetDownloadUrlForLayer"]
    Resource = local.images
  }

  # A tag is written once (modules/registry); nothing is deleted.
  push = [local.log_in, local.read, {
    Sid      = "Push"
    Effect   = "Allow"
    Action   = ["ecr:InitiateLayerUpload", "ecr:UploadLayerPart", "ecr:CompleteLayerUpload", "ecr:PutImage"]
    Resource = local.images
  }]

  pull = [local.log_in, local.read]

  deploy = [
    {
      Sid      = "FindCluster"
      Effect   = "Allow"
      Action   = ["eks:DescribeCluster"]
      Resource = ["arn:aws:eks:${var.region}:${var.account_id}:cluster/${var.cluster_name}"]
    },
    # CloudWatch tells of composite alarms only to whom it may tell of all.
    {
      Sid      = "WatchAlarms"
      Effect   = "Allow"
      Action   = ["cloudwatch:DescribeAlarms"]
      Resource = ["*"]
    },
  ]
}
